//! Hookturn rotates webhook signing secrets without dropping an event.
//!
//! A tour, in reading order:
//!
//! 1. [`domain`]: what a secret, a key ring and a rotation are. Pure.
//! 2. [`idempotency`]: one key, one change, one answer.
//! 3. [`store`]: the trait that makes a decision atomic, and the store in memory.
//! 4. [`service`]: the use cases, without HTTP.
//! 5. [`delivery`]: signed events on their way to receivers.
//! 6. [`api`]: the two dialects over them.
//! 7. [`server`]: the sockets that carry them, with their deadlines and limits.
//! 8. [`config`], [`cli`], [`telemetry`] and [`output`]: settings, commands, logs, and what writes
//!    them.
//! 9. [`nearest`]: what a mistyped word was meant as.
//! 10. [`clock`] and [`random`]: the only doors for time and randomness.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
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
