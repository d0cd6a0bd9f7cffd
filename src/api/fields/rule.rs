//! Defines what a rule is.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// A rule for the values of a field.
pub trait Rule {
    /// The type that a value is read as.
    type Value;

    /// Returns the rule as a schema.
    fn schema(&self) -> RefOr<Schema>;
}

/// A rule that can read a field from a `Source`: the body or the query of a request.
pub trait ReadFrom<Source>: Rule {
    /// Reads the field `name`. Returns `None` when it was not sent or is invalid; what is wrong is
    /// recorded in `source`.
    fn read(&self, source: &mut Source, name: &str) -> Option<Self::Value>;
}
