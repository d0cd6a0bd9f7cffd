//! The clock of the server, which decides expiries and times in records and answers.
//!
//! Nothing else in the crate may ask the operating system for the time of day (`clippy.toml` bans
//! it), so a test that moves this clock moves the time for everything. Network time-outs and the
//! rate limit do not depend on the time of day; they use the monotonic clock, which this clock does
//! not affect.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::domain::Timestamp;

/// The most seconds by which the test clock can be advanced in total: 100 years.
pub const MAX_ADVANCE_SECONDS: u64 = 100 * 366 * 86_400;

/// A source of the current time, in milliseconds.
pub trait Clock: Send + Sync + 'static {
    /// Returns the server's time, which grace periods, records and answers use.
    fn now(&self) -> Timestamp;

    /// Returns the wall clock's time, which ignores the test clock. It is for times that other
    /// machines compare with their own clocks.
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

/// Returns how long to sleep at `now` before looking at the clock again, in order to wait until
/// `at`. It is at most a minute, since the time of day can be set during the sleep.
fn rest(now: Timestamp, at: Timestamp) -> Option<Duration> {
    let millis = u64::try_from(at.as_millis().saturating_sub(now.as_millis())).ok()?;
    (millis > 0).then(|| Duration::from_millis(millis.min(60_000)))
}

/// Sleeps in real time, which ignores the test clock. It is for waits that depend on the machine
/// and not on the time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the program sleeps"
)]
pub async fn real_sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The clock of `--dev`: a source, plus the sum of its advances. It never moves back.
#[derive(Debug)]
pub struct TestClock {
    /// A fixed instant, for tests of exact times; `None` for the wall clock.
    frozen_at: Option<Timestamp>,
    advanced_millis: AtomicI64,
    /// Notified whenever the clock is advanced.
    moved: Notify,
    /// Held while an advance is saved and then made.
    turn: Mutex<()>,
}

/// The test clock would be advanced by more than [`MAX_ADVANCE_SECONDS`] in total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the test clock can be advanced by at most 100 years in all")]
pub struct TooFar;

impl TestClock {
    /// Makes a clock that runs with the wall clock.
    #[must_use]
    pub const fn running() -> Self {
        Self::new(None, 0)
    }

    /// Makes a clock that runs ahead of the wall clock by `total`, which a durable store saved in
    /// an earlier run. `total` is limited to [`MAX_ADVANCE_SECONDS`].
    #[must_use]
    pub fn running_ahead_by(total: Duration) -> Self {
        let total = total.min(Duration::from_secs(MAX_ADVANCE_SECONDS));
        Self::new(None, i64::try_from(total.as_millis()).unwrap_or(i64::MAX))
    }

    /// Makes a clock that stays at `start` until it is advanced.
    #[must_use]
    pub const fn frozen_at(start: Timestamp) -> Self {
        Self::new(Some(start), 0)
    }

    const fn new(frozen_at: Option<Timestamp>, advanced_millis: i64) -> Self {
        Self {
            frozen_at,
            advanced_millis: AtomicI64::new(advanced_millis),
            moved: Notify::const_new(),
            turn: Mutex::const_new(()),
        }
    }

    /// Returns by how much the clock has been advanced in total, to the millisecond.
    #[must_use]
    pub fn advanced(&self) -> Duration {
        let millis = self.advanced_millis.load(Ordering::SeqCst);
        Duration::from_millis(millis.unsigned_abs())
    }

    /// Locks the right to advance the clock. Hold the guard from reading
    /// [`total_after`](Self::total_after) until [`advance`](Self::advance), so that simultaneous
    /// advances add up.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Returns by how much the clock would have been advanced in total after another advance `by`.
    ///
    /// # Errors
    ///
    /// [`TooFar`] when that exceeds [`MAX_ADVANCE_SECONDS`].
    pub fn total_after(&self, by: Duration) -> Result<Duration, TooFar> {
        let total = total(self.advanced_millis.load(Ordering::SeqCst), by).ok_or(TooFar)?;
        Ok(Duration::from_millis(total.unsigned_abs()))
    }

    /// Moves the clock ahead by `by` and returns the new time.
    ///
    /// # Errors
    ///
    /// [`TooFar`] when all advances together would exceed [`MAX_ADVANCE_SECONDS`]. The clock has
    /// not moved then.
    pub fn advance(&self, by: Duration) -> Result<Timestamp, TooFar> {
        self.advanced_millis
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |before| {
                total(before, by)
            })
            .map_err(|_| TooFar)?;
        self.moved.notify_waiters();
        Ok(self.now())
    }
}

/// Adds `by` to `advanced`, in milliseconds, unless the sum exceeds [`MAX_ADVANCE_SECONDS`].
fn total(advanced: i64, by: Duration) -> Option<i64> {
    let limit = i64::try_from(MAX_ADVANCE_SECONDS * 1000).ok()?;
    let total = advanced.checked_add(i64::try_from(by.as_millis()).ok()?)?;
    (total <= limit).then_some(total)
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let base = self.frozen_at.unwrap_or_else(wall_clock).as_millis();
        Timestamp::from_millis(base.saturating_add(self.advanced_millis.load(Ordering::SeqCst)))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        async move {
            loop {
                // Listens before it looks, so that it misses no advance in between.
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                let Some(rest) = rest(self.now(), at) else {
                    return;
                };
                tokio::select! {
                    () = moved => {}
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

    #[test]
    fn a_clock_sets_out_from_what_was_kept_of_an_earlier_run() {
        let clock = TestClock::running_ahead_by(Duration::from_secs(100));
        assert_eq!(clock.advanced(), Duration::from_secs(100));
        assert!(clock.now() >= clock.wall().plus(Duration::from_secs(99)));
        let most = Duration::from_secs(MAX_ADVANCE_SECONDS);
        let rest = Duration::from_secs(MAX_ADVANCE_SECONDS - 100);
        assert_eq!(clock.total_after(rest), Ok(most));
        assert_eq!(clock.total_after(most), Err(TooFar));
        assert_eq!(TestClock::running_ahead_by(Duration::MAX).advanced(), most);
    }
}
