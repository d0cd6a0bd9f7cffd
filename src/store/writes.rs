//! What a commit is asked to write, and what it answers.
//!
//! A decision is a pure function of the record as it is and the time of the commit. A store may run it more than once:
//! a transaction that a database breaks off is begun again, and only the last run counts. So a decision draws nothing at
//! random (a fresh secret is drawn before, and handed in) and tells nobody what it decided: what happened comes back as
//! [`Committed`], from the run that was committed.

use std::fmt;
use std::sync::Arc;

use crate::domain::{
    Action, Delivery, DeliveryId, Endpoint, EndpointId, Event, EventId, Refusal, Timestamp, TraceId,
};
use crate::idempotency::Answer;

/// Decides on a new endpoint, given the time of the commit.
pub type Create = Box<dyn Fn(Timestamp) -> Result<Decision<Endpoint>, Refusal> + Send + Sync>;

/// Decides on an endpoint as it is, given the time of the commit.
pub type Update =
    Box<dyn Fn(&Endpoint, Timestamp) -> Result<Decision<Change>, Refusal> + Send + Sync>;

/// Decides on a delivery as it is, given whether an attempt of it is under way and the time of the commit.
pub type UpdateDelivery =
    Box<dyn Fn(&Delivery, bool, Timestamp) -> Result<Decision<Delivery>, Refusal> + Send + Sync>;

/// Renders the answer to a publication.
pub type RenderPublished = Box<dyn Fn(&Published) -> Answer + Send + Sync>;

/// What a decision came to.
#[derive(Debug)]
pub struct Decision<T> {
    /// What is to be written.
    pub write: T,
    /// What that does, in the words of the product; `None` when it changes nothing.
    pub action: Option<Action>,
    /// The answer, which is remembered by the same commit.
    pub answer: Answer,
}

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
    pub answer: RenderPublished,
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
    /// What this commit did; `None` when it changed nothing.
    pub action: Option<Action>,
}

impl Committed {
    /// A commit that was answered by what an earlier one remembered.
    #[must_use]
    pub fn replay(answer: Answer) -> Self {
        Self {
            answer,
            replayed: true,
            action: None,
        }
    }
}

/// What a write came to inside its transaction: when, what it did, and the answer.
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
