//! Reads query parameters, and reports everything that is wrong with them at once.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::RangeInclusive;

use axum::http::Uri;

use super::failure::{Failure, FieldCode, FieldError, MAX_FIELD_ERRORS};
use super::json::echo;
use crate::nearest::nearest;

/// Says what a valid cursor is, for people.
pub const CURSOR_DETAIL: &str = "must be an id from this list, as the page before showed it";

/// The query parameters that were not read yet, and what is wrong with those that were.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The names of the parameters that this request may have.
    known: Vec<String>,
    errors: Vec<FieldError>,
}

impl<'a> Query<'a> {
    /// Parses the query of a request.
    #[must_use]
    pub fn of(uri: &'a Uri) -> Self {
        let text = uri.query().unwrap_or_default();
        let mut query = Self {
            pairs: Vec::new(),
            known: Vec::new(),
            errors: Vec::new(),
        };
        let mut seen = HashSet::new();
        for (name, value) in ::url::form_urlencoded::parse(text.as_bytes()) {
            if seen.insert(name.clone()) {
                query.pairs.push((name, value));
            } else {
                query.fail(&name, FieldCode::DuplicateField, "must be sent once");
            }
        }
        query
    }

    fn fail(&mut self, param: &str, code: FieldCode, detail: &str) {
        if self.errors.len() < MAX_FIELD_ERRORS {
            self.errors.push(FieldError {
                param: echo(param),
                code,
                detail: detail.to_owned(),
            });
        }
    }

    fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        self.known.push(name.to_owned());
        let place = self.pairs.iter().position(|(other, _)| other == name)?;
        Some(self.pairs.swap_remove(place).1)
    }

    /// Returns the parameter as an integer within `range`, or `None` when it was not sent or is
    /// invalid.
    pub fn integer(&mut self, name: &str, range: &RangeInclusive<u64>) -> Option<u64> {
        let text = self.take(name)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            self.fail(name, FieldCode::InvalidType, "must be an integer");
            return None;
        }
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let detail = format!("must be from {} to {}", range.start(), range.end());
            self.fail(name, FieldCode::OutOfRange, &detail);
        }
        number
    }

    /// Parses the parameter with `parse`, or returns `None` when it was not sent or is invalid. The
    /// message of `parse` is reported under `code`.
    pub fn parsed<T>(
        &mut self,
        name: &str,
        code: FieldCode,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.take(name)?;
        let parsed = parse(&text);
        parsed.map_err(|detail| self.fail(name, code, &detail)).ok()
    }

    /// Finishes reading. Every parameter that was not read is unknown.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::InvalidFields`] with everything that is wrong.
    pub fn finish(mut self) -> Result<(), Failure> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            if self.errors.len() >= MAX_FIELD_ERRORS {
                // The rest is not reported, so no suggestion is searched for it.
                break;
            }
            let name = echo(&name);
            let detail = match nearest(&name, self.known.iter().map(String::as_str)) {
                Some(meant) => {
                    format!("is not a parameter of this request; did you mean {meant}?")
                }
                None => "is not a parameter of this request".to_owned(),
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
