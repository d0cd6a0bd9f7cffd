//! Builds what the `OpenAPI` 3.1 documents of both dialects share.
//!
//! An operation is named once, where its resource adds its handler to its [`Operations`]. That
//! creates both its route and its part of the document. Success bodies, parameters and constraints
//! are declared beside each handler. Error answers are not declared:
//! [`complete`](Operations::complete) renders them with the code that serves requests, so each
//! example in a document is what the server really answers.

mod answers;
mod headers;
mod kind;
mod operation;
mod operations;
mod parameters;
mod responses;

pub use self::answers::{Answers, Wording};
pub use self::operations::{Operations, also_at};
