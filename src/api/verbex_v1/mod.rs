//! The Verbex v1 dialect: a grace of 72 hours, error bodies of its own.
//!
//! One file or folder a resource; [`errors`] holds all words for what can go wrong.

pub mod document;
pub mod errors;
pub mod rotate_secret;
pub mod subscriptions;

use super::openapi::Operations;

/// The operations of this dialect.
#[must_use]
pub fn operations() -> Operations {
    subscriptions::operations().merge(rotate_secret::operations())
}
