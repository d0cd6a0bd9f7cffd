//! Publishes events: stores them with their deliveries, or with the endpoints for which deliveries
//! are made later.

use std::sync::Arc;

use super::{MemoryStore, active};
use crate::domain::{Action, Delivery, EndpointId, TenantId};
use crate::store::fan_out::FanOut;
use crate::store::pending_fan_outs::AT_ONCE;
use crate::store::quotas::{BYTES_OF_DELIVERY, Usage};
use crate::store::repeats::{Digests, KeptEvent, NeedsDigests};
use crate::store::writes::Written;
use crate::store::{Audience, CommitError, Publish, StoreError};

impl MemoryStore {
    pub(super) fn publish(
        &self,
        tenant: &TenantId,
        publish: Publish,
        digests: &Digests,
    ) -> Result<Result<Written, Box<NeedsDigests>>, CommitError> {
        let mut shard = None;
        let audience: Arc<[EndpointId]> = match publish.audience {
            Audience::Subscribers => {
                let of = self.of(tenant);
                of.index.lock().subscribers(&publish.event_type)
            }
            Audience::Endpoint(id) => {
                // Held to the end, so that the endpoint exists and is active when the delivery is
                // stored.
                let shard = shard.insert(self.shard(id).lock());
                active(shard.get(&(tenant.clone(), id)))?;
                Arc::new([id])
            }
        };
        let mut deliveries = self.deliveries.lock();
        let now = self.clock.now();
        if let Some(first) = deliveries.published(tenant, &publish.id, now).cloned() {
            // The event never changes, so the lock is not needed while it is compared.
            drop(deliveries);
            return digests.answer_again(publish, (first.kept, first.deliveries), now);
        }
        let (publish, digest) = match digests.of_new(publish, audience.len()) {
            Ok(known) => known,
            Err(needs) => return Ok(Err(needs)),
        };
        let data = digest.map_or(publish.data.len(), |_| 0);
        let usage = Usage::of_event(data, audience.len());
        deliveries.check(tenant, &self.quotas, usage)?;
        let is_small = audience.len() <= AT_ONCE;
        let few: &[EndpointId] = if is_small { &audience } else { &[] };
        let fan_out = FanOut::new(publish, few.iter().copied(), now);
        let (fan_out, render) = fan_out.map_err(StoreError::new)?;
        let answer = render(&fan_out.published(audience.len()));
        let kept = match digest {
            Some(digest) => KeptEvent::Digest(Arc::clone(&fan_out.event.head), digest),
            None => KeptEvent::Data(Arc::clone(&fan_out.event)),
        };
        deliveries.publish(tenant, kept, audience.len());
        for delivery in fan_out.deliveries {
            deliveries.add(tenant, delivery, &fan_out.event);
        }
        if !is_small {
            deliveries.make_later(tenant, fan_out.event, audience);
        }
        drop(deliveries);
        self.work.notify_one();
        Ok(Ok(Written {
            at: now,
            action: Some(Action::EventPublished),
            answer,
        }))
    }

    /// Makes some of the deliveries of an event for many endpoints, and cancels some of a deleted
    /// endpoint. Returns whether there is more to do now.
    pub(super) fn do_unfinished(&self) -> Result<bool, StoreError> {
        let (next, is_more) = {
            let mut deliveries = self.deliveries.lock();
            if !deliveries.has_unfinished() {
                return Ok(false);
            }
            let next = deliveries.next_unmade(self.clock.now());
            (next.map_err(StoreError::new)?, deliveries.cancel_some())
        };
        let Some((tenant, event, endpoints)) = next else {
            return Ok(is_more);
        };
        for (endpoint, id) in endpoints {
            let key = (tenant.clone(), endpoint);
            // Held to the end, so that the endpoint is not deleted meanwhile.
            let shard = self.shard(endpoint).lock();
            let stored = shard.get(&key);
            let mut deliveries = self.deliveries.lock();
            if let Some(stored) = stored {
                let head = Arc::clone(&event.head);
                let delivery = Delivery::new(id, endpoint, head, event.head.created_at);
                deliveries.add(&tenant, delivery, &event);
                // The queue may have begun with this delivery. An active one may be failing, and
                // stays so.
                if !stored.endpoint.settings.active {
                    deliveries.set_active(&key, false);
                }
            } else {
                deliveries.release_bytes(&tenant, BYTES_OF_DELIVERY);
            }
        }
        Ok(true)
    }
}
