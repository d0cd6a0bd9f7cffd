//! Delivers signed events to their receivers.
//!
//! Read [`egress`] first: it decides which addresses the server may connect to. Then read
//! [`sender`] (sends one request and reports the result), [`message`] (builds the request and
//! chooses the secrets that sign it) and [`worker`] (decides which delivery comes next).
//!
//! Signatures are computed in [`domain::signature`](crate::domain::signature). The retry schedule
//! is in [`domain::retry`](crate::domain::retry).

mod attempt_error;
mod blocks;
mod connector;
pub mod dialer;
pub mod egress;
mod hand;
mod head;
pub mod headers;
pub mod message;
mod resolver;
mod rest;
mod retry_after;
pub mod sender;
mod socket;
mod stream;
mod target;
pub mod worker;

pub use blocks::Blocked;
pub use egress::EgressGuard;
pub use resolver::SystemResolver;
pub use sender::{Reply, Sender, SenderOptions};
pub use target::target;
pub use worker::Worker;
