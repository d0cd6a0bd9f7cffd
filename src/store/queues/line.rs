//! Orders the queues of one tenant.

use std::collections::BTreeSet;

use crate::domain::Timestamp;

/// When a delivery is due, and its position in the order of creation.
pub(in crate::store) type First = (Timestamp, u64);

/// Queues with their attempts in flight and their first waiting deliveries.
pub(super) struct Line<E> {
    /// Those whose first delivery is due. The first of them has the fewest attempts in flight, and
    /// among equals has waited longest.
    ready: BTreeSet<(usize, First, E)>,
    /// The others, by when their first delivery is due.
    later: BTreeSet<(First, usize, E)>,
}

impl<E> Default for Line<E> {
    fn default() -> Self {
        Self {
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
        }
    }
}

impl<E: Clone + Ord> Line<E> {
    /// Adds a queue.
    pub fn insert(&mut self, in_flight: usize, first: First, endpoint: E) {
        self.later.insert((first, in_flight, endpoint));
    }

    /// Removes a queue that was added with these values.
    pub fn remove(&mut self, in_flight: usize, first: First, endpoint: &E) {
        if !self.ready.remove(&(in_flight, first, endpoint.clone())) {
            self.later.remove(&(first, in_flight, endpoint.clone()));
        }
    }

    /// Notes which queues are ready at `now`.
    pub fn note_time(&mut self, now: Timestamp) {
        while let Some(((at, _), _, _)) = self.later.first()
            && *at <= now
            && let Some((first, in_flight, endpoint)) = self.later.pop_first()
        {
            self.ready.insert((in_flight, first, endpoint));
        }
    }

    /// Returns the endpoint whose queue goes next.
    pub fn first(&self) -> Option<&E> {
        self.ready.first().map(|(_, _, endpoint)| endpoint)
    }

    /// Returns the attempts in flight and the first delivery of the queue that goes next.
    pub fn first_ready(&self) -> Option<(usize, First)> {
        let first = self.ready.first();
        first.map(|(in_flight, first, _)| (*in_flight, *first))
    }

    /// Returns when the next queue becomes ready.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|((at, _), _, _)| *at)
    }

    /// Returns how many queues are ready.
    pub fn count_ready(&self) -> usize {
        self.ready.len()
    }

    /// Returns whether there are no queues.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.later.is_empty()
    }
}
