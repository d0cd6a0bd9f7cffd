//! Connections: a [`Dialer`] with TLS and the rules of [`Stream`] over it, and what the pool learns of them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use tokio::time::timeout;
use tower::Service;

use super::dialer::{DialError, Dialer};
use super::socket::Socket;
use super::stream::Stream;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A [`Dialer`] with TLS over it where the URL says so, and a limit on all of it together.
///
/// The limit is not the attempt's: where an idle connection becomes free before a new one is ready,
/// the pool takes the former for the attempt and lets the latter finish by itself. A receiver that
/// never answers a TLS handshake would keep that one for ever.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    timeout: Duration,
    connection_life: Duration,
}

impl Connector {
    /// `timeout` is for all steps together. Connections begin requests for as long as
    /// `connection_life`.
    pub(super) fn new(
        dialer: Dialer,
        tls: rustls::ClientConfig,
        timeout: Duration,
        connection_life: Duration,
    ) -> Self {
        Self {
            https: HttpsConnector::from((dialer, tls)),
            timeout,
            connection_life,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream<MaybeHttpsStream<Socket>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = timeout(self.timeout, self.https.call(uri));
        let (life, patience) = (self.connection_life, self.timeout);
        Box::pin(async move {
            let connected = connecting.await.map_err(|_| DialError::TimedOut)?;
            Ok(Stream::new(connected?, life, patience))
        })
    }
}
