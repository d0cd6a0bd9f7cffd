//! Watches all deadlines of one connection with one timer.
//!
//! hyper's own header timeout does not fit. On a kept-alive connection it starts at the end of the
//! previous response, so it would end connections that are merely idle. And while hyper waits to
//! see which HTTP version a peer uses, no timeout runs at all. So hyper's timeout is off, and these
//! rules replace it:
//!
//! 1. While a request is in flight there is no deadline. The application decides how long a request
//!    may take.
//! 2. The first request head must be complete `header_timeout` after the connection was accepted.
//! 3. A later HTTP/1 request head must be complete `header_timeout` after its first byte was read.
//! 4. Otherwise the connection is asked to end after `idle_timeout` without a request in flight.
//!    This is also how long a peer may take to read its last response.
//! 5. A connection whose peer has taken nothing of what waits for it for `idle_timeout` is cut off.
//!    Other traffic does not put that off.
//! 6. A connection that was asked to end is cut off [`CLOSE_GRACE`] later, so that a peer that
//!    never reads cannot keep it open.
//!
//! Requests change these deadlines constantly, almost always to a later time. So the timer stays as
//! it is until it fires, and is only then set to the current deadline. A request thus costs a
//! comparison and no change of the timer. The timer is changed at once only if a deadline is
//! earlier than the timer (rules 3 and 6).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::{Duration, Instant, Sleep};

use super::activity::Activity;
use super::limits::Limits;

/// How long a connection may take to end after it was asked to.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// What happens to a connection whose time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// The connection is asked to end, because it was idle for too long.
    Close,
    /// The connection is cut off.
    Cut,
}

/// The state of a connection on its way to its end.
#[derive(Clone, Copy, Debug)]
enum Course {
    Open,
    /// The connection was asked to end at this time.
    Closing(Instant),
    /// The connection was asked to end at this time, and nothing on it is worth waiting for.
    Ending(Instant),
}

/// Compares the deadline of a connection with one timer. Poll it after each poll of the connection.
pub(super) struct Watchdog {
    activity: Arc<Activity>,
    header_timeout: Duration,
    idle_timeout: Duration,
    course: Course,
    /// When the head that is arriving was first seen incomplete.
    head_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    pub(super) fn new(activity: Arc<Activity>, limits: &Limits) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(
            activity.accepted() + limits.header_timeout,
        ));
        Self {
            activity,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            course: Course::Open,
            head_since: None,
            timer,
        }
    }

    /// Records that the connection was asked to end.
    pub(super) fn closing(&mut self) {
        self.course = Course::Closing(Instant::now());
    }

    /// Records that the connection was asked to end because the server stops.
    ///
    /// A connection that has sent no request, or only part of a head, gets no grace period.
    pub(super) fn draining(&mut self) {
        let now = Instant::now();
        self.course = if self.activity.has_served() && !self.activity.has_partial_head() {
            Course::Closing(now)
        } else {
            Course::Ending(now)
        };
    }

    /// Completes when the connection's time is up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expiry> {
        loop {
            let deadline = self.deadline();
            if let Some((at, _)) = deadline
                && at < self.timer.deadline()
            {
                self.timer.as_mut().reset(at);
            }
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            match deadline {
                Some((at, verdict)) if at <= now => return Poll::Ready(verdict),
                Some((at, _)) => self.timer.as_mut().reset(at),
                // A request is in flight. Every deadline that can follow is later than this, or
                // resets the timer above.
                None => self.timer.as_mut().reset(now + self.idle_timeout),
            }
        }
    }

    /// Returns when the connection's time is up as things stand, and what happens then. Returns
    /// `None` while a request is in flight.
    fn deadline(&mut self) -> Option<(Instant, Expiry)> {
        let stuck = self.activity.stuck_since();
        let stuck = stuck.map(|since| (since + self.idle_timeout, Expiry::Cut));
        let other = self.deadline_of_taken();
        [stuck, other]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// Returns the deadline of a connection whose peer takes what waits for it.
    fn deadline_of_taken(&mut self) -> Option<(Instant, Expiry)> {
        if self.activity.is_busy() {
            self.head_since = None;
            return None;
        }
        match self.course {
            Course::Open => {}
            Course::Closing(since) => {
                return Some((
                    since.max(self.activity.idle_since()) + CLOSE_GRACE,
                    Expiry::Cut,
                ));
            }
            Course::Ending(since) => return Some((since, Expiry::Cut)),
        }
        if !self.activity.has_served() {
            return Some((self.activity.accepted() + self.header_timeout, Expiry::Cut));
        }
        if self.activity.has_partial_head() {
            // hyper has just been polled, so the head is incomplete. The clock is read here and not
            // when the bytes arrive. So a head that arrives in one piece, as nearly all do, costs
            // no reading of the clock.
            let since = *self.head_since.get_or_insert_with(Instant::now);
            return Some((since + self.header_timeout, Expiry::Cut));
        }
        self.head_since = None;
        Some((
            self.activity.idle_since() + self.idle_timeout,
            Expiry::Close,
        ))
    }
}
