//! Decides which endpoint gets the next attempt, and when.
//!
//! Each endpoint has a queue of waiting deliveries. The rules here keep slow or dead receivers from
//! delaying the others, in the same way in every store ([`DeliveryLimits`] has the numbers):
//!
//! 1. The attempts in flight are limited, in total and for each endpoint.
//! 2. A queue whose last attempt failed gets one attempt at a time, which is enough to find out
//!    that its receiver is back. All failing queues together get at most half of the capacity, but
//!    at least one attempt.
//! 3. While half of the capacity or more is used, no queue gets a second slot before every queue
//!    has its first.
//! 4. Of the queues that may go, the one that has waited longest goes first; of two with the same
//!    time, the one whose delivery is older.
//!
//! This module does not know what a delivery is or where it is stored. A store says when the first
//! delivery of each queue is due, and asks for the next queue. One ordered set holds the first
//! delivery of each queue that has capacity. So finding work costs the same however many deliveries
//! wait for dead, slow or disabled receivers.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Bound;
use std::time::Duration;

use super::DeliveryLimits;
use crate::domain::Timestamp;

/// The index of the failing queues in [`Queues::due`].
const FAILING: usize = 1;

/// When a delivery is due, and its position in the order of creation.
pub(super) type First = (Timestamp, u64);

/// The entry of a queue in [`Queues::due`]: its first delivery and its key. Every entry has a key.
/// `None` sorts before all keys, so that a search can start at a time.
type Due<K> = (Timestamp, u64, Option<K>);

/// The queues of all endpoints. A queue that is not known here is active, not failing and empty.
pub(super) struct Queues<K> {
    limits: DeliveryLimits,
    by_key: HashMap<K, Queue>,
    /// The first delivery of each queue that has capacity. The first set has the healthy queues and
    /// the second one the failing ones, so that all failing queues are skipped in one step when
    /// they have used their share.
    due: [BTreeSet<Due<K>>; 2],
    in_flight: usize,
    /// How many of the attempts in flight were taken from a failing queue.
    in_flight_failing: usize,
}

/// A slot that an attempt occupies, from [`Queues::take`] until [`Queues::release`]. A slot that is
/// dropped stays occupied for ever.
#[derive(Debug)]
#[must_use]
pub(super) struct Turn {
    /// Whether the queue was failing when the slot was taken.
    is_probe: bool,
}

/// How far one claim has skipped queues that already have a slot, because half of the capacity is
/// used.
pub(super) struct Passed<K>([Option<Due<K>>; 2]);

impl<K> Default for Passed<K> {
    fn default() -> Self {
        Self([None, None])
    }
}

struct Queue {
    /// The first waiting delivery.
    first: Option<First>,
    in_flight: usize,
    /// Whether the last attempt failed.
    is_failing: bool,
    is_active: bool,
    /// Whether to remove the queue when its last attempt has ended.
    is_gone: bool,
    /// The set and the entry of this queue in [`Queues::due`].
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
    /// Returns an empty set of queues.
    pub fn new(limits: DeliveryLimits) -> Self {
        Self {
            limits,
            by_key: HashMap::new(),
            due: [BTreeSet::new(), BTreeSet::new()],
            in_flight: 0,
            in_flight_failing: 0,
        }
    }

    /// Sets the first waiting delivery of a queue, or `None` when none waits. Deliveries in flight
    /// do not wait.
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
            // An operator who enables an endpoint again has repaired its receiver.
            queue.is_failing &= !is_active;
        });
    }

    /// Sets whether the last attempt of a queue failed, when that attempt was made before the
    /// program started.
    pub fn set_failing(&mut self, key: &K, is_failing: bool) {
        if is_failing || self.by_key.contains_key(key) {
            self.change(key, |queue| queue.is_failing = is_failing);
        }
    }

    /// Returns whether a queue is started.
    pub fn is_active(&self, key: &K) -> bool {
        self.by_key.get(key).is_none_or(|queue| queue.is_active)
    }

    /// Returns the queue that gets an attempt at `now`, if one is due and has capacity. Returns the
    /// same queue until it is [taken](Self::take). `passed` belongs to one claim, during which
    /// nothing is released.
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

    /// Returns the first due entry after those in `passed`, and the index of its set. Failing
    /// queues count only while they have not used their share of the capacity.
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

    /// Begins an attempt of the first waiting delivery of a queue. The caller must then set the
    /// delivery after it with [`Self::waits`]: until then the queue counts as empty.
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

    /// Ends an attempt of a queue. `failed` says whether it failed, and is `None` if that is not
    /// known.
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

    /// Returns when the next delivery after `now` is due, of the first deliveries of the queues
    /// that have capacity. What is due at `now` waits for capacity.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let from = (now.plus(Duration::from_millis(1)), 0, None);
        let later = |due: &BTreeSet<Due<K>>| due.range(&from..).next().map(|(at, _, _)| *at);
        self.due.iter().filter_map(later).min()
    }

    /// Returns whether a delivery is due at `now`, whether or not there is capacity for it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let mut firsts = self.due.iter().filter_map(BTreeSet::first);
        firsts.any(|(at, _, _)| *at <= now)
    }

    /// Removes a queue whose endpoint or whole history was deleted. Its attempts in flight keep
    /// their slots until they are released.
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

    /// Changes a queue, and updates its entry in [`Self::due`].
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
