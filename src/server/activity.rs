//! What one connection is doing: the facts that its deadlines are computed from.
//!
//! Three parties share one [`Activity`]: the socket wrapper notes arriving bytes, the service notes requests that
//! begin and end, and the [watchdog](super::watchdog) reads. Requests are the hot path, so the notes are plain atomic
//! stores, and a clock is read once a request: when it ends.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Duration, Instant},
};

/// [`Activity::last_ended`] before any request ended.
const NEVER: u64 = u64::MAX;

/// The shared notes about one connection.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    /// Requests whose service call was made and whose response is not yet there.
    in_flight: AtomicUsize,
    /// Whether a complete request head was ever read.
    served: AtomicBool,
    /// When the latest response was ready, in milliseconds after `accepted`; or [`NEVER`].
    last_ended: AtomicU64,
    /// Whether bytes were read with no request in flight, and no request has begun since.
    head_begun: AtomicBool,
    http2: AtomicBool,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            in_flight: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            last_ended: AtomicU64::new(NEVER),
            head_begun: AtomicBool::new(false),
            http2: AtomicBool::new(false),
        })
    }

    pub(super) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Whether a request is being worked on.
    pub(super) fn is_busy(&self) -> bool {
        // Pairs with the release in `InFlight::drop`: who sees the count fall sees `last_ended` too.
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// Whether a complete request head was ever read.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// When the latest response was ready, or the connection was accepted if there was none.
    pub(super) fn idle_since(&self) -> Instant {
        match self.last_ended.load(Ordering::Relaxed) {
            NEVER => self.accepted,
            after => self.accepted + Duration::from_millis(after),
        }
    }

    /// Whether an HTTP/1 request head has begun to arrive and is not complete.
    ///
    /// Never on HTTP/2: there, an idle peer may well send PING or `WINDOW_UPDATE` frames.
    pub(super) fn has_partial_head(&self) -> bool {
        self.head_begun.load(Ordering::Relaxed) && !self.http2.load(Ordering::Relaxed)
    }

    /// Notes that a request head is complete. The request counts as in flight until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: axum::http::Version) -> InFlight {
        if version == axum::http::Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.served.store(true, Ordering::Relaxed);
        self.head_begun.store(false, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// One request in flight. A guard, since a response future can be dropped half-way as well as end.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let after = u64::try_from(self.0.accepted.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.0.last_ended.store(after, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}

/// A socket that notes when bytes arrive, and that finds out when it is reset.
#[derive(Debug)]
pub(super) struct Watched {
    io: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(io: TcpStream, activity: Arc<Activity>) -> Self {
        Self { io, activity }
    }

    /// Why the socket can no longer be read, if it was reset. Looks without taking bytes, which are hyper's to read.
    ///
    /// A peer that closed its socket looks like one that ended its sending and waits for the answer: the two differ
    /// only once the peer's system refuses what is written to it. So the work for either goes on to its end.
    fn reset(&self, cx: &mut Context<'_>) -> Option<io::Error> {
        let mut byte = [0];
        match self.io.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(error)) => Some(error),
            Poll::Ready(Ok(_)) | Poll::Pending => None,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        // Bytes that come during a request are its body, or a pipelined successor's beginning, which cannot be told
        // apart here. Both are bounded elsewhere: the body by its own timeout, the successor by the idle timeout.
        if buf.filled().len() > before && !self.activity.is_busy() {
            self.activity.head_begun.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Watched {
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
        // While a request is in flight, hyper does not read on, lest it take the end of the client's sending for the end
        // of the connection. It would not see a reset either. But it flushes whenever it is woken.
        if self.activity.is_busy()
            && let Some(error) = self.reset(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
