//! The runtimes over which work is spread.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::mailbox::{Mailbox, Reachable};

/// The runtimes over which work is spread; at least one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cores(Arc<[Core]>);

/// One runtime. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Core {
    handle: Handle,
    /// Its mailbox, when it has a single thread.
    mailbox: Option<Arc<Mailbox>>,
}

impl Cores {
    pub(super) fn of(cores: Vec<Core>) -> Self {
        Self(cores.into())
    }

    /// Returns only the runtime of the caller, which may use several cores.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn current() -> Self {
        Self(Arc::new([Core {
            handle: Handle::current(),
            mailbox: None,
        }]))
    }

    /// Returns the cores, always in the same order.
    pub fn iter(&self) -> impl Iterator<Item = &Core> {
        self.0.iter()
    }

    /// Returns the first core.
    #[must_use]
    pub fn first(&self) -> &Core {
        &self.0[0]
    }
}

impl Core {
    /// Makes the core of a single-threaded runtime, whose thread empties `mailbox`.
    pub(super) const fn of_thread(handle: Handle, mailbox: Arc<Mailbox>) -> Self {
        Self {
            handle,
            mailbox: Some(mailbox),
        }
    }

    /// Runs `task` on this core.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(self.reachable(task))
    }

    /// Returns the runtime, for tasks that other threads seldom wake.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Wraps `task`, to be run on this core, so that other threads wake it cheaply.
    pub fn reachable<F: Future + Send>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + Send + use<F> {
        Reachable::new(self.mailbox.clone(), task)
    }
}
