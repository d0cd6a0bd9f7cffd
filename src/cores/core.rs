//! The runtimes that work is spread over.

use std::sync::Arc;

use tokio::{runtime::Handle, task::JoinHandle};

use super::mailbox::{Mailbox, Reachable};

/// The runtimes that work is spread over; at least one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cores(Arc<[Core]>);

/// One runtime. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Core {
    handle: Handle,
    /// Where it has a single thread.
    mailbox: Option<Arc<Mailbox>>,
}

impl Cores {
    pub(super) fn of(cores: Vec<Core>) -> Self {
        Self(cores.into())
    }

    /// The runtime of the caller alone, which may well be one that uses several cores.
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

    /// The cores, always in the same order.
    pub fn iter(&self) -> impl Iterator<Item = &Core> {
        self.0.iter()
    }

    /// The first core.
    #[must_use]
    pub fn first(&self) -> &Core {
        &self.0[0]
    }
}

impl Core {
    /// The runtime of one thread, which empties `mailbox`.
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

    /// The runtime, for tasks that are not often woken by other threads.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// `task`, to be run on this core: other threads wake it cheaply.
    pub fn reachable<F: Future + Send>(
        &self,
        task: F,
    ) -> impl Future<Output = F::Output> + Send + use<F> {
        Reachable::new(self.mailbox.clone(), task)
    }
}
