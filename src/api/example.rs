//! The story that the examples in the `OpenAPI` documents tell.
//!
//! An endpoint is created with a first secret, which is rotated eight days later. Five minutes
//! after that, an event is published and delivered with the signatures of both secrets. A
//! subscription is created and rotated at the same times. The code that serves requests makes all
//! of it, so times, ids and fingerprints agree.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{
    Attempt, Delivery, Endpoint, EndpointId, EventHead, EventId, EventPattern, Format, KeyRing,
    Rotation, Secret, Settings, TenantId, Timestamp, TraceId, Verdict,
};
use crate::service::events::TEST_EVENT_TYPE;
use crate::service::rotation::SecretInfo;
use crate::store::{Quota, QuotaExceeded};

/// The id that the publisher chooses for the event.
pub(super) const EVENT_ID: &str = "call-c_1-started";

/// The type of the event.
pub(super) const EVENT_TYPE: &str = "call.started";

/// When the endpoint is created: `2026-06-01T08:00:00.000Z`.
const CREATED_AT: i64 = 1_780_300_800_000;

/// When its secret is rotated: `2026-06-09T10:15:00.000Z`.
const ROTATED_AT: i64 = 1_781_000_100_000;

/// When the event is published: `2026-06-09T10:20:00.000Z`.
const PUBLISHED_AT: i64 = 1_781_000_400_000;

/// The bytes of `whsec_Zm9yIGV4YW1wbGUgb25seSwgdGhlIGZpcnN0IG9u`.
const FIRST_SECRET: &[u8; 30] = b"for example only, the first on";

/// The bytes of `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G`.
const SECOND_SECRET: [u8; 30] = [
    49, 242, 144, 246, 191, 6, 41, 138, 171, 79, 8, 212, 60, 63, 8, 44, 246, 72, 163, 98, 218, 45,
    164, 176, 49, 242, 144, 246, 191, 6,
];

const UUID: Uuid = Uuid::from_u128(0x550e_8400_e29b_41d4_a716_4466_5544_0000);
const OBJECT_ID: [u8; 12] = [
    0x66, 0x5f, 0x1c, 0x2a, 0xb8, 0xe4, 0xd9, 0x00, 0x12, 0xab, 0x34, 0xcd,
];

/// An endpoint more than the default quota allows.
pub(super) const TOO_MANY_ENDPOINTS: QuotaExceeded = QuotaExceeded {
    quota: Quota::Endpoints,
    limit: 10_000,
};

/// An event with more deliveries than the default quota allows.
pub(super) const TOO_MANY_PENDING: QuotaExceeded = QuotaExceeded {
    quota: Quota::PendingDeliveries,
    limit: 1_000_000,
};

/// Returns the time of the story's requests whose answers show the time.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(ROTATED_AT)
}

/// Returns the tenant that owns everything in the story.
pub(super) fn tenant() -> TenantId {
    TenantId::new("acme")
}

/// Returns the secret that the endpoint is created with.
pub(super) fn first_secret() -> Secret {
    Secret::from_bytes(FIRST_SECRET)
}

/// Returns the endpoint before its rotation.
pub(super) fn endpoint() -> Endpoint {
    made(
        EndpointId::Uuid(UUID),
        Format::StandardWebhooks,
        Settings {
            url: "https://example.com/hook".into(),
            events: [EventPattern::Prefix("call".into())].into(),
            description: Some("Production receiver".into()),
            active: true,
            name: None,
            headers: Box::default(),
            agent_ids: Box::default(),
            workspace_ids: Box::default(),
        },
    )
}

/// Returns the subscription before its rotation.
pub(super) fn subscription() -> Endpoint {
    let settings = Settings {
        events: [EventPattern::Exact("Call.Started".into())].into(),
        description: None,
        name: Some("Production receiver".into()),
        ..(*endpoint().settings).clone()
    };
    made(EndpointId::Object(OBJECT_ID), Format::Verbex, settings)
}

fn made(id: EndpointId, format: Format, settings: Settings) -> Endpoint {
    let created_at = Timestamp::from_millis(CREATED_AT);
    Endpoint {
        id,
        format,
        created_at,
        updated_at: created_at,
        settings: Arc::new(settings),
        key_ring: Some(KeyRing::new(first_secret(), created_at)),
    }
}

/// Returns the rotation with this grace period.
pub(super) fn rotation(grace: Duration) -> Option<Rotation> {
    rotated(grace).map(|(_, rotation)| rotation)
}

fn rotated(grace: Duration) -> Option<(KeyRing, Rotation)> {
    let fresh = Secret::from_bytes(&SECOND_SECRET);
    let key_ring = endpoint().key_ring?;
    key_ring.rotate(now(), grace, fresh).ok()
}

/// Returns the secrets that sign the event, after a rotation with a grace period of one hour.
pub(super) fn live_secrets() -> Vec<SecretInfo> {
    let key_ring = rotated(Duration::from_secs(3600)).map(|(key_ring, _)| key_ring);
    let live = key_ring.iter().flat_map(|key_ring| {
        key_ring
            .live(Timestamp::from_millis(PUBLISHED_AT))
            .map(|live| SecretInfo {
                fingerprint: live.secret.fingerprint(),
                created_at: live.created_at,
                expires_at: live.expires_at,
            })
    });
    live.collect()
}

/// Returns the event as it is published.
pub(super) fn event() -> EventHead {
    EventHead {
        // The text is a valid id, so the fallback is never used.
        id: EVENT_ID.parse().unwrap_or_else(|_| EventId::from(UUID)),
        event_type: EVENT_TYPE.into(),
        ..test_event()
    }
}

fn test_event() -> EventHead {
    EventHead {
        id: EventId::from(UUID),
        event_type: TEST_EVENT_TYPE.into(),
        trace_id: TraceId::EXAMPLE,
        created_at: Timestamp::from_millis(PUBLISHED_AT),
    }
}

fn pending(event: EventHead) -> Delivery {
    let now = event.created_at;
    Delivery::new(UUID.into(), EndpointId::Uuid(UUID), Arc::new(event), now)
}

/// Returns a delivery of a test event, before its first attempt.
pub(super) fn test_delivery() -> Delivery {
    pending(test_event())
}

/// Returns the delivery of the event after the receiver accepted it.
pub(super) fn delivery() -> Delivery {
    let delivery = pending(event());
    let at = delivery.created_at;
    let duration_ms = 12;
    let attempt = Attempt {
        at,
        status_code: Some(200),
        duration_ms,
        error: None,
        signed_by: live_secrets().iter().map(|live| live.fingerprint).collect(),
    };
    let ended = at.plus(Duration::from_millis(duration_ms));
    delivery.settle(attempt, Verdict::Success, ended)
}

/// Returns the same delivery after it was resent, a minute later.
pub(super) fn resent_delivery() -> Delivery {
    let delivery = delivery();
    let later = delivery.created_at.plus(Duration::from_secs(60));
    delivery.resend(later, false)
}
