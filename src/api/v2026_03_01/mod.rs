//! The 2026-03-01 dialect: RFC 9457 problem documents, a grace that the caller chooses.
//!
//! One file or folder a resource. [`errors`] holds all words for what can go wrong, [`problem_types`] what the
//! pages say of them; [`instance`](mod@instance) turns a path into a URI reference for them.

pub mod deliveries;
pub mod document;
pub mod endpoints;
pub mod errors;
pub mod events;
pub mod instance;
pub mod no_fields;
pub mod paging;
pub mod problem_types;
pub mod secrets;

use super::openapi::Operations;

/// The operations of this dialect.
#[must_use]
pub fn operations() -> Operations {
    endpoints::operations()
        .merge(secrets::operations())
        .merge(events::operations())
        .merge(deliveries::operations())
}
