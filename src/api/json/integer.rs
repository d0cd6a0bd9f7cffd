//! Reads integers in JSON by the rule of JSON Schema: a number without a fractional part is an
//! integer, in any notation.

/// Returns the value of the JSON number `text`, clamped to the bounds of `i64`, or `None` when it
/// has a fractional part. It is exact for any number of digits; a conversion through `f64` would
/// round.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || {
        whole
            .bytes()
            .chain(fraction.bytes())
            .map(|byte| byte - b'0')
    };
    let Some(leading_zeros) = digits().position(|digit| digit != 0) else {
        return Some(0);
    };
    // An exponent beyond i64 moves the point so far that the exact distance does not matter.
    let exponent = exponent.parse().unwrap_or(if exponent.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    });
    let point = exponent.saturating_add(i64::try_from(whole.len()).ok()?);
    let written = i64::try_from(whole.len() + fraction.len()).ok()?;
    let past_point = usize::try_from(point.clamp(0, written)).ok()?;
    if digits().skip(past_point).any(|digit| digit != 0) {
        return None;
    }
    let limit = if negative { i64::MIN } else { i64::MAX };
    // The bounds of i64 have 19 digits, and i128 holds all numbers of that length.
    if point.saturating_sub(i64::try_from(leading_zeros).ok()?) > 19 {
        return Some(limit);
    }
    let padding = usize::try_from(point.saturating_sub(written)).unwrap_or(0);
    let value = digits()
        .take(past_point)
        .chain(std::iter::repeat_n(0, padding))
        .fold(0, |value, digit| value * 10 + i128::from(digit));
    let value = if negative { -value } else { value };
    Some(i64::try_from(value).unwrap_or(limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_in_every_spelling() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0e9", Some(0)),
            ("0e99999999999999999999", Some(0)),
            ("3600", Some(3600)),
            ("3600.0", Some(3600)),
            ("3.6e3", Some(3600)),
            ("36000e-1", Some(3600)),
            ("36000E-0001", Some(3600)),
            ("1.5", None),
            ("15e-1", None),
            ("1e-99999999999999999999", None),
            ("-1", Some(-1)),
            ("1e99999999999999999999", Some(i64::MAX)),
            ("-1e400", Some(i64::MIN)),
            ("9223372036854675808", Some(9_223_372_036_854_675_808)),
            ("-9223372036854775807.0", Some(-i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", Some(i64::MAX)),
            ("9999999999999999999", Some(i64::MAX)),
            ("-9999999999999999999e1", Some(i64::MIN)),
            ("0.000000000000000000000001e24", Some(1)),
        ] {
            assert_eq!(integer(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn moving_the_point_changes_nothing(number in -999_999_999_999_i64..1_000_000_000_000, shift in 0_usize..12) {
            prop_assert_eq!(integer(&number.to_string()), Some(number));
            let zeros = "0".repeat(shift);
            prop_assert_eq!(integer(&format!("{number}{zeros}e-{shift}")), Some(number));
            let sign = if number < 0 { "-" } else { "" };
            let shifted = format!("{sign}0.{:013}e13", number.unsigned_abs());
            prop_assert_eq!(integer(&shifted), Some(number));
        }
    }
}
