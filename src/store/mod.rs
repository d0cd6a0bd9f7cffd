//! Stores records: the one trait of all stores, and the rules that every store keeps.
//!
//! A store knows nothing of rotation, secrets or HTTP. It does one thing for the layers above: **it
//! makes a pure decision atomic**. [`Store::commit`] runs the decision on the current record. In
//! one transaction it then writes what was decided and the answer for the idempotency key, or it
//! writes nothing at all.
//!
//! These are the rules. `tests/stores/conformance` tests every store for them:
//!
//! 1. *Order.* Commits on one endpoint are linearizable (I4): each decision sees the record as the
//!    previous commit left it.
//! 2. *Once.* A commit with a [`KeyUse`] first looks for the key's record, in the same transaction.
//!    If there is one, the decision does not run: the caller gets the recorded answer or
//!    [`CommitError::KeyReused`] (I5).
//! 3. *All or nothing.* When the decision refuses, the name is taken or the store fails, nothing is
//!    written. The key is not recorded either, so the next request with this key runs.
//! 4. *Tenants.* No tenant can reach another tenant's records (I7).
//! 5. *Time.* A store reads its clock inside the transaction, so times follow the order of commits.
//!    A key's record is valid for [`RETENTION`](crate::idempotency::RETENTION) after its commit.
//! 6. *Cancellation.* A call that is dropped has happened completely or not at all.

pub mod at_rest;
mod claims;
mod errors;
mod fan_out;
pub mod memory;
mod pages;
mod pending_fan_outs;
mod queues;
mod quotas;
mod repeats;
pub mod sqlite;
mod writes;

use std::time::Duration;

use async_trait::async_trait;
pub use claims::{Claimed, Claims, Hold, Settled, StoreLimits};
pub use errors::{CommitError, StoreError};
pub use memory::MemoryStore;
use pages::Filling;
pub use pages::Page;
pub use quotas::{Quota, QuotaExceeded, Quotas};
pub use sqlite::SqliteStore;
use tokio::sync::Notify;
pub use writes::{
    Audience, Change, Committed, Create, Decision, Publish, Published, RenderPublished, Update,
    UpdateDelivery, Write,
};

use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
    Verdict,
};
use crate::idempotency::{IdempotencyKey, KeyUse, Record};

/// Stores endpoints, events, deliveries and recorded answers. The module lists the rules.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns the recorded answer for a key, unless it has expired.
    ///
    /// This only saves the work that leads to a commit: the commit looks for the record again.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError>;

    /// Writes `write` completely and once, or not at all. **When this returns `Ok`, the change and
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

    /// Returns one endpoint.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError>;

    /// Returns at most `limit` endpoints, newest first, or fewer if they are long. The page begins
    /// after the endpoint `after`, or with the newest one when `after` is `None`. Returns `None`
    /// when the tenant has no endpoint `after`.
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

    /// Returns one delivery.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError>;

    /// Returns at most `limit` deliveries of an endpoint, newest first, or fewer if they are long,
    /// and only those with `status` if it is given. The page begins after the delivery `after`, or
    /// with the newest one when `after` is `None`. Returns `None` when the endpoint has no delivery
    /// `after`.
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

    /// Claims at most `batch` deliveries that are due, each with its endpoint as it is now. A
    /// claimed delivery is held until it is settled.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails. Then no delivery is held. A dropped call holds none
    /// either, since nobody would settle it.
    async fn claim(&self, batch: usize) -> Result<Claims, StoreError>;

    /// Ends the attempt of a claimed delivery and releases the claim. Writes the delivery as
    /// [`Delivery::settle`](Delivery::settle) returns it, and disables the endpoint if its receiver
    /// is gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails. The caller still holds the delivery and tries again. If
    /// the failed call was committed after all, the next call returns [`Settled::HoldLost`].
    async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<Settled, StoreError>;

    /// Deletes some of the expired records: recorded answers, deliveries and events past their
    /// retention. Fails some of the deliveries that have waited too long for a disabled endpoint.
    /// Returns when to call it again; a time in the past means that there is more to do right now.
    ///
    /// Expired records are never shown, whether they are deleted yet or not. The sweep only frees
    /// their space.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn sweep(&self) -> Result<Timestamp, StoreError>;

    /// Returns what is notified whenever there may be new deliveries to claim.
    fn work(&self) -> &Notify;

    /// Stores how far the test clock has been advanced in total, and replaces the previous value.
    /// When this returns `Ok`, the value is committed. A durable store restores it when it is
    /// opened next, so that time does not go back. A store that ends with the process stores
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails.
    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError>;

    /// Returns `Ok` when the store can be used.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be used.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// The longest time between two sweeps. A sweep that becomes due earlier than the last one
/// predicted, for example because an endpoint with old deliveries is disabled, is late by at most
/// this long.
pub(crate) const SWEEP_AT_LEAST_EVERY: Duration = Duration::from_secs(60);
