//! Connections: a [`Dialer`] with TLS and the rules of [`Stream`] over it, and what the pool learns of them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use super::{
    dialer::{DialError, Dialer},
    stream::Stream,
};

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

/// Whether a connection has carried an answer yet. Clones are of the same connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Proven(Arc<AtomicBool>);

impl Proven {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A TCP connection that is known to the pool by its [`Proven`].
#[derive(Debug)]
pub(super) struct Socket {
    io: TokioIo<TcpStream>,
    proven: Proven,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        // A request is written whole; waiting for more of it (RFC 896) would only delay it.
        stream.set_nodelay(true)?;
        Ok(Self {
            io: TokioIo::new(stream),
            proven: Proven::default(),
        })
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.proven.clone())
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
