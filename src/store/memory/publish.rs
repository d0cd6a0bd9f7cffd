//! Publishes events: stores them with their deliveries, or with the endpoints for which deliveries
//! are made later.

use std::sync::Arc;

use super::{MemoryStore, active};
use crate::domain::{Action, Delivery, EndpointId, TenantId};
use crate::random;
use crate::store::fan_out::FanOut;
use crate::store::fan_outs::AT_ONCE;
use crate::store::quotas::{BYTES_OF_DELIVERY, Usage};
use crate::store::repeats::{Digests, Kept, NeedsDigests, Repeats};
use crate::store::writes::Written;
use crate::store::{Audience, CommitError, Publish, Published, StoreError};

impl MemoryStore {
    pub(super) fn publish(
        &self,
        tenant: &TenantId,
        publish: Publish,
        digests: &Digests,
    ) -> Result<Result<Written, NeedsDigests>, CommitError> {
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
            return match digests.compare(&publish, &first.kept) {
                Repeats::Same => {
                    let published = Published {
                        event: Arc::clone(first.kept.head()),
                        deliveries: first.deliveries,
                        delivery: None,
                    };
                    Ok(Ok(Written {
                        at: now,
                        action: None,
                        answer: (publish.answer)(&published),
                    }))
                }
                Repeats::Other => Err(CommitError::EventIdReused),
                Repeats::Unknown => Ok(Err(NeedsDigests {
                    publish,
                    first: Some(first.kept),
                })),
            };
        }
        // Without deliveries, the digest of the data is all that is needed later.
        let digest = match digests.own() {
            None if audience.is_empty() => {
                return Ok(Err(NeedsDigests {
                    publish,
                    first: None,
                }));
            }
            own => own.filter(|_| audience.is_empty()),
        };
        let data = if digest.is_some() {
            0
        } else {
            publish.data.len()
        };
        let usage = Usage::of_event(data, audience.len());
        deliveries.check(tenant, &self.quotas, usage)?;
        let is_small = audience.len() <= AT_ONCE;
        let few: &[EndpointId] = if is_small { &audience } else { &[] };
        let fan_out = FanOut::new(publish, few.iter().copied(), now);
        let (fan_out, render) = fan_out.map_err(StoreError::new)?;
        let answer = render(&fan_out.published(audience.len()));
        let kept = match digest {
            Some(digest) => Kept::Digest(Arc::clone(&fan_out.event.head), digest),
            None => Kept::Data(Arc::clone(&fan_out.event)),
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
            let now = self.clock.now();
            (deliveries.next_unmade(now), deliveries.cancel_some())
        };
        let Some((tenant, event, endpoints)) = next else {
            return Ok(is_more);
        };
        for id in endpoints {
            let key = (tenant.clone(), id);
            // Held to the end, so that the endpoint is not deleted meanwhile.
            let shard = self.shard(id).lock();
            let stored = shard.get(&key);
            let mut deliveries = self.deliveries.lock();
            if let Some(stored) = stored {
                let at = event.head.created_at;
                let delivery = random::delivery_id(at).map_err(StoreError::new)?;
                let delivery = Delivery::new(delivery, id, Arc::clone(&event.head), at);
                deliveries.add(&tenant, delivery, &event);
                deliveries.set_active(&key, stored.endpoint.settings.active);
            } else {
                deliveries.release_bytes(&tenant, BYTES_OF_DELIVERY);
            }
        }
        Ok(true)
    }
}
