//! Deletes what has expired, and fails what has waited too long.

use super::{Deliveries, DeliveryKey, bytes_of_data, canceled};
use crate::domain::{Delivery, DeliveryStatus, Timestamp};
use crate::store::SWEEP_AT_LEAST_EVERY;
use crate::store::quotas::{BYTES_OF_DELIVERY, bytes_of_event};

/// How many deliveries, and how many events, one sweep deletes at most: few, so that it delays
/// nobody.
const SWEPT_AT_ONCE: usize = 64;

impl Deliveries {
    /// Deletes some of what has expired, and fails some of what has waited too long. Returns when
    /// to sweep again.
    pub fn sweep(&mut self, now: Timestamp) -> Timestamp {
        for _ in 0..SWEPT_AT_ONCE {
            match self.deadlines.first() {
                Some((deadline, _, key)) if *deadline <= now => {
                    let key = key.clone();
                    self.end_or_forget(&key, now);
                }
                _ => break,
            }
        }
        self.sweep_events(now, SWEPT_AT_ONCE);
        let deadline = self.deadlines.first().map(|(at, _, _)| *at);
        let expiry = self.events_by_expiry.first().map(|(at, _, _)| *at);
        let latest = now.plus(SWEEP_AT_LEAST_EVERY);
        [deadline, expiry]
            .into_iter()
            .flatten()
            .fold(latest, Ord::min)
    }

    pub(super) fn sweep_events(&mut self, now: Timestamp, most: usize) {
        for _ in 0..most {
            match self.events_by_expiry.first() {
                Some((expiry, _, _)) if *expiry <= now => {}
                _ => break,
            }
            let Some((expiry, tenant, id)) = self.events_by_expiry.pop_first() else {
                break;
            };
            // The id may have been used again since then. That event expires later, and stays.
            let key = (tenant, id);
            let of_event = self
                .events
                .get(&key)
                .map(|published| published.kept.head().created_at);
            if of_event.is_some_and(|created_at| created_at.plus(self.limits.retention) <= expiry)
                && let Some(removed) = self.events.remove(&key)
            {
                let bytes = bytes_of_event(bytes_of_data(&removed.kept));
                self.release_bytes(&key.0, bytes);
            }
        }
    }

    fn end_or_forget(&mut self, key: &DeliveryKey, now: Timestamp) {
        let Some(entry) = self.by_id.get_mut(key) else {
            return;
        };
        let queue_key = (key.0.clone(), entry.delivery.endpoint_id);
        let position = entry.position;
        if entry.delivery.status == DeliveryStatus::Pending {
            if let Some(at) = self.deleted_at.get(&queue_key).copied() {
                // It is shown as canceled already.
                self.change(key, |entry| {
                    entry.delivery = canceled(entry.delivery.clone(), Some(at));
                });
                return;
            }
            let is_active = self.queues.is_active(&queue_key);
            let overdue = Delivery::overdue(entry.delivery.first_due_at, is_active, now);
            self.change(key, |entry| match overdue {
                Some(reason) => entry.delivery = entry.delivery.clone().fail(reason, now),
                // Its endpoint is disabled. It goes on if the endpoint is enabled in time.
                None => entry.waits_longer = true,
            });
            return;
        }
        if let Some(history) = self.histories.get_mut(&queue_key) {
            entry.leave(key, history, &mut self.deadlines);
            history.all.remove(&position);
            if history.all.is_empty() {
                self.histories.remove(&queue_key);
                self.queues.forget(&queue_key);
            }
        }
        self.by_id.remove(key);
        self.release_bytes(&key.0, BYTES_OF_DELIVERY);
    }
}
