//! Opens connections: a [`Dialer`], TLS where the URL asks for it, and the rules of [`Stream`] on
//! top.

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

/// A [`Dialer`] with TLS where the URL asks for it, and one time limit for all steps together.
///
/// The time limit of the attempt is not enough. If an idle connection becomes free before a new one
/// is ready, the pool uses the idle one and lets the new one finish in the background. If the
/// receiver never answered the TLS handshake, the new connection would stay open for ever.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    timeout: Duration,
    connection_life: Duration,
}

impl Connector {
    /// Creates a connector. `timeout` limits all steps together. A connection accepts new requests
    /// for `connection_life`.
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
