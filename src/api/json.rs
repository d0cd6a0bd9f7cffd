//! Reading JSON bodies field by field, so that all that is wrong with one is told at once.
//!
//! `serde` stops at the first error and cannot tell a repeated or unknown field from a malformed one
//! in words that name it; this reader keeps each field's raw text and judges it when it is asked for.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::failure::{Failure, FieldCode, FieldError, MAX_FIELD_ERRORS};
use crate::nearest::nearest;

/// The longest field name that an error repeats, in characters.
const MAX_ECHOED_NAME: usize = 64;

/// The fields of a JSON object that have not been taken yet, and what was wrong with those that have.
pub struct Object<'a> {
    fields: Vec<(String, &'a RawValue)>,
    /// The names that were asked for: those that the request has.
    known: Vec<String>,
    errors: Vec<FieldError>,
}

impl<'a> Object<'a> {
    /// Reads `body`, where an empty body counts as an object without fields.
    ///
    /// # Errors
    ///
    /// [`Failure::MalformedJson`] or [`Failure::NotAnObject`].
    pub fn parse(body: &'a [u8]) -> Result<Self, Failure> {
        let mut object = Self {
            fields: Vec::new(),
            known: Vec::new(),
            errors: Vec::new(),
        };
        if body.is_empty() {
            return Ok(object);
        }
        let text = std::str::from_utf8(body).map_err(|error| {
            Failure::MalformedJson(format!("not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        // The whole text first: what follows a value, or breaks inside one, is a fault of syntax,
        // whatever the value is.
        let value: &RawValue = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        if kind(value) != Kind::Object {
            return Err(Failure::NotAnObject);
        }
        let members: Members<'a> =
            serde_json::from_str(value.get()).map_err(|error| malformed(&error))?;
        let mut seen = HashSet::new();
        for (name, value) in members.0 {
            if seen.insert(name.clone()) {
                object.fields.push((name, value));
            } else {
                object.fail(&echo(&name), FieldCode::DuplicateField, "must be sent once");
            }
        }
        Ok(object)
    }

    /// Notes that something is wrong with a field.
    pub fn fail(&mut self, param: &str, code: FieldCode, detail: &str) {
        if self.errors.len() < MAX_FIELD_ERRORS {
            self.errors.push(FieldError {
                param: param.to_owned(),
                code,
                detail: detail.to_owned(),
            });
        }
    }

    /// Notes that a field is missing which must be there.
    pub fn missing(&mut self, param: &str) {
        // One that came twice was noted already, and is not missing.
        if !self.errors.iter().any(|error| error.param == param) {
            self.fail(param, FieldCode::MissingField, "is required");
        }
    }

    /// Leaves these fields unread: they may be sent, and change nothing.
    pub fn ignore(&mut self, names: &[&str]) {
        self.fields
            .retain(|(name, _)| !names.contains(&name.as_str()));
    }

    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.known.push(name.to_owned());
        let place = self.fields.iter().position(|(other, _)| other == name)?;
        Some(self.fields.swap_remove(place).1)
    }

    fn wrong_type(&mut self, param: &str, expected: &str) {
        self.fail(
            param,
            FieldCode::InvalidType,
            &format!("must be {expected}"),
        );
    }

    /// An integer within `range`, if the field is there. By JSON Schema's rule a number without a
    /// fractional part is an integer, however it is written: `3600`, `3600.0` and `3.6e3` are one.
    pub fn integer(&mut self, name: &str, range: &RangeInclusive<i64>) -> Option<i64> {
        let value = self.take(name)?;
        let number = match kind(value) {
            Kind::Number => integer(value.get()),
            _ => None,
        };
        let Some(number) = number else {
            self.wrong_type(name, "an integer");
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        let detail = format!("must be from {} to {}", range.start(), range.end());
        self.fail(name, FieldCode::OutOfRange, &detail);
        None
    }

    /// A boolean, if the field is there.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.take(name)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.wrong_type(name, "true or false");
                None
            }
        }
    }

    /// A string, if the field is there.
    pub fn string(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.take(name)?;
        self.text(name, value)
    }

    /// A string or null, if the field is there: `Some(None)` is null.
    pub fn nullable_string(&mut self, name: &str) -> Option<Option<Cow<'a, str>>> {
        let value = self.take(name)?;
        match kind(value) {
            Kind::Null => Some(None),
            Kind::String => self.text(name, value).map(Some),
            _ => {
                self.wrong_type(name, "a string or null");
                None
            }
        }
    }

    /// An object, if the field is there: its JSON text as it was sent.
    pub fn object(&mut self, name: &str) -> Option<&'a str> {
        let value = self.take(name)?;
        if kind(value) != Kind::Object {
            self.wrong_type(name, "an object");
            return None;
        }
        Some(value.get())
    }

    /// A list of strings, each with its place in it, if the field is there. Those that are no strings
    /// are noted and left out.
    pub fn strings(&mut self, name: &str) -> Option<Vec<(usize, Cow<'a, str>)>> {
        let value = self.take(name)?;
        if kind(value) != Kind::Array {
            self.wrong_type(name, "an array of strings");
            return None;
        }
        // It was read as JSON before, so this cannot fail.
        let items: Vec<&'a RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        let texts = items
            .into_iter()
            .enumerate()
            .filter_map(|(place, item)| {
                let text = self.text(&format!("{name}[{place}]"), item)?;
                Some((place, text))
            })
            .collect();
        Some(texts)
    }

    /// An object of strings, if the field is there. Those that are no strings are noted and left out.
    pub fn string_map(&mut self, name: &str) -> Option<Vec<(String, Cow<'a, str>)>> {
        let value = self.take(name)?;
        if kind(value) != Kind::Object {
            self.wrong_type(name, "an object of strings");
            return None;
        }
        // It was read as JSON before, so only a member's name can fail, by a broken escape.
        let Ok(members) = serde_json::from_str::<Members<'a>>(value.get()) else {
            self.fail(
                name,
                FieldCode::InvalidFormat,
                "has a name that is not valid Unicode",
            );
            return None;
        };
        let entries = members
            .0
            .into_iter()
            .filter_map(|(key, value)| {
                let text = self.text(&format!("{name}.{}", echo(&key)), value)?;
                Some((key, text))
            })
            .collect();
        Some(entries)
    }

    fn text(&mut self, param: &str, value: &'a RawValue) -> Option<Cow<'a, str>> {
        if kind(value) != Kind::String {
            self.wrong_type(param, "a string");
            return None;
        }
        let Ok(Text(text)) = serde_json::from_str(value.get()) else {
            self.fail(
                param,
                FieldCode::InvalidFormat,
                "must be valid Unicode text",
            );
            return None;
        };
        Some(text)
    }

    /// Ends the reading: what has not been taken is unknown.
    ///
    /// # Errors
    ///
    /// [`Failure::InvalidFields`] with all that was noted.
    pub fn finish(mut self) -> Result<(), Failure> {
        for (name, _) in std::mem::take(&mut self.fields) {
            let name = echo(&name);
            let detail = match nearest(&name, self.known.iter().map(String::as_str)) {
                Some(meant) => {
                    format!("is not a field of this request; did you mean {meant}?")
                }
                None => "is not a field of this request".to_owned(),
            };
            self.fail(&name, FieldCode::UnknownField, &detail);
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Failure::InvalidFields(self.errors))
        }
    }
}

fn malformed(error: &serde_json::Error) -> Failure {
    Failure::MalformedJson(format!(
        "not valid JSON at line {}, column {}",
        error.line(),
        error.column()
    ))
}

/// A name as an error repeats it.
pub(super) fn echo(name: &str) -> String {
    name.chars().take(MAX_ECHOED_NAME).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

fn kind(value: &RawValue) -> Kind {
    // A raw value has no space around it, so its first byte tells.
    match value.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// The integer that the JSON number `text` is, held within the bounds of `i64`, or `None` when it has
/// a fractional part. Exact for any number of digits, where a detour by `f64` would round.
fn integer(text: &str) -> Option<i64> {
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
    // An exponent beyond i64 puts the point as far away as makes no difference.
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
    // i64's own bounds have 19 digits, and i128 holds all numbers of that many.
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

/// The members of an object in their order, repeated ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Members)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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

        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mut object) = Object::parse(&body) {
                object.integer("a", &(0..=10));
                let _ = object.finish();
            }
        }

        #[test]
        fn what_serde_json_reads_as_an_object_is_read_here(text in "\\{(\"[a-c]{1,2}\": ?([0-9]{1,3}|\"x\"|null|\\[\\]),? ?){0,3}\\}") {
            let serde = serde_json::from_str::<serde_json::Map<_, _>>(&text).is_ok();
            prop_assert_eq!(Object::parse(text.as_bytes()).is_ok(), serde);
        }
    }

    #[test]
    fn all_faults_are_told_together() {
        let body = br#"{"a": "x", "b": 1, "b": 2, "c": "\ud800", "d": {"k": 1}, "zz": []}"#;
        let mut object = Object::parse(body).expect("an object");
        object.integer("a", &(0..=1));
        object.string("c");
        object.string_map("d");
        object.missing("e");
        object.ignore(&["b"]);
        let Err(Failure::InvalidFields(errors)) = object.finish() else {
            panic!("must be refused");
        };
        let told: Vec<_> = errors
            .iter()
            .map(|error| (error.param.as_str(), error.code.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("b", "duplicate_field"),
                ("a", "invalid_type"),
                ("c", "invalid_format"),
                ("d.k", "invalid_type"),
                ("e", "missing_field"),
                ("zz", "unknown_field"),
            ]
        );
    }

    #[test]
    fn a_misspelt_field_is_told_which_one_was_meant_and_another_word_is_not() {
        let mut object =
            Object::parse(br#"{"expire_curent_in": 0, "colour": 1}"#).expect("an object");
        object.integer("expire_current_in", &(0..=1));
        let Err(Failure::InvalidFields(errors)) = object.finish() else {
            panic!("must be refused");
        };
        let meant = "is not a field of this request; did you mean expire_current_in?";
        assert_eq!(errors[0].detail, meant);
        assert_eq!(errors[1].detail, "is not a field of this request");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        let mut object = Object::parse(deep.as_bytes()).expect("an object");
        assert_eq!(object.integer("a", &(0..=1)), None);
        assert!(matches!(
            Object::parse(&deep.as_bytes()[..40_000]),
            Err(Failure::MalformedJson(_))
        ));
    }

    #[test]
    fn other_json_is_not_an_object_and_broken_json_is_malformed() {
        for body in ["[]", "1", "\"x\"", "null", "true", "1e999"] {
            let failure = Object::parse(body.as_bytes()).err();
            assert!(matches!(failure, Some(Failure::NotAnObject)), "{body}");
        }
        for body in [
            "{",
            "{}x",
            " ",
            "{\"a\":1,}",
            "nul",
            "{\"a\":\u{1}}",
            "{'a':1}",
            "\u{feff}{}",
        ] {
            let failure = Object::parse(body.as_bytes()).err();
            assert!(
                matches!(failure, Some(Failure::MalformedJson(_))),
                "{body:?}"
            );
        }
        assert!(matches!(
            Object::parse(b"{\"a\":\"\xff\"}").err(),
            Some(Failure::MalformedJson(_))
        ));
    }
}
