//! Defines why a store did not do what it was asked to do.

use std::error::Error;
use std::sync::Arc;

use super::quotas::QuotaExceeded;
use crate::domain::Refusal;
use crate::idempotency::KeyReused;

/// Says why nothing was written.
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
    /// The tenant has another endpoint with this name.
    #[error("the name is taken")]
    NameTaken,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A quota of the tenant would be exceeded.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// The decision refused the request.
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

/// The store failed, and the caller could not have prevented it.
///
/// The text is for the log and contains no data of records. Cloning is cheap, since one failure may
/// end all requests of a batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database or the machine below the store failed.
    #[error("the store failed: {0}")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A call of the store panicked, which is a bug in this program. The log has the panic.
    #[error("the store panicked")]
    Panicked,
}

impl StoreError {
    /// Wraps a failure of the database or the machine.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(Arc::from(source.into()))
    }
}
