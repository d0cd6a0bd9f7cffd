//! Whose turn it is: which queue of deliveries may have the next attempt, and when.
//!
//! The rules that keep receivers which are slow or dead from delaying the others, in one place for all
//! stores ([`DeliveryLimits`] gives the figures):
//!
//! 1. No more attempts are under way than there is room for, in all and to one endpoint.
//! 2. A queue whose last attempt failed gets one attempt at a time, which is enough to find out that its
//!    receiver is back; all such queues together get at most half of the room, but one attempt at least.
//! 3. While half of the room or more is taken, nobody gets a second place before all have a first.
//! 4. Among those that may go, what has waited longest goes first; of the same time, what is older.
//!
//! Nothing here knows what a delivery is or where it lives: a store says when the first of each queue is
//! due, and asks for the next queue. The first of each queue that has room stands in one ordered set for
//! all, so that finding work costs the same however many deliveries wait on receivers that are dead, slow
//! or disabled.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Bound;
use std::time::Duration;

use super::DeliveryLimits;
use crate::domain::Timestamp;

/// Where failing queues stand in [`Queues::due`].
const FAILING: usize = 1;

/// When a delivery is due, and its place in the order of creation.
pub(super) type First = (Timestamp, u64);

/// The first of a queue, as it stands in [`Queues::due`]. The key is always there: `None` comes before all
/// keys, so that a search can start at a time.
type Due<K> = (Timestamp, u64, Option<K>);

/// The queues of all endpoints. One that it was told nothing of is active, well and empty.
pub(super) struct Queues<K> {
    limits: DeliveryLimits,
    by_key: HashMap<K, Queue>,
    /// The first of each queue that has room: of those that are well, and of those that are failing, so
    /// that the failing ones are passed by in one step when they have had their share of the room.
    due: [BTreeSet<Due<K>>; 2],
    in_flight: usize,
    /// How many of them were claimed from a failing queue.
    in_flight_failing: usize,
}

/// A place that an attempt takes up, from [`Queues::take`] until [`Queues::release`]. One that is lost
/// takes up its place for ever.
#[derive(Debug)]
#[must_use]
pub(super) struct Turn {
    /// Whether its queue was failing when it was taken.
    is_probe: bool,
}

/// How far one claim has passed queues by because the room is crowded and they have a place already.
pub(super) struct Passed<K>([Option<Due<K>>; 2]);

impl<K> Default for Passed<K> {
    fn default() -> Self {
        Self([None, None])
    }
}

struct Queue {
    /// The first of those that wait.
    first: Option<First>,
    in_flight: usize,
    /// Whether the last attempt failed.
    is_failing: bool,
    is_active: bool,
    /// Whether it is to be forgotten when its last attempt has ended.
    is_gone: bool,
    /// Under which time and position it stands in which set of [`Queues::due`].
    due: Option<(usize, First)>,
}

impl Queue {
    const fn new() -> Self {
        Self {
            first: None,
            in_flight: 0,
            is_failing: false,
            is_active: true,
            is_gone: false,
            due: None,
        }
    }

    fn has_room(&self, limits: &DeliveryLimits) -> bool {
        let most = if self.is_failing {
            1
        } else {
            limits.in_flight_per_endpoint
        };
        self.is_active && self.in_flight < most
    }
}

impl<K: Clone + Ord + Hash> Queues<K> {
    /// None yet.
    pub fn new(limits: DeliveryLimits) -> Self {
        Self {
            limits,
            by_key: HashMap::new(),
            due: [BTreeSet::new(), BTreeSet::new()],
            in_flight: 0,
            in_flight_failing: 0,
        }
    }

    /// Says which delivery of a queue waits first, if any does. Those under way do not wait.
    pub fn waits(&mut self, key: &K, first: Option<First>) {
        if first.is_none() && !self.by_key.contains_key(key) {
            return;
        }
        self.change(key, |queue| {
            queue.first = first;
            queue.is_gone &= first.is_none();
        });
    }

    /// Starts or stops a queue.
    pub fn set_active(&mut self, key: &K, is_active: bool) {
        if is_active && !self.by_key.contains_key(key) {
            return;
        }
        self.change(key, |queue| {
            queue.is_active = is_active;
            // Whoever turns it on again has mended it.
            queue.is_failing &= !is_active;
        });
    }

    /// Says whether the last attempt of a queue failed, where it was made before this began.
    pub fn set_failing(&mut self, key: &K, is_failing: bool) {
        if is_failing || self.by_key.contains_key(key) {
            self.change(key, |queue| queue.is_failing = is_failing);
        }
    }

    /// Whether a queue is not stopped.
    pub fn is_active(&self, key: &K) -> bool {
        self.by_key.get(key).is_none_or(|queue| queue.is_active)
    }

    /// The queue whose turn it is at `now`, if one is due and has room. It stays its turn until it is
    /// [taken](Self::take). `passed` is of one claim, in which nothing is released.
    pub fn next(&self, now: Timestamp, passed: &mut Passed<K>) -> Option<K> {
        if self.in_flight >= self.limits.in_flight {
            return None;
        }
        let is_crowded = self.in_flight * 2 >= self.limits.in_flight;
        loop {
            let (place, due) = self.first_due(passed)?;
            let key = due.2.as_ref().filter(|_| due.0 <= now)?;
            let has_place = |queue: &Queue| queue.in_flight > 0;
            if is_crowded && self.by_key.get(key).is_some_and(has_place) {
                passed.0[place] = Some(due.clone());
                continue;
            }
            return Some(key.clone());
        }
    }

    /// The first that is due after those that were `passed`, and in which set it stands: of the failing
    /// ones only while they have not had their share of the room.
    fn first_due(&self, passed: &Passed<K>) -> Option<(usize, &Due<K>)> {
        let share = (self.limits.in_flight / 2).max(1);
        let sets = if self.in_flight_failing < share { 2 } else { 1 };
        let firsts = self.due.iter().take(sets).enumerate();
        let firsts = firsts.filter_map(|(place, due)| {
            let after = passed.0[place]
                .as_ref()
                .map_or(Bound::Unbounded, Bound::Excluded);
            Some((place, due.range((after, Bound::Unbounded)).next()?))
        });
        firsts.min_by_key(|(_, due)| *due)
    }

    /// Begins an attempt of the first that waits in a queue. What comes after it must then be said with
    /// [`Self::waits`]: until then, nothing waits.
    pub fn take(&mut self, key: &K) -> Turn {
        let mut is_probe = false;
        self.change(key, |queue| {
            queue.first = None;
            queue.in_flight += 1;
            is_probe = queue.is_failing;
        });
        self.in_flight += 1;
        self.in_flight_failing += usize::from(is_probe);
        Turn { is_probe }
    }

    /// Ends an attempt of a queue. `failed` is what is learnt about its receiver, `None` if nothing is.
    #[expect(clippy::needless_pass_by_value, reason = "a turn ends only once")]
    pub fn release(&mut self, key: &K, turn: Turn, failed: Option<bool>) {
        self.in_flight -= 1;
        self.in_flight_failing -= usize::from(turn.is_probe);
        let mut is_over = false;
        self.change(key, |queue| {
            queue.in_flight -= 1;
            queue.is_failing = failed.unwrap_or(queue.is_failing);
            is_over = queue.is_gone && queue.in_flight == 0;
        });
        if is_over {
            self.by_key.remove(key);
        }
    }

    /// When the first delivery is due that is due later than `now`, among the first of each queue that
    /// has room. What is due at `now` waits for room.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let from = (now.plus(Duration::from_millis(1)), 0, None);
        let later = |due: &BTreeSet<Due<K>>| due.range(&from..).next().map(|(at, _, _)| *at);
        self.due.iter().filter_map(later).min()
    }

    /// Whether something is due at `now`, whether or not there is room for it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let mut firsts = self.due.iter().filter_map(BTreeSet::first);
        firsts.any(|(at, _, _)| *at <= now)
    }

    /// Forgets a queue whose endpoint or whole history is gone. What of it is still under way keeps its
    /// place until it is released.
    pub fn forget(&mut self, key: &K) {
        if !self.by_key.contains_key(key) {
            return;
        }
        let mut is_over = false;
        self.change(key, |queue| {
            *queue = Queue {
                in_flight: queue.in_flight,
                due: queue.due,
                is_gone: true,
                ..Queue::new()
            };
            is_over = queue.in_flight == 0;
        });
        if is_over {
            self.by_key.remove(key);
        }
    }

    /// Changes a queue, and enters it among those that are due, by its first, or takes it out.
    fn change(&mut self, key: &K, change: impl FnOnce(&mut Queue)) {
        let queue = self.by_key.entry(key.clone());
        let queue = queue.or_insert_with(Queue::new);
        change(queue);
        let first = queue.first.filter(|_| queue.has_room(&self.limits));
        let place = if queue.is_failing { FAILING } else { 0 };
        let due = first.map(|first| (place, first));
        if due == queue.due {
            return;
        }
        if let Some((place, (at, position))) = queue.due {
            self.due[place].remove(&(at, position, Some(key.clone())));
        }
        if let Some((place, (at, position))) = due {
            self.due[place].insert((at, position, Some(key.clone())));
        }
        queue.due = due;
    }
}

#[cfg(test)]
mod tests;
