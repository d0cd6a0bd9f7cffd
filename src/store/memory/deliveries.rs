//! Keeps events and deliveries, with their history, lists and deadlines: one structure behind one
//! short lock.
//!
//! The waiting deliveries of each endpoint are ordered by time. [`Queues`] decides which endpoint
//! gets the next attempt.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, EndpointId, Event, EventId, TenantId, Timestamp,
};
use crate::store::queues::{Passed, Queues, Turn};
use crate::store::{DeliveryLimits, Hold, Page, SWEEP_AT_LEAST_EVERY};

type QueueKey = (TenantId, EndpointId);
type DeliveryKey = (TenantId, DeliveryId);

/// How many deliveries, and how many events, one sweep deletes at most: few, so that it delays
/// nobody.
const SWEPT_AT_ONCE: usize = 64;

/// How many expired events each new event deletes at most: more than are added.
const SWEPT_PER_EVENT: usize = 2;

/// All events and deliveries of a memory store.
pub(super) struct Deliveries {
    limits: DeliveryLimits,
    next_position: u64,
    by_id: HashMap<DeliveryKey, Entry>,
    histories: HashMap<QueueKey, History>,
    queues: Queues<QueueKey>,
    /// When the retention of each finished delivery ends, and when each pending one has waited too
    /// long for a disabled endpoint. Deliveries in flight are not in it.
    deadlines: BTreeSet<(Timestamp, u64, DeliveryKey)>,
    events: HashMap<(TenantId, EventId), Published>,
    events_by_expiry: BTreeSet<(Timestamp, TenantId, EventId)>,
    last_hold: Hold,
}

/// A delivery, with its entries in the indexes.
struct Entry {
    delivery: Delivery,
    /// Its position in the order of creation.
    position: u64,
    /// The claim that holds it and its slot, while an attempt of it is in flight.
    turn: Option<(Hold, Turn)>,
    /// The time of its entry in [`History::waiting`].
    waiting: Option<Timestamp>,
    /// The time of its entry in [`Deliveries::deadlines`].
    deadline: Option<Timestamp>,
}

/// An event, and how many endpoints it went to.
#[derive(Clone)]
pub(super) struct Published {
    pub event: Arc<Event>,
    pub deliveries: usize,
}

/// The deliveries of one endpoint, by position in the order of creation.
#[derive(Default)]
struct History {
    all: BTreeMap<u64, DeliveryId>,
    by_status: [BTreeSet<u64>; 4],
    waiting: BTreeSet<(Timestamp, u64, DeliveryId)>,
}

/// Returns the index of a status in [`History::by_status`].
const fn place(status: DeliveryStatus) -> usize {
    match status {
        DeliveryStatus::Pending => 0,
        DeliveryStatus::Succeeded => 1,
        DeliveryStatus::Failed => 2,
        DeliveryStatus::Canceled => 3,
    }
}

impl Deliveries {
    /// Makes an empty structure.
    pub fn new(limits: DeliveryLimits) -> Self {
        Self {
            limits,
            next_position: 0,
            by_id: HashMap::new(),
            histories: HashMap::new(),
            queues: Queues::new(limits),
            deadlines: BTreeSet::new(),
            events: HashMap::new(),
            events_by_expiry: BTreeSet::new(),
            last_hold: Hold::default(),
        }
    }

    /// Returns the event that was published with this id, if its retention has not ended.
    pub fn published(&self, tenant: &TenantId, id: &EventId, now: Timestamp) -> Option<&Published> {
        let published = self.events.get(&(tenant.clone(), id.clone()))?;
        (now < published.event.created_at.plus(self.limits.retention)).then_some(published)
    }

    /// Stores an event with its deliveries.
    pub fn publish(&mut self, tenant: &TenantId, event: Arc<Event>, deliveries: Vec<Delivery>) {
        // Events may come faster than sweeps.
        self.sweep_events(event.created_at, SWEPT_PER_EVENT);
        let expiry = event.created_at.plus(self.limits.retention);
        let id = event.id.clone();
        self.events_by_expiry
            .insert((expiry, tenant.clone(), id.clone()));
        let published = Published {
            event,
            deliveries: deliveries.len(),
        };
        self.events.insert((tenant.clone(), id), published);
        for delivery in deliveries {
            let position = self.next_position;
            self.next_position += 1;
            let key = (tenant.clone(), delivery.id);
            let queue_key = (tenant.clone(), delivery.endpoint_id);
            let history = self.histories.entry(queue_key).or_default();
            history.all.insert(position, delivery.id);
            let entry = Entry {
                delivery,
                position,
                turn: None,
                waiting: None,
                deadline: None,
            };
            self.by_id.insert(key.clone(), entry);
            self.enter(&key);
        }
    }

    /// Returns a delivery, and whether an attempt of it is in flight.
    pub fn get(&self, tenant: &TenantId, id: DeliveryId) -> Option<(&Delivery, bool)> {
        let entry = self.by_id.get(&(tenant.clone(), id))?;
        Some((&entry.delivery, entry.turn.is_some()))
    }

    /// Returns at most `limit` deliveries of one endpoint, newest first, that were created before
    /// `after`. Returns `None` when `after` is not a delivery of this endpoint.
    pub fn list(
        &self,
        queue_key: &(TenantId, EndpointId),
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Option<Page<Delivery>> {
        let before = match after {
            None => u64::MAX,
            Some(id) => {
                let entry = self.by_id.get(&(queue_key.0.clone(), id))?;
                if entry.delivery.endpoint_id != queue_key.1 {
                    return None;
                }
                entry.position
            }
        };
        let mut page = Page {
            items: Vec::new(),
            has_more: false,
        };
        let Some(history) = self.histories.get(queue_key) else {
            return Some(page);
        };
        let wanted = limit.saturating_add(1);
        let mut positions: Vec<u64> = match status {
            None => {
                let older = history.all.range(..before).rev();
                older.take(wanted).map(|(position, _)| *position).collect()
            }
            Some(status) => {
                let older = history.by_status[place(status)].range(..before).rev();
                older.take(wanted).copied().collect()
            }
        };
        page.has_more = positions.len() > limit;
        positions.truncate(limit);
        page.items.extend(positions.iter().filter_map(|position| {
            let id = history.all.get(position)?;
            let entry = self.by_id.get(&(queue_key.0.clone(), *id))?;
            Some(entry.delivery.clone())
        }));
        Some(page)
    }

    /// Replaces a delivery.
    pub fn replace(&mut self, tenant: &TenantId, delivery: Delivery) {
        let key = (tenant.clone(), delivery.id);
        self.change(&key, |entry| entry.delivery = delivery);
    }

    /// Takes and holds what is due at `now`, as far as there is capacity.
    pub fn claim(&mut self, now: Timestamp, batch: usize) -> Vec<(TenantId, Delivery, Hold)> {
        let mut claimed = Vec::new();
        let mut passed = Passed::default();
        while claimed.len() < batch {
            let Some(queue_key) = self.queues.next(now, &mut passed) else {
                break;
            };
            let history = self.histories.get(&queue_key);
            let Some((_, _, id)) = history.and_then(|history| history.waiting.first()) else {
                break;
            };
            let key = (queue_key.0.clone(), *id);
            let turn = self.queues.take(&queue_key);
            let hold = self.last_hold.next();
            self.last_hold = hold;
            self.change(&key, |entry| entry.turn = Some((hold, turn)));
            if let Some(entry) = self.by_id.get(&key) {
                claimed.push((key.0, entry.delivery.clone(), hold));
            }
        }
        claimed
    }

    /// Returns the delivery, if this claim holds it.
    pub fn held(&self, tenant: &TenantId, id: DeliveryId, hold: Hold) -> Option<&Delivery> {
        let entry = self.by_id.get(&(tenant.clone(), id))?;
        let (holds, _) = entry.turn.as_ref()?;
        (*holds == hold).then_some(&entry.delivery)
    }

    /// Ends an attempt. `delivery` is its new state; `failed` says whether the attempt failed, and
    /// is `None` if that is not known.
    pub fn release(&mut self, tenant: &TenantId, delivery: Delivery, failed: Option<bool>) {
        let key = (tenant.clone(), delivery.id);
        let queue_key = (tenant.clone(), delivery.endpoint_id);
        let mut ended = None;
        self.change(&key, |entry| {
            ended = entry.turn.take();
            entry.delivery = delivery;
        });
        if let Some((_, turn)) = ended {
            self.queues.release(&queue_key, turn, failed);
        }
    }

    /// Starts or stops an endpoint's deliveries.
    pub fn set_active(&mut self, queue_key: &QueueKey, is_active: bool) {
        // An endpoint without deliveries has no queue: it is removed with the last delivery, and
        // added with the first.
        if self.histories.contains_key(queue_key) {
            self.queues.set_active(queue_key, is_active);
        }
    }

    /// Cancels the pending deliveries of an endpoint.
    pub fn cancel_all(&mut self, queue_key: &(TenantId, EndpointId), now: Timestamp) {
        let Some(history) = self.histories.get(queue_key) else {
            return;
        };
        let pending = history.by_status[place(DeliveryStatus::Pending)].iter();
        let ids: Vec<DeliveryId> = pending
            .filter_map(|position| history.all.get(position).copied())
            .collect();
        for id in ids {
            let key = (queue_key.0.clone(), id);
            self.change(&key, |entry| {
                entry.delivery = entry.delivery.clone().end(DeliveryStatus::Canceled, now);
            });
        }
    }

    /// Returns when the next delivery after `now` is due. What is due at `now` waits for capacity.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.queues.next_due(now)
    }

    /// Returns whether a delivery is due at `now`, whether or not there is capacity for it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.queues.is_due(now)
    }

    fn change(&mut self, key: &DeliveryKey, change: impl FnOnce(&mut Entry)) {
        self.leave(key);
        if let Some(entry) = self.by_id.get_mut(key) {
            change(entry);
        }
        self.enter(key);
    }

    /// Adds a delivery to every index that its state belongs in.
    fn enter(&mut self, key: &DeliveryKey) {
        let Some(entry) = self.by_id.get_mut(key) else {
            return;
        };
        let delivery = &entry.delivery;
        let queue_key = (key.0.clone(), delivery.endpoint_id);
        if entry.turn.is_none() {
            entry.waiting = delivery.next_attempt_at;
            entry.deadline = match delivery.finished_at {
                Some(at) => Some(at.plus(self.limits.retention)),
                None => delivery
                    .next_attempt_at
                    .map(|at| at.plus(DeliveryLimits::WAIT_WHILE_DISABLED)),
            };
        }
        if let Some(deadline) = entry.deadline {
            self.deadlines
                .insert((deadline, entry.position, key.clone()));
        }
        if let Some(history) = self.histories.get_mut(&queue_key) {
            history.by_status[place(delivery.status)].insert(entry.position);
            if let Some(at) = entry.waiting {
                history.waiting.insert((at, entry.position, delivery.id));
            }
            let first = history.waiting.first();
            let first = first.map(|(at, position, _)| (*at, *position));
            self.queues.waits(&queue_key, first);
        }
    }

    /// Removes a delivery from every index.
    fn leave(&mut self, key: &DeliveryKey) {
        let Some(entry) = self.by_id.get_mut(key) else {
            return;
        };
        let delivery = &entry.delivery;
        let queue_key = (key.0.clone(), delivery.endpoint_id);
        if let Some(deadline) = entry.deadline.take() {
            self.deadlines
                .remove(&(deadline, entry.position, key.clone()));
        }
        if let Some(history) = self.histories.get_mut(&queue_key) {
            history.by_status[place(delivery.status)].remove(&entry.position);
            if let Some(at) = entry.waiting.take() {
                history.waiting.remove(&(at, entry.position, delivery.id));
            }
        }
    }

    /// Deletes some of what has expired, and fails some of what has waited too long. Returns when
    /// to sweep again.
    pub fn sweep(&mut self, now: Timestamp) -> Timestamp {
        for _ in 0..SWEPT_AT_ONCE {
            match self.deadlines.first() {
                Some((deadline, _, key)) if *deadline <= now => {
                    let key = key.clone();
                    self.end_or_forget(&key, now);
                }
                _ => break,
            }
        }
        self.sweep_events(now, SWEPT_AT_ONCE);
        let deadline = self.deadlines.first().map(|(at, _, _)| *at);
        let expiry = self.events_by_expiry.first().map(|(at, _, _)| *at);
        let latest = now.plus(SWEEP_AT_LEAST_EVERY);
        [deadline, expiry]
            .into_iter()
            .flatten()
            .fold(latest, Ord::min)
    }

    fn sweep_events(&mut self, now: Timestamp, most: usize) {
        for _ in 0..most {
            match self.events_by_expiry.first() {
                Some((expiry, _, _)) if *expiry <= now => {}
                _ => break,
            }
            let Some((expiry, tenant, id)) = self.events_by_expiry.pop_first() else {
                break;
            };
            // The id may have been used again since then. That event expires later, and stays.
            let key = (tenant, id);
            let of_event = self
                .events
                .get(&key)
                .map(|published| published.event.created_at);
            if of_event.is_some_and(|created_at| created_at.plus(self.limits.retention) <= expiry) {
                self.events.remove(&key);
            }
        }
    }

    fn end_or_forget(&mut self, key: &DeliveryKey, now: Timestamp) {
        let Some(entry) = self.by_id.get(key) else {
            return;
        };
        let queue_key = (key.0.clone(), entry.delivery.endpoint_id);
        let position = entry.position;
        if entry.delivery.status == DeliveryStatus::Pending {
            if self.queues.is_active(&queue_key) {
                // It is overdue because no worker came, not because the endpoint is disabled. It
                // stays due and gets more time.
                let later = now.plus(DeliveryLimits::WAIT_WHILE_DISABLED);
                self.deadlines.pop_first();
                self.deadlines.insert((later, position, key.clone()));
                if let Some(entry) = self.by_id.get_mut(key) {
                    entry.deadline = Some(later);
                }
            } else {
                self.change(key, |entry| {
                    entry.delivery = entry.delivery.clone().end(DeliveryStatus::Failed, now);
                });
            }
            return;
        }
        self.leave(key);
        self.by_id.remove(key);
        if let Some(history) = self.histories.get_mut(&queue_key) {
            history.all.remove(&position);
            if history.all.is_empty() {
                self.histories.remove(&queue_key);
                self.queues.forget(&queue_key);
            }
        }
    }
}
