//! Gives each task to the core that has the fewest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::core::{Core, Cores};

/// How long a core may take to begin a task before the task is offered to another core.
const BEGINS_WITHIN: Duration = Duration::from_millis(5);

/// Tasks of one kind, each on the core that had the fewest of them when it came.
#[derive(Debug)]
pub struct Spread {
    places: Box<[Place]>,
    /// Tasks that may not have begun, with the times by which they should have, in the order of
    /// those times.
    offered: VecDeque<(Instant, Offer)>,
}

#[derive(Debug)]
struct Place {
    number: usize,
    core: Core,
    load: Arc<Load>,
}

/// How many tasks of a [`Spread`] a core has.
#[derive(Debug, Default)]
struct Load {
    all: AtomicUsize,
    /// The tasks that it has not begun. If there are any, the core is busy with something else.
    waiting: AtomicUsize,
}

/// A task that is offered to cores, and that the first of them begins.
#[derive(Clone)]
struct Offer(Arc<Mutex<Option<MakeTask>>>);

/// Makes the task, from the number of the core that begins it.
type MakeTask = Box<dyn FnOnce(usize) -> BoxFuture<'static, ()> + Send>;

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offer")
    }
}

/// A task's share of its core's load.
struct Share(Arc<Load>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Spread {
    /// Makes an empty spread over `cores`.
    #[must_use]
    pub fn over(cores: &Cores) -> Self {
        let places = cores.iter().enumerate().map(|(number, core)| Place {
            number,
            core: core.clone(),
            load: Arc::default(),
        });
        Self {
            places: places.collect(),
            offered: VecDeque::new(),
        }
    }

    /// Runs a task on the core that has the fewest waiting tasks, and among equals on the one that
    /// has the fewest tasks. `make` gets the number of the core, from 0 in the order of
    /// [`Cores::iter`].
    pub fn spawn<F>(&mut self, make: impl FnOnce(usize) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let make: MakeTask = Box::new(move |number| Box::pin(make(number)));
        let offer = Offer(Arc::new(Mutex::new(Some(make))));
        let (_, place) = self.least_loaded();
        place.offer(&offer);
        if self.places.len() > 1 {
            self.offered
                .push_back((Instant::now() + BEGINS_WITHIN, offer));
        }
    }

    /// Offers tasks that have not begun in time to other cores, for ever. It can be dropped and
    /// called again.
    pub async fn offer_again(&mut self) {
        loop {
            while let Some((_, Offer(task))) = self.offered.front()
                && task.lock().is_none()
            {
                self.offered.pop_front();
            }
            let Some((deadline, _)) = self.offered.front() else {
                return std::future::pending().await;
            };
            sleep_until(*deadline).await;
            if let Some((_, offer)) = self.offered.pop_front()
                && offer.0.lock().is_some()
            {
                let (waiting, place) = self.least_loaded();
                if waiting == 0 {
                    place.offer(&offer);
                }
                self.offered
                    .push_back((Instant::now() + BEGINS_WITHIN, offer));
            }
        }
    }

    /// Returns the place for the next task, and how many tasks wait there.
    fn least_loaded(&self) -> (usize, &Place) {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        let key = |place: &Place| (count(&place.load.waiting), count(&place.load.all));
        let keys = self.places.iter().map(|place| (key(place), place));
        let least = keys.min_by_key(|(key, _)| *key);
        let ((waiting, _), place) = least.unwrap_or(((0, 0), &self.places[0]));
        (waiting, place)
    }
}

impl Place {
    fn offer(&self, Offer(task): &Offer) {
        self.load.all.fetch_add(1, Ordering::Relaxed);
        self.load.waiting.fetch_add(1, Ordering::Relaxed);
        let share = Share(Arc::clone(&self.load));
        let (task, number) = (Arc::clone(task), self.number);
        self.core.spawn(async move {
            share.0.waiting.fetch_sub(1, Ordering::Relaxed);
            let make = task.lock().take();
            if let Some(make) = make {
                make(number).await;
            }
            drop(share);
        });
    }
}
