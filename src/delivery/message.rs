//! One attempt's request: body, headers and signatures, in the format of the endpoint.

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

/// What deliveries call themselves.
const AGENT: &str = concat!("Hookturn/", env!("CARGO_PKG_VERSION"));

/// The version that a 2026-03-01 body names.
const API_VERSION: &str = "2026-03-01";

/// A request to be sent. Not `Debug`, since its body holds what the event does.
pub struct Message {
    /// Its headers.
    pub headers: Headers,
    /// Its body.
    pub body: Bytes,
    /// The secrets that signed it, in the order of the signatures.
    pub signed_by: Box<[Fingerprint]>,
}

/// The body of a 2026-03-01 delivery. The same on every attempt.
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

/// The body of a Verbex v1 delivery. The same on every attempt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerbexBody<'a> {
    event: &'a str,
    trace_id: String,
    timestamp: Timestamp,
    data: Option<&'a RawValue>,
}

impl Message {
    /// The request for an attempt of `claimed`, signed by the secrets that were live when it was
    /// claimed (I2) in the order of the key ring (I3). The timestamps in the headers are those of the
    /// `wall` clock, which receivers compare with their own.
    #[must_use]
    pub fn new(claimed: &Claimed, wall: Timestamp) -> Self {
        let (endpoint, delivery) = (&claimed.endpoint, &claimed.delivery);
        let event = &delivery.event;
        // What was accepted was an object, so this does not fail.
        let data = serde_json::from_str(&event.data).ok();
        let (signers, signed_by) = signers(endpoint, claimed.at);
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: &str| {
            // Ids, types, times and signatures are visible ASCII.
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
        // Not left out, since several firewalls take a request without it for a robot's.
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        Self {
            headers: Headers::from(headers).with_own(&endpoint.settings.headers),
            body,
            signed_by,
        }
    }
}

/// The secrets that are live at `at`, keyed, in signing order; none when signing is not enabled.
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
    // Structs of strings and JSON text: writing them cannot fail.
    serde_json::to_vec(body).unwrap_or_default().into()
}
