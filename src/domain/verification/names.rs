//! The names of the header fields that are signed, sign, or go with them.

/// The event's id in Standard Webhooks.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The Unix second of the attempt in Standard Webhooks.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The signatures in Standard Webhooks.
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// The Unix second of the attempt and the signatures in Verbex v1.
pub const X_WEBHOOK_SIGNATURE: &str = "X-Webhook-Signature";
/// The event's type in Verbex v1. It comes with deliveries that are not signed, too.
pub const X_WEBHOOK_EVENT: &str = "X-Webhook-Event";
/// The trace id of the delivery in Verbex v1.
pub const X_WEBHOOK_TRACEID: &str = "X-Webhook-Traceid";
