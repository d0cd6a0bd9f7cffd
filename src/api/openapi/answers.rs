//! Describes the answers of operations, and how a dialect words them.

use serde::Serialize;
use serde_json::Value;

use crate::api::body::MAX_BODY;
use crate::api::failure::{Failure, Rendered};

/// How the document of one dialect says what all operations share.
pub struct Wording {
    /// Renders a failure of a request to this path.
    pub render: fn(&Failure, &str) -> Rendered,
    /// Returns the name of the example that shows a rendered error body: its code.
    pub name: fn(&Value) -> String,
    /// Returns the name of the schema of an error body with this status.
    pub schema: fn(u16) -> &'static str,
    /// The name of the only security scheme, as in the document of the API itself.
    pub security: &'static str,
}

/// The answers of one operation, besides those that all operations have.
pub struct Answers {
    /// An example of the body of a success.
    pub example: Option<Value>,
    /// The failures that only this operation has, the most common first.
    pub failures: Vec<Failure>,
    /// The longest body that the operation reads, in bytes.
    pub max_body: usize,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            example: None,
            failures: Vec::new(),
            max_body: MAX_BODY,
        }
    }
}

impl Answers {
    /// Describes an operation that answers `body` when it succeeds, or else one of `failures`.
    #[must_use]
    pub fn new(body: &impl Serialize, failures: Vec<Failure>) -> Self {
        Self {
            // The wire types are structs of strings, numbers and lists: this cannot fail.
            example: serde_json::to_value(body).ok(),
            failures,
            ..Self::default()
        }
    }
}

impl From<Vec<Failure>> for Answers {
    fn from(failures: Vec<Failure>) -> Self {
        Self {
            failures,
            ..Self::default()
        }
    }
}
