//! Keeps in memory which endpoint gets the next attempt, and which attempts are in flight.
//!
//! All of this is read from the file again when the program starts, except the attempts in flight.
//! Those are made again, since nobody knows how they ended: delivery is at least once. A claim that
//! is stored in the file would need a time-out, and would cost each delivery one more write.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;

use crate::domain::{Delivery, DeliveryId, Timestamp};
use crate::store::pending_fan_outs::{PendingFanOut, PendingFanOuts};
use crate::store::queues::{AttemptEnd, Queues, Turn};
use crate::store::{Hold, StoreLimits};

/// The numbers of a tenant and of one of its endpoints.
pub(super) type Key = (i64, i64);

/// The events whose deliveries are not all made, by the numbers of their tenants and endpoints.
pub(super) type Unmade = PendingFanOuts<i64, UnmadeEvent, i64>;

/// What making deliveries needs of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnmadeEvent {
    pub number: i64,
    pub created_at: Timestamp,
    /// The number of its audience.
    pub audience: i64,
}

/// A deleted endpoint that may have pending deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub endpoint: i64,
    pub tenant: i64,
    pub at: Timestamp,
}

/// A delivery with an attempt in flight.
pub(super) struct Held {
    pub endpoint: Key,
    id: DeliveryId,
    /// Whether its row may have changed since it was claimed.
    may_have_changed: bool,
    hold: Hold,
    turn: Turn,
}

/// A change of memory that is made once the batch is committed.
enum Effect {
    /// An attempt of this delivery has ended.
    Ended(i64, Option<AttemptEnd>),
    /// This endpoint was enabled or disabled.
    Active(Key, bool),
    /// This endpoint was deleted.
    Gone(Deletion),
    /// The deliveries of this event of a tenant are made later.
    MakeLater(i64, PendingFanOut<UnmadeEvent, i64>),
}

/// See the module documentation.
pub(super) struct Turns {
    pub queues: Queues<i64, i64>,
    /// The events whose deliveries are not all made.
    pub unmade: Unmade,
    /// The deleted endpoints whose pending deliveries are not all canceled.
    pub deletions: VecDeque<Deletion>,
    /// Their numbers. Nothing of them waits for its turn.
    pub being_canceled: HashSet<i64>,
    held: HashMap<i64, Held>,
    /// The numbers of the held deliveries.
    numbers: HashMap<DeliveryId, i64>,
    /// Deliveries that cannot be read. They wait until an operator has repaired the file and
    /// started the server again.
    pub unreadable: HashSet<i64>,
    /// Endpoints that cannot be read. Their deliveries wait in the same way.
    unreadable_endpoints: HashSet<Key>,
    /// The endpoints that may have retries. At the start these are all that have waiting
    /// deliveries.
    pub may_retry: HashSet<Key>,
    effects: Vec<Effect>,
    /// Endpoints whose deliveries have changed.
    touched: HashSet<Key>,
    /// Whether something other than the end of an attempt has changed.
    is_news: bool,
    last_hold: Hold,
}

impl Turns {
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            queues: Queues::new(limits),
            unmade: Unmade::default(),
            deletions: VecDeque::new(),
            being_canceled: HashSet::new(),
            held: HashMap::new(),
            numbers: HashMap::new(),
            unreadable_endpoints: HashSet::new(),
            unreadable: HashSet::new(),
            may_retry: HashSet::new(),
            effects: Vec::new(),
            touched: HashSet::new(),
            is_news: false,
            last_hold: Hold::default(),
        }
    }

    /// Returns a mark in the notes of the batch, for [`back_to`](Self::back_to).
    pub fn mark(&self) -> usize {
        self.effects.len()
    }

    /// Removes the notes that were made after `mark`.
    pub fn back_to(&mut self, mark: usize) {
        self.effects.truncate(mark);
    }

    /// Removes the notes of a batch that was not committed. The endpoints that it touched stay
    /// noted: looking them up again does no harm, and one that could not be looked up before may be
    /// among them.
    pub fn forget_batch(&mut self) {
        self.effects.clear();
        self.is_news = false;
    }

    /// Notes that an endpoint may have new waiting deliveries.
    pub fn touch(&mut self, endpoint: Key) {
        self.touched.insert(endpoint);
        self.is_news = true;
    }

    /// Notes that an attempt has ended.
    pub fn ended(&mut self, delivery: i64, endpoint: Key, ended: Option<AttemptEnd>) {
        self.touched.insert(endpoint);
        self.effects.push(Effect::Ended(delivery, ended));
    }

    /// Notes that an endpoint was enabled or disabled.
    pub fn active(&mut self, endpoint: Key, is_active: bool) {
        self.touch(endpoint);
        self.effects.push(Effect::Active(endpoint, is_active));
    }

    /// Notes that an endpoint was deleted.
    pub fn gone(&mut self, deletion: Deletion) {
        self.is_news = true;
        // Its deliveries are canceled.
        for held in self.held.values_mut() {
            held.may_have_changed |= held.endpoint.1 == deletion.endpoint;
        }
        self.effects.push(Effect::Gone(deletion));
    }

    /// Notes that the deliveries of an event are made later.
    pub fn make_later(&mut self, tenant: i64, fan_out: PendingFanOut<UnmadeEvent, i64>) {
        self.is_news = true;
        self.effects.push(Effect::MakeLater(tenant, fan_out));
    }

    /// Returns the next event whose deliveries are to be made at `now`, with the number of its
    /// tenant.
    pub fn next_unmade(
        &mut self,
        now: Timestamp,
    ) -> Option<(i64, PendingFanOut<UnmadeEvent, i64>)> {
        self.queues.note_time(now);
        let next = self.unmade.next(|tenant| self.queues.is_sated(tenant));
        next.map(|(tenant, fan_out)| (*tenant, fan_out.clone()))
    }

    /// Returns the attempt of this delivery that is in flight, as of the current batch.
    pub fn held(&self, delivery: i64) -> Option<&Held> {
        let has_ended = |effect: &Effect| matches!(effect, Effect::Ended(of, _) if *of == delivery);
        let held = self.held.get(&delivery)?;
        (!self.effects.iter().any(has_ended)).then_some(held)
    }

    /// Returns whether a delivery that waits in the file may not be claimed now.
    pub fn is_taken(&self, delivery: i64) -> bool {
        self.held.contains_key(&delivery) || self.unreadable.contains(&delivery)
    }

    /// Notes that an attempt of this delivery is in flight from now on.
    pub fn hold(&mut self, number: i64, endpoint: Key, delivery: &Delivery, turn: Turn) -> Hold {
        let hold = self.last_hold.next();
        self.last_hold = hold;
        let held = Held {
            endpoint,
            id: delivery.id,
            may_have_changed: false,
            hold,
            turn,
        };
        self.numbers.insert(held.id, number);
        self.held.insert(number, held);
        hold
    }

    /// Returns the number and the endpoint of a delivery, if this claim holds it as of the current
    /// batch.
    pub fn holds(&self, id: DeliveryId, hold: Hold) -> Option<(i64, Key)> {
        let number = *self.numbers.get(&id)?;
        let held = self.held(number)?;
        (held.hold == hold).then_some((number, held.endpoint))
    }

    /// Notes that the row of a delivery is written while an attempt of it is in flight.
    pub fn note_change(&mut self, number: i64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.may_have_changed = true;
        }
    }

    /// Returns whether the row of a held delivery has not changed since it was claimed.
    pub fn is_as_claimed(&self, number: i64) -> bool {
        self.held
            .get(&number)
            .is_some_and(|held| !held.may_have_changed)
    }

    /// Ends a claim without an attempt. Returns the endpoint.
    pub fn release(&mut self, id: DeliveryId, hold: Hold) -> Option<Key> {
        let (number, endpoint) = self.holds(id, hold)?;
        let held = self.remove_held(number)?;
        self.queues.release(&endpoint, held.turn, None);
        Some(endpoint)
    }

    fn remove_held(&mut self, number: i64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        self.numbers.remove(&held.id);
        Some(held)
    }

    /// Sets aside an endpoint that cannot be read: none of its deliveries is claimed until the next
    /// start.
    pub fn set_aside(&mut self, endpoint: Key) {
        self.unreadable_endpoints.insert(endpoint);
        self.waits(endpoint, None);
    }

    /// Applies the notes of the batch. Returns the endpoints whose deliveries have changed, and
    /// whether something other than the end of an attempt has changed.
    pub fn apply_batch(&mut self) -> (HashSet<Key>, bool) {
        for effect in mem::take(&mut self.effects) {
            self.apply(&effect);
        }
        (mem::take(&mut self.touched), mem::take(&mut self.is_news))
    }

    /// Notes that an endpoint's deliveries could not be looked up. The next commit looks them up
    /// again.
    pub fn look_again(&mut self, endpoint: Key) {
        self.touched.insert(endpoint);
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Ended(delivery, ended) => {
                if let Some(held) = self.remove_held(*delivery) {
                    self.queues.release(&held.endpoint, held.turn, *ended);
                }
            }
            Effect::Active(endpoint, is_active) => self.queues.set_active(endpoint, *is_active),
            Effect::Gone(deletion) => {
                self.queues.forget(&(deletion.tenant, deletion.endpoint));
                self.cancel_later(*deletion);
            }
            Effect::MakeLater(tenant, fan_out) => self.unmade.push(tenant, fan_out.clone()),
        }
    }

    /// Notes that the pending deliveries of a deleted endpoint are canceled later.
    pub fn cancel_later(&mut self, deletion: Deletion) {
        self.being_canceled.insert(deletion.endpoint);
        self.deletions.push_back(deletion);
    }

    /// Sets the first waiting delivery of an endpoint.
    pub fn waits(&mut self, endpoint: Key, first: Option<(Timestamp, i64)>) {
        let may_wait = !self.unreadable_endpoints.contains(&endpoint)
            && !self.being_canceled.contains(&endpoint.1);
        let first = first.filter(|_| may_wait);
        let first = first.map(|(at, number)| (at, number.unsigned_abs()));
        self.queues.waits(&endpoint, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_deleted_endpoint_waits_for_its_turn() {
        let mut turns = Turns::new(StoreLimits::default());
        let now = Timestamp::from_millis(1000);
        let (deleted, other) = ((1, 1), (1, 2));
        for endpoint in [deleted, other] {
            turns.waits(endpoint, Some((now, endpoint.1)));
        }
        turns.gone(Deletion {
            endpoint: 1,
            tenant: 1,
            at: now,
        });
        turns.apply_batch();
        // An attempt that was in flight has ended, and the others are not canceled yet.
        turns.waits(deleted, Some((now, 3)));
        assert_eq!(turns.queues.next(now), Some(other));
        turns.waits(other, None);
        assert_eq!(turns.queues.next(now), None);
    }
}
