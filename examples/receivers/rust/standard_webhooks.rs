use http::HeaderMap;
use standardwebhooks::Webhook;

/// Returns whether one of the secrets signed this delivery, at most five minutes ago.
pub fn verify_standard_webhooks(headers: &HeaderMap, body: &[u8], secrets: &[&str]) -> bool {
    secrets
        .iter()
        .filter_map(|secret| Webhook::new(secret).ok())
        .any(|webhook| webhook.verify(body, headers).is_ok())
}
