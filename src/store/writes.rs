//! Defines the writes that a commit takes, and its result.
//!
//! A decision is a pure function of the current record and the time of the commit. A store may run
//! it more than once: when a database aborts a transaction, the store begins it again, and only the
//! last run counts. So a decision uses no randomness (a fresh secret is made before and passed in)
//! and has no side effects. What it did is returned as [`Committed`], from the run that was
//! committed.

use std::fmt;
use std::sync::Arc;

use crate::domain::{
    Action, Delivery, DeliveryId, Endpoint, EndpointId, EventHead, EventId, Refusal, Timestamp,
    TraceId,
};
use crate::idempotency::Answer;

/// Decides on a new endpoint, given the time of the commit.
pub type Create = Box<dyn Fn(Timestamp) -> Result<Decision<Endpoint>, Refusal> + Send + Sync>;

/// Decides on a change of an endpoint, given the current endpoint and the time of the commit.
pub type Update =
    Box<dyn Fn(&Endpoint, Timestamp) -> Result<Decision<Change>, Refusal> + Send + Sync>;

/// Decides on a change of a delivery, given the current delivery, whether an attempt of it is in
/// flight, and the time of the commit.
pub type UpdateDelivery =
    Box<dyn Fn(&Delivery, bool, Timestamp) -> Result<Decision<Delivery>, Refusal> + Send + Sync>;

/// Renders the answer to a publication.
pub type RenderPublished = Box<dyn Fn(&Published) -> Answer + Send + Sync>;

/// The result of a decision.
#[derive(Debug)]
pub struct Decision<T> {
    /// What to write.
    pub write: T,
    /// What the write does, as the product names it. `None` when it changes nothing.
    pub action: Option<Action>,
    /// The answer, which the same commit records.
    pub answer: Answer,
}

/// An event to store together with its deliveries.
pub struct Publish {
    /// The id of the event.
    pub id: EventId,
    /// The type of the event.
    pub event_type: Box<str>,
    /// The data of the event: the JSON text of an object.
    pub data: Box<str>,
    /// The trace id of the request that published the event.
    pub trace_id: TraceId,
    /// Which endpoints get the event.
    pub audience: Audience,
    /// Renders the answer.
    pub answer: RenderPublished,
}

/// Which endpoints get an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Each active endpoint of the tenant that subscribes to its type.
    Subscribers,
    /// Only this endpoint, whatever it subscribes to. It must be active.
    Endpoint(EndpointId),
}

/// An event that was stored.
#[derive(Clone, Debug)]
pub struct Published {
    /// The event.
    pub event: Arc<EventHead>,
    /// The number of endpoints that get the event.
    pub deliveries: usize,
    /// The delivery, when the event went to one endpoint with [`Audience::Endpoint`].
    pub delivery: Option<Delivery>,
}

/// A write that a commit makes.
pub enum Write {
    /// Stores an event with its deliveries. If the tenant published the same id before, with the
    /// same type and data, this writes nothing and returns the first event again.
    Publish(Publish),
    /// Changes the delivery with this id. Its endpoint must exist and be active.
    UpdateDelivery(DeliveryId, UpdateDelivery),
    /// Creates an endpoint. Its name, if it has one, must be free.
    Create(Create),
    /// Changes the endpoint with this id.
    Update(EndpointId, Update),
}

/// A change of an existing endpoint.
#[derive(Debug)]
pub enum Change {
    /// The endpoint stays as it is.
    Keep,
    /// This endpoint, which has the same id, replaces it. A new name must be free.
    Replace(Endpoint),
    /// The endpoint is deleted, with its secrets.
    Delete,
}

/// The result of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The answer of this commit, or of the commit that used the key first.
    pub answer: Answer,
    /// Whether the answer is that of an earlier commit. If so, this commit changed nothing.
    pub replayed: bool,
    /// What this commit did. `None` when it changed nothing.
    pub action: Option<Action>,
}

impl Committed {
    /// Returns the recorded answer of an earlier commit.
    #[must_use]
    pub fn replay(answer: Answer) -> Self {
        Self {
            answer,
            replayed: true,
            action: None,
        }
    }
}

/// The result of a write inside its transaction.
pub(super) struct Written {
    pub at: Timestamp,
    pub action: Option<Action>,
    pub answer: Answer,
}

impl From<Written> for Committed {
    fn from(written: Written) -> Self {
        Self {
            answer: written.answer,
            replayed: false,
            action: written.action,
        }
    }
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
