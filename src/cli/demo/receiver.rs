//! The demo's receiver, which keeps each request as it came.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::server::{self, Limits};

/// How long to wait for a delivery before the demo fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for a delivery that must not come.
const SILENCE: Duration = Duration::from_millis(100);

/// A delivery as it arrived.
pub(super) struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// Returns the value of a header; empty when the header is missing.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }
}

pub(super) struct Receiver(mpsc::UnboundedReceiver<Received>);

impl Receiver {
    /// Starts to receive on `listener`, until `stop`.
    pub fn start(listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let app = Router::new().route("/hook", post(keep)).with_state(sender);
        tokio::spawn(server::serve(listener, app, Limits::default(), stop));
        Self(receiver)
    }

    /// Waits for the next delivery.
    pub async fn next(&mut self) -> Result<Received, String> {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        next.ok()
            .flatten()
            .ok_or_else(|| "no delivery arrived".to_owned())
    }

    /// Returns whether no further delivery arrives.
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
        // The demo is over.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
