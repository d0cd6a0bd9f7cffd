//! The deadlines of one connection, on one timer.
//!
//! hyper's own header timeout does not fit: on a kept-alive connection it runs from the end of the previous response,
//! so it would end connections that are merely idle; and while hyper waits to see which HTTP version a peer speaks,
//! no timeout runs at all. So it is off, and this takes its place:
//!
//! 1. While a request is in flight there is no deadline: how long a request may take is the application's to say.
//! 2. The first request head must be complete `header_timeout` after the connection was accepted.
//! 3. A later HTTP/1 request head must be complete `header_timeout` after its first byte was read.
//! 4. Otherwise the connection is asked to end after `idle_timeout` without a request in flight, which is also how
//!    long a peer may take to read its last response.
//! 5. A connection that was asked to end is cut [`CLOSE_GRACE`] later: a peer that never reads cannot refuse.
//!
//! Requests move these deadlines constantly, almost always later. The timer is therefore left where it is until it
//! fires and only then moved to where the deadline has gone, so that a request costs a comparison and no timer traffic.
//! It is moved at once only when a deadline is earlier than the timer (rules 3 and 5).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::time::{Duration, Instant, Sleep};

use super::{Limits, activity::Activity};

/// How long a connection that was asked to end may take for it.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// What is to become of a connection whose time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Ask it to end: it has been idle for long enough.
    Close,
    /// End it without more ado.
    Cut,
}

/// How far the end of the connection has come.
#[derive(Clone, Copy, Debug)]
enum Course {
    Open,
    /// It was asked to end then.
    Closing(Instant),
    /// It was asked to end and has nothing that is worth waiting for.
    Ending(Instant),
}

/// Compares the connection's deadline with one timer. Poll it after each poll of the connection.
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

    /// Notes that the connection was asked to end.
    pub(super) fn closing(&mut self) {
        self.course = Course::Closing(Instant::now());
    }

    /// Notes that the connection was asked to end since the server does. One that has sent no request, or only part of
    /// a head, is owed nothing and gets no grace.
    pub(super) fn draining(&mut self) {
        let now = Instant::now();
        self.course = if self.activity.has_served() && !self.activity.has_partial_head() {
            Course::Closing(now)
        } else {
            Course::Ending(now)
        };
    }

    /// Ready when the connection's time is up.
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
                // Busy: every deadline that can follow is either later than this, or resets the timer above.
                None => self.timer.as_mut().reset(now + self.idle_timeout),
            }
        }
    }

    /// When the connection's time is up as things stand, and what then; `None` while a request is in flight.
    fn deadline(&mut self) -> Option<(Instant, Expiry)> {
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
            // hyper has just been polled, so the head is incomplete. The clock is read here and not where the bytes
            // arrive: a head that arrives whole, as nearly all do, then needs no reading.
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
