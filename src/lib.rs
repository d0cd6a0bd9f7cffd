//! Hookturn rotates webhook signing secrets without dropping an event.
//!
//! The modules, in reading order:
//!
//! 1. [`domain`]: secrets, key rings, rotation and deliveries as pure values and functions.
//! 2. [`idempotency`]: one key, one change, one answer.
//! 3. [`store`]: the trait that makes changes atomic, and the stores in memory and in a file.
//! 4. [`service`]: the use cases, without HTTP.
//! 5. [`delivery`]: signs events and sends them to receivers.
//! 6. [`api`]: the two dialects, as HTTP APIs over the use cases.
//! 7. [`server`]: connections, with their deadlines and limits.
//! 8. [`config`], [`cli`], [`telemetry`] and [`output`]: settings, commands, logs, and their
//!    output.
//! 9. [`nearest`]: suggestions for mistyped words.
//! 10. [`cores`]: the runtimes over which connections and attempts are spread.
//! 11. [`clock`] and [`random`]: the only sources of time and randomness.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cores;
pub mod delivery;
pub mod domain;
pub mod idempotency;
pub mod nearest;
pub mod output;
pub mod random;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
