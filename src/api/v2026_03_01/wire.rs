//! What goes over the wire in this dialect, and how it is read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::failure::FieldCode;
use crate::api::json::Object;
use crate::api::secret_text::SecretText;
use crate::api::url;
use crate::domain::event::{MAX_PATTERN_LENGTH, NotAPattern};
use crate::domain::{self, EventPattern, Fingerprint, Timestamp};
use crate::service::rotation::SecretInfo;

/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1500;

/// The most event patterns of one endpoint.
pub const MAX_EVENTS: usize = 100;

/// An endpoint, as every read shows it: without its secrets.
#[derive(Serialize, ToSchema)]
pub struct WebhookEndpoint {
    /// The id: `we_` and a UUID, or 24 hex digits for one made through Verbex v1.
    #[schema(value_type = String, pattern = "^(we_[0-9a-f]{32}|[0-9a-f]{24})$", example = "we_550e8400e29b41d4a716446655440000")]
    id: domain::EndpointId,
    /// Where deliveries are sent.
    #[schema(value_type = String, format = "uri", max_length = 2048, example = "https://example.com/hook")]
    url: Box<str>,
    /// Which event types are sent: exact types, prefixes followed by `.*`, or `*`. Empty means all.
    #[schema(value_type = Vec<String>, max_items = 100, example = json!(["call.*"]))]
    events: Box<[EventPattern]>,
    /// A text for people.
    #[schema(value_type = Option<String>, required, max_length = 1500, example = "Production receiver")]
    description: Option<Box<str>>,
    /// Whether deliveries are made.
    status: EndpointStatus,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    created_at: Timestamp,
    /// When its settings were last changed. A rotation does not count.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    updated_at: Timestamp,
}

/// Whether deliveries are made to an endpoint.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointStatus {
    /// They are made.
    Active,
    /// They wait.
    Disabled,
}

impl From<&domain::Endpoint> for WebhookEndpoint {
    fn from(endpoint: &domain::Endpoint) -> Self {
        let settings = &endpoint.settings;
        Self {
            id: endpoint.id,
            url: settings.url.clone(),
            events: settings.events.clone(),
            description: settings.description.clone(),
            status: if settings.active {
                EndpointStatus::Active
            } else {
                EndpointStatus::Disabled
            },
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

/// An endpoint, as its creation answers it: with its first secret, this once.
#[derive(Serialize, ToSchema)]
pub struct CreatedWebhookEndpoint {
    #[serde(flatten)]
    endpoint: WebhookEndpoint,
    #[schema(value_type = SecretText, required)]
    secret: Option<SecretText>,
}

impl CreatedWebhookEndpoint {
    /// `endpoint`, just made with `secret`. Endpoints of this dialect are always signed.
    pub fn new(endpoint: &domain::Endpoint, secret: Option<&domain::Secret>) -> Self {
        Self {
            endpoint: endpoint.into(),
            secret: secret.map(SecretText::from),
        }
    }
}

/// A page of endpoints, newest first.
#[derive(Serialize, ToSchema)]
pub struct WebhookEndpointList {
    /// Always `list`.
    #[schema(value_type = String, pattern = "^list$", example = "list")]
    pub object: &'static str,
    /// The endpoints of this page.
    pub data: Vec<WebhookEndpoint>,
    /// Whether older ones follow: ask again with `starting_after` set to the last id of this page.
    pub has_more: bool,
}

/// A live secret without its text.
#[derive(Serialize, ToSchema)]
pub struct LiveSecret {
    /// `sha256:` and the first 16 hex digits of SHA-256 of the secret's text.
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{16}$", example = "sha256:9f86d081884c7d65")]
    fingerprint: Fingerprint,
    /// Whether it is the one that signs first, or on its way out.
    status: SecretStatus,
    /// When it was made.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    created_at: Timestamp,
    /// When it stops signing; null for the current one.
    #[schema(value_type = Option<String>, required, format = DateTime, example = "2026-06-12T10:15:00.000Z")]
    expires_at: Option<Timestamp>,
}

/// What part a live secret has in the key ring.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretStatus {
    /// It signs until it is replaced.
    Current,
    /// It was replaced, and signs until it expires.
    Retiring,
}

/// The live secrets of an endpoint, in signing order.
#[derive(Serialize, ToSchema)]
pub struct LiveSecretList {
    /// Always `list`.
    #[schema(value_type = String, pattern = "^list$", example = "list")]
    object: &'static str,
    /// The current secret first, then the retiring ones, newest first.
    #[schema(min_items = 1, max_items = 10)]
    data: Vec<LiveSecret>,
    /// Always false: the list is whole.
    has_more: bool,
}

impl From<&Vec<SecretInfo>> for LiveSecretList {
    fn from(secrets: &Vec<SecretInfo>) -> Self {
        let data = secrets
            .iter()
            .map(|secret| LiveSecret {
                fingerprint: secret.fingerprint,
                status: match secret.expires_at {
                    None => SecretStatus::Current,
                    Some(_) => SecretStatus::Retiring,
                },
                created_at: secret.created_at,
                expires_at: secret.expires_at,
            })
            .collect();
        Self {
            object: "list",
            data,
            has_more: false,
        }
    }
}

/// Reads `url`, if it is there.
pub fn read_url(object: &mut Object<'_>, allow_http: bool) -> Option<Box<str>> {
    let text = object.string("url")?;
    if let Err((code, detail)) = url::check(&text, allow_http) {
        object.fail("url", code, detail);
        return None;
    }
    Some(text.into())
}

/// Reads `events`, if they are there.
pub fn read_events(object: &mut Object<'_>) -> Option<Box<[EventPattern]>> {
    let texts = object.strings("events")?;
    if texts.len() > MAX_EVENTS {
        object.fail(
            "events",
            FieldCode::OutOfRange,
            "must have at most 100 entries",
        );
        return None;
    }
    let patterns = texts.iter().filter_map(|(place, text)| {
        let pattern = text.parse();
        if let Err(NotAPattern) = pattern {
            let code = if text.chars().count() > MAX_PATTERN_LENGTH {
                FieldCode::OutOfRange
            } else {
                FieldCode::InvalidFormat
            };
            object.fail(&format!("events[{place}]"), code, &NotAPattern.to_string());
        }
        pattern.ok()
    });
    Some(patterns.collect())
}

/// Reads `description`, if it is there: `Some(None)` takes it away.
pub fn read_description(object: &mut Object<'_>) -> Option<Option<Box<str>>> {
    let text = object.nullable_string("description")?;
    let Some(text) = text else {
        return Some(None);
    };
    if text.chars().count() > MAX_DESCRIPTION {
        object.fail(
            "description",
            FieldCode::OutOfRange,
            "must be at most 1500 characters",
        );
        return None;
    }
    Some(Some(text.into()))
}

/// Nothing to say: no body, or an object without fields.
#[derive(ToSchema)]
pub struct NoFields {}

/// An event on its way to one endpoint.
#[derive(Serialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    #[schema(value_type = String, pattern = "^dlv_[0-9a-f]{32}$", example = "dlv_550e8400e29b41d4a716446655440000")]
    id: domain::DeliveryId,
    /// The event that it carries.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "evt_550e8400e29b41d4a716446655440000")]
    event_id: domain::EventId,
    /// The type of that event.
    #[schema(value_type = String, example = "call.started")]
    event_type: Box<str>,
    /// The endpoint that it goes to.
    #[schema(value_type = String, pattern = "^(we_[0-9a-f]{32}|[0-9a-f]{24})$", example = "we_550e8400e29b41d4a716446655440000")]
    webhook_endpoint_id: domain::EndpointId,
    /// Where it stands.
    status: DeliveryStatus,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    created_at: Timestamp,
    /// When the next attempt is due; null when there is none to come.
    #[schema(value_type = Option<String>, required, format = DateTime, example = "2026-06-09T10:15:05.000Z")]
    next_attempt_at: Option<Timestamp>,
    /// The attempts so far, oldest first; the newest hundred.
    #[schema(max_items = 100)]
    attempts: Vec<Attempt>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// There is an attempt to come, or one under way.
    Pending,
    /// The receiver answered 2xx.
    Succeeded,
    /// There is no attempt to come.
    Failed,
    /// The endpoint was deleted first.
    Canceled,
}

/// One attempt of a delivery.
#[derive(Serialize, ToSchema)]
pub struct Attempt {
    /// When it started.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    at: Timestamp,
    /// What the receiver answered; null when it did not.
    #[schema(required, minimum = 100, maximum = 999, example = 200)]
    status_code: Option<u16>,
    /// How long it took.
    #[schema(minimum = 0, example = 12)]
    duration_ms: u64,
    /// What went wrong, if it was not the status alone; else null.
    #[schema(value_type = Option<String>, required, example = json!(null))]
    error: Option<Box<str>>,
    /// The fingerprints of the secrets that signed it, in the order of the signatures.
    #[schema(value_type = Vec<String>, max_items = 10, example = json!(["sha256:9f86d081884c7d65"]))]
    signed_by: Box<[Fingerprint]>,
}

impl From<&domain::Delivery> for Delivery {
    fn from(delivery: &domain::Delivery) -> Self {
        let attempts = delivery.attempts.iter().map(|attempt| Attempt {
            at: attempt.at,
            status_code: attempt.status_code,
            duration_ms: attempt.duration_ms,
            error: attempt.error.clone(),
            signed_by: attempt.signed_by.clone(),
        });
        Self {
            id: delivery.id,
            event_id: delivery.event.id.clone(),
            event_type: delivery.event.event_type.clone(),
            webhook_endpoint_id: delivery.endpoint_id,
            status: match delivery.status {
                domain::DeliveryStatus::Pending => DeliveryStatus::Pending,
                domain::DeliveryStatus::Succeeded => DeliveryStatus::Succeeded,
                domain::DeliveryStatus::Failed => DeliveryStatus::Failed,
                domain::DeliveryStatus::Canceled => DeliveryStatus::Canceled,
            },
            created_at: delivery.created_at,
            next_attempt_at: delivery.next_attempt_at,
            attempts: attempts.collect(),
        }
    }
}

/// A page of deliveries, newest first.
#[derive(Serialize, ToSchema)]
pub struct DeliveryList {
    /// Always `list`.
    #[schema(value_type = String, pattern = "^list$", example = "list")]
    pub object: &'static str,
    /// The deliveries of this page.
    pub data: Vec<Delivery>,
    /// Whether older ones follow: ask again with `starting_after` set to the last id of this page.
    pub has_more: bool,
}
