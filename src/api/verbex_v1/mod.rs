//! The Verbex v1 dialect: a grace period of 72 hours, and its own error bodies.
//!
//! Each resource has its own file or folder. [`errors`] words everything that can go wrong.

pub mod document;
pub mod errors;
pub mod rotate_secret;
pub mod subscriptions;

use super::openapi::Operations;

/// Returns the operations of this dialect.
#[must_use]
pub fn operations() -> Operations {
    subscriptions::operations().merge(rotate_secret::operations())
}
