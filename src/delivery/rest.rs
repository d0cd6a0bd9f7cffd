//! What follows the head of an answer: its body, which is read only for its connection's sake.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many bytes of an answer's body are read: 16 KiB.
pub const MAX_ANSWER_BODY: usize = 16 * 1024;

/// For how long an attempt itself waits for the body. Most bodies come with their head, and then the
/// connection is free for the next attempt before this one is settled.
const AT_HAND: Duration = Duration::from_millis(5);

/// How many bodies are read aside at a time, since each of them holds a connection.
const MAX_ASIDE: usize = 256;

/// Reads the bodies of answers to their ends, so that their connections can carry other attempts.
/// Clones share the limit of bodies that are read aside.
#[derive(Clone, Debug)]
pub(super) struct Rests {
    places: Arc<Semaphore>,
    timeout: Duration,
}

/// A body, and how many of its bytes may still come.
struct Rest {
    body: Incoming,
    left: usize,
}

impl Rests {
    /// Each body is read aside for `timeout` at most. There are receivers that work on a delivery while
    /// they answer, and stop where the connection is closed meanwhile.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_ASIDE)),
            timeout,
        }
    }

    /// Reads `body`, for [`AT_HAND`] at most; what comes later is read in a task of its own.
    ///
    /// A body that is too long or too late costs its connection and nothing else.
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
    /// Reads until the body ends or is too long. Can be dropped and called again.
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
