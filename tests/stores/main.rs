//! Tests what every store promises, and how the layers above use it: one suite that each store
//! runs, faults injected into a store, idempotency over real sockets, and the secrecy of the
//! running program.
//!
//! No test sleeps. Time comes from the test clock, and a test waits only for a condition, for at
//! most [`PATIENCE`](hookturn_test::PATIENCE).

mod conformance;
mod damage;
mod faults;
mod http;
mod http_disconnects;
mod http_idempotency;
mod memory;
mod secrecy;
mod support;
mod unfinished;
