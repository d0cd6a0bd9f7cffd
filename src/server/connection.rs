//! Runs one connection: hyper drives it, and the [watchdog](super::watchdog) ends it in time.

use std::pin::pin;
use std::sync::Arc;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::activity::Activity;
use super::answer::followed;
use super::connections::Place;
use super::limits::Limits;
use super::socket::Watched;
use super::turns::{Lane, Turn, Turns};
use super::watchdog::{Expiry, Watchdog};
use super::{App, Phase};
use crate::api::auth::Authenticated;

/// The maximum size of an HTTP/1 request head and of an HTTP/2 header list, in bytes. It also
/// limits the buffers of a connection.
const MAX_HEAD: u32 = 32 * 1024;

/// The maximum number of HTTP/2 requests at a time on one connection: the least that RFC 9113,
/// section 6.5.2, recommends.
const MAX_STREAMS: u32 = 100;

/// The maximum number of HTTP/2 streams that a peer may reset before the server has accepted them.
/// Then the connection is ended. This protects against "rapid reset" (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// The maximum number of HTTP/2 streams that the server resets because of a peer's errors. Then the
/// connection is ended, for the same reason as with [`MAX_RESET_STREAMS`].
const MAX_ERROR_STREAMS: usize = 256;

/// Returns hyper's settings for every connection.
///
/// HTTP/1 requests may have at most 100 header fields. This is hyper's default. Setting it
/// explicitly would make hyper allocate memory for each request.
///
/// An HTTP/1 client may close its sending side after its request and still gets the response.
/// [`Watched`] detects a connection that is reset meanwhile.
pub(super) fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(MAX_HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_ERROR_STREAMS);
    builder
}

/// Serves one connection until it ends, its time is up, or the server stops.
pub(super) async fn run(
    socket: TcpStream,
    (place, activity): (Place, Arc<Activity>),
    app: impl App,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    (limits, turns): (Arc<Limits>, Arc<Turns>),
    mut phase: watch::Receiver<Phase>,
) {
    let mut watchdog = Watchdog::new(Arc::clone(&activity), &limits);
    let source = place.source();
    let lane = move |is_probe| Lane { source, is_probe };
    let turn = Turn::new(Arc::clone(&turns), lane(false));
    let probes = limits.probes;
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&activity), turn));
    let place = Arc::new(place);
    let of_requests = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let version = request.version();
        let in_flight = of_requests.begin(version);
        let mut app = app.clone();
        let (place, activity) = (Arc::clone(&place), Arc::clone(&of_requests));
        let turns = Arc::clone(&turns);
        let lane = lane(probes.contains(&request.uri().path()));
        async move {
            activity.may_begin(&turns, lane).await;
            let response = app.call(request).await;
            drop(in_flight);
            response.map(|response| {
                if let Some(Authenticated(caller)) = response.extensions().get() {
                    place.has_key_of(caller);
                }
                let response = followed(response, version, &activity);
                place.connections().limit_unread();
                response
            })
        }
    });
    let mut connection = pin!(protocol.serve_connection(io, service));

    loop {
        tokio::select! {
            // The order matters: the watchdog looks at what the connection has just done.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "connection ended");
                }
                return;
            }
            verdict = std::future::poll_fn(|cx| {
                activity.note_turn();
                watchdog.poll(cx)
            }) => match verdict {
                Expiry::Close => {
                    connection.as_mut().graceful_shutdown();
                    watchdog.closing();
                }
                Expiry::Cut => {
                    tracing::debug!("connection timed out");
                    return;
                }
            },
            () = activity.cut() => {
                tracing::debug!("connection ended to make room for others");
                return;
            }
            changed = phase.changed() => {
                if changed.is_err() || *phase.borrow_and_update() == Phase::Over {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                watchdog.draining();
            }
        }
    }
}
