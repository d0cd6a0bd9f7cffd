//! The processor's cores, each with a single-threaded runtime of its own.
//!
//! A task stays on the core that it began on. So it is woken without a lock, what it touches stays in that core's cache,
//! and nothing looks for work on other cores. In exchange nothing moves away from a core that is busy: whatever hands out
//! work (connections, attempts of deliveries) gives it to the core that has least of it.

mod core;
mod mailbox;
mod spread;
mod threads;

pub use self::core::{Core, Cores};
pub use self::spread::Spread;
pub use self::threads::Threads;
