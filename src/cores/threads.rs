//! Starts and stops the threads of the cores, each with its runtime.

use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime;
use tokio::sync::oneshot;

use super::core::{Core, Cores};
use super::mailbox::Mailbox;

/// How many tasks of a core run before one that another thread has spawned, such as a new
/// connection, if there is one. With tokio's default of 31, a few hundred new connections would
/// take a fifth of a second to begin while the others are busy.
const TASKS_BEFORE_A_NEW_ONE: u32 = 2;

/// Threads, each with a runtime.
///
/// Dropping it ends their tasks at once, without waiting for them.
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
    /// When a thread or a runtime cannot be started.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        Self::start_some(count)
    }

    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    ///
    /// When a thread or a runtime cannot be started.
    pub fn start_some(count: usize) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel();
        let mut cores = Vec::new();
        let mut stop = Vec::new();
        for number in 0..count.max(1) {
            let runtime = runtime::Builder::new_current_thread()
                .global_queue_interval(TASKS_BEFORE_A_NEW_ONE)
                .enable_all()
                .build()?;
            let (stop_it, stopped) = oneshot::channel();
            stop.push(stop_it);
            let mailbox = Arc::new(Mailbox::default());
            cores.push(Core::of_thread(
                runtime.handle().clone(),
                Arc::clone(&mailbox),
            ));
            let alive = alive.clone();
            thread::Builder::new()
                .name(format!("hookturn-{number}"))
                .spawn(move || {
                    mailbox.is_of_this_thread();
                    runtime.block_on(async {
                        tokio::select! {
                            // An error means that the sender was dropped, which is also a stop.
                            _ = stopped => {}
                            () = mailbox.empty_always() => {}
                        }
                    });
                    runtime.shutdown_background();
                    drop(alive);
                })?;
        }
        Ok(Self {
            cores: Cores::of(cores),
            stop,
            ended,
        })
    }

    /// Returns the runtimes of the threads.
    #[must_use]
    pub fn cores(&self) -> &Cores {
        &self.cores
    }

    /// Ends all tasks at once and waits for the threads, at most for `within`, since a thread may
    /// be stuck.
    pub fn stop(self, within: Duration) {
        drop(self.stop);
        // Nothing is ever sent, so this waits until the threads have ended.
        let _ = self.ended.recv_timeout(within);
    }
}
