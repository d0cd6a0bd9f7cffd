//! How a signed event reaches its receiver.
//!
//! Read [`egress`] first (which addresses may be dialled), then [`sender`] (what one attempt is, and
//! what comes of it).
//!
//! What is not here: what is sent and how it is signed ([`domain::signature`](crate::domain::signature)),
//! and when an attempt is made again.

mod blocks;
mod connector;
pub mod egress;
mod failure;
mod retry_after;
pub mod sender;

pub use egress::{Blocked, EgressGuard};
pub use sender::{Reply, Sender};
