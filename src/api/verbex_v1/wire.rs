//! What goes over the wire in this dialect, and how it is read.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::http::{HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::api::failure::{Failure, FieldCode};
use crate::api::json::Object;
use crate::api::secret_text::SecretText;
use crate::api::url;
use crate::delivery::headers;
use crate::domain::event::MAX_PATTERN_LENGTH;
use crate::domain::{
    Endpoint, EndpointId, EventPattern, HeaderEntry, Secret, Settings, TenantId, Timestamp,
};

/// The longest name, in characters.
const MAX_NAME: usize = 255;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1500;

/// The most entries in a list or map.
const MAX_ENTRIES: usize = 100;

/// The longest name or value of a header, in bytes.
const MAX_HEADER: usize = 4096;

/// The longest agent or workspace id, in characters.
const MAX_REFERENCE: usize = 255;

/// A subscription. What is not set is left out.
#[derive(Serialize, ToSchema)]
pub struct Subscription {
    /// The id: 24 hex digits, or `we_` and a UUID for one made through the 2026-03-01 API.
    #[schema(value_type = String, pattern = "^(we_[0-9a-f]{32}|[0-9a-f]{24})$", example = "665f1c2ab8e4d90012ab34cd")]
    id: EndpointId,
    /// The tenant that owns it.
    organization_id: String,
    /// What it is about: `AGENT` when it names agents, else `WORKSPACE` when it names workspaces, else
    /// `ORGANIZATION`.
    scope: Scope,
    /// The name that it was given; for one made through the 2026-03-01 API, its description or id.
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
    /// A text for people.
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
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    created_at: Timestamp,
    /// When it was last changed. A rotation does not count.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    updated_at: Timestamp,
    /// The signing secret, in the answer of the call that made it and nowhere else.
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
    /// `endpoint` of `tenant`, with the secret that was just made for it, if one was.
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

/// The owner's headers, which this dialect reads back.
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

/// A subscription, as it is sent to create or replace one.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub struct SubscriptionInput {
    /// A name, not blank, and unique among those that the tenant gave.
    #[schema(min_length = 1, max_length = 255, example = "Production receiver")]
    name: String,
    /// Where deliveries are sent: an absolute `https` or `http` URL, without user information, fragment
    /// and backslash. Other characters that are none of a URL's are percent-encoded in the request.
    #[schema(
        format = "uri",
        max_length = 2048,
        pattern = "^[Hh][Tt][Tt][Pp][Ss]?://",
        example = "https://example.com/hook"
    )]
    url: String,
    /// Whether deliveries are signed.
    enable_signed_webhooks: bool,
    /// Whether deliveries are made.
    #[schema(default = true, nullable = false)]
    active: Option<bool>,
    /// Which events are sent: `Service.Event` (case-sensitive), a prefix followed by `.*`, or `*`.
    /// Empty or absent means all.
    #[schema(nullable = false, max_items = 100, example = json!(["Call.Started"]))]
    events: Option<Vec<String>>,
    /// Headers to send with each delivery, in HTTP/1.1 in the case that is given. Not `Host`, `Content-*`, `Connection`,
    /// `Transfer-Encoding`, `User-Agent`, `webhook-*` or `X-Webhook-*`, nor others that are about the
    /// connection: `Expect`, `HTTP2-Settings`, `Keep-Alive`, `Proxy-Authenticate`, `Proxy-Connection`,
    /// `TE`, `Trailer` and `Upgrade`. Names are compared in any case, and with `_` and `-` for the same, as
    /// many receivers read them.
    #[schema(nullable = false)]
    headers: Option<std::collections::BTreeMap<String, String>>,
    /// A text for people.
    #[schema(nullable = false, max_length = 1500)]
    description: Option<String>,
    /// The agents that it is about.
    #[schema(nullable = false, max_items = 100)]
    agent_ids: Option<Vec<String>>,
    /// The workspaces that it is about.
    #[schema(nullable = false, max_items = 100)]
    workspace_ids: Option<Vec<String>>,
}

/// Reads a whole subscription: its settings, and whether it is signed.
///
/// # Errors
///
/// [`Failure::InvalidFields`] with all that is wrong.
pub fn read_subscription_input(mut object: Object<'_>) -> Result<(Settings, bool), Failure> {
    let object_ref = &mut object;
    let name = read_name(object_ref);
    let url = read_url(object_ref);
    let signing = object_ref.boolean("enable_signed_webhooks");
    if signing.is_none() {
        object_ref.missing("enable_signed_webhooks");
    }
    let settings = Settings {
        url: url.unwrap_or_default(),
        events: read_events(object_ref),
        description: read_description(object_ref),
        active: object_ref.boolean("active").unwrap_or(true),
        name,
        headers: read_headers(object_ref),
        agent_ids: read_references(object_ref, "agent_ids"),
        workspace_ids: read_references(object_ref, "workspace_ids"),
    };
    object.finish()?;
    Ok((settings, signing.unwrap_or_default()))
}

fn read_name(object: &mut Object<'_>) -> Option<Box<str>> {
    let Some(name) = object.string("name") else {
        object.missing("name");
        return None;
    };
    if name.trim().is_empty() {
        object.fail("name", FieldCode::InvalidFormat, "must not be blank");
    } else if name.chars().count() > MAX_NAME {
        object.fail(
            "name",
            FieldCode::OutOfRange,
            "must be at most 255 characters",
        );
    }
    Some(name.into())
}

fn read_url(object: &mut Object<'_>) -> Option<Box<str>> {
    let Some(text) = object.string("url") else {
        object.missing("url");
        return None;
    };
    if let Err((code, detail)) = url::check(&text, true) {
        object.fail("url", code, detail);
    }
    Some(text.into())
}

fn read_description(object: &mut Object<'_>) -> Option<Box<str>> {
    let text = object.string("description")?;
    if text.chars().count() > MAX_DESCRIPTION {
        object.fail(
            "description",
            FieldCode::OutOfRange,
            "must be at most 1500 characters",
        );
    }
    Some(text.into())
}

/// Reads a list of at most [`MAX_ENTRIES`] strings; one that is absent is empty.
fn read_list<'a>(object: &mut Object<'a>, name: &str) -> Vec<(usize, Cow<'a, str>)> {
    let list = object.strings(name).unwrap_or_default();
    if list.len() > MAX_ENTRIES {
        object.fail(name, FieldCode::OutOfRange, "must have at most 100 entries");
        return Vec::new();
    }
    list
}

fn read_events(object: &mut Object<'_>) -> Box<[EventPattern]> {
    let texts = read_list(object, "events");
    let patterns = texts.iter().filter_map(|(place, text)| {
        let pattern = text.parse().ok().filter(is_service_event);
        if pattern.is_none() {
            let code = if text.chars().count() > MAX_PATTERN_LENGTH {
                FieldCode::OutOfRange
            } else {
                FieldCode::InvalidFormat
            };
            let detail =
                "must be Service.Event, a prefix followed by .*, or * (at most 128 characters)";
            object.fail(&format!("events[{place}]"), code, detail);
        }
        pattern
    });
    patterns.collect()
}

/// Whether a pattern is one of this dialect, whose event types have two words at least.
fn is_service_event(pattern: &EventPattern) -> bool {
    match pattern {
        EventPattern::Exact(exact) => exact.contains('.'),
        EventPattern::All | EventPattern::Prefix(_) => true,
    }
}

fn read_references(object: &mut Object<'_>, name: &str) -> Box<[Box<str>]> {
    let texts = read_list(object, name);
    for (place, text) in &texts {
        if text.is_empty() || text.chars().count() > MAX_REFERENCE {
            let param = format!("{name}[{place}]");
            object.fail(&param, FieldCode::OutOfRange, "must be 1 to 255 characters");
        }
    }
    texts.into_iter().map(|(_, text)| text.into()).collect()
}

fn read_headers(object: &mut Object<'_>) -> Box<[HeaderEntry]> {
    let entries = object.string_map("headers").unwrap_or_default();
    if entries.len() > MAX_ENTRIES {
        object.fail(
            "headers",
            FieldCode::OutOfRange,
            "must have at most 100 entries",
        );
        return Box::default();
    }
    let mut seen = HashSet::new();
    let checked = entries.into_iter().map(|(name, value)| {
        let param = || format!("headers.{}", name.chars().take(64).collect::<String>());
        match check_header(&name, &value) {
            Err((code, detail)) => object.fail(&param(), code, detail),
            Ok(()) if !seen.insert(headers::folded(&name)) => {
                object.fail(
                    &param(),
                    FieldCode::DuplicateField,
                    "must be sent once: receivers may not tell upper from lower case, or \"_\" from \"-\"",
                );
            }
            Ok(()) => {}
        }
        HeaderEntry {
            name: name.into(),
            value: Zeroizing::new(value.into()),
        }
    });
    checked.collect()
}

/// Whether a header may be sent with deliveries: not one that frames or signs them.
fn check_header(name: &str, value: &str) -> Result<(), (FieldCode, &'static str)> {
    if name.len() > MAX_HEADER || value.len() > MAX_HEADER {
        return Err((FieldCode::OutOfRange, "must be at most 4096 bytes"));
    }
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err((FieldCode::InvalidFormat, "must have the name of a header"));
    }
    if headers::is_reserved(name) {
        return Err((
            FieldCode::InvalidFormat,
            "must be another name: the server sets this one, where \"_\" is read as \"-\"",
        ));
    }
    // Visible ASCII, spaces and tabs: what every receiver reads the same.
    let plain = value
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if !plain || HeaderValue::from_str(value).is_err() || value.trim() != value {
        return Err((
            FieldCode::InvalidFormat,
            "must be visible ASCII characters, with spaces only between them",
        ));
    }
    Ok(())
}
