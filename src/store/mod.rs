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

use std::fmt;

use async_trait::async_trait;

use crate::domain::{Endpoint, EndpointId, Refusal, TenantId, Timestamp};
use crate::idempotency::{Answer, Claim, IdempotencyKey, KeyReused, Record};

pub use memory::MemoryStore;

/// A decision to create an endpoint, given the time of the commit.
pub type Create = Box<dyn FnOnce(Timestamp) -> Result<(Endpoint, Answer), Refusal> + Send>;

/// A decision on an endpoint as it is, given the time of the commit.
pub type Update = Box<dyn FnOnce(&Endpoint, Timestamp) -> Result<(Change, Answer), Refusal> + Send>;

/// What is to be written.
pub enum Write {
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
        }
    }
}
