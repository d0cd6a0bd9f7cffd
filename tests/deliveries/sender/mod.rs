//! Attempts over real sockets, to receivers of every bad habit. Only loopback.
//!
//! No test sleeps: each waits for what it is about, within [`PATIENCE`](hookturn_test::PATIENCE).

mod addresses;
mod answers;
mod attempt;
mod connections;
mod guard;
mod names;
mod tls;
