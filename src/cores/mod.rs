//! The processor's cores, each of which has a single-threaded runtime.
//!
//! A task stays on the core on which it began. So it is woken without a lock, its data stays in
//! that core's cache, and no core looks for work on others. In exchange, no task moves away from a
//! busy core, so connections and attempts of deliveries are given to the core that has the fewest
//! of them.

mod core;
mod mailbox;
mod spread;
mod threads;

pub use self::core::{Core, Cores};
pub use self::spread::Spread;
pub use self::threads::Threads;
