//! One attempt: an HTTP POST, and what came of it.
//!
//! Rules:
//!
//! 1. **The status decides.** The attempt is over when the head of the answer is there, and nothing
//!    that happens to the body changes the outcome. The body is read, and thrown away, only so that the
//!    connection can carry another attempt; one that is longer than [`MAX_ANSWER_BODY`] and not at hand
//!    already, or not there within the time of another attempt, costs the receiver its connection.
//! 2. **One deadline for all of it**: looking up the host, connecting, TLS, sending and the answer's
//!    head.
//! 3. **Nowhere but where the URL says**, as far as the [guard](super::egress) permits: redirects are
//!    not followed, and no proxy is used, whatever the environment says.
//! 4. **Failures are told in fixed words** ([`Reply::error`]).
//!
//! HTTP/1.1 only. Every receiver speaks it, and a connection carries one attempt at a time, so that
//! one which hangs holds up nothing else. With HTTP/2 all attempts to a receiver would share one
//! connection, and its silent death would fail them all until it is noticed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING},
};
use hyper_util::{
    client::legacy::{self, Client, ResponseFuture},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time::{Instant, timeout_at};

use super::{
    connector::{Connector, Proven},
    dialer::{Dialer, Resolve, SystemResolver},
    egress::EgressGuard,
    failure,
    headers::Headers,
    rest::Rests,
    retry_after,
    target::Targets,
};
use crate::domain::Timestamp;

pub use super::rest::MAX_ANSWER_BODY;

/// For how long a whole attempt may take.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// For how long connecting to one of a host's addresses may take. The next ones are dialled meanwhile.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long requests may begin on a connection. An idle one is kept for 60 s, so that all are closed
/// before they are five minutes old, and a name that moved to another address is followed.
pub const CONNECTION_LIFE: Duration = Duration::from_secs(4 * 60);

/// For how long an idle connection is kept. Receivers close theirs after 5 to 75 s, as a rule.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many idle connections to one receiver are kept. Attempts beyond that many at a time work, but
/// their connections end with them.
const MAX_IDLE_PER_RECEIVER: usize = 256;

/// Bytes of a connection's buffers.
const MAX_BUFFER: usize = 64 * 1024;

/// What may be set about a [`Sender`]. The default is what the server uses.
#[derive(Clone, Debug)]
pub struct Options {
    /// For how long a whole attempt may take; see [`ATTEMPT_TIMEOUT`].
    pub attempt_timeout: Duration,
    /// For how long connecting to one address may take; see [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// For how long requests may begin on a connection; see [`CONNECTION_LIFE`].
    pub connection_life: Duration,
    /// Finds the addresses of receivers: the operating system's resolver.
    pub resolver: Arc<dyn Resolve>,
    /// Who may vouch for a receiver's certificate: by default, Mozilla's list as it was when the
    /// server was built, so that a container without one works.
    pub roots: RootCertStore,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            attempt_timeout: ATTEMPT_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            connection_life: CONNECTION_LIFE,
            resolver: Arc::new(SystemResolver),
            roots: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status of the answer, if there was one in time. 2xx is success.
    pub status: Option<u16>,
    /// What went wrong, in a few fixed words that name neither the receiver nor what it said:
    /// `timed out`, `host not found`, `connection refused`, `address not allowed: private`,
    /// `tls: certificate expired` and the like. Always there without a status, and for a redirect;
    /// other statuses speak for themselves.
    pub error: Option<Box<str>>,
    /// For how long the receiver asks not to be tried again (RFC 9110, section 10.2.3), from the
    /// wall clock's time that the attempt was given. Never for a 2xx. It can be absurdly long.
    pub retry_after: Option<Duration>,
    /// How long it took until the status, or the failure, was there.
    pub duration: Duration,
}

/// Makes attempts, and keeps the connections between them. Clones share those.
#[derive(Clone, Debug)]
pub struct Sender {
    connector: Connector,
    client: Client<Connector, Full<Bytes>>,
    /// Makes a new connection for each request.
    unpooled: Client<Connector, Full<Bytes>>,
    rests: Rests,
    targets: Targets,
    attempt_timeout: Duration,
}

impl Sender {
    /// A sender that goes where `guard` permits.
    #[must_use]
    pub fn new(guard: EgressGuard) -> Self {
        Self::with_options(guard, Options::default())
    }

    /// A sender with other [`Options`] than the default ones.
    #[must_use]
    pub fn with_options(guard: EgressGuard, options: Options) -> Self {
        let dialer = Dialer {
            guard,
            resolver: options.resolver,
            timeout: options.connect_timeout,
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
        )
    }

    /// The same sender with connections of its own, for another core: a connection is driven by the runtime that it was
    /// opened on, and its use from another one costs a switch of threads each way.
    pub(super) fn with_own_connections(&self) -> Self {
        Self::over(
            self.connector.clone(),
            self.rests.clone(),
            self.attempt_timeout,
        )
    }

    fn over(connector: Connector, rests: Rests, attempt_timeout: Duration) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_RECEIVER)
            .http1_max_buf_size(MAX_BUFFER)
            .http1_title_case_headers(true)
            // A request of which nothing was sent, since its connection turned out to be closed.
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
        }
    }

    /// Sends `body` with `headers` to `url`, once. `wall` is the wall clock's time of the attempt,
    /// which a date in `Retry-After` is compared with.
    ///
    /// `Host` and `Content-Length` are added; `headers` must not contain anything about the
    /// connection or the message's length. It is safe to drop the future: the attempt ends then.
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

    /// As [`send`](Self::send), with a request that is made another time where it has to be sent once more: that is so
    /// rare that a copy of each would cost more.
    pub(super) fn send_made<'a>(
        &'a self,
        url: &str,
        (headers, body): (Headers, Bytes),
        again: impl Fn() -> (Headers, Bytes) + Send + 'a,
        wall: Timestamp,
    ) -> impl Future<Output = Reply> + Send + 'a {
        let begun = Instant::now();
        // Begun here, and not in the future: an attempt should be small, as there are many.
        let sending = self.targets.of(url).map(|uri| {
            let first = self.client.request(request(uri.clone(), headers, body));
            (first, uri)
        });
        async move {
            let deadline = begun + self.attempt_timeout;
            let answer = match sending {
                Some((first, uri)) => timeout_at(deadline, self.exchange(first, uri, again))
                    .await
                    .unwrap_or_else(|_| Err("timed out".into())),
                None => Err("invalid URL".into()),
            };
            let duration = begun.elapsed();
            match answer {
                Ok(answer) => {
                    let reply = Reply::to(&answer, wall, duration);
                    self.rests.read(answer.into_body()).await;
                    reply
                }
                Err(error) => Reply {
                    status: None,
                    error: Some(error),
                    retry_after: None,
                    duration,
                },
            }
        }
    }

    /// Waits for the head of the answer to a request.
    ///
    /// A receiver may end an idle connection at the very moment at which a request is on its way, by
    /// closing it or by a `408` for the request that it waited for in vain (RFC 9110, section 15.5.9).
    /// Nobody can tell then whether it took the request. Such a request is sent once more, on a new
    /// connection: receivers have to bear repetitions anyway, and an attempt should not fail by a race
    /// that is no fault of theirs. It is known by its connection, which has carried an answer before,
    /// and nothing else since; a receiver that ends new connections gets each request once.
    async fn exchange(
        &self,
        first: ResponseFuture,
        uri: Uri,
        again: impl Fn() -> (Headers, Bytes),
    ) -> Result<Response<Incoming>, Box<str>> {
        let mut answer = first.await;
        let needs_new_connection = match &answer {
            Ok(answer) => ends_idle_connection(answer),
            Err(error) => is_stale(error),
        };
        if needs_new_connection {
            let (headers, body) = again();
            answer = self.unpooled.request(request(uri, headers, body)).await;
        }
        let answer = answer.map_err(|error| failure::describe(&error))?;
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
        }
    }
}

/// TLS 1.2 and 1.3, without client certificates.
fn tls(roots: RootCertStore) -> ClientConfig {
    // The provider is named here, since a process-wide default is whatever a dependency sets.
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

/// Whether a request failed since its connection, which had worked before, was closed meanwhile, or
/// was too old to begin it.
fn is_stale(error: &legacy::Error) -> bool {
    let proven = error.connect_info().is_some_and(|connection| {
        let mut extras = hyper::http::Extensions::new();
        connection.get_extras(&mut extras);
        extras.get::<Proven>().is_some_and(Proven::is_set)
    });
    proven && (failure::is_cut_off(error) || failure::is_retired(error))
}

/// Whether an answer ends a connection that had worked before, since no request came in time.
fn ends_idle_connection(answer: &Response<Incoming>) -> bool {
    let proven = answer.extensions().get::<Proven>();
    answer.status() == StatusCode::REQUEST_TIMEOUT
        && proven.is_some_and(Proven::is_set)
        && ends_connection(answer)
}

/// Whether the connection is closed after an answer (RFC 9112, sections 6.3 and 9.3).
fn ends_connection(answer: &Response<Incoming>) -> bool {
    let headers = answer.headers();
    match headers.get(CONNECTION) {
        Some(option) => option == "close",
        None if answer.version() == Version::HTTP_10 => true,
        None => !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING),
    }
}
