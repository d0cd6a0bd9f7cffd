//! Accepts connections and serves an application on them, without knowing its API.
//!
//! It differs from [`axum::serve`](fn@axum::serve) in what a server on an open network needs: it
//! limits the number of connections, ends connections that are idle or whose request head never
//! completes, and shuts down within a time limit. It supports HTTP/1.1 and, with prior knowledge,
//! HTTP/2 without TLS (RFC 9113, section 3.3). The proxy in front of it terminates TLS.
//!
//! - [`serve`] accepts connections.
//! - `connection` drives one connection with hyper.
//! - `connections` knows all of them, and decides which one makes room for another.
//! - `idleness` finds the one that has been idle longest.
//! - `socket` is what hyper reads and writes.
//! - `answer` follows an answer until its peer has taken it.
//! - `activity` records what the connection is doing.
//! - `turns` shares the time of a core between the addresses (`source`) of connections.
//! - `watchdog` decides when its time is up.
//! - `refusal` adds texts to the responses by which hyper itself refuses a request.

mod activity;
mod answer;
mod connection;
mod connections;
mod idleness;
mod limits;
mod refusal;
mod socket;
mod source;
mod turns;
mod watchdog;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service;

use self::activity::Activity;
use self::connections::Connections;
pub use self::limits::Limits;
use self::turns::Turns;
use crate::cores::{Cores, Spread};

/// The pause after a failed accept, for example for lack of file descriptors. It is long enough to
/// avoid a busy loop and short enough to go unnoticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// The pause in which a connection that was ended frees its descriptor.
const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// The application that responds to requests: a [`Router`](axum::Router), or layers around one.
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

/// The phase of the server. Its connections follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Requests in flight finish, then the connections end.
    Draining,
    /// The connections end at once.
    Over,
}

/// Serves `app` on `listener` until `shutdown` completes and the requests in flight have finished,
/// but for no longer than [`Limits::drain_timeout`] after `shutdown`.
///
/// Must run in a tokio runtime with I/O and time enabled, either multi-thread or current-thread. It
/// cannot fail: an error on a connection ends that connection, and a failed accept is logged and
/// retried.
///
/// # Panics
///
/// Does not panic itself. A panic in `app` ends the connection on which it happened, so `app`
/// should catch its own panics.
pub async fn serve(
    listener: TcpListener,
    app: impl App,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    serve_on(&Cores::current(), listener, app, limits, shutdown).await;
}

/// Does the same as [`serve`], with the connections spread over `cores`.
///
/// A connection stays on the core that has the fewest connections when it arrives. No connection
/// waits for a busy core while another one is free.
///
/// # Panics
///
/// As for [`serve`].
pub async fn serve_on(
    cores: &Cores,
    listener: TcpListener,
    app: impl App,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut connections = Spread::over(cores);
    let protocol = Arc::new(connection::protocol());
    let all = Connections::new(&limits);
    let limits = Arc::new(limits);
    let (turns, _giving) = give_turns(cores);
    let (phase, _) = watch::channel(Phase::Serving);
    let mut shutdown = pin!(shutdown);

    loop {
        let accepted = async {
            let (socket, peer) = accept(&listener, &all).await;
            let activity = Activity::new(Arc::clone(all.unread()));
            let place = all.enter(peer.ip(), &activity);
            (socket, place, activity)
        };
        let (socket, place, activity) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            () = connections.offer_again() => continue,
            accepted = accepted => accepted,
        };
        // From here on the socket belongs to another runtime, or to none yet. The conversion fails
        // only if the socket is no longer open.
        let Ok(socket) = socket.into_std() else {
            continue;
        };
        let (app, protocol, limits) = (app.clone(), Arc::clone(&protocol), Arc::clone(&limits));
        let phase = phase.subscribe();
        let turns = turns.clone();
        connections.spawn(move |core| async move {
            if let Ok(socket) = TcpStream::from_std(socket) {
                let limits = (limits, Arc::clone(&turns[core]));
                connection::run(socket, (place, activity), app, protocol, limits, phase).await;
            }
        });
    }

    // This closes the port at once, so that a new client is refused and can turn to another node
    // instead of waiting.
    drop(listener);
    phase.send_replace(Phase::Draining);
    // Every connection holds a receiver, so this waits for the last connection.
    if timeout(limits.drain_timeout, phase.closed()).await.is_err() {
        tracing::warn!(
            connections = phase.receiver_count(),
            "drain timeout reached; cutting off the requests in flight"
        );
        phase.send_replace(Phase::Over);
    }
}

/// Returns the turns of each core, in the order of the cores. They are given until the tasks are
/// dropped.
fn give_turns(cores: &Cores) -> (Arc<[Arc<Turns>]>, JoinSet<()>) {
    let mut giving = JoinSet::new();
    let turns = cores.iter().map(|core| {
        let turns = Arc::<Turns>::default();
        let given = Arc::clone(&turns);
        giving.spawn_on(async move { given.give_always().await }, core.handle());
        turns
    });
    (turns.collect(), giving)
}

/// Returns the next connection. Retries until there is one.
async fn accept(listener: &TcpListener, all: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Responses are written in one piece, so Nagle's algorithm would only delay them.
                // If this fails, the socket is already closed, and the next read reports it.
                let _ = socket.set_nodelay(true);
                return (socket, peer);
            }
            // The peer gave up while it waited in the queue. This is no problem of the server.
            Err(error) if is_peers_own(&error) => {}
            // Usually there is no descriptor. A connection without a key gives up its own.
            Err(_) if all.end_one() => sleep_until(Instant::now() + ROOM_PAUSE).await,
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection; retrying");
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
