//! One connection: hyper drives it, the [watchdog](super::watchdog) ends it in time.

use std::{pin::pin, sync::Arc};

use super::{
    App, Limits, Phase,
    activity::Activity,
    socket::Watched,
    watchdog::{Expiry, Watchdog},
};
use axum::http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{net::TcpStream, sync::watch};

/// Bytes of an HTTP/1 request head, and of an HTTP/2 header list. Also bounds the buffers of a connection.
const MAX_HEAD: u32 = 32 * 1024;

/// HTTP/2 requests at a time on one connection.
const MAX_STREAMS: u32 = 200;

/// HTTP/2 streams that a peer may reset before the server has taken them up, and streams that the server may have to
/// reset for a peer's errors, before the connection is ended: the cure for "rapid reset" (CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 20;
/// See [`MAX_RESET_STREAMS`].
const MAX_ERROR_STREAMS: usize = 256;

/// How hyper reads and writes every connection.
///
/// HTTP/1 takes at most 100 header fields. That is hyper's default, and setting it explicitly would make hyper
/// allocate for each request.
///
/// An HTTP/1 client may end its sending after its request and still gets the answer. That the connection is reset
/// meanwhile is for [`Watched`] to see.
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

/// Serves one connection until it ends, its time is up, or the server ends.
pub(super) async fn run(
    socket: TcpStream,
    app: impl App,
    protocol: Arc<auto::Builder<TokioExecutor>>,
    limits: Arc<Limits>,
    mut phase: watch::Receiver<Phase>,
) {
    let activity = Activity::new();
    let mut watchdog = Watchdog::new(Arc::clone(&activity), &limits);
    let io = TokioIo::new(Watched::new(socket, Arc::clone(&activity)));
    let service = service_fn(move |request: Request<Incoming>| {
        let in_flight = activity.begin(request.version());
        let response = app.clone().call(request);
        async move {
            let response = response.await;
            drop(in_flight);
            response
        }
    });
    let mut connection = pin!(protocol.serve_connection(io, service));

    loop {
        tokio::select! {
            // In this order, since the watchdog looks at what the connection has just done.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "connection ended");
                }
                return;
            }
            verdict = std::future::poll_fn(|cx| watchdog.poll(cx)) => match verdict {
                Expiry::Close => {
                    connection.as_mut().graceful_shutdown();
                    watchdog.closing();
                }
                Expiry::Cut => {
                    tracing::debug!("connection timed out");
                    return;
                }
            },
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
