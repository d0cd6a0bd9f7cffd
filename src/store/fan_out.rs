//! Turns a publication into an event and its deliveries, one for each endpoint.

use std::sync::Arc;

use super::writes::{Publish, Published, RenderPublished};
use crate::domain::{Delivery, EndpointId, Event, EventHead, Timestamp};
use crate::random::{self, NoRandomness};

/// An event with its deliveries, before they are stored.
pub(super) struct FanOut {
    pub event: Arc<Event>,
    /// In the order of the given endpoints.
    pub deliveries: Vec<Delivery>,
}

impl FanOut {
    /// Makes the event of `publish` and its deliveries to `endpoints`, at the time `now`. Also
    /// returns the function that renders the answer.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when no ids can be made.
    pub fn new(
        publish: Publish,
        endpoints: impl IntoIterator<Item = EndpointId>,
        now: Timestamp,
    ) -> Result<(Self, RenderPublished), NoRandomness> {
        let head = Arc::new(EventHead {
            id: publish.id,
            event_type: publish.event_type,
            trace_id: publish.trace_id,
            created_at: now,
        });
        let event = Arc::new(Event {
            head,
            data: publish.data,
        });
        let delivery = |endpoint| {
            let id = random::delivery_id(now);
            id.map(|id| Delivery::new(id, endpoint, Arc::clone(&event.head), now))
        };
        let deliveries = endpoints.into_iter().map(delivery);
        let deliveries = deliveries.collect::<Result<_, _>>()?;
        Ok((Self { event, deliveries }, publish.answer))
    }

    /// Returns the event as the answer shows it, when `deliveries` endpoints get it.
    pub fn published(&self, deliveries: usize) -> Published {
        Published {
            event: Arc::clone(&self.event.head),
            deliveries,
            delivery: self.deliveries.first().cloned(),
        }
    }
}
