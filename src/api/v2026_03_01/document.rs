//! Builds the `OpenAPI` document of this dialect.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::errors::{Problem, render};
use crate::api::openapi::{Operations, Wording};

/// The parts of the document that belong to no operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hookturn, 2026-03-01 API",
        version = "2026-03-01",
        description = "Manages webhook endpoints and rotates their signing secrets without dropping an event: \
            during a grace period that the caller chooses, every delivery is signed with both secrets.\n\n\
            Errors are problem documents (RFC 9457). The `type` of each is the address of a page about it. An \
            unknown path answers 404 with the code `route_not_found`, a wrong method 405 with \
            `method_not_allowed` and an `Allow` header. Without a valid key every path under `/webhooks`, \
            `/events`, `/deliveries` and `/dev` answers 401, whether it exists or not.\n\n\
            To try it here, press Authorize and enter an API key: `demo-key` on the server of `make run`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    tags(
        (name = "Secrets", description = "Rotating, listing and revoking signing secrets."),
        (name = "Endpoints", description = "Endpoints, whose signing secrets are rotated."),
        (name = "Events", description = "Publishing events to the endpoints that subscribe to them."),
        (name = "Deliveries", description = "Deliveries of events to endpoints, with their attempts."),
        (name = "Test clock", description = "With `--dev` only: a clock that can be moved."),
        (name = "Server", description = "Health checks and pages, which need no key."),
    ),
)]
struct Outline;

/// Returns the whole document of `operations`.
#[must_use]
pub fn of(operations: Operations) -> Value {
    let wording = Wording {
        render: |failure, path| render(failure, "http://127.0.0.1:8080", path),
        name,
        schema: |_| "Problem",
        security: "bearerAuth",
    };
    let mut document = operations.complete(Outline::openapi(), &wording);
    document["webhooks"] = webhooks();
    document
}

/// Describes what a receiver gets: Standard Webhooks 1.0.0.
fn webhooks() -> Value {
    let header = |name: &str, description: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "required": true,
            "description": description, "schema": schema,
        })
    };
    let time = json!({ "type": "string", "format": "date-time" });
    json!({ "event": { "post": {
        "operationId": "receiveEvent",
        "summary": "What a receiver of an endpoint gets",
        "description": "Standard Webhooks 1.0.0. Each signature is the base64 of an HMAC-SHA256, keyed with the \
            base64-decoded part of a secret after `whsec_`, of `{webhook-id}.{webhook-timestamp}.{body}`. \
            There is one for each live secret, the current one first: accept the event if any of them \
            verifies. An endpoint whose signing was turned off gets no `webhook-signature`. Any 2xx within \
            15 s is success; 410 disables the endpoint; all else is tried again after 5 s, 5 min, 30 min, \
            2 h, 5 h, 10 h, 14 h, 20 h and 24 h. An event can come more than once: `webhook-id` stays the \
            same.",
        "tags": ["Deliveries"],
        "parameters": [
            header("webhook-id", "The event's id, the same on every attempt.",
                json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" })),
            header("webhook-timestamp", "The Unix second of this attempt, by the wall clock.",
                json!({ "type": "string", "pattern": "^[0-9]+$" })),
            header("webhook-signature", "`v1,` and a signature for each live secret, separated by spaces.",
                json!({ "type": "string", "pattern": "^v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9+/]{43}=){0,9}$" })),
            header("user-agent", "`Hookturn/` and the server's version.",
                json!({ "type": "string", "pattern": "^Hookturn/" })),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object",
            "required": ["id", "type", "api_version", "delivery_id", "created_at", "timestamp", "data"],
            "properties": {
                "id": { "type": "string", "description": "The event's id." },
                "type": { "type": "string", "description": "The event's type." },
                "api_version": { "type": "string", "const": "2026-03-01" },
                "delivery_id": { "type": "string", "description": "The delivery's id: see `getDelivery`." },
                "created_at": time, "timestamp": time,
                "data": { "type": "object", "description": "What was published, as it was sent." },
            },
            "unevaluatedProperties": false,
        } } } },
        "responses": {
            "2XX": { "description": "The event was accepted." },
            "410": { "description": "The receiver is gone: the endpoint is disabled." },
            "default": { "description": "The event is sent again later." },
        },
    } } })
}

/// Returns the name of an example: the code of its first field error, or else its own code.
fn name(problem: &Value) -> String {
    let code = &problem["errors"][0]["code"];
    let code = if code.is_null() {
        &problem["code"]
    } else {
        code
    };
    code.as_str().unwrap_or_default().to_owned()
}
