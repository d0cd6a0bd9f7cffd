//! Rules for numbers, booleans and objects.

use utoipa::openapi::schema::{KnownFormat, Schema, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};

use crate::api::fields::rule::{ReadFrom, Rule};
use crate::api::json::Object;
use crate::api::query::Query;

/// Returns the beginning of a schema of this type.
pub(in crate::api) fn typed(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(kind))
}

/// The rule for an integer from `min` to `max`.
pub struct Integer {
    /// The minimum.
    pub min: u64,
    /// The maximum.
    pub max: u64,
}

impl Rule for Integer {
    type Value = u64;

    fn schema(&self) -> RefOr<Schema> {
        let format = if i32::try_from(self.max).is_ok() {
            KnownFormat::Int32
        } else {
            KnownFormat::Int64
        };
        typed(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(format)))
            .minimum(Some(self.min))
            .maximum(Some(self.max))
            .into()
    }
}

impl ReadFrom<Object<'_>> for Integer {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<u64> {
        let bound = |bound| i64::try_from(bound).unwrap_or(i64::MAX);
        let range = bound(self.min)..=bound(self.max);
        object.integer(name, &range).map(i64::unsigned_abs)
    }
}

impl ReadFrom<Query<'_>> for Integer {
    fn read(&self, query: &mut Query<'_>, name: &str) -> Option<u64> {
        query.integer(name, &(self.min..=self.max))
    }
}

/// The rule for `true` or `false`.
pub struct Boolean;

impl Rule for Boolean {
    type Value = bool;

    fn schema(&self) -> RefOr<Schema> {
        typed(Type::Boolean).into()
    }
}

impl ReadFrom<Object<'_>> for Boolean {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<bool> {
        object.boolean(name)
    }
}

/// The rule for any JSON object, which is read as the text that was sent.
pub struct AnyObject;

impl Rule for AnyObject {
    type Value = Box<str>;

    fn schema(&self) -> RefOr<Schema> {
        typed(Type::Object).into()
    }
}

impl ReadFrom<Object<'_>> for AnyObject {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Box<str>> {
        object.object(name).map(Into::into)
    }
}
