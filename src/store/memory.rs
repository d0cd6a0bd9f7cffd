//! The store that lives as long as the process.
//!
//! Records are spread over many shards, each behind its own short lock, so that commits on different
//! endpoints run beside each other on all cores. A commit holds, in this order and never in another:
//!
//! 1. the shard of its idempotency key, if it has one,
//! 2. the shard of its endpoint, if it changes one,
//! 3. the index of its tenant, if the set of endpoints or names changes.
//!
//! A creation decides under the index alone, so that times of creation follow the order of the list, and
//! puts the endpoint in its shard after it has let the index go: until then nobody knows the id.
//!
//! No lock is held across an await, so a dropped call is over before it can be dropped. A decision
//! that panics leaves everything as it was: the locks do not poison, and nothing is written before the
//! decision returns.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};

use super::{Change, CommitError, Committed, Page, Store, StoreError, Write};
use crate::clock::Clock;
use crate::domain::{Endpoint, EndpointId, TenantId, Timestamp};
use crate::idempotency::{Answer, Claim, IdempotencyKey, RETENTION, Record};

/// Shards of endpoints, and of keys: enough that two cores rarely meet in one.
const SHARDS: usize = 64;

/// How many expired records a commit with a key may take away: more than the one that it adds, so
/// that the sweep keeps up, and few enough that no commit waits for it.
const SWEPT_PER_COMMIT: usize = 4;

/// A [`Store`] in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    endpoints: Box<[EndpointShard]>,
    records: Box<[Mutex<Records>]>,
    indexes: RwLock<HashMap<TenantId, Arc<Mutex<Index>>>>,
}

type EndpointShard = Mutex<HashMap<(TenantId, EndpointId), Stored>>;

/// An endpoint with its place in the order of creation.
struct Stored {
    endpoint: Endpoint,
    position: u64,
}

/// What is known of a tenant's endpoints as a set.
#[derive(Default)]
struct Index {
    next_position: u64,
    by_position: BTreeMap<u64, EndpointId>,
    by_name: HashMap<Box<str>, EndpointId>,
}

type RecordKey = (TenantId, IdempotencyKey);

#[derive(Default)]
struct Records {
    by_key: HashMap<RecordKey, (Timestamp, Record)>,
    /// In the order of their commits, and so of their expiry.
    by_expiry: VecDeque<(Timestamp, RecordKey)>,
}

impl Records {
    fn live(&self, key: &RecordKey, now: Timestamp) -> Option<&Record> {
        let (expires_at, record) = self.by_key.get(key)?;
        (now < *expires_at).then_some(record)
    }

    fn remember(&mut self, key: RecordKey, now: Timestamp, record: Record) {
        let expires_at = now.plus(RETENTION);
        for _ in 0..SWEPT_PER_COMMIT {
            match self.by_expiry.front() {
                Some((expiry, _)) if *expiry <= now => self.forget_oldest(),
                _ => break,
            }
        }
        self.by_expiry.push_back((expires_at, key.clone()));
        self.by_key.insert(key, (expires_at, record));
    }

    fn forget_oldest(&mut self) {
        let Some((expiry, key)) = self.by_expiry.pop_front() else {
            return;
        };
        // The key may have been used again since: then its record has a later expiry, and stays.
        if self
            .by_key
            .get(&key)
            .is_some_and(|(of_record, _)| *of_record == expiry)
        {
            self.by_key.remove(&key);
        }
    }
}

impl MemoryStore {
    /// An empty store that tells the time by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = || 0..SHARDS;
        Self {
            clock,
            hasher: RandomState::new(),
            endpoints: shards().map(|_| Mutex::default()).collect(),
            records: shards().map(|_| Mutex::default()).collect(),
            indexes: RwLock::default(),
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
            Write::Create(decide) => {
                let index = self.index(tenant);
                let mut index = index.lock();
                let now = self.clock.now();
                let (endpoint, answer) = decide(now)?;
                let id = endpoint.id;
                if let Some(name) = &endpoint.settings.name {
                    index.claim_name(name, id)?;
                }
                let position = index.next_position;
                index.next_position += 1;
                index.by_position.insert(position, id);
                drop(index);
                let stored = Stored { endpoint, position };
                self.shard(id).lock().insert((tenant.clone(), id), stored);
                Ok((now, answer))
            }
            Write::Update(id, decide) => {
                let mut shard = self.shard(id).lock();
                let key = (tenant.clone(), id);
                let stored = shard.get_mut(&key).ok_or(CommitError::NotFound)?;
                let now = self.clock.now();
                let (change, answer) = decide(&stored.endpoint, now)?;
                match change {
                    Change::Keep => {}
                    Change::Replace(endpoint) => {
                        let before = &stored.endpoint.settings.name;
                        let after = &endpoint.settings.name;
                        if before != after {
                            let index = self.index(tenant);
                            let mut index = index.lock();
                            if let Some(name) = after {
                                index.claim_name(name, id)?;
                            }
                            if let Some(name) = before {
                                index.by_name.remove(name);
                            }
                        }
                        stored.endpoint = endpoint;
                    }
                    Change::Delete => {
                        let index = self.index(tenant);
                        let mut index = index.lock();
                        index.by_position.remove(&stored.position);
                        if let Some(name) = &stored.endpoint.settings.name {
                            index.by_name.remove(name);
                        }
                        shard.remove(&key);
                    }
                }
                Ok((now, answer))
            }
        }
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

impl Index {
    fn claim_name(&mut self, name: &str, id: EndpointId) -> Result<(), CommitError> {
        if self.by_name.contains_key(name) {
            return Err(CommitError::NameTaken);
        }
        self.by_name.insert(name.into(), id);
        Ok(())
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

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
