//! The use cases, without HTTP: what a caller may ask, and what can go wrong.
//!
//! Every change has the same shape: a pure decision on the record as it is, run by the store inside
//! its commit, and a `render` that turns the outcome into the answer, run there too, so that the
//! answer is remembered by the very commit that it answers.

pub mod clock;
pub mod deliveries;
pub mod endpoints;
pub mod events;
pub mod rotation;

use std::sync::Arc;

use crate::clock::Clock;
use crate::domain::{Action, Endpoint, EndpointId, Refusal, TenantId, Timestamp};
use crate::idempotency::{Answer, Claim};
use crate::random::NoRandomness;
use crate::store::{Change, CommitError, Committed, Decision, Store, StoreError, Write};

/// Why a request could not be served. Each case has one meaning, whichever dialect tells it.
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
    /// The endpoint is disabled: nothing can be sent to it now.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
    /// The endpoint has no key ring.
    #[error("signing is not enabled")]
    SigningDisabled,
    /// Ten secrets are live, and the rotation would add one.
    #[error("too many live secrets")]
    TooManyLiveSecrets {
        /// When the first of them expires.
        next_expires_at: Timestamp,
    },
    /// The tenant gave this name to another endpoint.
    #[error("the name is taken")]
    NameTaken,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// The cursor of a list names no endpoint of the tenant.
    #[error("the cursor names no endpoint")]
    InvalidCursor,
    /// A fault of the server: the text is for its log.
    #[error("{0}")]
    Internal(String),
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotFound => Self::EndpointNotFound,
            CommitError::NameTaken => Self::NameTaken,
            CommitError::KeyReused => Self::IdempotencyKeyReused,
            CommitError::DeliveryNotFound => Self::DeliveryNotFound,
            CommitError::EventIdReused => Self::EventIdReused,
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
        Self::Internal(error.to_string())
    }
}

impl From<NoRandomness> for Error {
    fn from(error: NoRandomness) -> Self {
        Self::Internal(error.to_string())
    }
}

/// On whose behalf a change is made, and with which idempotency key.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The key and what it is used for, if one was sent.
    pub claim: Option<Claim>,
}

/// The use cases over one store and one clock. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Service {
    /// The use cases over `store`. `clock` must be the one that the store tells the time by.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The store, for what needs no rules: looking up remembered answers, and readiness.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The server's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The wall clock's time.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Creates an endpoint, and renders the answer from it.
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
        let committed = self.store.commit(&caller.tenant, caller.claim, write);
        Ok(committed.await?)
    }

    /// Changes one endpoint. `decide` says what becomes of it, what that does, and what the answer
    /// is rendered from.
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
        let committed = self.store.commit(&caller.tenant, caller.claim, write);
        Ok(committed.await?)
    }
}
