//! Keeps events and deliveries, with their history, lists and deadlines: one structure behind one
//! short lock.
//!
//! The waiting deliveries of each endpoint are ordered by time. [`Queues`] decides which endpoint
//! gets the next attempt.

mod sweep;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::large_map::LargeMap;
use crate::domain::delivery::WAIT_WHILE_DISABLED;
use crate::domain::retry::LONGEST;
use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, EndpointId, Event, EventId, TenantId, Timestamp,
};
use crate::random::{self, NoRandomness};
use crate::store::pending_fan_outs::{AT_ONCE, PendingFanOut, PendingFanOuts};
use crate::store::queues::{AttemptEnd, First, Queues, Turn};
use crate::store::quotas::{QuotaExceeded, Quotas, Usage};
use crate::store::repeats::KeptEvent;
use crate::store::{Filling, Hold, Page, StoreLimits};

type QueueKey = (TenantId, EndpointId);
type DeliveryKey = (TenantId, DeliveryId);

/// Deliveries with their times and positions.
type Deadlines = BTreeSet<(Timestamp, u64, DeliveryKey)>;

/// An event, with endpoints for which a delivery is to be made.
type Unmade = (TenantId, Arc<Event>, Vec<(EndpointId, DeliveryId)>);

/// A delivery that was claimed, with its event.
type Claim = (TenantId, Delivery, Arc<Event>, Hold);

/// About how many bytes of text an attempt has where it is shown.
const BYTES_OF_ATTEMPT: usize = 256;

/// How many expired events each new event deletes at most: more than are added.
const SWEPT_PER_EVENT: usize = 2;

/// All events and deliveries of a memory store.
pub(super) struct Deliveries {
    limits: StoreLimits,
    next_position: u64,
    by_id: LargeMap<DeliveryKey, Entry>,
    histories: LargeMap<QueueKey, History>,
    queues: Queues<TenantId, EndpointId>,
    /// When the retention of each finished delivery ends, and when each pending one has waited too
    /// long for a disabled endpoint. Deliveries in flight are not in it.
    deadlines: Deadlines,
    events: LargeMap<(TenantId, EventId), Published>,
    events_by_expiry: BTreeSet<(Timestamp, TenantId, EventId)>,
    last_hold: Hold,
    /// The events whose deliveries are not all made.
    unmade: PendingFanOuts<TenantId, Arc<Event>, EndpointId>,
    /// The deleted endpoints whose pending deliveries are not all canceled, in the order in which
    /// they are canceled, and when each was deleted.
    deleted: VecDeque<QueueKey>,
    deleted_at: HashMap<QueueKey, Timestamp>,
    /// The pending deliveries and the bytes of each tenant.
    usage: HashMap<TenantId, Usage>,
}

/// A delivery, with its entries in the indexes.
struct Entry {
    delivery: Delivery,
    /// The event that it carries.
    event: Arc<Event>,
    /// Its position in the order of creation.
    position: u64,
    /// The claim that holds it and its slot, while an attempt of it is in flight.
    turn: Option<(Hold, Turn)>,
    /// The time of its entry in [`History::waiting`].
    waiting: Option<Timestamp>,
    /// The time of its entry in [`Deliveries::deadlines`].
    deadline: Option<Timestamp>,
    /// Whether it was not failed in time, since its endpoint was disabled then.
    waits_longer: bool,
}

/// An event, and how many endpoints it went to.
#[derive(Clone)]
pub(super) struct Published {
    pub kept: KeptEvent,
    pub deliveries: usize,
}

/// The deliveries of one endpoint, by position in the order of creation.
#[derive(Default)]
struct History {
    all: BTreeMap<u64, DeliveryId>,
    by_status: [BTreeSet<u64>; 4],
    /// Those that wait for an attempt: the retries, and those that were not attempted yet.
    waiting: [BTreeSet<(Timestamp, u64, DeliveryId)>; 2],
}

impl Entry {
    fn is_pending(&self) -> bool {
        self.delivery.status == DeliveryStatus::Pending
    }

    /// Adds the delivery to every index that its state belongs in.
    fn enter(
        &mut self,
        key: &DeliveryKey,
        history: &mut History,
        deadlines: &mut Deadlines,
        retention: Duration,
    ) {
        let delivery = &self.delivery;
        if self.turn.is_none() {
            self.waiting = delivery.next_attempt_at;
            self.deadline = Some(match delivery.finished_at {
                Some(at) => at.plus(retention),
                None if self.waits_longer => delivery.first_due_at.plus(WAIT_WHILE_DISABLED),
                None => delivery.first_due_at.plus(LONGEST),
            });
        }
        if let Some(deadline) = self.deadline {
            deadlines.insert((deadline, self.position, key.clone()));
        }
        history.by_status[place(delivery.status)].insert(self.position);
        if let Some(at) = self.waiting {
            history.waiting[line_of(delivery)].insert((at, self.position, delivery.id));
        }
    }

    /// Removes the delivery from every index.
    fn leave(&mut self, key: &DeliveryKey, history: &mut History, deadlines: &mut Deadlines) {
        let delivery = &self.delivery;
        if let Some(deadline) = self.deadline.take() {
            deadlines.remove(&(deadline, self.position, key.clone()));
        }
        history.by_status[place(delivery.status)].remove(&self.position);
        if let Some(at) = self.waiting.take() {
            history.waiting[line_of(delivery)].remove(&(at, self.position, delivery.id));
        }
    }
}

impl History {
    /// Returns the delivery that is attempted first at `now`: a retry that is due goes before a
    /// first attempt.
    fn first_at(&self, now: Timestamp) -> Option<DeliveryId> {
        let [retries, firsts] = &self.waiting;
        let due = retries.first().filter(|(at, _, _)| *at <= now);
        let first = due.or_else(|| firsts.first()).or_else(|| retries.first());
        first.map(|(_, _, id)| *id)
    }

    /// Returns when the first delivery is due.
    fn first(&self) -> Option<First> {
        let firsts = self.waiting.iter().filter_map(BTreeSet::first);
        firsts.map(|(at, position, _)| (*at, *position)).min()
    }
}

/// Returns the index of a delivery in [`History::waiting`].
fn line_of(delivery: &Delivery) -> usize {
    usize::from(delivery.failures == 0 && !delivery.is_last_attempt)
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

/// Returns how many bytes of data are kept of an event.
fn bytes_of_data(kept: &KeptEvent) -> usize {
    match kept {
        KeptEvent::Data(event) => event.data.len(),
        KeptEvent::Digest(..) => 0,
    }
}

/// Returns the delivery as canceled, if it is pending and its endpoint was deleted.
fn canceled(delivery: Delivery, deleted_at: Option<Timestamp>) -> Delivery {
    match deleted_at {
        Some(at) if delivery.status == DeliveryStatus::Pending => {
            delivery.end(DeliveryStatus::Canceled, at)
        }
        _ => delivery,
    }
}

impl Deliveries {
    /// Makes an empty structure.
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            next_position: 0,
            by_id: LargeMap::default(),
            histories: LargeMap::default(),
            queues: Queues::new(limits),
            deadlines: BTreeSet::new(),
            events: LargeMap::default(),
            events_by_expiry: BTreeSet::new(),
            last_hold: Hold::default(),
            unmade: PendingFanOuts::default(),
            deleted: VecDeque::new(),
            deleted_at: HashMap::new(),
            usage: HashMap::new(),
        }
    }

    /// Returns the event that was published with this id, if its retention has not ended.
    pub fn published(&self, tenant: &TenantId, id: &EventId, now: Timestamp) -> Option<&Published> {
        let published = self.events.get(&(tenant.clone(), id.clone()))?;
        let expiry = published.kept.head().created_at.plus(self.limits.retention);
        (now < expiry).then_some(published)
    }

    /// Refuses what would exceed a quota of the tenant.
    pub fn check(
        &self,
        tenant: &TenantId,
        quotas: &Quotas,
        more: Usage,
    ) -> Result<(), QuotaExceeded> {
        let used = self.usage.get(tenant).copied().unwrap_or_default();
        quotas.check(used, more)
    }

    fn use_more(&mut self, tenant: &TenantId, more: Usage) {
        match self.usage.get_mut(tenant) {
            Some(usage) => *usage += more,
            None => {
                self.usage.insert(tenant.clone(), more);
            }
        }
    }

    /// Counts bytes that are free again.
    pub fn release_bytes(&mut self, tenant: &TenantId, bytes: i64) {
        self.use_more(tenant, Usage::bytes(-bytes));
    }

    /// Stores an event, which goes to this many endpoints.
    pub fn publish(&mut self, tenant: &TenantId, kept: KeptEvent, deliveries: usize) {
        let head = kept.head();
        let (id, created_at) = (head.id.clone(), head.created_at);
        // Events may come faster than sweeps.
        self.sweep_events(created_at, SWEPT_PER_EVENT);
        let expiry = created_at.plus(self.limits.retention);
        self.events_by_expiry
            .insert((expiry, tenant.clone(), id.clone()));
        let bytes = Usage::of_event(bytes_of_data(&kept), deliveries).event_bytes;
        self.use_more(tenant, Usage::bytes(bytes));
        let published = Published { kept, deliveries };
        self.events.insert((tenant.clone(), id), published);
    }

    /// Stores a delivery of an event.
    pub fn add(&mut self, tenant: &TenantId, delivery: Delivery, event: &Arc<Event>) {
        let position = self.next_position;
        self.next_position += 1;
        let key = (tenant.clone(), delivery.id);
        let queue_key = (tenant.clone(), delivery.endpoint_id);
        let history = self.histories.get_or_default(queue_key.clone());
        history.all.insert(position, delivery.id);
        let mut entry = Entry {
            delivery,
            event: Arc::clone(event),
            position,
            turn: None,
            waiting: None,
            deadline: None,
            waits_longer: false,
        };
        entry.enter(&key, history, &mut self.deadlines, self.limits.retention);
        let first = history.first();
        self.by_id.insert(key, entry);
        self.use_more(tenant, Usage::pending(1));
        self.wait(&queue_key, first);
    }

    /// Notes that the deliveries of an event are made later.
    pub fn make_later(
        &mut self,
        tenant: &TenantId,
        event: Arc<Event>,
        audience: Arc<[EndpointId]>,
    ) {
        let count = i64::try_from(audience.len()).unwrap_or(i64::MAX);
        self.use_more(tenant, Usage::pending(count));
        let fan_out = PendingFanOut {
            event,
            audience,
            done: 0,
        };
        self.unmade.push(tenant, fan_out);
    }

    /// Returns whether deliveries are to be made or canceled.
    pub fn has_unfinished(&self) -> bool {
        !self.unmade.is_empty() || !self.deleted.is_empty()
    }

    /// Takes the next endpoints for which a delivery of an event is to be made at `now`, with the
    /// ids of the deliveries. Takes nothing when no ids can be made.
    pub fn next_unmade(&mut self, now: Timestamp) -> Result<Option<Unmade>, NoRandomness> {
        self.queues.note_time(now);
        let is_sated = |tenant: &TenantId| self.queues.is_sated(tenant);
        let Some((tenant, fan_out)) = self.unmade.next(is_sated) else {
            return Ok(None);
        };
        let (tenant, event) = (tenant.clone(), Arc::clone(&fan_out.event));
        let with_id = |endpoint: &EndpointId| {
            let id = random::delivery_id(event.head.created_at);
            id.map(|id| (*endpoint, id))
        };
        let endpoints: Vec<_> = fan_out
            .next()
            .iter()
            .map(with_id)
            .collect::<Result<_, _>>()?;
        self.unmade.step_done(&tenant);
        let count = i64::try_from(endpoints.len()).unwrap_or(i64::MAX);
        self.use_more(&tenant, Usage::pending(-count));
        Ok(Some((tenant, event, endpoints)))
    }

    /// Returns a delivery, and whether an attempt of it is in flight.
    pub fn get(&self, tenant: &TenantId, id: DeliveryId) -> Option<(Delivery, bool)> {
        let entry = self.by_id.get(&(tenant.clone(), id))?;
        let delivery = entry.delivery.clone();
        let queue_key = (tenant.clone(), delivery.endpoint_id);
        let deleted_at = self.deleted_at.get(&queue_key).copied();
        Some((canceled(delivery, deleted_at), entry.turn.is_some()))
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
        let Some(history) = self.histories.get(queue_key) else {
            return Some(Page::default());
        };
        let wanted = limit.saturating_add(1);
        let deleted_at = self.deleted_at.get(queue_key).copied();
        let older = |status| history.by_status[place(status)].range(..before).rev();
        let positions: Vec<u64> = match status {
            None => {
                let older = history.all.range(..before).rev();
                older.take(wanted).map(|(position, _)| *position).collect()
            }
            Some(DeliveryStatus::Pending) if deleted_at.is_some() => Vec::new(),
            Some(DeliveryStatus::Canceled) if deleted_at.is_some() => {
                let pending = older(DeliveryStatus::Pending).take(wanted);
                let canceled = older(DeliveryStatus::Canceled).take(wanted);
                let mut both: Vec<u64> = pending.chain(canceled).copied().collect();
                both.sort_unstable_by(|a, b| b.cmp(a));
                both
            }
            Some(status) => older(status).take(wanted).copied().collect(),
        };
        let mut filling = Filling::new(limit);
        for position in positions {
            let id = history.all.get(&position)?;
            let entry = self.by_id.get(&(queue_key.0.clone(), *id))?;
            if !filling.has_room_for(entry.delivery.attempts.len() * BYTES_OF_ATTEMPT) {
                break;
            }
            filling.add(canceled(entry.delivery.clone(), deleted_at));
        }
        Some(filling.page())
    }

    /// Replaces a delivery.
    pub fn replace(&mut self, tenant: &TenantId, delivery: Delivery) {
        let key = (tenant.clone(), delivery.id);
        self.change(&key, |entry| entry.delivery = delivery);
    }

    /// Takes and holds what is due at `now`, as far as there is capacity.
    pub fn claim(&mut self, now: Timestamp, batch: usize) -> Vec<Claim> {
        let mut claimed = Vec::new();
        while claimed.len() < batch {
            let Some(queue_key) = self.queues.next(now) else {
                break;
            };
            let history = self.histories.get(&queue_key);
            let Some(id) = history.and_then(|history| history.first_at(now)) else {
                break;
            };
            let key = (queue_key.0.clone(), id);
            let turn = self.queues.take(&queue_key, now);
            let hold = self.last_hold.next();
            self.last_hold = hold;
            let taken = self.change(&key, |entry| {
                entry.turn = Some((hold, turn));
                (entry.delivery.clone(), Arc::clone(&entry.event))
            });
            if let Some((delivery, event)) = taken {
                claimed.push((key.0, delivery, event, hold));
            }
        }
        claimed
    }

    /// Returns the delivery, if this claim holds it.
    pub fn held(&self, tenant: &TenantId, id: DeliveryId, hold: Hold) -> Option<Delivery> {
        let entry = self.by_id.get(&(tenant.clone(), id))?;
        let (holds, _) = entry.turn.as_ref()?;
        let delivery = (*holds == hold).then(|| entry.delivery.clone())?;
        let queue_key = (tenant.clone(), delivery.endpoint_id);
        Some(canceled(delivery, self.deleted_at.get(&queue_key).copied()))
    }

    /// Ends an attempt. `delivery` is its new state; `ended` is `None` if it is not known how the
    /// attempt ended.
    pub fn release(&mut self, tenant: &TenantId, delivery: Delivery, ended: Option<AttemptEnd>) {
        let key = (tenant.clone(), delivery.id);
        let queue_key = (tenant.clone(), delivery.endpoint_id);
        let turn = self.change(&key, |entry| {
            entry.delivery = delivery;
            entry.turn.take()
        });
        if let Some((_, turn)) = turn.flatten() {
            self.queues.release(&queue_key, turn, ended);
        }
    }

    /// Starts or stops an endpoint's deliveries.
    pub fn set_active(&mut self, queue_key: &QueueKey, is_active: bool) {
        // An endpoint without deliveries has no queue: it is removed with the last delivery, and
        // added with the first.
        if self.histories.get(queue_key).is_some() && !self.deleted_at.contains_key(queue_key) {
            self.queues.set_active(queue_key, is_active);
        }
    }

    /// Notes that an endpoint was deleted. Its pending deliveries are shown as canceled from now
    /// on, and are canceled a few at a time.
    pub fn cancel_later(&mut self, queue_key: &QueueKey, now: Timestamp) {
        if self.histories.get(queue_key).is_some() {
            self.queues.forget(queue_key);
            self.deleted.push_back(queue_key.clone());
            self.deleted_at.insert(queue_key.clone(), now);
        }
    }

    /// Cancels some deliveries of a deleted endpoint. Returns whether there are more to cancel.
    pub fn cancel_some(&mut self) -> bool {
        let Some(queue_key) = self.deleted.pop_front() else {
            return false;
        };
        let at = self.deleted_at.get(&queue_key).copied();
        let ids: Vec<DeliveryId> =
            self.histories
                .get(&queue_key)
                .map_or_else(Vec::new, |history| {
                    let pending = history.by_status[place(DeliveryStatus::Pending)].iter();
                    let ids = pending.filter_map(|position| history.all.get(position).copied());
                    ids.take(AT_ONCE).collect()
                });
        for id in &ids {
            let key = (queue_key.0.clone(), *id);
            self.change(&key, |entry| {
                entry.delivery = canceled(entry.delivery.clone(), at);
            });
        }
        if ids.len() == AT_ONCE {
            self.deleted.push_back(queue_key);
        } else {
            self.deleted_at.remove(&queue_key);
        }
        !self.deleted.is_empty()
    }

    /// Returns when the next delivery after `now` is due. What is due at `now` waits for capacity.
    pub fn next_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.queues.next_due(now)
    }

    /// Returns whether a delivery is due at `now`, whether or not there is capacity for it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.queues.is_due(now)
    }

    /// Changes a delivery, and its entries in every index. Returns what `change` returns.
    fn change<R>(&mut self, key: &DeliveryKey, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let entry = self.by_id.get_mut(key)?;
        let queue_key = (key.0.clone(), entry.delivery.endpoint_id);
        let history = self.histories.get_mut(&queue_key)?;
        entry.leave(key, history, &mut self.deadlines);
        let was_pending = entry.is_pending();
        let returned = change(entry);
        let pending = i64::from(entry.is_pending()) - i64::from(was_pending);
        entry.enter(key, history, &mut self.deadlines, self.limits.retention);
        let first = history.first();
        if pending != 0 {
            self.use_more(&key.0, Usage::pending(pending));
        }
        self.wait(&queue_key, first);
        Some(returned)
    }

    /// Sets the first waiting delivery of an endpoint.
    fn wait(&mut self, queue_key: &QueueKey, first: Option<First>) {
        // Nothing of a deleted endpoint waits for its turn.
        if !self.deleted_at.contains_key(queue_key) {
            self.queues.waits(queue_key, first);
        }
    }
}
