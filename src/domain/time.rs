//! Instants with a resolution of milliseconds.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

/// An instant, as milliseconds since the Unix epoch.
///
/// `Display` writes RFC 3339 in UTC with exactly three fractional digits and `Z`, as both dialects
/// show times: `2026-06-12T10:15:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest instant that RFC 3339 can express (`9999-12-31T23:59:59.999Z`).
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Makes the instant `millis` milliseconds after the Unix epoch, clamped to the years that RFC
    /// 3339 can express (0 to 9999).
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(-62_167_219_200_000, Self::MAX.0))
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns the instant `duration` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Returns the instant `duration` earlier, not before the year 0.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The constructor clamps the value to chrono's range, so this is never `None`.
        match DateTime::from_timestamp_millis(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_milliseconds_and_z_always() {
        assert_eq!(
            Timestamp::from_millis(1_781_259_300_000).to_string(),
            "2026-06-12T10:15:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(7).to_string(),
            "1970-01-01T00:00:00.007Z"
        );
    }

    #[test]
    fn never_leaves_the_years_that_can_be_printed() {
        let far = Timestamp::from_millis(i64::MAX).plus(Duration::MAX);
        assert_eq!(far, Timestamp::MAX);
        assert_eq!(far.to_string(), "9999-12-31T23:59:59.999Z");
    }
}
