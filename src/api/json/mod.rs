//! Reads JSON bodies field by field, and reports everything that is wrong with one at once.
//!
//! `serde` stops at the first error, and its errors do not say which field was repeated, unknown or
//! malformed. This reader keeps the raw text of each field, and parses it when a handler asks for
//! the field.

mod integer;
mod raw;

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use self::integer::integer;
use self::raw::{Kind, Members, Text, kind};
use super::failure::{Failure, FieldCode, FieldError, MAX_FIELD_ERRORS};
use crate::nearest::nearest;

/// The longest part of a field name that an error repeats, in characters.
const MAX_ECHOED_NAME: usize = 64;

/// The fields of a JSON object that were not read yet, and what is wrong with those that were.
pub struct Object<'a> {
    fields: Vec<(String, &'a RawValue)>,
    /// The names that were asked for: the fields that the request may have.
    known: Vec<String>,
    errors: Vec<FieldError>,
}

impl<'a> Object<'a> {
    /// Parses `body`. An empty body counts as an object without fields.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::MalformedJson`] or [`Failure::NotAnObject`].
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
        // The whole text is parsed first: text after the value, or a break inside it, is a syntax
        // error, whatever type the value has.
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

    /// Records that something is wrong with a field.
    pub fn fail(&mut self, param: &str, code: FieldCode, detail: &str) {
        if self.errors.len() < MAX_FIELD_ERRORS {
            self.errors.push(FieldError {
                param: param.to_owned(),
                code,
                detail: detail.to_owned(),
            });
        }
    }

    /// Records that a required field is missing.
    pub fn missing(&mut self, param: &str) {
        // A field with an error, such as one that came twice, is not missing.
        if !self.errors.iter().any(|error| error.param == param) {
            self.fail(param, FieldCode::MissingField, "is required");
        }
    }

    /// Ignores these fields: they may be sent and change nothing.
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

    /// Returns the field as an integer within `range`, or `None` when it was not sent or is
    /// invalid. By the rule of JSON Schema, a number without a fractional part is an integer in any
    /// notation: `3600`, `3600.0` and `3.6e3` are the same.
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

    /// Returns the field as a boolean, or `None` when it was not sent or is invalid.
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

    /// Returns the field as a string, or `None` when it was not sent or is invalid.
    pub fn string(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let value = self.take(name)?;
        self.text(name, value)
    }

    /// Returns the field as a string or null, or `None` when it was not sent or is invalid.
    /// `Some(None)` is null.
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

    /// Returns the JSON text of an object as it was sent, or `None` when the field was not sent or
    /// is invalid.
    pub fn object(&mut self, name: &str) -> Option<&'a str> {
        let value = self.take(name)?;
        if kind(value) != Kind::Object {
            self.wrong_type(name, "an object");
            return None;
        }
        Some(value.get())
    }

    /// Returns the strings of a list, each with its index, or `None` when the field was not sent or
    /// is invalid. Items that are not strings are recorded as errors and left out.
    pub fn strings(&mut self, name: &str) -> Option<Vec<(usize, Cow<'a, str>)>> {
        let value = self.take(name)?;
        if kind(value) != Kind::Array {
            self.wrong_type(name, "an array of strings");
            return None;
        }
        // It was parsed as JSON before, so this cannot fail.
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

    /// Returns the members of an object of strings, or `None` when the field was not sent or is
    /// invalid. Values that are not strings are recorded as errors and left out.
    pub fn string_map(&mut self, name: &str) -> Option<Vec<(String, Cow<'a, str>)>> {
        let value = self.take(name)?;
        if kind(value) != Kind::Object {
            self.wrong_type(name, "an object of strings");
            return None;
        }
        // It was parsed as JSON before, so only the name of a member can fail, by an invalid
        // escape.
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

    /// Finishes reading. Every field that was not read is unknown.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::InvalidFields`] with everything that is wrong.
    pub fn finish(mut self) -> Result<(), Failure> {
        for (name, _) in std::mem::take(&mut self.fields) {
            if self.errors.len() >= MAX_FIELD_ERRORS {
                // The rest is not reported, so no suggestion is searched for it.
                break;
            }
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

/// Returns the part of a name that an error repeats.
pub(in crate::api) fn echo(name: &str) -> String {
    name.chars().take(MAX_ECHOED_NAME).collect()
}

#[cfg(test)]
mod tests;
