//! Hookturn.

pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;
