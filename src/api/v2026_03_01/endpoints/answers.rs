//! Answers about endpoints.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::secret_text::SecretText;
use crate::domain::{self, EventPattern, Timestamp};

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
    /// A description, for people.
    #[schema(value_type = Option<String>, required, max_length = 1500, example = "Production receiver")]
    description: Option<Box<str>>,
    /// Whether deliveries are made.
    status: EndpointStatus,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-06-01T08:00:00.000Z")]
    created_at: Timestamp,
    /// When its settings were last changed. A rotation does not count.
    #[schema(value_type = String, format = DateTime, example = "2026-06-01T08:00:00.000Z")]
    updated_at: Timestamp,
}

/// Whether deliveries are made to an endpoint.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
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

/// A new endpoint, with its first secret. The secret is shown only in this answer.
#[derive(Serialize, ToSchema)]
pub struct CreatedWebhookEndpoint {
    #[serde(flatten)]
    endpoint: WebhookEndpoint,
    #[schema(value_type = SecretText, required)]
    secret: Option<SecretText>,
}

impl CreatedWebhookEndpoint {
    /// Creates the answer about a new endpoint and its first secret. Endpoints of this dialect
    /// always have one.
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
    object: &'static str,
    /// The endpoints of this page.
    data: Vec<WebhookEndpoint>,
    /// Whether older ones follow: to get them, set `starting_after` to the last id of this page. A
    /// page has fewer than `limit` entries when they are long.
    #[schema(example = false)]
    has_more: bool,
}

impl WebhookEndpointList {
    /// Creates a page of these endpoints; `has_more` says whether older ones follow.
    pub fn new(endpoints: &[domain::Endpoint], has_more: bool) -> Self {
        Self {
            object: "list",
            data: endpoints.iter().map(WebhookEndpoint::from).collect(),
            has_more,
        }
    }
}
