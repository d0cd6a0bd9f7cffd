//! Rules for the settings of endpoints that both dialects have.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{Schema, SchemaFormat, Type};

use super::rule::{ReadFrom, Rule};
use super::rules::{List, Text, check_count, typed};
use crate::api::failure::FieldCode;
use crate::api::json::Object;
use crate::api::url::{self, MAX_URL_LENGTH};
use crate::domain::EventPattern;
use crate::domain::event::MAX_PATTERN_LENGTH;

/// The maximum number of entries in a list or map of one endpoint.
pub const MAX_ENTRIES: usize = 100;

/// The rule for the description of an endpoint.
pub const DESCRIPTION: Text = Text::at_most(1500);

/// The rule for the URL that deliveries are sent to; see [`url::check`].
pub struct EndpointUrl {
    /// Whether `http` URLs are valid too.
    pub allow_http: bool,
}

impl Rule for EndpointUrl {
    type Value = Box<str>;

    fn schema(&self) -> RefOr<Schema> {
        let scheme = self.allow_http.then_some("^[Hh][Tt][Tt][Pp][Ss]?://");
        typed(Type::String)
            .format(Some(SchemaFormat::Custom("uri".to_owned())))
            .max_length(Some(MAX_URL_LENGTH))
            .pattern(scheme)
            .into()
    }
}

impl ReadFrom<Object<'_>> for EndpointUrl {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Box<str>> {
        let text = object.string(name)?;
        match url::check(&text, self.allow_http) {
            Ok(()) => Some(text.into()),
            Err((code, detail)) => {
                object.fail(name, code, &detail);
                None
            }
        }
    }
}

/// The rule for the list of patterns that select an endpoint's event types.
pub struct EventPatterns {
    /// Returns whether a pattern is valid in this dialect.
    pub accepts: fn(&EventPattern) -> bool,
    /// Says what a valid pattern is, except for its length.
    pub detail: &'static str,
}

impl EventPatterns {
    const ITEM: Text = Text::at_most(MAX_PATTERN_LENGTH);

    fn parse(&self, object: &mut Object<'_>, param: &str, text: &str) -> Option<EventPattern> {
        let pattern = text.parse().ok().filter(self.accepts);
        if pattern.is_none() {
            let code = if text.chars().count() > MAX_PATTERN_LENGTH {
                FieldCode::OutOfRange
            } else {
                FieldCode::InvalidFormat
            };
            let detail = format!("{} (at most {MAX_PATTERN_LENGTH} characters)", self.detail);
            object.fail(param, code, &detail);
        }
        pattern
    }
}

impl Rule for EventPatterns {
    type Value = Box<[EventPattern]>;

    fn schema(&self) -> RefOr<Schema> {
        let (max, item) = (MAX_ENTRIES, Self::ITEM);
        List { max, item }.schema()
    }
}

impl ReadFrom<Object<'_>> for EventPatterns {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Box<[EventPattern]>> {
        let texts = object.strings(name)?;
        if !check_count(object, name, texts.len(), MAX_ENTRIES) {
            return None;
        }
        let patterns = texts
            .iter()
            .filter_map(|(place, text)| self.parse(object, &format!("{name}[{place}]"), text));
        Some(patterns.collect())
    }
}
