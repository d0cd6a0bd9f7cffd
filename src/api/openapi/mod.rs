//! What the `OpenAPI` 3.1 documents of both dialects share.
//!
//! An operation is named once, where its resource adds its handler to its [`Operations`]: that makes its route and its part
//! of the document. Success bodies, parameters and constraints stand beside each handler. Error answers
//! are not written down anywhere: [`complete`](Operations::complete) renders them by the code that answers them, so
//! that each example in a document is what the server says.

mod answers;
mod headers;
mod kind;
mod operation;
mod operations;
mod parameters;
mod responses;

pub use self::answers::{Answers, Wording};
pub use self::operations::{Operations, also_at};
