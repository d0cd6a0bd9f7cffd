//! The store that lives as long as the process.
//!
//! Records are spread over many shards, each behind its own short lock, so that commits on different
//! endpoints run beside each other on all cores. A commit holds, in this order and never in another:
//!
//! 1. the shard of its idempotency key, if it has one,
//! 2. the shard of its endpoint, if it changes one,
//! 3. the index of its tenant, if the set of endpoints, names or subscriptions changes,
//! 4. the deliveries.
//!
//! A creation decides under the index alone, so that times of creation follow the order of the list, and
//! puts the endpoint in its shard after it has let the index go: until then nobody knows the id.
//!
//! No lock is held across an await, so a dropped call is over before it can be dropped. A decision
//! that panics leaves everything as it was: the locks do not poison, and nothing is written before the
//! decision returns.

mod deliveries;
mod index;
mod records;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use self::deliveries::Deliveries;
use self::index::Index;
use self::records::Records;
use super::{
    Audience, Change, Claimed, Claims, CommitError, Committed, DeliveryLimits, Page, Publish,
    Published, ReceiverState, Settle, Store, StoreError, Write,
};
use crate::clock::Clock;
use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, Event, Refusal, Settings, TenantId,
    Timestamp,
};
use crate::idempotency::{Answer, Claim, IdempotencyKey, Record};
use crate::random;

/// Shards of endpoints, and of keys: enough that two cores rarely meet in one.
const SHARDS: usize = 64;

/// A [`Store`] in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    endpoints: Box<[EndpointShard]>,
    records: Box<[Mutex<Records>]>,
    indexes: RwLock<HashMap<TenantId, Arc<Mutex<Index>>>>,
    deliveries: Mutex<Deliveries>,
    work: Notify,
}

type EndpointShard = Mutex<HashMap<(TenantId, EndpointId), Stored>>;

/// An endpoint with its place in the order of creation.
struct Stored {
    endpoint: Endpoint,
    position: u64,
}

impl MemoryStore {
    /// An empty store that tells the time by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(clock, DeliveryLimits::default())
    }

    /// An empty store with other limits than the default ones.
    #[must_use]
    pub fn with_limits(clock: Arc<dyn Clock>, limits: DeliveryLimits) -> Self {
        let shards = || 0..SHARDS;
        Self {
            clock,
            hasher: RandomState::new(),
            endpoints: shards().map(|_| Mutex::default()).collect(),
            records: shards().map(|_| Mutex::default()).collect(),
            indexes: RwLock::default(),
            deliveries: Mutex::new(Deliveries::new(limits)),
            work: Notify::new(),
        }
    }

    fn shard(&self, id: EndpointId) -> &EndpointShard {
        &self.endpoints[self.place(&id)]
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits of the hash do for choosing a shard"
    )]
    fn place(&self, key: &impl std::hash::Hash) -> usize {
        self.hasher.hash_one(key) as usize % SHARDS
    }

    fn index(&self, tenant: &TenantId) -> Arc<Mutex<Index>> {
        if let Some(index) = self.indexes.read().get(tenant) {
            return Arc::clone(index);
        }
        Arc::clone(self.indexes.write().entry(tenant.clone()).or_default())
    }

    fn apply(&self, tenant: &TenantId, write: Write) -> Result<(Timestamp, Answer), CommitError> {
        match write {
            Write::Create(decide) => self.create(tenant, decide),
            Write::Update(id, decide) => self.update(tenant, id, decide),
            Write::Publish(publish) => self.publish(tenant, publish),
            Write::UpdateDelivery(id, decide) => self.update_delivery(tenant, id, decide),
        }
    }

    fn create(
        &self,
        tenant: &TenantId,
        decide: super::Create,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let index = self.index(tenant);
        let mut entered = index.lock();
        let now = self.clock.now();
        let (endpoint, answer) = decide(now)?;
        let (id, settings) = (endpoint.id, Arc::clone(&endpoint.settings));
        let position = entered.add(id, &settings)?;
        drop(entered);
        let stored = Stored { endpoint, position };
        let mut shard = self.shard(id).lock();
        shard.insert((tenant.clone(), id), stored);
        // Last, so that no event is on its way to an endpoint that is not there yet; with the shard held,
        // so that nobody who found it in a list changes or deletes it before.
        index.lock().subscribe(id, &settings);
        Ok((now, answer))
    }

    fn update(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        decide: super::Update,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let mut shard = self.shard(id).lock();
        let key = (tenant.clone(), id);
        let stored = shard.get_mut(&key).ok_or(CommitError::NotFound)?;
        let now = self.clock.now();
        let (change, answer) = decide(&stored.endpoint, now)?;
        match change {
            Change::Keep => {}
            Change::Replace(endpoint) => {
                self.replace_settings(&key, &stored.endpoint.settings, &endpoint.settings)?;
                stored.endpoint = endpoint;
            }
            Change::Delete => {
                let settings = &stored.endpoint.settings;
                self.index(tenant)
                    .lock()
                    .remove(id, stored.position, settings);
                shard.remove(&key);
                self.deliveries.lock().cancel_all(&key, now);
            }
        }
        Ok((now, answer))
    }

    /// Makes known what has changed in the settings of an endpoint whose shard is held.
    fn replace_settings(
        &self,
        key: &(TenantId, EndpointId),
        before: &Arc<Settings>,
        after: &Arc<Settings>,
    ) -> Result<(), CommitError> {
        // A rotation shares the settings, and stays clear of the locks that all endpoints share.
        if Arc::ptr_eq(before, after) {
            return Ok(());
        }
        self.index(&key.0).lock().replace(key.1, before, after)?;
        if before.active != after.active {
            self.deliveries.lock().set_active(key, after.active);
            self.work.notify_one();
        }
        Ok(())
    }

    fn publish(
        &self,
        tenant: &TenantId,
        publish: Publish,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let mut shard = None;
        let audience: Vec<EndpointId> = match publish.audience {
            Audience::Subscribers => {
                let subscribers = self.index(tenant).lock().subscribers(&publish.event_type);
                subscribers.into_iter().collect()
            }
            Audience::Endpoint(id) => {
                // Held to the end, so that the endpoint is there and active when the delivery is.
                let shard = shard.insert(self.shard(id).lock());
                active(shard.get(&(tenant.clone(), id)))?;
                vec![id]
            }
        };
        let mut deliveries = self.deliveries.lock();
        let now = self.clock.now();
        if let Some(first) = deliveries.published(tenant, &publish.id, now).cloned() {
            // It never changes, so nobody needs to wait while it is compared.
            drop(deliveries);
            if !first.event.is_same(&publish.event_type, &publish.data) {
                return Err(CommitError::EventIdReused);
            }
            let published = Published {
                event: first.event,
                deliveries: first.deliveries,
                delivery: None,
            };
            return Ok((now, (publish.answer)(&published)));
        }
        let event = Arc::new(Event {
            id: publish.id,
            event_type: publish.event_type,
            data: publish.data,
            trace_id: publish.trace_id,
            created_at: now,
        });
        let fanned_out: Vec<Delivery> = audience
            .into_iter()
            .map(|endpoint| {
                let id = random::delivery_id(now);
                Ok(Delivery::new(id?, endpoint, Arc::clone(&event), now))
            })
            .collect::<Result<_, random::NoRandomness>>()
            .map_err(|error| StoreError(error.to_string()))?;
        let published = Published {
            event: Arc::clone(&event),
            deliveries: fanned_out.len(),
            delivery: fanned_out.first().cloned(),
        };
        let answer = (publish.answer)(&published);
        deliveries.publish(tenant, event, fanned_out);
        drop(deliveries);
        self.work.notify_one();
        Ok((now, answer))
    }

    fn update_delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        decide: super::UpdateDelivery,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let endpoint = {
            let deliveries = self.deliveries.lock();
            let (delivery, _) = deliveries
                .get(tenant, id)
                .ok_or(CommitError::DeliveryNotFound)?;
            delivery.endpoint_id
        };
        let shard = self.shard(endpoint).lock();
        active(shard.get(&(tenant.clone(), endpoint)))?;
        let mut deliveries = self.deliveries.lock();
        let (delivery, is_in_flight) = deliveries
            .get(tenant, id)
            .ok_or(CommitError::DeliveryNotFound)?;
        let now = self.clock.now();
        let (changed, answer) = decide(delivery, is_in_flight, now)?;
        deliveries.replace(tenant, changed);
        drop(deliveries);
        self.work.notify_one();
        Ok((now, answer))
    }

    fn claim_now(&self, batch: usize) -> Claims {
        let mut claims = Claims::default();
        let (found_at, taken) = {
            let mut deliveries = self.deliveries.lock();
            let now = self.clock.now();
            (now, deliveries.claim(now, batch))
        };
        let mut is_there_more = taken.len() == batch;
        for (tenant, delivery) in taken {
            let key = (tenant, delivery.endpoint_id);
            let shard = self.shard(key.1).lock();
            let at = self.clock.now();
            match active(shard.get(&key)) {
                Ok(stored) => claims.claimed.push(Claimed {
                    endpoint: stored.endpoint.clone(),
                    tenant: key.0,
                    delivery,
                    at,
                }),
                // It was disabled or deleted after it was found to be due. The shard is still held, so
                // that it cannot be enabled again in between.
                Err(reason) => {
                    is_there_more = true;
                    let mut deliveries = self.deliveries.lock();
                    deliveries.set_active(&key, false);
                    if let Some((delivery, _)) = deliveries.get(&key.0, delivery.id) {
                        let delivery = delivery.clone();
                        let left = match reason {
                            CommitError::NotFound => delivery.end(DeliveryStatus::Canceled, at),
                            _ => delivery,
                        };
                        deliveries.release(&key.0, left, None);
                    }
                }
            }
        }
        // As of when it was looked for: what has become due since was not found, and must be told of.
        claims.next_due = if is_there_more {
            Some(found_at)
        } else {
            self.deliveries.lock().next_due(found_at)
        };
        claims
    }

    fn settle_now(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: &ReceiverState,
    ) -> Option<()> {
        let endpoint = self.deliveries.lock().get(tenant, id)?.0.endpoint_id;
        let key = (tenant.clone(), endpoint);
        let mut shard = None;
        if let ReceiverState::Gone { url } = receiver {
            let shard = shard.insert(self.shard(endpoint).lock());
            // Where it was moved away from that URL meanwhile, nothing is known against its new one.
            let stored = shard.get_mut(&key);
            if let Some(stored) = stored.filter(|stored| stored.endpoint.settings.url == *url) {
                let now = self.clock.now();
                let disabled = stored.endpoint.disabled(now);
                let (before, after) = (&stored.endpoint.settings, &disabled.settings);
                // The name stays the same, so it cannot be taken.
                let _ = self.replace_settings(&key, before, after);
                stored.endpoint = disabled;
            }
        }
        let mut deliveries = self.deliveries.lock();
        let now = self.clock.now();
        let settled = settle(deliveries.get(tenant, id)?.0, now);
        deliveries.release(tenant, settled, Some(*receiver != ReceiverState::Well));
        if deliveries.is_due(now) {
            // There is room for it now, and not every worker saw this attempt end.
            self.work.notify_one();
        }
        Some(())
    }

    fn commit_now(
        &self,
        tenant: &TenantId,
        claim: Option<Claim>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let fresh = |answer| Committed {
            answer,
            replayed: false,
        };
        let Some(claim) = claim else {
            return self.apply(tenant, write).map(|(_, answer)| fresh(answer));
        };
        let key = (tenant.clone(), claim.key.clone());
        // Held until the change is in place: whoever comes next with this key waits here.
        let mut records = self.records[self.place(&key)].lock();
        if let Some(record) = records.live(&key, self.clock.now()) {
            return Ok(Committed {
                answer: record.clone().replay(&claim)?,
                replayed: true,
            });
        }
        let (now, answer) = self.apply(tenant, write)?;
        let record = Record {
            fingerprint: claim.fingerprint,
            answer: answer.clone(),
        };
        records.remember(key, now, record);
        Ok(fresh(answer))
    }
}

/// The endpoint, if it is there and active.
fn active(stored: Option<&Stored>) -> Result<&Stored, CommitError> {
    let stored = stored.ok_or(CommitError::NotFound)?;
    if stored.endpoint.settings.active {
        Ok(stored)
    } else {
        Err(Refusal::EndpointDisabled.into())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        let key = (tenant.clone(), key.clone());
        let records = self.records[self.place(&key)].lock();
        Ok(records.live(&key, self.clock.now()).cloned())
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        claim: Option<Claim>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        self.commit_now(tenant, claim, write)
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        let shard = self.shard(id).lock();
        let stored = shard.get(&(tenant.clone(), id));
        Ok(stored.map(|stored| stored.endpoint.clone()))
    }

    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError> {
        let mut before = match after {
            None => u64::MAX,
            Some(id) => match self.shard(id).lock().get(&(tenant.clone(), id)) {
                Some(stored) => stored.position,
                None => return Ok(None),
            },
        };
        let index = self.index(tenant);
        let wanted = limit.saturating_add(1);
        let mut items: Vec<Endpoint> = Vec::new();
        // As often as it takes to fill the page: a short one, let alone an empty one, that says that
        // more follow would leave the caller without a cursor.
        while items.len() < wanted {
            // The index is let go before the shards are asked: the order of locks is shard, then index.
            let older: Vec<(u64, EndpointId)> = index
                .lock()
                .by_position
                .range(..before)
                .rev()
                .take(wanted - items.len())
                .map(|(position, id)| (*position, *id))
                .collect();
            let Some((last, _)) = older.last() else {
                break;
            };
            before = *last;
            items.extend(older.into_iter().filter_map(|(_, id)| {
                let shard = self.shard(id).lock();
                // One that was deleted meanwhile, or is only being created, is left out.
                let stored = shard.get(&(tenant.clone(), id));
                stored.map(|stored| stored.endpoint.clone())
            }));
        }
        let has_more = items.len() > limit;
        items.truncate(limit);
        Ok(Some(Page { items, has_more }))
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let deliveries = self.deliveries.lock();
        Ok(deliveries
            .get(tenant, id)
            .map(|(delivery, _)| delivery.clone()))
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        let key = (tenant.clone(), endpoint);
        Ok(self.deliveries.lock().list(&key, status, after, limit))
    }

    async fn claim(&self, batch: usize) -> Result<Claims, StoreError> {
        Ok(self.claim_now(batch))
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: ReceiverState,
    ) -> Result<(), StoreError> {
        // One that is gone was forgotten by age, and has nothing left to settle.
        let _ = self.settle_now(tenant, id, settle, &receiver);
        Ok(())
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    async fn keep_clock_advance(&self, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
