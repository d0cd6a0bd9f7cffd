//! The one clock that decides everything: expiries, records, times in answers.
//!
//! Nothing else in the crate may ask the operating system for the time of day (`clippy.toml` bans
//! it), so a test that moves this clock moves all there is. Network time-outs and the rate limit are
//! not times of day: they run on the monotonic clock, whatever happens here.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::domain::Timestamp;

/// The furthest that the test clock can be advanced, in all: 100 years, in seconds.
pub const MAX_ADVANCE_SECONDS: u64 = 100 * 366 * 86_400;

/// A source of the current time, in milliseconds.
pub trait Clock: Send + Sync + 'static {
    /// The server's time: what graces, records and answers are measured by.
    fn now(&self) -> Timestamp;

    /// The wall clock's time, whatever the test clock says: for what other machines compare with
    /// their own clocks.
    fn wall(&self) -> Timestamp {
        wall_clock()
    }

    /// Waits until [`now`](Self::now) is `at` or later.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
}

/// The wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall_clock()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        async move {
            while let Some(rest) = rest(self.now(), at) {
                real_sleep(rest).await;
            }
        }
        .boxed()
    }
}

/// How long to sleep before looking at the clock again, when it is `now` and shall be `at`: not for
/// long, since the time of day can be set while we sleep.
fn rest(now: Timestamp, at: Timestamp) -> Option<Duration> {
    let millis = u64::try_from(at.as_millis().saturating_sub(now.as_millis())).ok()?;
    (millis > 0).then(|| Duration::from_millis(millis.min(60_000)))
}

/// Sleeps in real time, whatever the test clock says: for what is paced by the machine, not by the
/// time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the program sleeps"
)]
pub async fn real_sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The clock of `--dev`: a source, plus what it was advanced by. It runs, and never moves back.
#[derive(Debug)]
pub struct TestClock {
    /// A frozen instant, for tests that want exact times; `None` runs on the wall clock.
    frozen_at: Option<Timestamp>,
    advanced_millis: AtomicI64,
    /// Told whenever the clock is advanced.
    advanced: Notify,
}

/// The test clock was to move further than [`MAX_ADVANCE_SECONDS`] in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the test clock can be advanced by at most 100 years in all")]
pub struct TooFar;

impl TestClock {
    /// A clock that runs with the wall clock.
    #[must_use]
    pub const fn running() -> Self {
        Self {
            frozen_at: None,
            advanced_millis: AtomicI64::new(0),
            advanced: Notify::const_new(),
        }
    }

    /// A clock that stands at `start` until it is advanced.
    #[must_use]
    pub const fn frozen_at(start: Timestamp) -> Self {
        Self {
            frozen_at: Some(start),
            advanced_millis: AtomicI64::new(0),
            advanced: Notify::const_new(),
        }
    }

    /// Moves the clock `by` ahead and returns the new time.
    ///
    /// # Errors
    ///
    /// [`TooFar`], and the clock stays, when all advances together would pass
    /// [`MAX_ADVANCE_SECONDS`].
    pub fn advance(&self, by: Duration) -> Result<Timestamp, TooFar> {
        let limit = i64::try_from(MAX_ADVANCE_SECONDS * 1000).map_err(|_| TooFar)?;
        let by = i64::try_from(by.as_millis()).map_err(|_| TooFar)?;
        self.advanced_millis
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |before| {
                before.checked_add(by).filter(|total| *total <= limit)
            })
            .map_err(|_| TooFar)?;
        self.advanced.notify_waiters();
        Ok(self.now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let base = self.frozen_at.unwrap_or_else(wall_clock).as_millis();
        Timestamp::from_millis(base.saturating_add(self.advanced_millis.load(Ordering::SeqCst)))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        async move {
            loop {
                // Listens first and looks then, so that no advance in between is missed.
                let advanced = self.advanced.notified();
                tokio::pin!(advanced);
                advanced.as_mut().enable();
                let Some(rest) = rest(self.now(), at) else {
                    return;
                };
                tokio::select! {
                    () = advanced => {}
                    () = real_sleep(rest) => {}
                }
            }
        }
        .boxed()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the time of day enters the program"
)]
fn wall_clock() -> Timestamp {
    let now = std::time::SystemTime::now();
    let millis = match now.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis)
        }
    };
    Timestamp::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_moves_only_when_advanced_and_not_too_far() {
        let clock = TestClock::frozen_at(Timestamp::from_millis(5));
        assert_eq!(clock.now().as_millis(), 5);
        assert_eq!(
            clock.advance(Duration::from_secs(2)),
            Ok(Timestamp::from_millis(2005))
        );
        assert_eq!(
            clock.advance(Duration::from_secs(MAX_ADVANCE_SECONDS)),
            Err(TooFar)
        );
        assert_eq!(clock.now().as_millis(), 2005);
    }

    #[test]
    fn a_running_clock_stays_ahead_of_the_wall_by_what_it_was_advanced() {
        let clock = TestClock::running();
        let before = clock.wall();
        let after = clock
            .advance(Duration::from_secs(72 * 3600))
            .expect("not too far");
        assert!(after >= before.plus(Duration::from_secs(72 * 3600)));
    }
}
