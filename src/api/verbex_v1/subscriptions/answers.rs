//! Answers about subscriptions.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::api::secret_text::SecretText;
use crate::domain::{Endpoint, EndpointId, EventPattern, HeaderEntry, Secret, TenantId, Timestamp};

/// A subscription. Fields that are not set are left out.
#[derive(Serialize, ToSchema)]
pub struct Subscription {
    /// The id: 24 hex digits, or `we_` and a UUID for one made through the 2026-03-01 API.
    #[schema(value_type = String, pattern = "^(we_[0-9a-f]{32}|[0-9a-f]{24})$", example = "665f1c2ab8e4d90012ab34cd")]
    id: EndpointId,
    /// The tenant that owns it.
    #[schema(example = "acme")]
    organization_id: String,
    /// What it is about: `AGENT` when it names agents, else `WORKSPACE` when it names workspaces,
    /// else `ORGANIZATION`.
    scope: Scope,
    /// The name that it was given. A subscription that was created through the 2026-03-01 API shows
    /// its description or id.
    #[schema(value_type = String, example = "Production receiver")]
    name: Box<str>,
    /// Where deliveries are sent.
    #[schema(value_type = String, format = "uri", max_length = 2048, example = "https://example.com/hook")]
    url: Box<str>,
    /// Which events are sent. Empty means all.
    #[schema(value_type = Vec<String>, max_items = 100, example = json!(["Call.Started"]))]
    events: Box<[EventPattern]>,
    /// Whether deliveries are made.
    active: bool,
    /// Whether deliveries are signed.
    signing_enabled: bool,
    /// Headers that are sent with each delivery.
    #[serde(skip_serializing_if = "Headers::is_empty")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, nullable = false)]
    headers: Headers,
    /// A description, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, max_length = 1500)]
    description: Option<Box<str>>,
    /// The agents that it is about.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Option<Vec<String>>, nullable = false, max_items = 100)]
    agent_ids: Box<[Box<str>]>,
    /// The workspaces that it is about.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Option<Vec<String>>, nullable = false, max_items = 100)]
    workspace_ids: Box<[Box<str>]>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-06-01T08:00:00.000Z")]
    created_at: Timestamp,
    /// When it was last changed. A rotation does not count.
    #[schema(value_type = String, format = DateTime, example = "2026-06-01T08:00:00.000Z")]
    updated_at: Timestamp,
    /// The signing secret, only in the answer to the request that created it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<SecretText>, nullable = false)]
    secret: Option<SecretText>,
}

/// What a subscription is about.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// Some agents.
    Agent,
    /// Some workspaces.
    Workspace,
    /// All of the organization.
    Organization,
}

impl Subscription {
    /// Creates the answer about an endpoint of `tenant`, with the secret that was just created for
    /// it, if any.
    #[must_use]
    pub fn new(tenant: &TenantId, endpoint: &Endpoint, secret: Option<&Secret>) -> Self {
        let settings = &endpoint.settings;
        let described = settings
            .description
            .clone()
            .filter(|text| !text.trim().is_empty());
        let name = settings.name.clone().or(described);
        let scope = if !settings.agent_ids.is_empty() {
            Scope::Agent
        } else if !settings.workspace_ids.is_empty() {
            Scope::Workspace
        } else {
            Scope::Organization
        };
        Self {
            id: endpoint.id,
            organization_id: tenant.as_str().to_owned(),
            scope,
            name: name.unwrap_or_else(|| endpoint.id.to_string().into()),
            url: settings.url.clone(),
            events: settings.events.clone(),
            active: settings.active,
            signing_enabled: endpoint.key_ring.is_some(),
            headers: Headers(settings.headers.clone()),
            description: settings.description.clone(),
            agent_ids: settings.agent_ids.clone(),
            workspace_ids: settings.workspace_ids.clone(),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            secret: secret.map(SecretText::from),
        }
    }
}

/// The headers that the owner set, which this dialect shows when it reads a subscription.
struct Headers(Box<[HeaderEntry]>);

impl Headers {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|entry| (&entry.name, &**entry.value)))
    }
}
