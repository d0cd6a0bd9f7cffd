//! One attempt, and what holds for every one.

use std::time::Duration;

use bytes::Bytes;
use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Reply, Sender};
use hookturn::domain::Timestamp;
use hookturn_test::patiently;
use hyper::HeaderMap;

/// For a test which is to see an attempt time out.
pub const SHORT: Duration = Duration::from_millis(300);
/// The answer of a receiver that is content.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub fn sender() -> Sender {
    Sender::new(EgressGuard::with_local())
}

/// A sender whose attempts end after [`SHORT`].
pub fn hasty_sender() -> Sender {
    sender_with(SHORT)
}

/// A sender whose attempts end after that time.
pub fn sender_with(attempt_timeout: Duration) -> Sender {
    let options = SenderOptions {
        attempt_timeout,
        ..SenderOptions::default()
    };
    Sender::with_options(EgressGuard::with_local(), options)
}

/// Makes one attempt, and checks what holds for all of them.
pub async fn send(sender: &Sender, url: &str) -> Reply {
    let body = Bytes::from_static(b"{\"hello\":\"world\"}");
    let attempt = sender.send(url, HeaderMap::new(), body, Timestamp::from_millis(0));
    let reply = patiently(attempt).await;
    if let Some(error) = &reply.error {
        for told in ["127", "localhost", "hook", "://"] {
            assert!(!error.contains(told), "{error:?} tells {told:?}");
        }
    } else {
        assert!(
            reply.status.is_some(),
            "an attempt has a status or an error"
        );
    }
    reply
}

/// The text of an attempt that got no answer.
pub async fn failure(sender: &Sender, url: &str) -> String {
    let reply = send(sender, url).await;
    assert_eq!((reply.status, reply.retry_after), (None, None));
    reply
        .error
        .expect("an attempt has a status or an error")
        .into()
}
