//! The 2026-03-01 dialect: RFC 9457 problem documents, and a grace period that the caller chooses.
//!
//! Each resource has its own file or folder. [`errors`] words everything that can go wrong,
//! [`problem_types`] has the text of the pages about problems, and [`instance`](mod@instance) turns
//! the path of a request into a URI reference.

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

/// Returns the operations of this dialect.
#[must_use]
pub fn operations() -> Operations {
    endpoints::operations()
        .merge(secrets::operations())
        .merge(events::operations())
        .merge(deliveries::operations())
}
