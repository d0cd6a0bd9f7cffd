//! Hookturn.

pub mod server;
