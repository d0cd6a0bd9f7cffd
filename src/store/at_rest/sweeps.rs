//! Decides when a durable store sweeps: rarely when there is little to delete, and without a pause
//! while there is much.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::store::SWEEP_AT_LEAST_EVERY;

/// The shortest time between two sweeps by age, when nothing is left over. Expired records are
/// never shown, so waiting only gathers work.
const BY_AGE_AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// The longest time between two sweeps by age.
const BY_AGE_AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

/// The result of a sweep of one kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Swept {
    /// Nothing is left to delete.
    All,
    /// There may be more to delete.
    Some,
    /// The sweep failed.
    Failed,
}

/// Knows when to sweep what.
#[derive(Debug, Default)]
pub(in crate::store) struct Sweeps {
    /// When the next record expires by age, as far as is known.
    by_age_at: Option<Timestamp>,
}

impl Sweeps {
    /// Returns whether to look for records that have expired by age. Also true when the clock has
    /// gone back to before the last sweep.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.by_age_at
            .is_none_or(|at| at <= now || at > now.plus(BY_AGE_AT_LEAST_EVERY))
    }

    /// Notes the results of the sweeps by age. `earliest` is when the next record expires.
    pub fn note_by_age(&mut self, now: Timestamp, swept: &[Swept], earliest: Option<Timestamp>) {
        let latest = now.plus(BY_AGE_AT_LEAST_EVERY);
        self.by_age_at = Some(if swept.contains(&Swept::Some) {
            now
        } else if swept.contains(&Swept::Failed) {
            // A failed sweep is not repeated at once.
            latest
        } else {
            let earliest = earliest.unwrap_or(latest);
            earliest.clamp(now.plus(BY_AGE_AT_MOST_EVERY), latest)
        });
    }

    /// Returns when to sweep next. `deadline` is when the next delivery may have to fail.
    pub fn next(&self, now: Timestamp, deadline: Option<Timestamp>) -> Timestamp {
        let latest = now.plus(SWEEP_AT_LEAST_EVERY);
        [deadline, self.by_age_at]
            .into_iter()
            .flatten()
            .fold(latest, Ord::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000_000)
    }

    fn seconds(seconds: u64) -> Timestamp {
        now().plus(Duration::from_secs(seconds))
    }

    #[test]
    fn it_looks_at_once_and_goes_on_while_there_is_more() {
        let mut sweeps = Sweeps::default();
        assert!(sweeps.is_due(now()));
        sweeps.note_by_age(now(), &[Swept::All, Swept::Some], None);
        assert!(sweeps.is_due(now()));
        assert_eq!(sweeps.next(now(), None), now());
    }

    #[test]
    fn what_expires_soon_waits_for_a_minute_and_what_is_unknown_for_an_hour() {
        let mut sweeps = Sweeps::default();
        sweeps.note_by_age(now(), &[Swept::All], Some(seconds(1)));
        assert!(!sweeps.is_due(seconds(59)) && sweeps.is_due(seconds(60)));
        sweeps.note_by_age(now(), &[Swept::All], Some(seconds(600)));
        assert!(!sweeps.is_due(seconds(599)) && sweeps.is_due(seconds(600)));
        sweeps.note_by_age(now(), &[Swept::All], None);
        assert!(!sweeps.is_due(seconds(3599)) && sweeps.is_due(seconds(3600)));
        // However long that is, the store asks again after a minute.
        assert_eq!(sweeps.next(now(), None), seconds(60));
    }

    #[test]
    fn what_failed_is_not_tried_at_once_again() {
        let mut sweeps = Sweeps::default();
        sweeps.note_by_age(now(), &[Swept::Failed], Some(now()));
        assert!(!sweeps.is_due(seconds(3599)));
        assert_eq!(sweeps.next(now(), Some(seconds(1))), seconds(1));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_put_it_off() {
        let mut sweeps = Sweeps::default();
        sweeps.note_by_age(seconds(86_400), &[Swept::All], None);
        assert!(sweeps.is_due(now()));
    }
}
