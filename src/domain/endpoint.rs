//! Endpoints, which both dialects share. Verbex v1 calls them subscriptions.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::event::EventPattern;
use super::format::Format;
use super::id::EndpointId;
use super::key_ring::KeyRing;
use super::time::Timestamp;

/// An endpoint. Cheap to clone: the settings are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its id in both dialects.
    pub id: EndpointId,
    /// How its deliveries are signed.
    pub format: Format,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its settings were last changed. A rotation does not count, since secrets have their own
    /// times.
    pub updated_at: Timestamp,
    /// The settings that its owner chose.
    pub settings: Arc<Settings>,
    /// Its secrets; `None` when signing is not enabled.
    pub key_ring: Option<KeyRing>,
}

impl Endpoint {
    /// Returns the endpoint disabled at `now`, so that no deliveries are made to it.
    #[must_use]
    pub fn disabled(&self, now: Timestamp) -> Self {
        Self {
            updated_at: now,
            settings: Arc::new(Settings {
                active: false,
                ..(*self.settings).clone()
            }),
            ..self.clone()
        }
    }
}

/// The settings that the owner of an endpoint chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The absolute URL to which deliveries are sent, as the caller gave it. The API has checked
    /// it.
    pub url: Box<str>,
    /// The event types that are sent. Empty means all.
    pub events: Box<[EventPattern]>,
    /// A description for people.
    pub description: Option<Box<str>>,
    /// Whether deliveries are made. A disabled endpoint can still be rotated.
    pub active: bool,
    /// The name given through Verbex v1, unique within the tenant.
    pub name: Option<Box<str>>,
    /// Headers sent with each delivery (Verbex v1).
    pub headers: Box<[HeaderEntry]>,
    /// Verbex v1's `agent_ids`. Empty means not set.
    pub agent_ids: Box<[Box<str>]>,
    /// Verbex v1's `workspace_ids`. Empty means not set.
    pub workspace_ids: Box<[Box<str>]>,
}

impl Settings {
    /// Returns the patterns to which the endpoint subscribes, `*` when `events` is empty.
    #[must_use]
    pub fn patterns(&self) -> &[EventPattern] {
        if self.events.is_empty() {
            &[EventPattern::All]
        } else {
            &self.events
        }
    }

    /// Returns about how many bytes of text the settings have.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|header| header.name.len() + header.value.len());
        let ids = self.agent_ids.iter().chain(&self.workspace_ids);
        let patterns = self.events.iter().map(size_of_val);
        self.url.len()
            + self.description.as_ref().map_or(0, |text| text.len())
            + headers
                .chain(ids.map(|id| id.len()))
                .chain(patterns)
                .sum::<usize>()
    }
}

/// A header of the owner's choice. The value is handled like a secret, since it may be a
/// credential.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderEntry {
    /// The header's name, as the caller gave it.
    pub name: Box<str>,
    /// The header's value, wiped on drop.
    pub value: Zeroizing<Box<str>>,
}

impl fmt::Debug for HeaderEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}
