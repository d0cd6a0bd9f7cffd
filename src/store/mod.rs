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
//! 2. *Once.* A commit with a [`Claim`] looks for the key's record first, in the same transaction. If
//!    there is one, the decision does not run, and the answer is the recorded one or
//!    [`CommitError::KeyReused`] (I5).
//! 3. *All or nothing.* A decision that refuses, a taken name or a fault leaves no trace: no record
//!    of the key either, so that the next in line runs.
//! 4. *Tenants.* Nothing of one tenant can be reached with another's id (I7).
//! 5. *Time.* A store asks its clock inside the transaction, so that times follow the order of commits.
//!    A key's record counts until [`RETENTION`](crate::idempotency::RETENTION) after its commit.
//! 6. *Cancellation.* A dropped call happened wholly or not at all.

pub mod memory;
mod queues;
pub mod seal;
pub mod sqlite;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, Event, EventId, Refusal, TenantId,
    Timestamp, TraceId,
};
use crate::idempotency::{Answer, Claim, IdempotencyKey, KeyReused, Record};

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// A decision to create an endpoint, given the time of the commit.
pub type Create = Box<dyn FnOnce(Timestamp) -> Result<(Endpoint, Answer), Refusal> + Send>;

/// A decision on an endpoint as it is, given the time of the commit.
pub type Update = Box<dyn FnOnce(&Endpoint, Timestamp) -> Result<(Change, Answer), Refusal> + Send>;

/// A decision on a delivery as it is, given whether an attempt of it is under way and the time of the
/// commit.
pub type UpdateDelivery =
    Box<dyn FnOnce(&Delivery, bool, Timestamp) -> Result<(Delivery, Answer), Refusal> + Send>;

/// What becomes of a delivery when an attempt of it has ended.
pub type Settle = Box<dyn FnOnce(&Delivery, Timestamp) -> Delivery + Send>;

/// An event to be stored together with its deliveries.
pub struct Publish {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: Box<str>,
    /// The JSON text of an object.
    pub data: Box<str>,
    /// The trace of the request that brought it.
    pub trace_id: TraceId,
    /// To whom it goes.
    pub audience: Audience,
    /// Renders the answer.
    pub answer: Box<dyn FnOnce(&Published) -> Answer + Send>,
}

/// To whom an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Each active endpoint of the tenant that subscribes to its type.
    Subscribers,
    /// This endpoint alone, whatever it subscribes to. It must be active.
    Endpoint(EndpointId),
}

/// An event as it was stored.
#[derive(Clone, Debug)]
pub struct Published {
    /// The event.
    pub event: Arc<Event>,
    /// To how many endpoints it goes.
    pub deliveries: usize,
    /// The delivery, when it went to one endpoint by [`Audience::Endpoint`].
    pub delivery: Option<Delivery>,
}

/// What is to be written.
pub enum Write {
    /// An event with its deliveries. If the tenant published the id before, with the same type and
    /// data, nothing is written and the first one is answered again.
    Publish(Publish),
    /// A change of the delivery with this id, while its endpoint exists and is active.
    UpdateDelivery(DeliveryId, UpdateDelivery),
    /// A new endpoint. Its name, if any, must be free.
    Create(Create),
    /// A change of the endpoint with this id.
    Update(EndpointId, Update),
}

/// What becomes of the endpoint that a decision saw.
#[derive(Debug)]
pub enum Change {
    /// It stays as it is.
    Keep,
    /// It is replaced by this one, with the same id. A new name must be free.
    Replace(Endpoint),
    /// It is deleted, with its secrets.
    Delete,
}

/// What a commit answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The answer: of this commit, or of the one that its key was first used for.
    pub answer: Answer,
    /// Whether it is the answer of an earlier commit, and this one changed nothing.
    pub replayed: bool,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The tenant has no endpoint with this id.
    #[error("no such endpoint")]
    NotFound,
    /// The tenant has no delivery with this id.
    #[error("no such delivery")]
    DeliveryNotFound,
    /// The tenant published another event under this id.
    #[error("the event id was used for another event")]
    EventIdReused,
    /// The tenant gave the name to another endpoint.
    #[error("the name is taken")]
    NameTaken,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The decision refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeyReused> for CommitError {
    fn from(_: KeyReused) -> Self {
        Self::KeyReused
    }
}

/// The store failed: nothing that a caller could have done otherwise. The text is for the log and
/// holds no data of records.
#[derive(Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

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

/// How deliveries are held and handed out.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryLimits {
    /// For how long finished deliveries and the ids of events are kept. Default: 7 days.
    pub retention: Duration,
    /// How many attempts may be under way at once. Default: 1024.
    pub in_flight: usize,
    /// How many of them may go to one endpoint. Default: 32. One whose last attempt failed gets one,
    /// all such endpoints together at most half of the room (but one attempt at least), and while more
    /// than half of the room is taken nobody gets a second before all have a first, so that receivers
    /// which are slow or dead do not delay the others.
    pub in_flight_per_endpoint: usize,
}

impl DeliveryLimits {
    /// How long a pending delivery waits for a disabled endpoint before it fails: 7 days.
    pub const WAIT_WHILE_DISABLED: Duration = Duration::from_secs(7 * 86_400);
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(7 * 86_400),
            in_flight: 1024,
            in_flight_per_endpoint: 32,
        }
    }
}

/// A delivery that is due, held by whoever claimed it, with all that an attempt needs **as it was when
/// it was claimed**: nothing that signs it comes from anywhere else.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Whose it is.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery: Delivery,
    /// Its endpoint, with the key ring.
    pub endpoint: Endpoint,
    /// When it was claimed: the start of the attempt.
    pub at: Timestamp,
}

/// What a claim found.
#[derive(Debug, Default)]
pub struct Claims {
    /// The deliveries that were claimed.
    pub claimed: Vec<Claimed>,
    /// When there will be something to do next, as far as is known. It is past only if there is more to
    /// do right now. What is due but has no room does not count: it gets room when an attempt ends.
    pub next_due: Option<Timestamp>,
}

/// What is learnt about an endpoint from an attempt.
#[derive(Clone, PartialEq, Eq)]
pub enum ReceiverState {
    /// It answered 2xx.
    Well,
    /// It failed.
    Failing,
    /// It answered 410: its endpoint is disabled, if deliveries still go there.
    Gone {
        /// Where the attempt went.
        url: Box<str>,
    },
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
        claim: Option<Claim>,
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

    /// Takes at most `batch` deliveries that are due, each with its endpoint as it is now, and holds
    /// them until they are settled. Also takes away a little of what has had its time.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails. Then nothing is held, nor after a call that was dropped:
    /// nobody would ever settle it.
    async fn claim(&self, batch: usize) -> Result<Claims, StoreError>;

    /// Ends the attempt of a claimed delivery: writes what became of it, and lets go of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store fails: then the delivery is still held, and whoever holds it tries
    /// again. Where the store cannot know whether it wrote the change, the next `settle` may see it.
    async fn settle(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: ReceiverState,
    ) -> Result<(), StoreError>;

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

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(_) => f.write_str("Create"),
            Self::Update(id, _) => write!(f, "Update({id})"),
            Self::Publish(publish) => write!(f, "Publish({})", publish.id),
            Self::UpdateDelivery(id, _) => write!(f, "UpdateDelivery({id})"),
        }
    }
}
