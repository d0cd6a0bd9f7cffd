//! Makes one attempt: sends an HTTP POST request and reports the result.
//!
//! Rules:
//!
//! 1. **The status decides.** The attempt ends when the head of the response has arrived. Nothing
//!    that happens to the body changes the result. The body is read and discarded only so that the
//!    connection can carry another attempt. The connection is closed if the body is longer than
//!    [`MAX_ANSWER_BODY`] and has not arrived yet, or if it does not arrive within the time of
//!    another attempt.
//! 2. **One deadline covers everything**: the host lookup, connecting, TLS, sending, and the head
//!    of the response.
//! 3. **Requests go only where the URL says**, and only as far as the [guard](super::egress)
//!    permits. Redirects are not followed. No proxy is used, whatever the environment says.
//! 4. **Failures are described in fixed words** ([`Reply::error`]).
//!
//! Requests use HTTP/1.1 only. Every receiver supports it, and a connection carries one attempt at
//! a time, so a connection that hangs delays no other attempt. With HTTP/2 all attempts to a
//! receiver would share one connection. If that connection died silently, all of them would fail
//! until it was noticed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::{self, Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use super::connector::Connector;
use super::dialer::{Dialer, Resolve};
use super::egress::EgressGuard;
use super::headers::Headers;
use super::resolver::SystemResolver;
pub use super::rest::MAX_ANSWER_BODY;
use super::rest::Rests;
use super::socket::{OpenSockets, Proven};
use super::target::Targets;
use super::{attempt_error, retry_after};
use crate::domain::Timestamp;

/// The maximum duration of a whole attempt.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The maximum time to connect to one of a host's addresses. The next addresses are dialled
/// meanwhile.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time after which a connection accepts no new request.
///
/// With the 60 s that an idle connection is kept, every connection is closed before it is five
/// minutes old, so the sender follows a host name that moves to another address.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(4 * 60);

/// The time that an idle connection is kept. Receivers usually close theirs after 5 to 75 s.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The maximum number of idle connections that are kept to one receiver. More attempts can run at a
/// time, but their connections are closed when they end.
const MAX_IDLE_PER_RECEIVER: usize = 256;

/// The maximum size of a connection's buffers, in bytes.
const MAX_BUFFER: usize = 64 * 1024;

/// The settings of a [`Sender`]. The server uses the default.
#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// The maximum duration of a whole attempt; see [`ATTEMPT_TIMEOUT`].
    pub attempt_timeout: Duration,
    /// The maximum time to connect to one address; see [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// The time after which a connection accepts no new request; see [`CONNECTION_LIFE`].
    pub connection_life: Duration,
    /// The maximum number of connections that are kept open between attempts, to all receivers
    /// together. Default: 512.
    pub max_idle: usize,
    /// Finds the addresses of receivers. The default is the operating system's resolver.
    pub resolver: Arc<dyn Resolve>,
    /// The certificate authorities that may sign a receiver's certificate. The default is Mozilla's
    /// list as it was when the server was built, so that a container without a list of its own
    /// works.
    pub roots: RootCertStore,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            attempt_timeout: ATTEMPT_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            connection_life: CONNECTION_LIFE,
            max_idle: 512,
            resolver: Arc::new(SystemResolver::default()),
            roots: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        }
    }
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status of the response, if one arrived in time. 2xx is success.
    pub status: Option<u16>,
    /// What went wrong, in a few fixed words that contain neither the receiver's address nor
    /// anything it sent: `timed out`, `host not found`, `connection refused`,
    /// `address not allowed: private`, `tls: certificate expired` and similar.
    ///
    /// Always set when there is no status, and for a redirect. Other statuses need no explanation.
    pub error: Option<Box<str>>,
    /// How long the receiver asks the server to wait before the next attempt (RFC 9110, section
    /// 10.2.3), counted from the wall-clock time that was passed for this attempt. `None` for a
    /// 2xx. The time can be absurdly long.
    pub retry_after: Option<Duration>,
    /// The time until the status arrived or the attempt failed.
    pub duration: Duration,
    /// Whether nothing was sent, since this server had no file descriptor or memory for it. Then
    /// the failure is not the receiver's.
    pub is_own_fault: bool,
}

/// Makes attempts and keeps connections open between them. Clones share these connections.
#[derive(Clone, Debug)]
pub struct Sender {
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    /// Opens a new connection for each request.
    unpooled: Client<Connector, Full<Bytes>>,
    rests: Rests,
    targets: Targets,
    attempt_timeout: Duration,
    /// The open connections of all cores.
    open: OpenSockets,
    max_idle: usize,
}

impl Sender {
    /// Creates a sender that connects only where `guard` permits.
    #[must_use]
    pub fn new(guard: EgressGuard) -> Self {
        Self::with_options(guard, SenderOptions::default())
    }

    /// Creates a sender with the given [`SenderOptions`].
    #[must_use]
    pub fn with_options(guard: EgressGuard, options: SenderOptions) -> Self {
        let open = OpenSockets::default();
        let dialer = Dialer {
            guard,
            resolver: options.resolver,
            timeout: options.connect_timeout,
            open: open.clone(),
        };
        let connector = Connector::new(
            dialer,
            tls(options.roots),
            options.attempt_timeout,
            options.connection_life,
        );
        Self::over(
            connector,
            Rests::new(options.attempt_timeout),
            options.attempt_timeout,
            (open, options.max_idle),
        )
    }

    /// Returns the same sender with its own connections, for another core.
    ///
    /// The runtime that opened a connection also drives it. Using it from another runtime costs a
    /// switch of threads in each direction.
    pub(super) fn with_own_connections(&self) -> Self {
        Self::over(
            self.connector.clone(),
            self.rests.clone(),
            self.attempt_timeout,
            (self.open.clone(), self.max_idle),
        )
    }

    fn over(
        connector: Connector,
        rests: Rests,
        attempt_timeout: Duration,
        (open, max_idle): (OpenSockets, usize),
    ) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_RECEIVER)
            .http1_max_buf_size(MAX_BUFFER)
            .http1_title_case_headers(true)
            // Retries a request of which nothing was sent because its connection was already
            // closed.
            .retry_canceled_requests(true);
        let client = builder.build(connector.clone());
        let unpooled = builder.pool_max_idle_per_host(0).build(connector.clone());
        Self {
            connector,
            client,
            unpooled,
            rests,
            targets: Targets::default(),
            attempt_timeout,
            open,
            max_idle,
        }
    }

    /// Sends `body` with `headers` to `url`, once. `wall` is the wall-clock time of the attempt; a
    /// date in `Retry-After` is compared with it.
    ///
    /// The sender adds `Host` and `Content-Length`. `headers` must contain no header about the
    /// connection or the length of the message. Dropping the future is safe and ends the attempt.
    pub async fn send(
        &self,
        url: &str,
        headers: impl Into<Headers>,
        body: Bytes,
        wall: Timestamp,
    ) -> Reply {
        let headers = headers.into();
        let make = || (headers.clone(), body.clone());
        self.send_made(url, make(), make, wall).await
    }

    /// Does the same as [`send`](Self::send), but calls `again` to build the request anew if it has
    /// to be sent a second time.
    ///
    /// This is so rare that copying every request would cost more.
    pub(super) fn send_made<'a>(
        &'a self,
        url: &str,
        (headers, body): (Headers, Bytes),
        again: impl Fn() -> (Headers, Bytes) + Send + 'a,
        wall: Timestamp,
    ) -> impl Future<Output = Reply> + Send + 'a {
        let begun = Instant::now();
        // The request begins here and not inside the future. This keeps the future small, which
        // matters because there are many attempts.
        let sending = self.targets.of(url).map(|uri| {
            // What is open may be kept. So no further connection is kept while that many are open.
            let client = if self.open.count() < self.max_idle {
                &self.client
            } else {
                &self.unpooled
            };
            let first = client.request(request(uri.clone(), headers, body));
            (first, uri)
        });
        async move {
            let deadline = begun + self.attempt_timeout;
            let answer = match sending {
                Some((first, uri)) => timeout_at(deadline, self.exchange(first, uri, again))
                    .await
                    .unwrap_or_else(|_| Err(("timed out".into(), false))),
                None => Err(("invalid URL".into(), false)),
            };
            let duration = begun.elapsed();
            match answer {
                Ok(answer) => {
                    let reply = Reply::to(&answer, wall, duration);
                    self.rests.read(answer.into_body()).await;
                    reply
                }
                Err((error, is_own_fault)) => Reply {
                    status: None,
                    error: Some(error),
                    retry_after: None,
                    duration,
                    is_own_fault,
                },
            }
        }
    }

    /// Waits for the head of the response to a request.
    ///
    /// A receiver may end an idle connection at the very moment that a request is on its way. It
    /// closes the connection, or sends a `408` because no request arrived in time (RFC 9110,
    /// section 15.5.9). The sender cannot know whether the receiver took the request.
    ///
    /// Such a request is sent once more, on a new connection. Receivers have to accept repeated
    /// deliveries anyway, and an attempt should not fail because of a race that is not the
    /// receiver's fault. The sender recognises this case by the connection: it has carried a
    /// response before, and nothing since. A receiver that ends new connections gets each request
    /// only once.
    async fn exchange(
        &self,
        first: ResponseFuture,
        uri: Uri,
        again: impl Fn() -> (Headers, Bytes),
    ) -> Result<Response<Incoming>, (Box<str>, bool)> {
        let mut answer = first.await;
        let needs_new_connection = match &answer {
            Ok(answer) => ends_idle_connection(answer),
            Err(error) => is_stale(error),
        };
        if needs_new_connection {
            let (headers, body) = again();
            answer = self.unpooled.request(request(uri, headers, body)).await;
        }
        let answer = answer.map_err(|error| {
            let is_own_fault = attempt_error::is_own_fault(&error);
            (attempt_error::describe(&error), is_own_fault)
        })?;
        if let Some(proven) = answer.extensions().get::<Proven>() {
            proven.set();
        }
        Ok(answer)
    }
}

impl Reply {
    fn to(answer: &Response<Incoming>, wall: Timestamp, duration: Duration) -> Self {
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .filter(|_| !status.is_success())
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, wall));
        Self {
            status: Some(status.as_u16()),
            error: status
                .is_redirection()
                .then(|| "redirects are not followed".into()),
            retry_after,
            duration,
            is_own_fault: false,
        }
    }
}

/// Returns the configuration of TLS 1.2 and 1.3, without client certificates.
fn tls(roots: RootCertStore) -> ClientConfig {
    // The provider is set here because the process-wide default may be set by any dependency.
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn request(uri: Uri, headers: Headers, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers.map;
    *request.extensions_mut() = headers.case;
    request
}

/// Whether a request failed because its connection, which had worked before, was closed meanwhile
/// or was too old for a new request.
fn is_stale(error: &legacy::Error) -> bool {
    let proven = error.connect_info().is_some_and(|connection| {
        let mut extras = hyper::http::Extensions::new();
        connection.get_extras(&mut extras);
        extras.get::<Proven>().is_some_and(Proven::is_set)
    });
    proven && (attempt_error::is_cut_off(error) || attempt_error::is_retired(error))
}

/// Whether a response ends a connection that had worked before, because no request arrived in time.
fn ends_idle_connection(answer: &Response<Incoming>) -> bool {
    let proven = answer.extensions().get::<Proven>();
    answer.status() == StatusCode::REQUEST_TIMEOUT
        && proven.is_some_and(Proven::is_set)
        && ends_connection(answer)
}

/// Whether the connection is closed after the response (RFC 9112, sections 6.3 and 9.3).
fn ends_connection(answer: &Response<Incoming>) -> bool {
    let headers = answer.headers();
    match headers.get(CONNECTION) {
        Some(option) => option == "close",
        None if answer.version() == Version::HTTP_10 => true,
        None => !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING),
    }
}
