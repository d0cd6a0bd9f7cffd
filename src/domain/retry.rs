//! The schedule of retries after failed attempts.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits after the first, second, … failure, in seconds. When the attempt after the last wait
/// fails too, the delivery has failed.
const SCHEDULE: [u64; 9] = [
    5,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];

/// The longest that a delivery may take from its first due time to its end: 84 hours, which is as
/// long as the schedule takes with the most jitter and attempts that time out. What has not
/// succeeded then has failed, attempted or not.
pub const LONGEST: Duration = Duration::from_secs(84 * HOUR);

/// The longest wait that a receiver's `Retry-After` (RFC 9110, section 10.2.3) can ask for.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);

/// Returns how long to wait after failure number `failures` (from 1), or `None` when there is no
/// further attempt.
///
/// `jitter` is from 0 to 1 and adds up to a tenth, so that deliveries that failed together are not
/// retried together. A longer `retry_after` is honoured, up to 24 hours.
#[must_use]
pub fn wait(failures: u32, jitter: f64, retry_after: Option<Duration>) -> Option<Duration> {
    let place = usize::try_from(failures.checked_sub(1)?).ok()?;
    let base = Duration::from_secs(*SCHEDULE.get(place)?);
    let wait = base.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0);
    let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    Some(wait.max(asked))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_whole_schedule_fits_into_the_longest_time() {
        let waits = (1..=9).filter_map(|failures| wait(failures, 1.0, None));
        let waits: Duration = waits.sum();
        let attempts = Duration::from_secs(10 * 15);
        assert!(waits + attempts <= LONGEST);
        assert!(LONGEST < waits + Duration::from_secs(HOUR));
    }

    #[test]
    fn ten_attempts_and_then_no_more() {
        let waits: Vec<u64> = (1..=9)
            .filter_map(|failures| wait(failures, 0.0, None))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(
            waits,
            [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
        );
        assert_eq!(wait(10, 0.0, None), None);
        assert_eq!(wait(10, 0.0, Some(Duration::from_secs(1))), None);
        assert_eq!(wait(0, 0.0, None), None);
    }

    proptest! {
        #[test]
        fn jitter_adds_at_most_a_tenth(failures in 1_u32..10, jitter in -1.0..2.0) {
            let base = wait(failures, 0.0, None).expect("on the schedule");
            let jittered = wait(failures, jitter, None).expect("on the schedule");
            prop_assert!(base <= jittered && jittered <= base + base / 10 + Duration::from_millis(1));
        }

        #[test]
        fn a_longer_retry_after_is_honoured_up_to_a_day(failures in 1_u32..10, asked in 0_u64..400_000) {
            let base = wait(failures, 0.0, None).expect("on the schedule");
            let told = wait(failures, 0.0, Some(Duration::from_secs(asked))).expect("on the schedule");
            prop_assert_eq!(told, base.max(Duration::from_secs(asked.min(86_400))));
        }
    }
}
