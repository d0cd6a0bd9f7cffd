//! Says which quota is used up, and what to do.

use crate::store::{Quota, QuotaExceeded};

/// Explains an exceeded quota. `endpoints` is what the dialect calls endpoints.
pub(super) fn explain(exceeded: &QuotaExceeded, endpoints: &str) -> String {
    let limit = exceeded.limit;
    match exceeded.quota {
        Quota::Endpoints => format!(
            "The tenant may have {limit} {endpoints}. Delete {endpoints} that are not needed, or ask the operator to raise \
             --quota-endpoints."
        ),
        Quota::PendingDeliveries => format!(
            "The tenant may have {limit} pending deliveries, and an event adds one for each of the {endpoints} that it goes \
             to. Wait until some are done, delete {endpoints} whose receivers do not answer, or ask the operator to raise \
             --quota-pending-deliveries."
        ),
        Quota::EventBytes => format!(
            "The tenant may keep {limit} bytes of events and deliveries. Wait until older ones expire, or ask the operator \
             to raise --quota-event-bytes or to lower --delivery-retention."
        ),
        Quota::IdempotencyKeys => format!(
            "The tenant may have {limit} idempotency keys in 24 hours. Wait until older ones expire, send requests without a \
             key, or ask the operator to raise --quota-idempotency-keys."
        ),
    }
}
