//! What a rule is.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// What a field may hold.
pub trait Rule {
    /// What it is read as.
    type Value;

    /// The rule as a schema.
    fn schema(&self) -> RefOr<Schema>;
}

/// A rule by which a field is read from a `Source`: the body or the query of a request.
pub trait ReadFrom<Source>: Rule {
    /// Reads the field `name`, if it is there and as it must be. What is wrong with it is noted in
    /// `source`.
    fn read(&self, source: &mut Source, name: &str) -> Option<Self::Value>;
}
