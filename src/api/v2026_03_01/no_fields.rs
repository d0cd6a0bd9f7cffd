//! Reads bodies that must have no fields.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use crate::api::failure::Failure;
use crate::api::fields::{Object, body_schema};

/// A body without content: no body, or an object without fields.
pub struct NoFields;

impl NoFields {
    /// Reads a body that must have no fields.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::InvalidFields`] with the fields that the body has.
    pub fn read(object: Object<'_>) -> Result<(), Failure> {
        object.finish()
    }
}

impl PartialSchema for NoFields {
    fn schema() -> RefOr<Schema> {
        let about = "No body, or an object without fields.";
        body_schema(&[about], Vec::new())
    }
}

impl ToSchema for NoFields {
    fn name() -> Cow<'static, str> {
        "NoFields".into()
    }
}
