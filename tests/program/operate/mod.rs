//! The operator's commands on the file of a store: the real program, real files, real servers
//! beside.
//!
//! No test sleeps: who waits, waits for an answer, a line or an exit, within
//! [`PATIENCE`](hookturn_test::PATIENCE).

mod backup;
mod check;
mod rewrap;
mod support;
