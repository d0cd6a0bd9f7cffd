//! What every store promises, and what the layers above make of it: one suite that each store runs, faults injected into
//! a store, idempotency over real sockets, and secrecy of the program as it is started.
//!
//! No test sleeps: time is the test clock's, and whoever waits, waits for something, within
//! [`PATIENCE`](hookturn_test::PATIENCE).

mod conformance;
mod damage;
mod faults;
mod http;
mod http_disconnects;
mod http_idempotency;
mod memory;
mod secrecy;
mod support;
