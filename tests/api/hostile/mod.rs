//! Hostile clients against the whole server, over real sockets on loopback.
//!
//! An attack may be answered or end its connection; it may never be served as something that it is
//! not, keep others waiting, or leave anything behind. So every test ends with rotations as any
//! client would ask for them. Nothing sleeps: a test waits for an answer or for the end of a
//! connection, within [`PATIENCE`](hookturn_test::PATIENCE).
//!
//! Reading order: [`server`] (what is attacked) and [`client`] (with what), then the attacks:
//! [`heads`], [`targets`], [`hosts`], [`framing`], [`bodies`], [`json`], [`values`], [`slow`],
//! [`http2`], and [`memory`], which attacks the program itself.

mod bodies;
mod client;
pub mod frames;
mod framing;
mod heads;
mod hosts;
mod http2;
mod json;
// It reads `/proc`.
#[cfg(target_os = "linux")]
mod memory;
mod server;
mod slow;
mod targets;
mod values;
