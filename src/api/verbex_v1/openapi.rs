//! The `OpenAPI` document of this dialect.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::errors::{WebhookAuthErrorResponse, WebhookErrorResponse, render};
use super::{
    create_subscription, delete_subscription, read_subscription, replace_subscription,
    rotate_secret,
};
use crate::api::correlation::TraceId;
use crate::api::failure::{Failure, FieldCode};
use crate::api::openapi::{Completion, complete, example_field};
use crate::domain::Timestamp;
use crate::service::Error;

/// What the annotations say.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hookturn, Verbex v1 API",
        version = "1.0.0",
        description = "Manages webhook subscriptions and rotates their signing secrets: for 72 hours after a \
            rotation every delivery is signed with both secrets, one `v1=` each in `X-Webhook-Signature`.\n\n\
            A 401 has a lean body of its own; every other error has `status`, `type`, `message`, `timestamp`, \
            `path` and `trace_id`. An unknown path answers 404, a wrong method 405 with an `Allow` header; \
            without a key nothing is told, not even that.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        create_subscription::create_subscription,
        read_subscription::read_subscription,
        replace_subscription::replace_subscription,
        delete_subscription::delete_subscription,
        rotate_secret::rotate_secret,
    ),
    components(schemas(WebhookErrorResponse, WebhookAuthErrorResponse)),
    tags((name = "Webhook Subscriptions", description = "Subscriptions and their signing secrets.")),
)]
struct Annotations;

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let mut document = complete(
        Annotations::openapi(),
        &Completion {
            render: |failure| {
                let now = Timestamp::from_millis(1_781_000_100_000);
                render(
                    failure,
                    "/v1/public/webhook/subscription",
                    TraceId::EXAMPLE,
                    now,
                )
            },
            name,
            schema: |status| match status {
                401 => "WebhookAuthErrorResponse",
                _ => "WebhookErrorResponse",
            },
            failures,
            optional_bodies: &[],
        },
    );
    // The body of a replacement is that of a creation, and may have what a read shows beside it.
    let schemas = &mut document["components"]["schemas"];
    let mut replacement = schemas["SubscriptionInput"].clone();
    replacement["description"] = "A subscription, as it is sent to replace one.".into();
    for name in replace_subscription::IGNORED {
        replacement["properties"][name] =
            json!({ "description": "Ignored: what was read may be sent back." });
    }
    schemas["SubscriptionReplacement"] = replacement;
    document["paths"]["/v1/public/webhook/subscription/{id}"]["put"]["requestBody"]["content"]["application/json"]
        ["schema"]["$ref"] = "#/components/schemas/SubscriptionReplacement".into();
    document
}

/// Errors are told apart by the reason or the field that they give.
fn name(body: &Value) -> String {
    let details = &body["details"];
    let field = details["fields"].as_object().and_then(|fields| {
        let (field, message) = fields.iter().next()?;
        let message = message.as_str()?;
        Some(format!("{field} {message}"))
    });
    let reason = details["reason"].as_str().map(str::to_owned);
    let kind = || body["type"].as_str().map(str::to_lowercase);
    field
        .or(reason)
        .or_else(kind)
        .unwrap_or_else(|| "authentication".to_owned())
}

fn failures(operation: &str) -> Vec<Failure> {
    let too_many = Error::TooManyLiveSecrets {
        next_expires_at: Timestamp::from_millis(1_781_259_300_000),
    };
    let missing = example_field(
        "enable_signed_webhooks",
        FieldCode::MissingField,
        "is required",
    );
    match operation {
        "rotate_webhook_subscription_secret" => {
            vec![Error::SigningDisabled.into(), too_many.into()]
        }
        "create_webhook_subscription" | "replace_webhook_subscription" => {
            vec![missing, Error::NameTaken.into()]
        }
        _ => Vec::new(),
    }
}
