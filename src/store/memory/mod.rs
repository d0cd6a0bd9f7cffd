//! Implements the store that ends with the process.
//!
//! Records are spread over many shards, each behind its own short lock, so that commits on
//! different endpoints run in parallel. A commit takes its locks always in this order:
//!
//! 1. the shard of its idempotency key, if it has one,
//! 2. the shard of its endpoint, if it changes one,
//! 3. the index of its tenant, if the set of endpoints, names or subscriptions changes,
//! 4. the deliveries.
//!
//! A creation decides while it holds only the index, so that times of creation follow the order of
//! the list. It puts the endpoint into its shard after it has released the index: until then nobody
//! knows the id.
//!
//! No lock is held across an await, so a call has ended before it can be dropped. A decision that
//! panics leaves everything as it was: the locks do not poison, and nothing is written before the
//! decision returns.

mod deliveries;
mod index;
mod large_map;
mod publish;
mod records;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use self::deliveries::Deliveries;
use self::index::Index;
use self::records::{Records, SWEPT_AT_ONCE, SWEPT_PER_COMMIT};
use super::claims::Receiver;
use super::quotas::{Quotas, Usage};
use super::repeats::{Comparisons, Digests, NeedsDigests, Tried};
use super::writes::Written;
use super::{
    Change, Claimed, Claims, CommitError, Committed, Decision, Filling, Page, Settled, Store,
    StoreError, StoreLimits, Write,
};
use crate::clock::Clock;
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, Refusal, Settings,
    TenantId, Timestamp, Verdict,
};
use crate::idempotency::{IdempotencyKey, KeyUse, Record};

/// The number of shards of endpoints, and of keys: enough that two cores rarely meet in one.
const SHARDS: usize = 64;

/// A [`Store`] in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    endpoints: Box<[EndpointShard]>,
    records: Box<[Mutex<Records>]>,
    tenants: RwLock<HashMap<TenantId, Arc<OfTenant>>>,
    quotas: Quotas,
    deliveries: Mutex<Deliveries>,
    work: Notify,
    comparisons: Comparisons,
}

/// What is kept for one tenant.
#[derive(Default)]
struct OfTenant {
    index: Mutex<Index>,
    /// How many idempotency keys have a record.
    keys: AtomicI64,
}

type EndpointShard = Mutex<HashMap<(TenantId, EndpointId), Stored>>;

/// An endpoint with its position in the order of creation.
struct Stored {
    endpoint: Endpoint,
    position: u64,
}

impl MemoryStore {
    /// Makes an empty store that reads the time from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(clock, StoreLimits::default())
    }

    /// Makes an empty store with these limits.
    #[must_use]
    pub fn with_limits(clock: Arc<dyn Clock>, limits: StoreLimits) -> Self {
        let shards = || 0..SHARDS;
        Self {
            clock,
            hasher: RandomState::new(),
            endpoints: shards().map(|_| Mutex::default()).collect(),
            records: shards().map(|_| Mutex::default()).collect(),
            tenants: RwLock::default(),
            quotas: limits.quotas,
            deliveries: Mutex::new(Deliveries::new(limits)),
            work: Notify::new(),
            comparisons: Comparisons::default(),
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

    fn of(&self, tenant: &TenantId) -> Arc<OfTenant> {
        if let Some(of) = self.tenants.read().get(tenant) {
            return Arc::clone(of);
        }
        Arc::clone(self.tenants.write().entry(tenant.clone()).or_default())
    }

    fn apply(
        &self,
        tenant: &TenantId,
        write: Write,
        digests: &Digests,
    ) -> Result<Result<Written, Box<NeedsDigests>>, CommitError> {
        Ok(Ok(match write {
            Write::Create(decide) => self.create(tenant, &decide)?,
            Write::Update(id, decide) => self.update(tenant, id, &decide)?,
            Write::Publish(publish) => return self.publish(tenant, publish, digests),
            Write::UpdateDelivery(id, decide) => self.update_delivery(tenant, id, &decide)?,
        }))
    }

    fn create(&self, tenant: &TenantId, decide: &super::Create) -> Result<Written, CommitError> {
        let of = self.of(tenant);
        let mut entered = of.index.lock();
        let used = i64::try_from(entered.by_position.len()).unwrap_or(i64::MAX);
        self.quotas
            .check(Usage::endpoints(used), Usage::endpoints(1))?;
        let now = self.clock.now();
        let Decision {
            write: endpoint,
            action,
            answer,
        } = decide(now)?;
        let (id, settings) = (endpoint.id, Arc::clone(&endpoint.settings));
        let position = entered.add(id, &settings)?;
        drop(entered);
        let stored = Stored { endpoint, position };
        let mut shard = self.shard(id).lock();
        shard.insert((tenant.clone(), id), stored);
        // This comes last, so that no event goes to an endpoint that does not exist yet. The shard
        // is held, so that nobody who found the endpoint in a list changes or deletes it before.
        of.index.lock().subscribe(id, &settings);
        Ok(Written {
            at: now,
            action,
            answer,
        })
    }

    fn update(
        &self,
        tenant: &TenantId,
        id: EndpointId,
        decide: &super::Update,
    ) -> Result<Written, CommitError> {
        let mut shard = self.shard(id).lock();
        let key = (tenant.clone(), id);
        let stored = shard.get_mut(&key).ok_or(CommitError::NotFound)?;
        let now = self.clock.now();
        let decided = decide(&stored.endpoint, now)?;
        match decided.write {
            Change::Keep => {}
            Change::Replace(endpoint) => {
                self.replace_settings(&key, &stored.endpoint.settings, &endpoint.settings)?;
                stored.endpoint = endpoint;
            }
            Change::Delete => {
                let settings = &stored.endpoint.settings;
                self.of(tenant)
                    .index
                    .lock()
                    .remove(id, stored.position, settings);
                shard.remove(&key);
                self.deliveries.lock().cancel_later(&key, now);
                self.work.notify_one();
            }
        }
        Ok(Written {
            at: now,
            action: decided.action,
            answer: decided.answer,
        })
    }

    /// Updates everything that depends on the settings of an endpoint whose shard is held.
    fn replace_settings(
        &self,
        key: &(TenantId, EndpointId),
        before: &Arc<Settings>,
        after: &Arc<Settings>,
    ) -> Result<(), CommitError> {
        // A rotation shares the settings, so it does not take the locks that all endpoints share.
        if Arc::ptr_eq(before, after) {
            return Ok(());
        }
        self.of(&key.0).index.lock().replace(key.1, before, after)?;
        if before.active != after.active {
            self.deliveries.lock().set_active(key, after.active);
            self.work.notify_one();
        }
        Ok(())
    }

    fn update_delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        decide: &super::UpdateDelivery,
    ) -> Result<Written, CommitError> {
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
        let decided = decide(&delivery, is_in_flight, now)?;
        deliveries.replace(tenant, decided.write);
        drop(deliveries);
        self.work.notify_one();
        Ok(Written {
            at: now,
            action: decided.action,
            answer: decided.answer,
        })
    }

    fn claim_now(&self, batch: usize) -> Claims {
        let mut claims = Claims::default();
        let (found_at, taken) = {
            let mut deliveries = self.deliveries.lock();
            let now = self.clock.now();
            (now, deliveries.claim(now, batch))
        };
        let mut is_there_more = taken.len() == batch;
        for (tenant, delivery, event, hold) in taken {
            let key = (tenant, delivery.endpoint_id);
            let shard = self.shard(key.1).lock();
            let at = self.clock.now();
            match active(shard.get(&key)) {
                Ok(stored) => claims.claimed.push(Claimed {
                    endpoint: stored.endpoint.clone(),
                    tenant: key.0,
                    delivery,
                    event,
                    at,
                    hold,
                }),
                // The endpoint was disabled or deleted after its delivery was found to be due. The
                // shard is still held, so that nobody can enable it in between.
                Err(reason) => {
                    is_there_more = true;
                    let mut deliveries = self.deliveries.lock();
                    deliveries.set_active(&key, false);
                    if let Some((delivery, _)) = deliveries.get(&key.0, delivery.id) {
                        let left = match reason {
                            CommitError::NotFound => delivery.end(DeliveryStatus::Canceled, at),
                            _ => delivery,
                        };
                        deliveries.release(&key.0, left, None);
                    }
                }
            }
        }
        // Computed from the time of the search: what has become due since then was not found, and
        // must be reported.
        claims.next_due = if is_there_more {
            Some(found_at)
        } else {
            self.deliveries.lock().next_due(found_at)
        };
        claims
    }

    fn settle_now(&self, claimed: &Claimed, attempt: &Attempt, verdict: Verdict) -> Settled {
        let (tenant, id) = (&claimed.tenant, claimed.delivery.id);
        let key = (tenant.clone(), claimed.endpoint.id);
        let mut shard = None;
        if verdict == Verdict::Gone {
            let shard = shard.insert(self.shard(key.1).lock());
            if self
                .deliveries
                .lock()
                .held(tenant, id, claimed.hold)
                .is_none()
            {
                return Settled::HoldLost;
            }
            if let Some(stored) = shard.get_mut(&key) {
                let now = self.clock.now();
                let receiver =
                    Receiver::after(claimed, (attempt, verdict), Some(&stored.endpoint), now);
                if let Some(disabled) = receiver.disabled {
                    let (before, after) = (&stored.endpoint.settings, &disabled.settings);
                    // The name stays the same, so it cannot be taken.
                    let _ = self.replace_settings(&key, before, after);
                    stored.endpoint = disabled;
                }
            }
        }
        let mut deliveries = self.deliveries.lock();
        let now = self.clock.now();
        let Some(delivery) = deliveries.held(tenant, id, claimed.hold) else {
            return Settled::HoldLost;
        };
        let settled = delivery.settle(attempt.clone(), verdict, now);
        let ended = Receiver::after(claimed, (attempt, verdict), None, now).ended;
        deliveries.release(tenant, settled, ended);
        if deliveries.is_due(now) {
            // There is capacity for it now, and not every worker saw this attempt end.
            self.work.notify_one();
        }
        Settled::Recorded
    }

    /// Deletes at most `most` expired records. Returns whether there are more.
    fn sweep_records(&self, records: &mut Records, most: usize) -> bool {
        records.sweep(self.clock.now(), most, |tenant| {
            self.of(tenant).keys.fetch_sub(1, Ordering::Relaxed);
        })
    }

    fn commit_now(
        &self,
        tenant: &TenantId,
        key_use: Option<KeyUse>,
        write: Write,
        digests: &Digests,
    ) -> Result<Tried, CommitError> {
        let Some(key_use) = key_use else {
            return Ok(match self.apply(tenant, write, digests)? {
                Ok(written) => Committed::from(written).into(),
                Err(needs) => Tried::NeedsDigests(needs),
            });
        };
        let key = (tenant.clone(), key_use.key.clone());
        // Held until the change is written: the next request with this key waits here.
        let mut records = self.records[self.place(&key)].lock();
        let of = self.of(tenant);
        self.sweep_records(&mut records, SWEPT_PER_COMMIT);
        if let Some(record) = records.live(&key, self.clock.now()) {
            return Ok(Committed::replay(record.clone().replay(&key_use)?).into());
        }
        // A record that has expired is replaced.
        let more = Usage::keys(i64::from(!records.has(&key)));
        let used = Usage::keys(of.keys.load(Ordering::Relaxed));
        self.quotas.check(used, more)?;
        let written = match self.apply(tenant, write, digests)? {
            Ok(written) => written,
            Err(needs) => return Ok(Tried::NeedsDigests(needs)),
        };
        of.keys.fetch_add(more.idempotency_keys, Ordering::Relaxed);
        let record = Record {
            fingerprint: key_use.fingerprint,
            answer: written.answer.clone(),
        };
        records.remember(key, written.at, record);
        Ok(Committed::from(written).into())
    }
}

/// Returns the endpoint, if it exists and is active.
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
        key_use: Option<KeyUse>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (mut write, mut digests) = (write, Digests::default());
        loop {
            match self.commit_now(tenant, key_use.clone(), write, &digests)? {
                Tried::Done(committed) => return Ok(committed),
                Tried::NeedsDigests(needs) => {
                    let publish;
                    (publish, digests) = self.comparisons.digests(tenant, *needs).await?;
                    write = Write::Publish(publish);
                }
            }
        }
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
        let of = self.of(tenant);
        let wanted = limit.saturating_add(1);
        let mut items: Vec<Endpoint> = Vec::new();
        // Repeats until the page is full: a page that is short, or even empty, and says that more
        // follow would leave the caller without a cursor.
        while items.len() < wanted {
            // The index is released before the shards are locked: the order of locks is shard, then
            // index.
            let older: Vec<(u64, EndpointId)> = of
                .index
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
                // Endpoints that were deleted meanwhile, or are still being created, are left out.
                let stored = shard.get(&(tenant.clone(), id));
                stored.map(|stored| stored.endpoint.clone())
            }));
        }
        let mut filling = Filling::new(limit);
        for endpoint in items {
            if !filling.has_room_for(endpoint.settings.text_bytes()) {
                break;
            }
            filling.add(endpoint);
        }
        Ok(Some(filling.page()))
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let deliveries = self.deliveries.lock();
        Ok(deliveries.get(tenant, id).map(|(delivery, _)| delivery))
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
        let is_more_to_make = self.do_unfinished()?;
        let mut claims = self.claim_now(batch);
        if is_more_to_make {
            claims.next_due = Some(self.clock.now());
        }
        Ok(claims)
    }

    async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<Settled, StoreError> {
        Ok(self.settle_now(claimed, attempt, verdict))
    }

    async fn sweep(&self) -> Result<Timestamp, StoreError> {
        let now = self.clock.now();
        let next = self.deliveries.lock().sweep(now);
        let mut has_more = false;
        for records in &self.records {
            has_more |= self.sweep_records(&mut records.lock(), SWEPT_AT_ONCE);
        }
        Ok(if has_more { now } else { next })
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
