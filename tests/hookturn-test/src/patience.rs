//! Waits that end.

use std::time::Duration;

/// Longer than anything in a test takes, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, and panics after [`PATIENCE`].
pub async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing here takes that long")
}

/// Asks every millisecond until the answer is yes, and panics after [`PATIENCE`].
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    patiently(async {
        while !is_so().await {
            hookturn::clock::real_sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
