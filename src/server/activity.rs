//! Records what one connection is doing. Its deadlines are computed from these facts.
//!
//! Three parties share one [`Activity`]. The [socket](super::socket) records bytes that arrive, the
//! service records requests that begin and end, and the [watchdog](super::watchdog) reads. Every
//! request passes here, so recording is a plain atomic store, and the clock is read only once per
//! request, at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::time::{Duration, Instant};

/// The value of [`Activity::last_ended`] before the first request has ended.
const NEVER: u64 = u64::MAX;

/// The shared facts about one connection.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    /// The number of requests that were passed to the service and whose response is not ready yet.
    in_flight: AtomicUsize,
    /// Whether a complete request head was ever read.
    served: AtomicBool,
    /// When the latest response was ready, in milliseconds after `accepted`, or [`NEVER`].
    last_ended: AtomicU64,
    /// Whether bytes were read while no request was in flight, and no request has begun since.
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

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        // Pairs with the release in `InFlight::drop`: a reader that sees the lower count also sees
        // `last_ended`.
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// Whether a complete request head was ever read.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Returns when the latest response was ready, or when the connection was accepted if there was
    /// none.
    pub(super) fn idle_since(&self) -> Instant {
        match self.last_ended.load(Ordering::Relaxed) {
            NEVER => self.accepted,
            after => self.accepted + Duration::from_millis(after),
        }
    }

    /// Whether an incomplete HTTP/1 request head has arrived.
    ///
    /// Always false on HTTP/2, where an idle peer may send PING or `WINDOW_UPDATE` frames.
    pub(super) fn has_partial_head(&self) -> bool {
        self.head_begun.load(Ordering::Relaxed) && !self.http2.load(Ordering::Relaxed)
    }

    /// Records that bytes were read.
    pub(super) fn received(&self) {
        // Bytes that arrive during a request are its body or the beginning of a pipelined request;
        // they look the same here. Both have limits elsewhere: the body has its own timeout, and
        // the idle timeout covers the pipelined request.
        if !self.is_busy() {
            self.head_begun.store(true, Ordering::Relaxed);
        }
    }

    /// Records that a request head is complete. The request is in flight until the returned guard
    /// is dropped.
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

/// A guard for one request in flight. It is a guard because a response future may be dropped before
/// it completes.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let after = u64::try_from(self.0.accepted.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.0.last_ended.store(after, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}
