//! Events, deliveries, and which of them is due: one structure behind one short lock.
//!
//! Each endpoint has a queue. What the queue has waiting is ordered by time; the earliest of each
//! queue that has room for an attempt stands in one set for all, so that finding work costs the same
//! however many deliveries wait on receivers that are dead, slow or disabled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, EndpointId, Event, EventId, TenantId, Timestamp,
};
use crate::store::{DeliveryLimits, Page};

type QueueKey = (TenantId, EndpointId);
type DeliveryKey = (TenantId, DeliveryId);

/// Where failing queues stand in [`Deliveries::due`].
const FAILING: usize = 1;

/// How much that has had its time one claim takes away: little, so that no claim waits for it.
const SWEPT_PER_CLAIM: usize = 64;

/// How many events that have had their time each new one takes away: more than come.
const SWEPT_PER_EVENT: usize = 2;

/// All events and deliveries of a memory store.
pub(super) struct Deliveries {
    limits: DeliveryLimits,
    next_position: u64,
    by_id: HashMap<DeliveryKey, Entry>,
    queues: HashMap<QueueKey, Queue>,
    /// The earliest waiting delivery of each queue that has room: of those that are well, and of those
    /// that are failing, so that the failing ones are passed by in one step when they have had their
    /// share of the room.
    due: [BTreeSet<Due>; 2],
    /// When each delivery that is not under way has had its time: a finished one is forgotten then, a
    /// pending one of a disabled endpoint fails.
    deadlines: BTreeSet<(Timestamp, u64, DeliveryKey)>,
    events: HashMap<(TenantId, EventId), Published>,
    events_by_expiry: BTreeSet<(Timestamp, TenantId, EventId)>,
    in_flight: usize,
    /// How many of them were claimed from a failing queue.
    in_flight_failing: usize,
}

type Due = (Timestamp, u64, QueueKey);

struct Entry {
    delivery: Delivery,
    /// Its place in the order of creation.
    position: u64,
    is_in_flight: bool,
    /// Whether its queue was failing when it was claimed.
    is_probe: bool,
    /// Under which time it stands in its queue's `waiting`.
    waiting: Option<Timestamp>,
    /// Under which time it stands in [`Deliveries::deadlines`].
    deadline: Option<Timestamp>,
}

/// An event, and to how many endpoints it went.
#[derive(Clone)]
pub(super) struct Published {
    pub event: Arc<Event>,
    pub deliveries: usize,
}

/// The deliveries of one endpoint.
struct Queue {
    history: BTreeMap<u64, DeliveryId>,
    by_status: [BTreeSet<u64>; 4],
    waiting: BTreeSet<(Timestamp, u64, DeliveryId)>,
    in_flight: usize,
    /// Whether the last attempt failed: then one at a time is enough to find out that it is back.
    is_failing: bool,
    is_active: bool,
    /// Under which time and position it stands in which set of [`Deliveries::due`].
    due: Option<(usize, Timestamp, u64)>,
}

impl Queue {
    fn new() -> Self {
        Self {
            history: BTreeMap::new(),
            by_status: Default::default(),
            waiting: BTreeSet::new(),
            in_flight: 0,
            is_failing: false,
            is_active: true,
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

const fn place(status: DeliveryStatus) -> usize {
    match status {
        DeliveryStatus::Pending => 0,
        DeliveryStatus::Succeeded => 1,
        DeliveryStatus::Failed => 2,
        DeliveryStatus::Canceled => 3,
    }
}

impl Deliveries {
    /// None yet.
    pub fn new(limits: DeliveryLimits) -> Self {
        Self {
            limits,
            next_position: 0,
            by_id: HashMap::new(),
            queues: HashMap::new(),
            due: Default::default(),
            deadlines: BTreeSet::new(),
            events: HashMap::new(),
            events_by_expiry: BTreeSet::new(),
            in_flight: 0,
            in_flight_failing: 0,
        }
    }

    /// What was published under this id, if it is remembered.
    pub fn published(&self, tenant: &TenantId, id: &EventId, now: Timestamp) -> Option<&Published> {
        let published = self.events.get(&(tenant.clone(), id.clone()))?;
        (now < published.event.created_at.plus(self.limits.retention)).then_some(published)
    }

    /// Stores an event with its deliveries.
    pub fn publish(&mut self, tenant: &TenantId, event: Arc<Event>, deliveries: Vec<Delivery>) {
        // Events that go to nobody would outrun the claims.
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
            let queue = self.queues.entry(queue_key).or_insert_with(Queue::new);
            queue.history.insert(position, delivery.id);
            let entry = Entry {
                delivery,
                position,
                is_in_flight: false,
                is_probe: false,
                waiting: None,
                deadline: None,
            };
            self.by_id.insert(key.clone(), entry);
            self.enter(&key);
        }
    }

    /// A delivery, and whether an attempt of it is under way.
    pub fn get(&self, tenant: &TenantId, id: DeliveryId) -> Option<(&Delivery, bool)> {
        let entry = self.by_id.get(&(tenant.clone(), id))?;
        Some((&entry.delivery, entry.is_in_flight))
    }

    /// At most `limit` deliveries of one endpoint, newest first, that were created before `after`;
    /// `None` when that one is not a delivery of this endpoint.
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
        let Some(queue) = self.queues.get(queue_key) else {
            return Some(page);
        };
        let wanted = limit.saturating_add(1);
        let mut positions: Vec<u64> = match status {
            None => {
                let older = queue.history.range(..before).rev();
                older.take(wanted).map(|(position, _)| *position).collect()
            }
            Some(status) => {
                let older = queue.by_status[place(status)].range(..before).rev();
                older.take(wanted).copied().collect()
            }
        };
        page.has_more = positions.len() > limit;
        positions.truncate(limit);
        page.items.extend(positions.iter().filter_map(|position| {
            let id = queue.history.get(position)?;
            let entry = self.by_id.get(&(queue_key.0.clone(), *id))?;
            Some(entry.delivery.clone())
        }));
        Some(page)
    }

    /// Replaces a delivery by what became of it.
    pub fn replace(&mut self, tenant: &TenantId, delivery: Delivery) {
        let key = (tenant.clone(), delivery.id);
        self.change(&key, |entry| entry.delivery = delivery);
    }

    /// Takes what is due at `now`, as far as there is room, and holds it until it is released.
    pub fn claim(&mut self, now: Timestamp, batch: usize) -> Vec<(TenantId, Delivery)> {
        self.sweep(now);
        let mut claimed = Vec::new();
        let mut passed = [None, None];
        while claimed.len() < batch && self.in_flight < self.limits.in_flight {
            let Some((place, head)) = self.first_due(&passed) else {
                break;
            };
            if head.0 > now {
                break;
            }
            let Some(queue) = self.queues.get_mut(&head.2) else {
                break;
            };
            // While most of the room is taken, nobody gets a second place before all have a first.
            let is_crowded = self.in_flight * 2 >= self.limits.in_flight;
            let next = queue.waiting.first().copied();
            let Some((_, _, id)) = next.filter(|_| !is_crowded || queue.in_flight == 0) else {
                passed[place] = Some(head);
                continue;
            };
            queue.in_flight += 1;
            self.in_flight += 1;
            let is_probe = place == FAILING;
            self.in_flight_failing += usize::from(is_probe);
            let key = (head.2.0, id);
            self.change(&key, |entry| {
                entry.is_in_flight = true;
                entry.is_probe = is_probe;
            });
            if let Some(entry) = self.by_id.get(&key) {
                claimed.push((key.0, entry.delivery.clone()));
            }
        }
        claimed
    }

    /// The first that is due after those that were `passed`, and in which set it stands: of the failing
    /// ones only while they have not had their share of the room.
    fn first_due(&self, passed: &[Option<Due>; 2]) -> Option<(usize, Due)> {
        let share = (self.limits.in_flight / 2).max(1);
        let sets = if self.in_flight_failing < share { 2 } else { 1 };
        let firsts = self.due.iter().take(sets).enumerate();
        let firsts = firsts.filter_map(|(place, due)| {
            let after = passed[place]
                .as_ref()
                .map_or(Bound::Unbounded, Bound::Excluded);
            Some((place, due.range((after, Bound::Unbounded)).next()?))
        });
        let (place, due) = firsts.min_by_key(|(_, due)| *due)?;
        Some((place, due.clone()))
    }

    /// Ends an attempt: `delivery` is what became of it, `failed` what is learnt about the receiver.
    pub fn release(&mut self, tenant: &TenantId, delivery: Delivery, failed: Option<bool>) {
        let key = (tenant.clone(), delivery.id);
        let Some(entry) = self.by_id.get(&key) else {
            return;
        };
        if entry.is_in_flight {
            self.in_flight -= 1;
            self.in_flight_failing -= usize::from(entry.is_probe);
            let queue_key = (tenant.clone(), delivery.endpoint_id);
            if let Some(queue) = self.queues.get_mut(&queue_key) {
                queue.in_flight -= 1;
                queue.is_failing = failed.unwrap_or(queue.is_failing);
            }
        }
        self.change(&key, |entry| {
            entry.is_in_flight = false;
            entry.delivery = delivery;
        });
    }

    /// Starts or stops an endpoint's deliveries.
    pub fn set_active(&mut self, queue_key: &(TenantId, EndpointId), is_active: bool) {
        if let Some(queue) = self.queues.get_mut(queue_key) {
            queue.is_active = is_active;
            // Whoever turns it on again has mended it.
            queue.is_failing &= !is_active;
        }
        self.relist(queue_key);
    }

    /// Cancels what an endpoint has pending.
    pub fn cancel_all(&mut self, queue_key: &(TenantId, EndpointId), now: Timestamp) {
        let Some(queue) = self.queues.get(queue_key) else {
            return;
        };
        let pending = queue.by_status[place(DeliveryStatus::Pending)].iter();
        let ids: Vec<DeliveryId> = pending
            .filter_map(|position| queue.history.get(position).copied())
            .collect();
        for id in ids {
            let key = (queue_key.0.clone(), id);
            self.change(&key, |entry| {
                entry.delivery = entry.delivery.clone().end(DeliveryStatus::Canceled, now);
            });
        }
    }

    /// When there will be something to do that there is not at `now`; what is due at `now` waits for
    /// room. Not after `now` if there is more to take away.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.deadlines.first().map(|(at, _, _)| *at);
        // Nothing that stands at the next millisecond comes before this in the order of the sets.
        let least = (TenantId::new(""), EndpointId::Uuid(Uuid::nil()));
        let from = (now.plus(Duration::from_millis(1)), 0, least);
        let later = |due: &BTreeSet<Due>| due.range(&from..).next().map(|(at, _, _)| *at);
        let due = self.due.iter().filter_map(later);
        due.chain(deadline).min()
    }

    /// Whether something is due at `now`, whether or not there is room for it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let mut firsts = self.due.iter().filter_map(BTreeSet::first);
        firsts.any(|(at, _, _)| *at <= now)
    }

    fn change(&mut self, key: &DeliveryKey, change: impl FnOnce(&mut Entry)) {
        self.leave(key);
        if let Some(entry) = self.by_id.get_mut(key) {
            change(entry);
        }
        self.enter(key);
    }

    /// Enters a delivery wherever its state says that it belongs.
    fn enter(&mut self, key: &DeliveryKey) {
        let Some(entry) = self.by_id.get_mut(key) else {
            return;
        };
        let delivery = &entry.delivery;
        let queue_key = (key.0.clone(), delivery.endpoint_id);
        if !entry.is_in_flight {
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
        if let Some(queue) = self.queues.get_mut(&queue_key) {
            queue.by_status[place(delivery.status)].insert(entry.position);
            if let Some(at) = entry.waiting {
                queue.waiting.insert((at, entry.position, delivery.id));
            }
        }
        self.relist(&queue_key);
    }

    /// Takes a delivery out of wherever it was entered.
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
        if let Some(queue) = self.queues.get_mut(&queue_key) {
            queue.by_status[place(delivery.status)].remove(&entry.position);
            if let Some(at) = entry.waiting.take() {
                queue.waiting.remove(&(at, entry.position, delivery.id));
            }
        }
    }

    /// Enters a queue among those that are due, by its earliest delivery, or takes it out.
    fn relist(&mut self, queue_key: &QueueKey) {
        let Some(queue) = self.queues.get_mut(queue_key) else {
            return;
        };
        let earliest = queue
            .waiting
            .first()
            .filter(|_| queue.has_room(&self.limits));
        let place = usize::from(queue.is_failing);
        let due = earliest.map(|(at, position, _)| (place, *at, *position));
        if due == queue.due {
            return;
        }
        if let Some((place, at, position)) = queue.due {
            self.due[place].remove(&(at, position, queue_key.clone()));
        }
        if let Some((place, at, position)) = due {
            self.due[place].insert((at, position, queue_key.clone()));
        }
        queue.due = due;
    }

    /// Takes away some of what has had its time.
    fn sweep(&mut self, now: Timestamp) {
        for _ in 0..SWEPT_PER_CLAIM {
            match self.deadlines.first() {
                Some((deadline, _, key)) if *deadline <= now => {
                    let key = key.clone();
                    self.end_or_forget(&key, now);
                }
                _ => break,
            }
        }
        self.sweep_events(now, SWEPT_PER_CLAIM);
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
            // The id may have been used again since, for an event that expires later, and stays.
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
            let is_active = self
                .queues
                .get(&queue_key)
                .is_some_and(|queue| queue.is_active);
            if is_active {
                // Overdue for want of a worker, not of an endpoint: it stays due, and gets more time.
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
        if let Some(queue) = self.queues.get_mut(&queue_key) {
            queue.history.remove(&position);
            if queue.history.is_empty() {
                // Nothing is waiting in it, so it is not among those that are due.
                self.queues.remove(&queue_key);
            }
        }
    }
}
