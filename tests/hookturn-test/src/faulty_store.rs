//! A store whose calls fail, panic or hang as a test says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hookturn::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
    Verdict,
};
use hookturn::idempotency::{IdempotencyKey, KeyUse, Record};
use hookturn::store::{
    Claimed, Claims, CommitError, Committed, Page, Settled, Store, StoreError, Write,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

/// What goes wrong with a call, before or after the wrapped store executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call is not executed, and fails.
    ErrorBefore,
    /// The call is executed, and then fails.
    ErrorAfter,
    /// The call is not executed, and panics.
    PanicBefore,
    /// The call is executed, and then panics.
    PanicAfter,
    /// The call is executed only after the test releases it.
    HangBefore,
    /// The call is executed, and returns only after the test releases it.
    HangAfter,
}

impl Fault {
    fn is_after(self) -> bool {
        matches!(self, Self::ErrorAfter | Self::PanicAfter | Self::HangAfter)
    }
}

/// The text of all faults. No part of it may reach a client.
pub const INSIDE: &str = "whsec_injected+into+a+fault+of+the+store/000000";

/// A call to the store.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The name of the call; for a commit, with what it writes.
    pub name: &'static str,
    /// Its number among all calls, counted from 0.
    pub number: usize,
    /// Its number among the calls with this name, counted from 0.
    pub nth: usize,
}

/// The names of all calls. The last ones are those of the worker, and the one that continues after
/// its client is gone.
pub static NAMES: [&str; 14] = [
    "record",
    "commit Create",
    "commit Update",
    "commit Publish",
    "commit UpdateDelivery",
    "endpoint",
    "endpoints",
    "delivery",
    "deliveries",
    "ready",
    "claim",
    "settle",
    "sweep",
    "keep_clock_advance",
];

type Plan = Box<dyn Fn(Call) -> Option<Fault> + Send + Sync>;

/// A store that wraps another, and adds faults to the calls that its plan selects.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Plan,
    /// The fault of all calls, if there is one.
    broken: Mutex<Option<Fault>>,
    calls: Mutex<HashMap<&'static str, usize>>,
    faults: AtomicUsize,
    /// Gets a permit for each call that begins to hang.
    pub hanging: Semaphore,
    /// Gets a permit for each hanging call that is dropped or released.
    pub dropped: Semaphore,
    /// Releases a hanging call for each permit that the test adds.
    pub go_on: Semaphore,
    kept: Mutex<Vec<Duration>>,
}

impl FaultyStore {
    /// Creates a store whose calls have the faults that `plan` returns.
    pub fn new(
        inner: Arc<dyn Store>,
        plan: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Box::new(plan),
            broken: Mutex::default(),
            calls: Mutex::default(),
            faults: AtomicUsize::new(0),
            hanging: Semaphore::new(0),
            dropped: Semaphore::new(0),
            go_on: Semaphore::new(0),
            kept: Mutex::default(),
        })
    }

    /// Creates a store without planned faults.
    pub fn sound(inner: Arc<dyn Store>) -> Arc<Self> {
        Self::new(inner, |_| None)
    }

    /// Sets the fault of all calls from now on. `None` leaves only the planned faults.
    pub fn set(&self, fault: Option<Fault>) {
        *self.broken.lock() = fault;
    }

    /// Returns how many calls had a fault.
    pub fn faults(&self) -> usize {
        self.faults.load(Ordering::SeqCst)
    }

    /// Returns the advances of the test clock that the store was asked to keep, in order.
    pub fn kept(&self) -> Vec<Duration> {
        self.kept.lock().clone()
    }

    fn fault(&self, name: &'static str) -> Option<Fault> {
        let call = {
            let mut calls = self.calls.lock();
            let number = calls.values().sum();
            let nth = calls.entry(name).or_default();
            *nth += 1;
            Call {
                name,
                number,
                nth: *nth - 1,
            }
        };
        let planned = (self.plan)(call);
        let fault = self.broken.lock().or(planned);
        self.faults
            .fetch_add(usize::from(fault.is_some()), Ordering::SeqCst);
        fault
    }

    async fn around<T, E: From<StoreError>>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.faulted(self.fault(name), call).await
    }

    async fn faulted<T, E: From<StoreError>>(
        &self,
        fault: Option<Fault>,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Some(fault) = fault.filter(|fault| !fault.is_after()) {
            self.suffer(fault).await?;
        }
        let outcome = call.await;
        if let Some(fault) = fault.filter(|fault| fault.is_after()) {
            self.suffer(fault).await?;
        }
        outcome
    }

    async fn suffer(&self, fault: Fault) -> Result<(), StoreError> {
        match fault {
            Fault::ErrorBefore | Fault::ErrorAfter => Err(StoreError::new(INSIDE)),
            Fault::PanicBefore | Fault::PanicAfter => panic!("{INSIDE}"),
            Fault::HangBefore | Fault::HangAfter => {
                self.hang().await;
                Ok(())
            }
        }
    }

    async fn hang(&self) {
        struct Note<'a>(&'a Semaphore);
        impl Drop for Note<'_> {
            fn drop(&mut self) {
                self.0.add_permits(1);
            }
        }
        let _note = Note(&self.dropped);
        self.hanging.add_permits(1);
        let going_on = self.go_on.acquire().await;
        going_on.expect("never closed").forget();
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        self.around("record", self.inner.record(tenant, key)).await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        claim: Option<KeyUse>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let name = match write {
            Write::Create(_) => "commit Create",
            Write::Update(..) => "commit Update",
            Write::Publish(_) => "commit Publish",
            Write::UpdateDelivery(..) => "commit UpdateDelivery",
        };
        self.around(name, self.inner.commit(tenant, claim, write))
            .await
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.around("endpoint", self.inner.endpoint(tenant, id))
            .await
    }

    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError> {
        self.around("endpoints", self.inner.endpoints(tenant, after, limit))
            .await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        self.around("delivery", self.inner.delivery(tenant, id))
            .await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        let page = self
            .inner
            .deliveries(tenant, endpoint, status, after, limit);
        self.around("deliveries", page).await
    }

    async fn claim(&self, batch: usize) -> Result<Claims, StoreError> {
        if let Some(fault) = self.fault("claim") {
            // A claim that fails or is dropped holds nothing, at whatever point that happens, so
            // each fault comes before the call.
            self.suffer(fault).await?;
        }
        self.inner.claim(batch).await
    }

    async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<Settled, StoreError> {
        self.around("settle", self.inner.settle(claimed, attempt, verdict))
            .await
    }

    async fn sweep(&self) -> Result<Timestamp, StoreError> {
        self.around("sweep", self.inner.sweep()).await
    }

    fn work(&self) -> &Notify {
        self.inner.work()
    }

    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError> {
        let keep = async {
            self.kept.lock().push(total);
            self.inner.keep_clock_advance(total).await
        };
        self.around("keep_clock_advance", keep).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.around("ready", self.inner.ready()).await
    }
}
