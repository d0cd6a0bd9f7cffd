//! What a document says of answers, and in which words.

use serde_json::Value;

use crate::api::body::MAX_BODY;
use crate::api::failure::{Failure, Rendered};

/// How one dialect's document says what all operations share.
pub struct Wording {
    /// Gives a failure this dialect's words.
    pub render: fn(&Failure) -> Rendered,
    /// The machine's word in a rendered error body, to name its example by.
    pub name: fn(&Value) -> String,
    /// The schema of an error body with this status.
    pub schema: fn(u16) -> &'static str,
    /// The name of the one security scheme, as the API's own document has it.
    pub security: &'static str,
}

/// What one operation answers, beside what all do.
pub struct Answers {
    /// What else can go wrong, the commonest first.
    pub failures: Vec<Failure>,
    /// The longest body that it reads, in bytes.
    pub max_body: usize,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            failures: Vec::new(),
            max_body: MAX_BODY,
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
