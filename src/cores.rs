//! The processor's cores, each with a single-threaded runtime of its own.
//!
//! A task stays on the core that it began on. So it is woken without a lock, what it touches stays in that core's cache,
//! and nothing looks for work on other cores. In exchange nothing moves away from a core that is busy: whatever hands out
//! work (connections, attempts of deliveries) gives it to the core that has least of it.

mod mailbox;
mod spread;

use std::{
    io,
    num::NonZero,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    task::JoinHandle,
};

use mailbox::{Mailbox, Reachable};

pub use spread::Spread;

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

/// Threads with a runtime each.
///
/// Dropping it ends their tasks where they are, without waiting for them.
#[derive(Debug)]
pub struct Threads {
    cores: Cores,
    stop: Vec<oneshot::Sender<()>>,
    /// Closed when the last thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Threads {
    /// Starts a thread for each core that the process may use.
    ///
    /// # Errors
    ///
    /// When there is no thread or no runtime to be had.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        Self::start_some(count)
    }

    /// Starts so many threads, and at least one.
    ///
    /// # Errors
    ///
    /// When there is no thread or no runtime to be had.
    pub fn start_some(count: usize) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel();
        let mut cores = Vec::new();
        let mut stop = Vec::new();
        for number in 0..count.max(1) {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (stop_it, stopped) = oneshot::channel();
            stop.push(stop_it);
            let mailbox = Arc::new(Mailbox::default());
            cores.push(Core {
                handle: runtime.handle().clone(),
                mailbox: Some(Arc::clone(&mailbox)),
            });
            let alive = alive.clone();
            thread::Builder::new()
                .name(format!("hookturn-{number}"))
                .spawn(move || {
                    mailbox.is_of_this_thread();
                    runtime.block_on(async {
                        tokio::select! {
                            // An error says that the sender is gone, which is an end as well.
                            _ = stopped => {}
                            () = mailbox.empty_always() => {}
                        }
                    });
                    runtime.shutdown_background();
                    drop(alive);
                })?;
        }
        Ok(Self {
            cores: Cores(cores.into()),
            stop,
            ended,
        })
    }

    /// The runtimes of the threads.
    #[must_use]
    pub fn cores(&self) -> &Cores {
        &self.cores
    }

    /// Ends all tasks where they are, and waits for the threads, but no longer than `within`: one may be stuck.
    pub fn stop(self, within: Duration) {
        drop(self.stop);
        // Nothing is ever sent: this waits until the threads have ended.
        let _ = self.ended.recv_timeout(within);
    }
}
