//! How a signed event reaches its receiver.
//!
//! [`egress`]: which addresses may be dialled.
//!
//! What is not here: what is sent and how it is signed ([`domain::signature`](crate::domain::signature)),
//! and when an attempt is made again.

mod blocks;
pub mod egress;

pub use egress::{Blocked, EgressGuard};
