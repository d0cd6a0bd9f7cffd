//! Builds the `OpenAPI` document of this dialect.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::errors::{WebhookAuthErrorResponse, WebhookErrorResponse, render};
use crate::api::example;
use crate::api::openapi::{Operations, Wording};
use crate::domain::TraceId;

/// The parts of the document that belong to no operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hookturn, Verbex v1 API",
        version = "1.0.0",
        description = "Manages webhook subscriptions and rotates their signing secrets: for 72 hours after a \
            rotation every delivery is signed with both secrets, one `v1=` each in `X-Webhook-Signature`.\n\n\
            A 401 has a lean body of its own; every other error has `status`, `type`, `message`, `timestamp`, \
            `path` and `trace_id`. An unknown path answers 404, a wrong method 405 with an `Allow` header. \
            Without a valid key every path under `/v1/public` answers 401, whether it exists or not.\n\n\
            To try it here, press Authorize and enter an API key: `demo-key` on the server of `make run`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(WebhookErrorResponse, WebhookAuthErrorResponse)),
    tags((name = "Webhook Subscriptions", description = "Subscriptions and their signing secrets.")),
)]
struct Outline;

/// Returns the whole document of `operations`.
#[must_use]
pub fn of(operations: Operations) -> Value {
    let wording = Wording {
        render: |failure, path| render(failure, path, TraceId::EXAMPLE, example::now()),
        name,
        schema: |status| match status {
            401 => "WebhookAuthErrorResponse",
            _ => "WebhookErrorResponse",
        },
        security: "BearerAuth",
    };
    let mut document = operations.complete(Outline::openapi(), &wording);
    document["webhooks"] = webhooks();
    document
}

/// Describes what a receiver gets.
fn webhooks() -> Value {
    let header = |name: &str, required: bool, description: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "required": required,
            "description": description, "schema": schema,
        })
    };
    let trace = json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
    let time = json!({ "type": "string", "format": "date-time" });
    json!({ "event": { "post": {
        "operationId": "receive_event",
        "summary": "What a receiver of a subscription gets",
        "description": "Each `v1` is the hex of an HMAC-SHA256, keyed with the whole text of a secret \
            (`whsec_` and all), of `{t}.{body}`. There is one for each live secret, the newest first: accept \
            the event if any of them verifies. A subscription without signing gets no \
            `X-Webhook-Signature`. The subscription's own `headers` are sent too. Any 2xx within 15 s is \
            success; 410 turns the subscription off; all else is tried again after 5 s, 5 min, 30 min, 2 h, \
            5 h, 10 h, 14 h, 20 h and 24 h. An event can come more than once.",
        "tags": ["Webhook Subscriptions"],
        "parameters": [
            header("X-Webhook-Signature", false,
                "`t=` and the Unix second of this attempt, then a `v1=` for each live secret.",
                json!({ "type": "string", "pattern": "^t=[0-9]+(,v1=[0-9a-f]{64}){1,10}$" })),
            header("X-Webhook-Event", true, "The event's type.", json!({ "type": "string" })),
            header("X-Webhook-Timestamp", true, "When this attempt was made, by the wall clock.", time.clone()),
            header("X-Webhook-Traceid", true, "The trace of the request that published the event.", trace.clone()),
            header("User-Agent", true, "`Hookturn/` and the server's version.",
                json!({ "type": "string", "pattern": "^Hookturn/" })),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object",
            "required": ["event", "traceId", "timestamp", "data"],
            "properties": {
                "event": { "type": "string", "description": "The event's type." },
                "traceId": trace,
                "timestamp": time,
                "data": { "type": "object", "description": "What was published, as it was sent." },
            },
            "unevaluatedProperties": false,
        } } } },
        "responses": {
            "2XX": { "description": "The event was accepted." },
            "410": { "description": "The receiver is gone: the subscription is turned off." },
            "default": { "description": "The event is sent again later." },
        },
    } } })
}

/// Returns the name of an example: the field, the reason or the type of its error.
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
