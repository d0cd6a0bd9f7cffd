//! What a publication stores: an event, and a delivery of it for each endpoint that it goes to.

use std::sync::Arc;

use super::writes::{Publish, Published, RenderPublished};
use crate::domain::{Delivery, EndpointId, Event, Timestamp};
use crate::random::{self, NoRandomness};

/// An event with its deliveries, before it is stored.
pub(super) struct FanOut {
    pub event: Arc<Event>,
    /// In the order of the endpoints that were given.
    pub deliveries: Vec<Delivery>,
}

impl FanOut {
    /// The event of `publish`, as of `now`, on its way to `endpoints`; and what renders the answer.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when no ids can be made.
    pub fn new(
        publish: Publish,
        endpoints: impl IntoIterator<Item = EndpointId>,
        now: Timestamp,
    ) -> Result<(Self, RenderPublished), NoRandomness> {
        let event = Arc::new(Event {
            id: publish.id,
            event_type: publish.event_type,
            data: publish.data,
            trace_id: publish.trace_id,
            created_at: now,
        });
        let delivery = |endpoint| {
            let id = random::delivery_id(now);
            id.map(|id| Delivery::new(id, endpoint, Arc::clone(&event), now))
        };
        let deliveries = endpoints.into_iter().map(delivery);
        let deliveries = deliveries.collect::<Result<_, _>>()?;
        Ok((Self { event, deliveries }, publish.answer))
    }

    /// It as it is stored.
    pub fn published(&self) -> Published {
        Published {
            event: Arc::clone(&self.event),
            deliveries: self.deliveries.len(),
            delivery: self.deliveries.first().cloned(),
        }
    }
}
