//! Why a store did not do what it was asked.

use std::error::Error;
use std::sync::Arc;

use crate::domain::Refusal;
use crate::idempotency::KeyReused;

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

/// The store failed: nothing that a caller could have done otherwise. Its text is for the log and holds no data of
/// records. Cheap to clone, since one failure may end the requests of a whole batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// What the store is made of failed.
    #[error("the store failed: {0}")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A call of the store panicked, which is a fault of this program. The log has the panic.
    #[error("the store panicked")]
    Panicked,
}

impl StoreError {
    /// The failure of what the store is made of.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(Arc::from(source.into()))
    }
}
