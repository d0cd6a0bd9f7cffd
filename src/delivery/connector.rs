//! From a URL to a connection: resolve, ask the guard, dial, and shake hands where it is `https`.
//!
//! Names and literals go the same way, so there is one place where an address is decided on, and no
//! spelling that goes around it. (hyper's own connector takes literals past its resolver, which is
//! why a guarded resolver under it is not enough.)

use std::{
    io,
    net::SocketAddr,
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
    egress::{Blocked, EgressGuard},
    stream::Stream,
};

/// How many addresses of one host are dialled at most. A host's answer must not make this server
/// knock at hundreds of doors.
const MAX_ADDRESSES: usize = 8;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Why there is no connection. Prints as the text of the attempt's `error`.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("host not found")]
    HostNotFound,
    #[error("address not allowed: {0}")]
    NotAllowed(Blocked),
    #[error("connection timed out")]
    TimedOut,
    #[error("connection failed")]
    Io(#[source] io::Error),
}

/// Opens TCP connections to permitted addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialer {
    pub(super) guard: EgressGuard,
    /// For each address of a host.
    pub(super) timeout: Duration,
}

impl Dialer {
    async fn dial(self, uri: Uri) -> Result<Socket, DialError> {
        let host = uri.host().unwrap_or_default();
        // An IPv6 literal stands in brackets in a URL (RFC 3986, section 3.2.2), and nowhere else.
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| DialError::HostNotFound)?;

        // What is told in the end is the last failure; a closed address counts only when there is
        // nothing else to tell.
        let mut closed = None;
        let mut failure = None;
        for address in addresses.take(MAX_ADDRESSES) {
            // The form in which it is checked is the form in which it is dialled.
            let address = SocketAddr::new(address.ip().to_canonical(), address.port());
            if let Err(class) = self.guard.check(address.ip()) {
                closed = closed.or(Some(class));
                continue;
            }
            match timeout(self.timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Socket::new(stream).map_err(DialError::Io),
                Ok(Err(error)) => failure = Some(DialError::Io(error)),
                Err(_) => failure = Some(DialError::TimedOut),
            }
        }
        Err(failure
            .unwrap_or_else(|| closed.map_or(DialError::HostNotFound, DialError::NotAllowed)))
    }
}

impl Service<Uri> for Dialer {
    type Response = Socket;
    type Error = DialError;
    type Future = Connecting<Socket, DialError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.dial(uri))
    }
}

/// A [`Dialer`] with TLS over it where the URL says so, and a limit on all of it together.
///
/// The limit is not the attempt's: where an idle connection becomes free before a new one is ready,
/// the pool takes the former for the attempt and lets the latter finish by itself. A receiver that
/// never answers a TLS handshake would keep that one for ever.
#[derive(Clone)]
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
        let life = self.connection_life;
        Box::pin(async move {
            let connected = connecting.await.map_err(|_| DialError::TimedOut)?;
            Ok(Stream::new(connected?, life))
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
    fn new(stream: TcpStream) -> io::Result<Self> {
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
