//! Builds the request of one attempt (body, headers and signatures) in the format of the endpoint.

use bytes::Bytes;
use hyper::http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use super::headers::Headers;
use crate::domain::signer::Signer;
use crate::domain::{
    DeliveryId, Endpoint, EventId, Fingerprint, Format, Timestamp, TraceId, signature,
};
use crate::store::Claimed;

/// The `User-Agent` of deliveries.
const AGENT: &str = concat!("Hookturn/", env!("CARGO_PKG_VERSION"));

/// The `api_version` in the body of a 2026-03-01 delivery.
const API_VERSION: &str = "2026-03-01";

/// A request that is ready to be sent.
///
/// It does not implement `Debug`, because its body holds the data of the event.
pub struct Message {
    /// The headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
    /// The fingerprints of the secrets that signed the request, in the order of the signatures.
    pub signed_by: Box<[Fingerprint]>,
}

/// The body of a 2026-03-01 delivery. It is the same on every attempt.
#[derive(Serialize)]
struct StandardBody<'a> {
    id: &'a EventId,
    #[serde(rename = "type")]
    event_type: &'a str,
    api_version: &'static str,
    delivery_id: DeliveryId,
    created_at: Timestamp,
    timestamp: Timestamp,
    data: Option<&'a RawValue>,
}

/// The body of a Verbex v1 delivery. It is the same on every attempt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerbexBody<'a> {
    event: &'a str,
    trace_id: String,
    timestamp: Timestamp,
    data: Option<&'a RawValue>,
}

impl Message {
    /// Builds the request for an attempt of `claimed`.
    ///
    /// The secrets that were live when the delivery was claimed sign it (I2), in the order of the
    /// key ring (I3). The timestamps in the headers are those of the `wall` clock, because
    /// receivers compare them with their own clocks.
    #[must_use]
    pub fn new(claimed: &Claimed, wall: Timestamp) -> Self {
        let (endpoint, delivery) = (&claimed.endpoint, &claimed.delivery);
        let event = &*claimed.event.head;
        // This cannot fail: the server accepts only objects.
        let data = serde_json::from_str(&claimed.event.data).ok();
        let (signers, signed_by) = signers(endpoint, claimed.at);
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            // This cannot fail: ids, types, times and signatures are visible ASCII.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let body = match endpoint.format {
            Format::StandardWebhooks => {
                let body = json(&StandardBody {
                    id: &event.id,
                    event_type: &event.event_type,
                    api_version: API_VERSION,
                    delivery_id: delivery.id,
                    created_at: event.created_at,
                    timestamp: event.created_at,
                    data,
                });
                let (id, seconds) = (event.id.as_str(), wall.unix_seconds());
                put("webhook-id", id);
                put("webhook-timestamp", &seconds.to_string());
                if !signers.is_empty() {
                    let header = signature::standard_webhooks(&signers, id, seconds, &body);
                    put("webhook-signature", &header);
                }
                body
            }
            Format::Verbex => {
                let body = json(&VerbexBody {
                    event: &event.event_type,
                    trace_id: event.trace_id.to_string(),
                    timestamp: event.created_at,
                    data,
                });
                put("x-webhook-event", &event.event_type);
                put("x-webhook-timestamp", &wall.to_string());
                put("x-webhook-traceid", &TraceId::to_string(&event.trace_id));
                if !signers.is_empty() {
                    let header = signature::verbex(&signers, wall.unix_seconds(), &body);
                    put("x-webhook-signature", &header);
                }
                body
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        // Several firewalls take a request without `Accept` for a bot's.
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        Self {
            headers: Headers::from(headers).with_own(&endpoint.settings.headers),
            body,
            signed_by,
        }
    }
}

/// Returns a signer for each secret that is live at `at`, in signing order, with the secret's
/// fingerprint. Both lists are empty if signing is not enabled.
fn signers(endpoint: &Endpoint, at: Timestamp) -> (Vec<Signer>, Box<[Fingerprint]>) {
    let live = endpoint
        .key_ring
        .iter()
        .flat_map(|key_ring| key_ring.live(at));
    let (signers, fingerprints): (Vec<_>, Vec<_>) = live
        .map(|live| {
            (
                live.secret.signer(endpoint.format),
                live.secret.fingerprint(),
            )
        })
        .unzip();
    (signers, fingerprints.into())
}

fn json(body: &impl Serialize) -> Bytes {
    // Writing cannot fail: the body consists of strings and JSON text.
    serde_json::to_vec(body).unwrap_or_default().into()
}
