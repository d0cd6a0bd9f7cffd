//! Waits with a time limit.

use std::time::Duration;

/// The time limit: longer than any step of a test takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, and panics after [`PATIENCE`].
pub async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("timed out")
}

/// Calls `is_so` every millisecond until it returns true, and panics after [`PATIENCE`].
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    patiently(async {
        while !is_so().await {
            hookturn::clock::real_sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
