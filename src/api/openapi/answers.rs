//! What a document says of answers, and in which words.

use serde::Serialize;
use serde_json::Value;

use crate::api::body::MAX_BODY;
use crate::api::failure::{Failure, Rendered};

/// How one dialect's document says what all operations share.
pub struct Wording {
    /// Gives a failure of a request to this path the dialect's words.
    pub render: fn(&Failure, &str) -> Rendered,
    /// The machine's word in a rendered error body, to name its example by.
    pub name: fn(&Value) -> String,
    /// The schema of an error body with this status.
    pub schema: fn(u16) -> &'static str,
    /// The name of the one security scheme, as the API's own document has it.
    pub security: &'static str,
}

/// What one operation answers, beside what all do.
pub struct Answers {
    /// The body of a success, for example.
    pub example: Option<Value>,
    /// What else can go wrong, the commonest first.
    pub failures: Vec<Failure>,
    /// The longest body that it reads, in bytes.
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
    /// An operation that answers `body` when it succeeds, and else one of `failures`.
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
