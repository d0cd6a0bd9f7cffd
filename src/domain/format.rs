//! The two formats of deliveries.

/// How an endpoint's deliveries look and are signed. The dialect that creates the endpoint decides
/// it for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Standard Webhooks 1.0.0, for records made through the 2026-03-01 API.
    StandardWebhooks,
    /// `X-Webhook-Signature`, for records made through the Verbex v1 API.
    Verbex,
}
