//! The record that both dialects share: an endpoint, called a subscription by Verbex v1.

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
    /// When its settings were last changed. A rotation is no change of settings: the secrets carry
    /// their own times.
    pub updated_at: Timestamp,
    /// What its owner chose.
    pub settings: Arc<Settings>,
    /// Its secrets; `None` when signing is not enabled.
    pub key_ring: Option<KeyRing>,
}

impl Endpoint {
    /// The endpoint without deliveries, since `now`.
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

/// What the owner of an endpoint chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where deliveries go, as given: an absolute URL that the API has checked.
    pub url: Box<str>,
    /// Which event types are sent. Empty means all.
    pub events: Box<[EventPattern]>,
    /// A text for people.
    pub description: Option<Box<str>>,
    /// Whether deliveries are made. A disabled endpoint can still be rotated.
    pub active: bool,
    /// The name given through Verbex v1, unique among those that the tenant gave.
    pub name: Option<Box<str>>,
    /// Headers sent with each delivery (Verbex v1).
    pub headers: Box<[HeaderEntry]>,
    /// Verbex v1's `agent_ids`. Empty means not set.
    pub agent_ids: Box<[Box<str>]>,
    /// Verbex v1's `workspace_ids`. Empty means not set.
    pub workspace_ids: Box<[Box<str>]>,
}

impl Settings {
    /// What the endpoint subscribes to, where no pattern at all means all.
    #[must_use]
    pub fn patterns(&self) -> &[EventPattern] {
        if self.events.is_empty() {
            &[EventPattern::All]
        } else {
            &self.events
        }
    }
}

/// A header of the owner's choice. The value is kept like a secret: receivers put credentials here.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderEntry {
    /// The name as given.
    pub name: Box<str>,
    /// The value, wiped on drop.
    pub value: Zeroizing<Box<str>>,
}

impl fmt::Debug for HeaderEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: …", self.name)
    }
}
