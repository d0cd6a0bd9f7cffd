//! The use cases of both dialects, without HTTP.
//!
//! Every change has the same shape: a pure function decides on the present record, and `render`
//! makes the answer from the outcome. The store runs both inside its commit, so that the commit
//! also keeps the answer.

pub mod clock;
pub mod deliveries;
pub mod endpoints;
pub mod events;
pub mod rotation;

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::{Action, Endpoint, EndpointId, Refusal, TenantId, Timestamp};
use crate::idempotency::{Answer, KeyUse};
use crate::random::NoRandomness;
use crate::store::{
    Change, CommitError, Committed, Decision, QuotaExceeded, Store, StoreError, Write,
};

/// Why a request could not be served. Each case means the same in both dialects.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The tenant has no endpoint with this id.
    #[error("no such endpoint")]
    EndpointNotFound,
    /// The tenant has no delivery with this id.
    #[error("no such delivery")]
    DeliveryNotFound,
    /// The tenant published another event under this id.
    #[error("the event id was used for another event")]
    EventIdReused,
    /// The endpoint is disabled, so nothing can be sent to it.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// The endpoint has no key ring.
    #[error("signing is not enabled")]
    SigningDisabled,
    /// Ten secrets are live, and the rotation would add another.
    #[error("too many live secrets")]
    TooManyLiveSecrets {
        /// When the first of them expires.
        next_expires_at: Timestamp,
    },
    /// The tenant has another endpoint with this name.
    #[error("the name is taken")]
    NameTaken,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// The request would exceed a quota of the tenant.
    #[error(transparent)]
    QuotaExceeded(QuotaExceeded),
    /// The cursor of a list is not the id of a record of the tenant.
    #[error("the cursor names no endpoint")]
    InvalidCursor,
    /// A fault of the server. The text is for the log only.
    #[error("{0}")]
    Internal(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// A fault of the server.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(source.into()))
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotFound => Self::EndpointNotFound,
            CommitError::NameTaken => Self::NameTaken,
            CommitError::KeyReused => Self::IdempotencyKeyReused,
            CommitError::DeliveryNotFound => Self::DeliveryNotFound,
            CommitError::EventIdReused => Self::EventIdReused,
            CommitError::QuotaExceeded(exceeded) => Self::QuotaExceeded(exceeded),
            CommitError::Refused(Refusal::EndpointDisabled) => Self::EndpointDisabled,
            CommitError::Refused(Refusal::SigningDisabled) => Self::SigningDisabled,
            CommitError::Refused(Refusal::TooManyLiveSecrets { next_expires_at }) => {
                Self::TooManyLiveSecrets { next_expires_at }
            }
            CommitError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::internal(error)
    }
}

impl From<NoRandomness> for Error {
    fn from(error: NoRandomness) -> Self {
        Self::internal(error)
    }
}

/// The caller of a change: the tenant, and its idempotency key.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The idempotency key and its request, if a key was sent.
    pub key_use: Option<KeyUse>,
}

/// The use cases over one store and one clock. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Service {
    /// Makes the use cases over `store`. `clock` must be the store's clock.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Returns the store, for reading kept answers and for readiness, which need no rules.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Returns the server's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the wall clock's time.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Creates an endpoint and renders the answer from it.
    async fn create(
        &self,
        caller: Caller,
        decide: impl Fn(Timestamp) -> Endpoint + Send + Sync + 'static,
        render: impl Fn(&Endpoint) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let write = Write::Create(Box::new(move |now| {
            let endpoint = decide(now);
            Ok(Decision {
                answer: render(&endpoint),
                action: Some(Action::EndpointCreated),
                write: endpoint,
            })
        }));
        let committed = self.store.commit(&caller.tenant, caller.key_use, write);
        Ok(committed.await?)
    }

    /// Changes one endpoint. `decide` returns the change, its action, and the value from which
    /// `render` makes the answer.
    async fn update<T>(
        &self,
        caller: Caller,
        id: EndpointId,
        decide: impl Fn(&Endpoint, Timestamp) -> Result<(Change, Action, T), Refusal>
        + Send
        + Sync
        + 'static,
        render: impl Fn(&T) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let write = Write::Update(
            id,
            Box::new(move |endpoint, now| {
                let (change, action, outcome) = decide(endpoint, now)?;
                Ok(Decision {
                    write: change,
                    action: Some(action),
                    answer: render(&outcome),
                })
            }),
        );
        let committed = self.store.commit(&caller.tenant, caller.key_use, write);
        Ok(committed.await?)
    }
}
