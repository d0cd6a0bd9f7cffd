//! Where records live: the one trait, and the rules that every store keeps.
//!
//! A store knows nothing of rotation, secrets or HTTP. It does one thing for the layers above:
//! **it makes a pure decision atomic**. [`Store::commit`] runs the decision on the record as it is
//! and, in one transaction, writes what was decided together with the answer for the idempotency
//! key, or nothing at all.
//!
//! The rules, which `tests/stores/conformance` holds every store to:
//!
//! 1. *Order.* Commits on one endpoint are linearizable (I4): each decision sees the record as the one
//!    before left it.
//! 2. *Once.* A commit with a [`KeyUse`] looks for the key's record first, in the same transaction. If
//!    there is one, the decision does not run, and the answer is the recorded one or
//!    [`CommitError::KeyReused`] (I5).
//! 3. *All or nothing.* A decision that refuses, a taken name or a fault leaves no trace: no record
//!    of the key either, so that the next in line runs.
//! 4. *Tenants.* Nothing of one tenant can be reached with another's id (I7).
//! 5. *Time.* A store asks its clock inside the transaction, so that times follow the order of commits.
//!    A key's record counts until [`RETENTION`](crate::idempotency::RETENTION) after its commit.
//! 6. *Cancellation.* A dropped call happened wholly or not at all.

pub mod at_rest;
mod claims;
mod errors;
mod fan_out;
pub mod memory;
mod queues;
pub mod sqlite;
mod writes;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
    Verdict,
};
use crate::idempotency::{IdempotencyKey, KeyUse, Record};

pub use claims::{Claimed, Claims, DeliveryLimits, Hold, Settled};
pub use errors::{CommitError, StoreError};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use writes::{
    Audience, Change, Committed, Create, Decision, Publish, Published, RenderPublished, Update,
    UpdateDelivery, Write,
};

/// A page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries of this page.
    pub items: Vec<T>,
    /// Whether older entries follow.
    pub has_more: bool,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            has_more: false,
        }
    }
}

/// A store of endpoints and of remembered answers. See the module for the rules.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The remembered answer for a key, if it has not expired. Only a short cut past the work that
    /// leads to a commit: the commit looks again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError>;

    /// Makes `write` happen once and wholly, or not at all. **When this returns `Ok`, the change and
    /// the record of its answer are committed.**
    ///
    /// # Errors
    ///
    /// [`CommitError`] says why nothing was written.
    async fn commit(
        &self,
        tenant: &TenantId,
        key_use: Option<KeyUse>,
        write: Write,
    ) -> Result<Committed, CommitError>;

    /// One endpoint.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError>;

    /// At most `limit` endpoints, newest first, that were created before the endpoint `after` (from
    /// the newest on when `None`). `None` when the tenant has no endpoint `after`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError>;

    /// One delivery.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError>;

    /// At most `limit` deliveries of an endpoint, newest first, with `status` if one is given, that
    /// were created before the delivery `after` (from the newest on when `None`). `None` when the
    /// endpoint has no delivery `after`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError>;

    /// Takes at most `batch` deliveries that are due, each with its endpoint as it is now, and holds them until they are
    /// settled.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails. Then nothing is held, nor after a call that was dropped:
    /// nobody would ever settle it.
    async fn claim(&self, batch: usize) -> Result<Claims, StoreError>;

    /// Ends the attempt of a claimed delivery: writes what becomes of the delivery by
    /// [`Delivery::settle`](Delivery::settle), and of its endpoint if the receiver is gone, and lets go of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails: whoever holds the delivery tries again. If it was written all the same, the
    /// next call answers [`Settled::HoldLost`].
    async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<Settled, StoreError>;

    /// Takes away some of what has expired: answers whose keys have, deliveries and events past their retention. Fails
    /// some of what has waited too long for a disabled endpoint. Returns when to call it again; a time that is past means
    /// that there is more to do right now.
    ///
    /// What has expired is never shown, swept or not: this only gives back its room.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn sweep(&self) -> Result<Timestamp, StoreError>;

    /// Told whenever there may be something to claim that was not there before.
    fn work(&self) -> &Notify;

    /// Keeps by how much the test clock has been advanced in all, in place of what was kept before: a
    /// durable store finds it again when it is next opened, so that time does not go back. When this
    /// returns `Ok`, it is committed. A store that ends with the process has nothing to keep.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError>;

    /// Answers when the store can be used.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// How long a store goes without a sweep. What comes to expire earlier than was known at the last one (an endpoint with
/// old deliveries is disabled, say) waits for at most so long.
pub(crate) const SWEEP_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
