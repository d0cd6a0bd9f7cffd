//! A thread for each core, with its runtime.

use std::{
    io,
    num::NonZero,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{runtime, sync::oneshot};

use super::{
    core::{Core, Cores},
    mailbox::Mailbox,
};

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
            cores: Cores::of(cores),
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
