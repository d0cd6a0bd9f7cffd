//! What the events are sent to: it keeps each request as it came.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::server::{self, Limits};

/// How long a delivery may take to arrive before the story is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to listen for a delivery that must not come.
const SILENCE: Duration = Duration::from_millis(100);

/// A delivery as it arrived.
pub(super) struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// The value of a header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

pub(super) struct Receiver(mpsc::UnboundedReceiver<Received>);

impl Receiver {
    /// Receives on `listener` until `stop`.
    pub fn start(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let app = Router::new().route("/hook", post(keep)).with_state(sender);
        tokio::spawn(server::serve(listener, app, Limits::default(), stop));
        Self(receiver)
    }

    /// The next delivery.
    pub async fn next(&mut self) -> Result<Received, String> {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        next.ok()
            .flatten()
            .ok_or_else(|| "no delivery arrived".to_owned())
    }

    /// Whether no further delivery is there.
    pub async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(SILENCE, self.0.recv()).await.is_err()
    }
}

async fn keep(
    State(sender): State<mpsc::UnboundedSender<Received>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    match sender.send(Received { headers, body }) {
        Ok(()) => StatusCode::NO_CONTENT,
        // The story is over.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
