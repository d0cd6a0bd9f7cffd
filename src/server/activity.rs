//! What one connection is doing: the facts that its deadlines are computed from.
//!
//! Three parties share one [`Activity`]: the [socket](super::socket) notes arriving bytes, the service notes requests that
//! begin and end, and the [watchdog](super::watchdog) reads. Requests are the hot path, so the notes are plain atomic
//! stores, and a clock is read once a request: when it ends.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::{Duration, Instant};

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

    /// Notes that bytes were read.
    pub(super) fn received(&self) {
        // Bytes that come during a request are its body, or a pipelined successor's beginning, which cannot be told
        // apart here. Both are bounded elsewhere: the body by its own timeout, the successor by the idle timeout.
        if !self.is_busy() {
            self.head_begun.store(true, Ordering::Relaxed);
        }
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
