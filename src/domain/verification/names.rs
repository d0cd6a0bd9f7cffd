//! The names of the headers of deliveries that verification reads.

/// The event's id in Standard Webhooks.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The time of the attempt in Unix seconds, in Standard Webhooks.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The signatures in Standard Webhooks.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// The time of the attempt in Unix seconds and the signatures, in Verbex v1.
pub const X_WEBHOOK_SIGNATURE: &str = "X-Webhook-Signature";
/// The event's type in Verbex v1. Deliveries that are not signed have it too.
pub const X_WEBHOOK_EVENT: &str = "X-Webhook-Event";
/// The trace id of the delivery in Verbex v1.
pub const X_WEBHOOK_TRACEID: &str = "X-Webhook-Traceid";
