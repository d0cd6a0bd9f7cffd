//! Texts.

use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};

use super::value::typed;
use crate::api::failure::FieldCode;
use crate::api::fields::rule::{ReadFrom, Rule};
use crate::api::json::Object;

/// A text of `min` to `max` characters.
#[derive(Clone, Copy)]
pub struct Text {
    /// The least number of characters.
    pub min: usize,
    /// The greatest number of characters.
    pub max: usize,
}

impl Text {
    /// A text of any length up to `max` characters.
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

    /// Notes in `object` when `text`, which is in the field `param`, has another length.
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

/// A text, or null.
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

/// A text that is parsed, and means something only then.
pub struct Parsed<T> {
    /// The regular expression of what can be parsed.
    pub pattern: fn() -> String,
    /// The greatest number of characters, where the pattern does not say it.
    pub max: Option<usize>,
    /// What is noted of another text.
    pub detail: fn() -> String,
    /// The parser.
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
