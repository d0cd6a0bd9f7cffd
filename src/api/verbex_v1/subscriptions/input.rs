//! Reads subscriptions that are sent to create or replace one.

use std::borrow::Cow;

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::headers::Headers;
use crate::api::failure::{Failure, FieldCode};
use crate::api::fields::settings::{DESCRIPTION, EndpointUrl, EventPatterns, MAX_ENTRIES};
use crate::api::fields::{Boolean, List, Object, ReadFrom, Rule, Text, fields};
use crate::domain::{EventPattern, HeaderEntry, Settings};

/// The rule for event patterns. Event types of this dialect have at least two words.
const EVENTS: EventPatterns = EventPatterns {
    accepts: |pattern| match pattern {
        EventPattern::Exact(exact) => exact.contains('.'),
        EventPattern::All | EventPattern::Prefix(_) => true,
    },
    detail: "must be Service.Event, a prefix followed by .*, or *",
};

/// The rule for the ids of agents or workspaces.
const REFERENCES: List = List {
    max: MAX_ENTRIES,
    item: Text { min: 1, max: 255 },
};

/// The rule for the name of a subscription, which must not be blank.
struct Name;

impl Name {
    const TEXT: Text = Text::at_most(255);
}

impl Rule for Name {
    type Value = Box<str>;

    fn schema(&self) -> RefOr<Schema> {
        Text {
            min: 1,
            ..Self::TEXT
        }
        .schema()
    }
}

impl ReadFrom<Object<'_>> for Name {
    fn read(&self, object: &mut Object<'_>, field: &str) -> Option<Box<str>> {
        let name = object.string(field)?;
        if name.trim().is_empty() {
            object.fail(field, FieldCode::InvalidFormat, "must not be blank");
            return None;
        }
        Self::TEXT.check(object, field, &name).then(|| name.into())
    }
}

fields! {
    /// A subscription, as it is sent to create or replace one.
    pub struct SubscriptionInput from Object {
        /// A name, which must not be blank, and must be unique among the names that the tenant
        /// gave.
        name: Box<str> = required(Name), example "Production receiver";
        /// Where deliveries are sent: an absolute `https` or `http` URL, without user information,
        /// fragment or backslash. Other characters that a URL must not contain are percent-encoded
        /// in the request.
        url: Box<str> = required(EndpointUrl { allow_http: true }), example "https://example.com/hook";
        /// Whether deliveries are signed.
        enable_signed_webhooks: bool = required(Boolean);
        /// Whether deliveries are made.
        active: bool = default(Boolean, true);
        /// Which events are sent: `Service.Event` (case-sensitive), a prefix followed by `.*`, or
        /// `*`. Empty or absent means all.
        events: Option<Box<[EventPattern]>> = optional(EVENTS), example ["Call.Started"];
        /// Headers to send with each delivery; over HTTP/1.1, in the case that is given. These are
        /// not allowed: `Host`, `Content-*`, `Connection`, `Transfer-Encoding`, `User-Agent`,
        /// `webhook-*`, `X-Webhook-*`, and others about the connection: `Expect`, `HTTP2-Settings`,
        /// `Keep-Alive`, `Proxy-Authenticate`, `Proxy-Connection`, `TE`, `Trailer` and `Upgrade`.
        /// Names are compared without regard to case, and `_` counts as `-`, because many receivers
        /// read them so.
        headers: Option<Box<[HeaderEntry]>> = optional(Headers);
        /// A description, for people.
        description: Option<Box<str>> = optional(DESCRIPTION);
        /// The agents that it is about.
        agent_ids: Option<Box<[Box<str>]>> = optional(REFERENCES);
        /// The workspaces that it is about.
        workspace_ids: Option<Box<[Box<str>]>> = optional(REFERENCES);
    }
}

impl SubscriptionInput {
    /// Returns the settings, and whether deliveries are signed.
    pub fn into_settings(self) -> (Settings, bool) {
        let settings = Settings {
            url: self.url,
            events: self.events.unwrap_or_default(),
            description: self.description,
            active: self.active,
            name: Some(self.name),
            headers: self.headers.unwrap_or_default(),
            agent_ids: self.agent_ids.unwrap_or_default(),
            workspace_ids: self.workspace_ids.unwrap_or_default(),
        };
        (settings, self.enable_signed_webhooks)
    }
}

/// A subscription, as it is sent to replace one. A body that was read can be sent back.
pub struct SubscriptionReplacement;

impl SubscriptionReplacement {
    /// The fields that a read shows and no request can set.
    const IGNORED: [&str; 6] = [
        "id",
        "organization_id",
        "scope",
        "signing_enabled",
        "created_at",
        "updated_at",
    ];

    /// Reads the fields, except the ignored ones.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::InvalidFields`] with everything that is wrong.
    pub fn read(mut object: Object<'_>) -> Result<SubscriptionInput, Failure> {
        object.ignore(&Self::IGNORED);
        SubscriptionInput::read(object)
    }
}

impl PartialSchema for SubscriptionReplacement {
    fn schema() -> RefOr<Schema> {
        let mut schema = SubscriptionInput::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.description = Some("A subscription, as it is sent to replace one.".to_owned());
            for name in Self::IGNORED {
                let ignored = ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::SchemaType::AnyValue)
                    .description(Some(
                        "Ignored, so that a subscription that was read can be sent back.",
                    ));
                object.properties.insert(name.to_owned(), ignored.into());
            }
        }
        schema
    }
}

impl ToSchema for SubscriptionReplacement {
    fn name() -> Cow<'static, str> {
        "SubscriptionReplacement".into()
    }
}
