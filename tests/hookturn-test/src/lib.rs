//! Helpers that all tests of Hookturn share, so that there is one way to do each thing.
//!
//! - [`Server`] is the complete server in the test's own process, on a real socket, with a clock
//!   that the test moves. [`Serving`] is the layer below it: any router on a real socket.
//! - [`Program`] is the real program in its own process.
//! - [`Client`] sends requests to either of them, and checks each [`Answer`] against the `OpenAPI`
//!   documents.
//! - [`Receiver`] is a receiver of webhooks that reacts as the test says. [`RawReceiver`] is the
//!   layer below it: a script for each connection.
//! - [`FaultyStore`] is a store that fails as the test says.
//! - [`patiently`] and [`until`] wait for a condition, but not forever.
//!
//! A failing test panics, and so do these helpers.
#![expect(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "tests panic, and nobody builds a request to drop it"
)]

mod alone;
mod client;
mod faulty_store;
mod keys;
pub mod openapi;
mod output;
mod paths;
mod patience;
mod program;
mod receiver;
mod server;
mod serving;
mod signers;
mod values;

pub use alone::alone;
pub use client::{Answer, Client, Request, RequestBuilder};
pub use faulty_store::{Call, Fault, FaultyStore, INSIDE, NAMES};
pub use keys::{ACME, ACME_TOO, GLOBEX};
pub use output::Output;
pub use paths::{beside, program, scratch, scratch_in_memory};
pub use patience::{PATIENCE, patiently, until};
pub use program::{Ended, Program, hookturn, run, signal};
pub use receiver::{Connection, RawReceiver, Reaction, Received, Receiver, read_request, status};
pub use server::{Builder, START, Server, after, frozen};
pub use serving::Serving;
pub use signers::{fingerprint, signers};
pub use values::{SUBSCRIPTIONS, fields, id, list, lossy, millis, millis_of, subscription, text};
