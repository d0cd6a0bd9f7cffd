//! Reads the bodies of responses, so that their connections can be used again.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The maximum number of bytes of a response body that are read: 16 KiB.
pub const MAX_ANSWER_BODY: usize = 16 * 1024;

/// The time that an attempt itself waits for the body.
///
/// Most bodies arrive together with their head. The connection is then free for the next attempt
/// before this one is settled.
const AT_HAND: Duration = Duration::from_millis(5);

/// The maximum number of bodies that are read in the background at a time. Each of them holds a
/// connection.
const MAX_ASIDE: usize = 256;

/// Reads response bodies to their ends, so that their connections can carry other attempts. Clones
/// share the limit of bodies that are read in the background.
#[derive(Clone, Debug)]
pub(super) struct Rests {
    places: Arc<Semaphore>,
    timeout: Duration,
}

/// A body, and the number of bytes that may still arrive.
struct Rest {
    body: Incoming,
    left: usize,
}

impl Rests {
    /// Creates a reader that reads a body in the background for at most `timeout`.
    ///
    /// Bodies are read to the end because some receivers still work on a delivery while they
    /// respond, and stop when the connection is closed.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_ASIDE)),
            timeout,
        }
    }

    /// Reads `body` for at most [`AT_HAND`]. A separate task reads what arrives later.
    ///
    /// If the body is too long or too late, its connection is closed. There is no other effect.
    pub(super) async fn read(&self, body: Incoming) {
        if body.is_end_stream() || body.size_hint().lower() > MAX_ANSWER_BODY as u64 {
            return;
        }
        let mut rest = Rest {
            body,
            left: MAX_ANSWER_BODY,
        };
        if timeout(AT_HAND, rest.read()).await.is_ok() {
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let limit = self.timeout;
        tokio::spawn(async move {
            let _ = timeout(limit, rest.read()).await;
            drop(place);
        });
    }
}

impl Rest {
    /// Reads until the body ends or is too long. The future can be dropped and the method called
    /// again.
    async fn read(&mut self) {
        while let Some(Ok(frame)) = self.body.frame().await {
            let Some(data) = frame.data_ref() else {
                continue;
            };
            match self.left.checked_sub(data.len()) {
                Some(left) => self.left = left,
                None => return,
            }
        }
    }
}
