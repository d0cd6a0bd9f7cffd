//! Reading query parameters, so that all that is wrong with them is told at once.

use std::borrow::Cow;
use std::collections::HashSet;
use std::str::FromStr;

use axum::http::Uri;

use super::failure::{Failure, FieldCode, FieldError, MAX_FIELD_ERRORS};
use super::json::echo;
use crate::nearest::nearest;

/// What a cursor must be, for people.
pub const CURSOR_DETAIL: &str = "must be an id from this list, as the page before showed it";

/// The entries of a page when no number is asked for.
const DEFAULT_LIMIT: usize = 20;

/// The most entries of a page.
const MAX_LIMIT: usize = 100;

/// The parameters that have not been taken yet, and what was wrong with those that have.
pub struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The names of those that this request can have.
    known: Vec<String>,
    errors: Vec<FieldError>,
}

impl<'a> Query<'a> {
    /// The parameters of a request.
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

    /// `limit`: how many entries at most, 1 to 100, 20 when it is not there.
    pub fn limit(&mut self) -> usize {
        let Some(text) = self.take("limit") else {
            return DEFAULT_LIMIT;
        };
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit @ 1..=MAX_LIMIT) if is_integer => return limit,
            _ if is_integer => {
                self.fail("limit", FieldCode::OutOfRange, "must be from 1 to 100");
            }
            _ => self.fail("limit", FieldCode::InvalidType, "must be an integer"),
        }
        DEFAULT_LIMIT
    }

    /// `starting_after`: the id of the last entry of the page before, if it is there.
    pub fn starting_after<Id: FromStr>(&mut self) -> Option<Id> {
        let text = self.take("starting_after")?;
        let id = text.parse().ok();
        if id.is_none() {
            self.fail("starting_after", FieldCode::InvalidCursor, CURSOR_DETAIL);
        }
        id
    }

    /// One of the words of `choices`, if the parameter is there.
    pub fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.take(name)?;
        let choice = choices.iter().find(|(word, _)| *word == text);
        if choice.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let detail = format!("must be one of {}", words.join(", "));
            self.fail(name, FieldCode::InvalidFormat, &detail);
        }
        choice.map(|(_, value)| *value)
    }

    /// Ends the reading: what has not been taken is unknown.
    ///
    /// # Errors
    ///
    /// [`Failure::InvalidFields`] with all that was noted.
    pub fn finish(mut self) -> Result<(), Failure> {
        for (name, _) in std::mem::take(&mut self.pairs) {
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
