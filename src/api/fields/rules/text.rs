//! Rules for texts.

use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};

use super::value::typed;
use crate::api::failure::FieldCode;
use crate::api::fields::rule::{ReadFrom, Rule};
use crate::api::json::Object;

/// The rule for a text of `min` to `max` characters.
#[derive(Clone, Copy)]
pub struct Text {
    /// The minimum number of characters.
    pub min: usize,
    /// The maximum number of characters.
    pub max: usize,
}

impl Text {
    /// Returns the rule for a text of at most `max` characters.
    #[must_use]
    pub const fn at_most(max: usize) -> Self {
        Self { min: 0, max }
    }

    fn object(self) -> ObjectBuilder {
        let min = (self.min > 0).then_some(self.min);
        typed(Type::String)
            .min_length(min)
            .max_length(Some(self.max))
    }

    /// Returns whether the length of `text` is valid, and records an error for the field `param` if
    /// not.
    pub fn check(self, object: &mut Object<'_>, param: &str, text: &str) -> bool {
        let Self { min, max } = self;
        let is_right = (min..=max).contains(&text.chars().count());
        if !is_right {
            let detail = match min {
                0 => format!("must be at most {max} characters"),
                _ => format!("must be {min} to {max} characters"),
            };
            object.fail(param, FieldCode::OutOfRange, &detail);
        }
        is_right
    }
}

impl Rule for Text {
    type Value = Box<str>;

    fn schema(&self) -> RefOr<Schema> {
        self.object().into()
    }
}

impl ReadFrom<Object<'_>> for Text {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Box<str>> {
        let text = object.string(name)?;
        self.check(object, name, &text).then(|| text.into())
    }
}

/// The rule for a text or null.
pub struct Nullable(pub Text);

impl Rule for Nullable {
    type Value = Option<Box<str>>;

    fn schema(&self) -> RefOr<Schema> {
        let types = SchemaType::from_iter([Type::String, Type::Null]);
        self.0.object().schema_type(types).into()
    }
}

impl ReadFrom<Object<'_>> for Nullable {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Option<Box<str>>> {
        let Some(text) = object.nullable_string(name)? else {
            return Some(None);
        };
        self.0.check(object, name, &text).then(|| Some(text.into()))
    }
}

/// The rule for a text that must be parsed.
pub struct Parsed<T> {
    /// Returns the regular expression of valid texts.
    pub pattern: fn() -> String,
    /// The maximum number of characters, if the pattern does not limit it.
    pub max: Option<usize>,
    /// Returns the message about an invalid text.
    pub detail: fn() -> String,
    /// Parses a text, or returns `None` when it is invalid.
    pub parse: fn(&str) -> Option<T>,
}

impl<T> Rule for Parsed<T> {
    type Value = T;

    fn schema(&self) -> RefOr<Schema> {
        typed(Type::String)
            .pattern(Some((self.pattern)()))
            .max_length(self.max)
            .into()
    }
}

impl<T> ReadFrom<Object<'_>> for Parsed<T> {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<T> {
        let value = (self.parse)(&object.string(name)?);
        if value.is_none() {
            object.fail(name, FieldCode::InvalidFormat, &(self.detail)());
        }
        value
    }
}
