//! Records what one connection is doing. Its deadlines are computed from these facts.
//!
//! Three parties share one [`Activity`]. The [socket](super::socket) records bytes that arrive, the
//! service records requests that begin and end, and the [watchdog](super::watchdog) reads. Every
//! request passes here, so recording is a plain atomic store, and the clock is read only once per
//! request, at its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Duration, Instant};

use super::turns::{self, Lane, Turns};

/// The bytes of answers that may wait for the peer of one connection. While there are more, its
/// next requests wait.
const MOST_UNREAD: usize = 1 << 20;

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
    /// When the latest response was ready, in nanoseconds after `accepted`, or [`NEVER`]. Less
    /// exact times would make connections equal that are not.
    last_ended: AtomicU64,
    /// Whether bytes were read while no request was in flight, and no request has begun since.
    head_begun: AtomicBool,
    http2: AtomicBool,
    /// Since when the socket has taken no bytes although there were some, in nanoseconds after
    /// `accepted`, or [`NEVER`].
    blocked: AtomicU64,
    /// The bytes of answers that wait for the peer: on this connection, and on all.
    unread: AtomicUsize,
    unread_in_all: Arc<AtomicUsize>,
    /// When the peer last took something of each answer that waits for it.
    answers: Mutex<Answers>,
    /// Notified when the peer has taken something.
    taken: Notify,
    /// Held by the request that begins next.
    beginning: AsyncMutex<()>,
    /// Whether a request began since the task of the connection last ran.
    begun: AtomicBool,
    /// Notified when the connection must end at once.
    cut: Notify,
}

#[derive(Debug, Default)]
struct Answers {
    last: u64,
    since: HashMap<u64, Instant>,
}

/// An answer that waits for its peer, until it is dropped. All of it counts until then, since a
/// part of it keeps the whole in memory.
#[derive(Debug)]
pub(super) struct Waiting {
    activity: Arc<Activity>,
    number: u64,
    bytes: usize,
}

impl Activity {
    pub(super) fn new(unread_in_all: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            in_flight: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            last_ended: AtomicU64::new(NEVER),
            head_begun: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            blocked: AtomicU64::new(NEVER),
            unread: AtomicUsize::new(0),
            unread_in_all,
            answers: Mutex::default(),
            taken: Notify::new(),
            beginning: AsyncMutex::default(),
            begun: AtomicBool::new(false),
            cut: Notify::new(),
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
            after => self.accepted + Duration::from_nanos(after),
        }
    }

    /// Returns since when the peer has taken nothing of what waits for it.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        let blocked = match self.blocked.load(Ordering::Relaxed) {
            NEVER => None,
            after => Some(self.accepted + Duration::from_nanos(after)),
        };
        if self.unread.load(Ordering::Relaxed) == 0 {
            return blocked;
        }
        let answer = self.answers.lock().since.values().min().copied();
        [blocked, answer].into_iter().flatten().min()
    }

    /// Records that the socket takes no more bytes.
    pub(super) fn note_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == NEVER {
            self.blocked.store(self.nanos(), Ordering::Relaxed);
        }
    }

    /// Records that the socket has taken bytes.
    pub(super) fn note_written(&self) {
        if self.blocked.load(Ordering::Relaxed) != NEVER {
            self.blocked.store(NEVER, Ordering::Relaxed);
            self.taken.notify_waiters();
        }
    }

    /// Waits until the peer has taken enough of the earlier answers, and until it is the turn of a
    /// request. One request of a connection begins at a time, and after the other connections had
    /// their turns. Otherwise a few hundred clients that send a hundred requests at once would get
    /// them all answered before anybody else's.
    pub(super) async fn may_begin(&self, turns: &Turns, lane: Lane) {
        let _beginning = self.beginning.lock().await;
        if self.begun.swap(true, Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        loop {
            let taken = self.taken.notified();
            if self.blocked.load(Ordering::Relaxed) == NEVER
                && self.unread.load(Ordering::Relaxed) <= MOST_UNREAD
            {
                break;
            }
            taken.await;
        }
        turns.begin(lane, turns::REQUEST).await;
    }

    /// Records that the task of the connection has run, and others run next.
    pub(super) fn note_turn(&self) {
        self.begun.store(false, Ordering::Relaxed);
    }

    /// Returns how many bytes of answers wait for the peer.
    pub(super) fn unread(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// Records that an answer waits for the peer.
    pub(super) fn begin_answer(self: &Arc<Self>, bytes: usize) -> Waiting {
        self.unread.fetch_add(bytes, Ordering::Relaxed);
        self.unread_in_all.fetch_add(bytes, Ordering::Relaxed);
        let mut answers = self.answers.lock();
        answers.last += 1;
        let number = answers.last;
        answers.since.insert(number, Instant::now());
        Waiting {
            activity: Arc::clone(self),
            number,
            bytes,
        }
    }

    /// Ends the connection at once.
    pub(super) fn cut_now(&self) {
        self.cut.notify_one();
    }

    /// Completes when the connection must end at once.
    pub(super) async fn cut(&self) {
        self.cut.notified().await;
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_nanos()).unwrap_or(NEVER - 1)
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

impl Waiting {
    /// Records that the peer has taken some of the answer.
    pub(super) fn note_progress(&self) {
        let now = Instant::now();
        self.activity.answers.lock().since.insert(self.number, now);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let activity = &self.activity;
        activity.answers.lock().since.remove(&self.number);
        activity.unread.fetch_sub(self.bytes, Ordering::Relaxed);
        let in_all = &activity.unread_in_all;
        in_all.fetch_sub(self.bytes, Ordering::Relaxed);
        activity.taken.notify_waiters();
    }
}

/// A guard for one request in flight. It is a guard because a response future may be dropped before
/// it completes.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.last_ended.store(self.0.nanos(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}
