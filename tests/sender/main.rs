//! Attempts over real sockets, to receivers of every bad habit. Only loopback.
//!
//! No test sleeps: each waits for what it is about, within [`receiver::PATIENCE`].

mod addresses;
mod answers;
mod connections;
mod guard;
mod receiver;
mod tls;
