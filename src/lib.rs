//! Hookturn rotates webhook signing secrets without dropping an event.
//!
//! A tour, in reading order:
//!
//! 1. [`domain`]: what a secret, a key ring and a rotation are. Pure.
//! 2. [`idempotency`]: one key, one change, one answer.
//! 3. [`store`]: the trait that makes a decision atomic, and the store in memory.
//! 4. [`service`]: the use cases, without HTTP.
//! 5. [`api`]: the two dialects over them.
//! 6. [`clock`] and [`random`]: the only doors for time and randomness.

pub mod clock;
pub mod domain;
pub mod idempotency;
pub mod random;
pub mod service;
pub mod store;
