//! Parses the `Retry-After` header.

use std::time::{Duration, UNIX_EPOCH};

use crate::domain::Timestamp;

/// Returns how long the receiver asks the server to wait, counted from `wall` (RFC 9110, section
/// 10.2.3). The value is a number of whole seconds, or a date in any of HTTP's three forms, which
/// is compared with `wall`.
///
/// Returns zero for a date in the past. More seconds than fit in 32 bits (136 years) are reduced to
/// that maximum, so that the caller can calculate with them. Returns `None` for any other value.
pub(super) fn parse(value: &str, wall: Timestamp) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(u32::MAX);
        return Some(Duration::from_secs(seconds.into()));
    }
    // This parser accepts dates from 1970 on.
    let date = httpdate::parse_http_date(value).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    let wall = Duration::from_millis(u64::try_from(wall.as_millis()).unwrap_or(0));
    Some(date.saturating_sub(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z, the example in RFC 9110 (section 5.6.7).
    const EXAMPLE: i64 = 784_111_777;

    #[test]
    fn seconds_and_all_three_date_forms_are_read() {
        let wall = Timestamp::from_millis((EXAMPLE - 90) * 1000 + 250);
        for (value, millis) in [
            ("0", 0),
            ("120", 120_000),
            (" 7 ", 7_000),
            ("4294967296", 4_294_967_295_000),
            ("99999999999999999999999999", 4_294_967_295_000),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 89_750),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 89_750),
            ("Sun Nov  6 08:49:37 1994", 89_750),
            ("Sun, 06 Nov 1994 08:48:00 GMT", 0),
        ] {
            let read = parse(value, wall);
            assert_eq!(read, Some(Duration::from_millis(millis)), "{value:?}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        for value in ["", "-1", "+1", "1.5", "1e3", "soon", "1, 2", "Sun, 06 Nov"] {
            assert_eq!(parse(value, Timestamp::from_millis(0)), None, "{value:?}");
        }
    }
}
