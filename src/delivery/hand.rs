//! Makes the attempts of one core.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::cores::Core;
use crate::store::Claimed;

/// How long after the end of an attempt the worker is notified.
///
/// If the limits on attempts in flight make a delivery wait, the store notifies the worker at once.
/// This notification is for deliveries that are due later: the worker learns of them only when it
/// claims again.
const TELLING: Duration = Duration::from_millis(5);

/// One core's share of the [`Worker`](super::Worker)'s attempts. Dropping it ends the attempts in
/// flight.
pub(super) struct Hand {
    /// Deliveries that were taken and whose attempts have not begun.
    taken: Vec<Claimed>,
    batches: mpsc::UnboundedSender<Vec<Claimed>>,
    counts: Arc<Counts>,
    task: Task,
}

/// How far the attempts are that a core was given.
#[derive(Default)]
struct Counts {
    /// Those that have not ended.
    under_way: AtomicUsize,
    /// Those that have not begun.
    waiting: AtomicUsize,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Hand {
    /// Starts a task on `core` that makes attempts with `attempt`. It notifies `ended` when
    /// attempts have ended, and `begun` when all that it was given have begun.
    pub fn start<A, F>(core: &Core, attempt: A, ended: Arc<Notify>, begun: Arc<Notify>) -> Self
    where
        A: Fn(Claimed) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (batches, to_begin) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        let of_attempts = Arc::clone(&counts);
        let begin = move |claimed| {
            let (counts, begun) = (Arc::clone(&of_attempts), Arc::clone(&begun));
            let attempt = attempt(claimed);
            async move {
                if counts.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
                    begun.notify_one();
                }
                attempt.await;
            }
        };
        let of_task = Arc::clone(&counts);
        let task = core.spawn(make_attempts(core.clone(), begin, to_begin, of_task, ended));
        Self {
            taken: Vec::new(),
            batches,
            counts,
            task: Task(task),
        }
    }

    /// Returns the number of attempts that have not ended.
    pub fn under_way(&self) -> usize {
        self.counts.under_way.load(Ordering::Relaxed)
    }

    /// Returns the number of attempts that have not begun.
    pub fn waiting(&self) -> usize {
        self.counts.waiting.load(Ordering::Relaxed)
    }

    /// Takes a claimed delivery. Its attempt starts with the next call of [`begin`](Self::begin).
    pub fn take(&mut self, claimed: Claimed) {
        self.counts.under_way.fetch_add(1, Ordering::Relaxed);
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        self.taken.push(claimed);
    }

    /// Begins all attempts that were taken since the last call, so that the core is woken only
    /// once.
    pub fn begin(&mut self) {
        if !self.taken.is_empty() {
            // The receiving task runs until `self` is dropped, unless the whole core has ended.
            let _ = self.batches.send(std::mem::take(&mut self.taken));
        }
    }

    /// Waits for the attempts in flight.
    pub async fn end(self) {
        let Self {
            batches, mut task, ..
        } = self;
        drop(batches);
        let _ = (&mut task.0).await;
    }
}

async fn make_attempts<F: Future<Output = ()> + Send + 'static>(
    core: Core,
    attempt: impl Fn(Claimed) -> F,
    mut batches: mpsc::UnboundedReceiver<Vec<Claimed>>,
    counts: Arc<Counts>,
    ended: Arc<Notify>,
) {
    let mut attempts = JoinSet::new();
    let mut tell_at = None;
    loop {
        tokio::select! {
            batch = batches.recv() => {
                let Some(batch) = batch else {
                    break;
                };
                for claimed in batch {
                    attempts.spawn(core.reachable(attempt(claimed)));
                }
            }
            _ = attempts.join_next(), if !attempts.is_empty() => {
                let mut count = 1;
                while attempts.try_join_next().is_some() {
                    count += 1;
                }
                counts.under_way.fetch_sub(count, Ordering::Relaxed);
                tell_at.get_or_insert_with(|| Instant::now() + TELLING);
            }
            () = sleep_until(tell_at.unwrap_or_else(Instant::now)), if tell_at.is_some() => {
                tell_at = None;
                ended.notify_one();
            }
        }
    }
    while attempts.join_next().await.is_some() {}
}
