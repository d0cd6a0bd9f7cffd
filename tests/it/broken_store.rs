//! A store that fails or panics when it is told to, whatever it is asked.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hookturn::{
    domain::{Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId},
    idempotency::{Claim, IdempotencyKey, Record},
    store::{
        Claims, CommitError, Committed, MemoryStore, Page, ReceiverState, Settle, Store,
        StoreError, Write,
    },
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What must never be told to a client.
pub const INSIDE: &str = "disk /var/lib/inside is on fire";

/// What is wrong with the store.
#[derive(Clone, Copy)]
pub enum Fault {
    None,
    Fails,
    Panics,
}

/// A store in memory that can be broken and mended.
pub struct BrokenStore {
    inner: MemoryStore,
    fault: AtomicU8,
    kept: Mutex<Vec<Duration>>,
}

impl BrokenStore {
    /// A store that works.
    pub fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            fault: AtomicU8::new(Fault::None as u8),
            kept: Mutex::default(),
        }
    }

    /// From now on the store has this fault.
    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// The advances of the test clock that it was given to keep, in their order.
    pub fn kept(&self) -> Vec<Duration> {
        self.kept.lock().clone()
    }

    fn break_down(&self) -> Result<(), StoreError> {
        let fault = self.fault.load(Ordering::SeqCst);
        assert!(fault != Fault::Panics as u8, "{INSIDE}");
        if fault == Fault::Fails as u8 {
            return Err(StoreError(INSIDE.to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for BrokenStore {
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        self.break_down()?;
        self.inner.record(tenant, key).await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        claim: Option<Claim>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        self.break_down()?;
        self.inner.commit(tenant, claim, write).await
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.break_down()?;
        self.inner.endpoint(tenant, id).await
    }

    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError> {
        self.break_down()?;
        self.inner.endpoints(tenant, after, limit).await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        self.break_down()?;
        self.inner.delivery(tenant, id).await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        self.break_down()?;
        self.inner
            .deliveries(tenant, endpoint, status, after, limit)
            .await
    }

    async fn claim(&self, batch: usize) -> Result<Claims, StoreError> {
        self.break_down()?;
        self.inner.claim(batch).await
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: ReceiverState,
    ) -> Result<(), StoreError> {
        self.break_down()?;
        self.inner.settle(tenant, id, settle, receiver).await
    }

    fn work(&self) -> &Notify {
        self.inner.work()
    }

    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError> {
        self.break_down()?;
        self.kept.lock().push(total);
        self.inner.keep_clock_advance(total).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.break_down()?;
        self.inner.ready().await
    }
}
