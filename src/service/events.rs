//! Publishing events.

use super::{Caller, Error, Service};
use crate::domain::{EndpointId, EventId, TraceId};
use crate::idempotency::Answer;
use crate::random;
use crate::store::{Audience, Committed, Publish, Published, Write};

/// The type of the test event that [`Service::send_test`] sends.
pub const TEST_EVENT_TYPE: &str = "webhook.test";

/// The data of the test event.
const TEST_EVENT_DATA: &str = r#"{"message":"A test event. Nothing has happened."}"#;

/// An event that a caller publishes. It is not `Debug`, since its data may be confidential.
#[derive(Clone)]
pub struct NewEvent {
    /// The id that the caller chose, if any.
    pub id: Option<EventId>,
    /// The type; see [`is_event_type`](crate::domain::event::is_event_type).
    pub event_type: Box<str>,
    /// The JSON text of an object.
    pub data: Box<str>,
    /// The trace of the request.
    pub trace_id: TraceId,
}

impl Service {
    /// Stores an event with a delivery to each active endpoint that subscribes to its type.
    ///
    /// When this returns, the event is stored. The same event under the same id gets the first
    /// answer again and is not sent again.
    ///
    /// # Errors
    ///
    /// [`Error::EventIdReused`], [`Error::IdempotencyKeyReused`] or [`Error::Internal`]; nothing
    /// has been stored then.
    pub async fn publish(
        &self,
        caller: Caller,
        event: NewEvent,
        render: impl Fn(&Published) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let id = match event.id {
            Some(id) => id,
            None => random::event_id(self.now())?,
        };
        let publish = Publish {
            id,
            event_type: event.event_type,
            data: event.data,
            trace_id: event.trace_id,
            audience: Audience::Subscribers,
            answer: Box::new(render),
        };
        let write = Write::Publish(publish);
        let committed = self.store.commit(&caller.tenant, caller.key_use, write);
        Ok(committed.await?)
    }

    /// Stores an event of type [`TEST_EVENT_TYPE`] with a delivery to one endpoint, whatever it
    /// subscribes to.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::EndpointDisabled`], [`Error::IdempotencyKeyReused`] or
    /// [`Error::Internal`]; nothing has been stored then.
    pub async fn send_test(
        &self,
        caller: Caller,
        endpoint: EndpointId,
        trace_id: TraceId,
        render: impl Fn(&Published) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let publish = Publish {
            id: random::event_id(self.now())?,
            event_type: TEST_EVENT_TYPE.into(),
            data: TEST_EVENT_DATA.into(),
            trace_id,
            audience: Audience::Endpoint(endpoint),
            answer: Box::new(render),
        };
        let write = Write::Publish(publish);
        let committed = self.store.commit(&caller.tenant, caller.key_use, write);
        Ok(committed.await?)
    }
}
