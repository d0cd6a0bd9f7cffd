//! Keeps the events whose deliveries are still to be made, in turns between tenants.
//!
//! An event for many endpoints is accepted by one small write: the event, and its audience, which
//! is the list of the endpoints that get it as of that instant. Its deliveries are made later, a
//! few at a time, between other work. So an event for very many endpoints makes nobody wait, and
//! what is not made yet takes little space.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

/// The most deliveries that one write makes.
///
/// An event for more endpoints gets its deliveries in steps of this size.
pub(super) const AT_ONCE: usize = 64;

/// The events of all tenants whose deliveries are not all made. `T` is a tenant, `E` an event and
/// `K` an endpoint.
#[derive(Debug)]
pub(super) struct PendingFanOuts<T, E, K> {
    /// In the order in which they were published.
    by_tenant: HashMap<T, VecDeque<PendingFanOut<E, K>>>,
    /// The tenants in the order of their turns. Each is here once.
    turns: VecDeque<T>,
}

/// An event, and who gets it.
#[derive(Clone, Debug)]
pub(super) struct PendingFanOut<E, K> {
    /// The event.
    pub event: E,
    /// The endpoints that get it. Events to the same endpoints share the list.
    pub audience: Arc<[K]>,
    /// How many of the audience are done.
    pub done: usize,
}

impl<E, K> PendingFanOut<E, K> {
    /// Returns the endpoints of the next step.
    pub fn next(&self) -> &[K] {
        let rest = self.audience.get(self.done..).unwrap_or_default();
        &rest[..rest.len().min(AT_ONCE)]
    }

    /// Returns whether the next step is the last.
    pub fn is_last_step(&self) -> bool {
        self.audience.len().saturating_sub(self.done) <= AT_ONCE
    }
}

impl<T, E, K> Default for PendingFanOuts<T, E, K> {
    fn default() -> Self {
        Self {
            by_tenant: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T: Clone + Eq + Hash, E, K> PendingFanOuts<T, E, K> {
    /// Adds an event at the end of its tenant's line.
    pub fn push(&mut self, tenant: &T, fan_out: PendingFanOut<E, K>) {
        let line = match self.by_tenant.entry(tenant.clone()) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(none) => {
                self.turns.push_back(tenant.clone());
                none.insert(VecDeque::new())
            }
        };
        line.push_back(fan_out);
    }

    /// Returns whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Returns the next event of the tenant whose turn it is. Leaves out tenants for which
    /// `is_sated` says that they have enough deliveries for now.
    pub fn next(&self, mut is_sated: impl FnMut(&T) -> bool) -> Option<(&T, &PendingFanOut<E, K>)> {
        let tenant = self.turns.iter().find(|tenant| !is_sated(tenant))?;
        Some((tenant, self.by_tenant.get(tenant)?.front()?))
    }

    /// Notes that the next step of the tenant's first event is done, and ends the tenant's turn.
    pub fn step_done(&mut self, tenant: &T) {
        if let Some(first) = self.by_tenant.get_mut(tenant).and_then(VecDeque::front_mut) {
            let is_last = first.is_last_step();
            first.done += first.next().len();
            if is_last {
                self.forget_first(tenant);
            } else {
                self.end_turn(tenant);
            }
        }
    }

    /// Removes the tenant's first event, and ends the tenant's turn.
    pub fn forget_first(&mut self, tenant: &T) {
        self.end_turn(tenant);
        if let Some(line) = self.by_tenant.get_mut(tenant) {
            line.pop_front();
            if line.is_empty() {
                self.by_tenant.remove(tenant);
                self.turns.pop_back();
            }
        }
    }

    fn end_turn(&mut self, tenant: &T) {
        if let Some(place) = self.turns.iter().position(|of| of == tenant)
            && let Some(ended) = self.turns.remove(place)
        {
            self.turns.push_back(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fan_out(event: &'static str, endpoints: usize) -> PendingFanOut<&'static str, usize> {
        PendingFanOut {
            event,
            audience: (0..endpoints).collect(),
            done: 0,
        }
    }

    /// Takes all steps, and returns the event and the first endpoint of each.
    fn steps(fan_outs: &mut PendingFanOuts<u8, &'static str, usize>) -> Vec<(&'static str, usize)> {
        let mut steps = Vec::new();
        while let Some((tenant, next)) = fan_outs.next(|_| false) {
            let tenant = *tenant;
            steps.push((next.event, next.next()[0]));
            fan_outs.step_done(&tenant);
        }
        steps
    }

    #[test]
    fn tenants_take_turns_and_their_events_go_in_order() {
        let mut fan_outs = PendingFanOuts::default();
        fan_outs.push(&1, fan_out("a", 2 * AT_ONCE));
        fan_outs.push(&1, fan_out("b", AT_ONCE));
        fan_outs.push(&2, fan_out("c", AT_ONCE + 1));
        let expected = [("a", 0), ("c", 0), ("a", AT_ONCE), ("c", AT_ONCE), ("b", 0)];
        assert_eq!(steps(&mut fan_outs), expected);
    }

    #[test]
    fn a_tenant_that_has_enough_is_left_out_for_now() {
        let mut fan_outs = PendingFanOuts::default();
        fan_outs.push(&1, fan_out("a", AT_ONCE));
        fan_outs.push(&2, fan_out("b", AT_ONCE));
        let next = fan_outs.next(|tenant| *tenant == 1);
        assert_eq!(
            next.map(|(tenant, next)| (*tenant, next.event)),
            Some((2, "b"))
        );
        assert!(fan_outs.next(|_| true).is_none());
        fan_outs.forget_first(&1);
        assert_eq!(steps(&mut fan_outs), [("b", 0)]);
    }
}
