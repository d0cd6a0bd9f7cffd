//! How a signed event reaches its receiver.
//!
//! Read [`egress`] first (which addresses may be dialled), then [`sender`] (how one request is sent, and
//! what comes of it), [`message`] (what is in it, and which secrets sign it) and [`worker`] (which
//! delivery's turn it is). How signatures are made is in
//! [`domain::signature`](crate::domain::signature), when an attempt is made again in
//! [`domain::retry`](crate::domain::retry).

mod blocks;
mod connector;
pub mod dialer;
pub mod egress;
mod failure;
mod hand;
mod head;
pub mod headers;
pub mod message;
mod rest;
mod retry_after;
pub mod sender;
mod stream;
mod target;
pub mod worker;

pub use egress::{Blocked, EgressGuard};
pub use sender::{Reply, Sender};
pub use target::target;
pub use worker::Worker;
