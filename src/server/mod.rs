//! The HTTP server: an accept loop that knows nothing of the API it serves.
//!
//! It differs from [`axum::serve`](fn@axum::serve) in what a server on an open network needs: connections are counted, a request head
//! that never completes and a connection that lies idle are ended, and a shutdown has an end. It speaks HTTP/1.1 and,
//! with prior knowledge, HTTP/2 without TLS (RFC 9113, section 3.3); TLS belongs to the proxy in front.
//!
//! [`serve`] accepts, `connection` drives one connection with hyper, `socket` is what hyper reads and writes, `activity`
//! notes what the connection does, `watchdog` says when its time is up, and `refusal` gives words to what hyper refuses by
//! itself.

mod activity;
mod connection;
mod refusal;
mod socket;
mod watchdog;

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{http::Request, response::Response};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep_until, timeout},
};
use tower::Service;

use crate::cores::{Cores, Spread};

/// After a failed accept, such as for want of file descriptors: long enough not to spin, short enough not to be felt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// What a connection may take, and how long.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time. More of them wait in the listener's queue, unaccepted. Default 4096; at least 1.
    pub max_connections: usize,
    /// For a request head to be complete: from accepting the connection for its first one, from its first byte for a
    /// later one on HTTP/1. On HTTP/2 only the first is bound by it: a later one comes in frames which hyper counts
    /// and which cannot be told from an idle peer's PING. Default 10 s.
    pub header_timeout: Duration,
    /// For a connection on which no request is in flight; also how long a peer may take to read the last response.
    /// Default 75 s.
    pub idle_timeout: Duration,
    /// For requests in flight to finish when the server ends. Default 25 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(25),
        }
    }
}

/// What answers the requests: a [`Router`](axum::Router), or what was put around one.
pub trait App:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> App for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// Where the server is on its way, for its connections to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Finish what is in flight, then end.
    Draining,
    /// End now.
    Over,
}

/// Serves `app` on `listener` until `shutdown` completes and the requests then in flight have finished, or
/// [`Limits::drain_timeout`] has passed.
///
/// Must run within a multi-thread or current-thread tokio runtime with I/O and time enabled. It cannot fail: a
/// connection's error ends that connection, and an accept that fails is logged and tried again.
///
/// # Panics
///
/// Does not panic itself; a panic in `app` ends the connection it happened on, so `app` should catch its own.
pub async fn serve(
    listener: TcpListener,
    app: impl App,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    serve_on(&Cores::current(), listener, app, limits, shutdown).await;
}

/// As [`serve`], with the connections spread over `cores`: each stays on the one that has fewest when it comes, and
/// none waits for a core that is busy while another one is not.
///
/// # Panics
///
/// As [`serve`].
pub async fn serve_on(
    cores: &Cores,
    listener: TcpListener,
    app: impl App,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = Spread::over(cores);
    let protocol = Arc::new(connection::protocol());
    let places = Arc::new(Semaphore::new(
        limits.max_connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let limits = Arc::new(limits);
    let (phase, _) = watch::channel(Phase::Serving);
    let mut shutdown = pin!(shutdown);

    loop {
        let accepted = async {
            // A place is taken before accepting, so that who finds none waits in the kernel's queue and costs nothing.
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, accept(&listener).await))
        };
        let (place, socket) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = connections.offer_again() => continue,
            accepted = accepted => match accepted {
                Some(accepted) => accepted,
                // Only a closed semaphore refuses, and nothing closes this one.
                None => break,
            },
        };
        // From here on it belongs to another runtime, or to none yet. That fails only where it is not open any more.
        let Ok(socket) = socket.into_std() else {
            continue;
        };
        let (app, protocol, limits) = (app.clone(), Arc::clone(&protocol), Arc::clone(&limits));
        let phase = phase.subscribe();
        connections.spawn(async move {
            if let Ok(socket) = TcpStream::from_std(socket) {
                connection::run(socket, app, protocol, limits, phase).await;
            }
            drop(place);
        });
    }

    // Closes the port at once: a new client is refused, and can turn to another node, rather than left waiting.
    drop(listener);
    phase.send_replace(Phase::Draining);
    // Every connection holds a receiver, so this waits for the last of them.
    if timeout(limits.drain_timeout, phase.closed()).await.is_err() {
        tracing::warn!(
            connections = phase.receiver_count(),
            "requests were still running at the end of the drain timeout and are cut off"
        );
        phase.send_replace(Phase::Over);
    }
}

/// The next connection, however many attempts that takes.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Answers are written whole, so waiting to fill a packet only delays them. A socket that refuses is
                // already closed, which is found out soon enough.
                let _ = socket.set_nodelay(true);
                return socket;
            }
            // The peer gave up while it was in the queue: its problem alone.
            Err(error) if is_peers_own(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; trying again");
                sleep_until(Instant::now() + ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_peers_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
