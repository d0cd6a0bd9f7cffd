//! The `OpenAPI` document of this dialect.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::errors::{Problem, render};
use super::{
    create_endpoint, delete_endpoint, list_deliveries, list_endpoints, list_secrets,
    patch_endpoint, publish_event, read_delivery, read_endpoint, resend_delivery, revoke_previous,
    rotate_secret, send_test_event,
};
use crate::api::failure::{Failure, FieldCode};
use crate::api::openapi::{Completion, complete, example_field};
use crate::api::{dev, pages};
use crate::domain::Timestamp;
use crate::service::Error;

/// What the annotations say.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hookturn, 2026-03-01 API",
        version = "2026-03-01",
        description = "Manages webhook endpoints and rotates their signing secrets without dropping an event: \
            during a grace that the caller chooses, every delivery is signed with both secrets.\n\n\
            Errors are problem documents (RFC 9457). The `type` of each is the address of a page about it. An \
            unknown path answers 404 with the code `route_not_found`, a wrong method 405 with \
            `method_not_allowed` and an `Allow` header. Without a valid key every path under `/webhooks`, \
            `/events`, `/deliveries` and `/dev` answers 401, whether it exists or not.\n\n\
            To try it here, press Authorize and enter an API key: `demo-key` on the server of `make run`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        create_endpoint::create_endpoint,
        list_endpoints::list_endpoints,
        read_endpoint::read_endpoint,
        patch_endpoint::patch_endpoint,
        delete_endpoint::delete_endpoint,
        rotate_secret::rotate_secret,
        list_secrets::list_secrets,
        revoke_previous::revoke_previous,
        publish_event::publish_event,
        send_test_event::send_test_event,
        list_deliveries::list_deliveries,
        read_delivery::read_delivery,
        resend_delivery::resend_delivery,
        dev::read_clock,
        dev::advance_clock,
        pages::healthz,
        pages::readyz,
        pages::problem,
    ),
    components(schemas(Problem)),
    tags(
        (name = "Secrets", description = "Rotating signing secrets, and what is live."),
        (name = "Endpoints", description = "What there is to rotate."),
        (name = "Events", description = "What has happened, to be told to the endpoints."),
        (name = "Deliveries", description = "What became of it, attempt by attempt."),
        (name = "Test clock", description = "With `--dev` only: time that can be moved."),
        (name = "Server", description = "Without a key."),
    ),
)]
struct Annotations;

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let mut document = complete(
        Annotations::openapi(),
        &Completion {
            render: |failure| render(failure, "http://127.0.0.1:8080", "/path/of/the/request"),
            name,
            schema: |_| "Problem",
            failures,
            security: "bearerAuth",
            optional_bodies: &[
                "rotateWebhookEndpointSecret",
                "revokePreviousWebhookEndpointSecrets",
                "sendTestEvent",
                "resendDelivery",
            ],
        },
    );
    document["webhooks"] = webhooks();
    // The same operation under the path that published clients call.
    let paths = &mut document["paths"];
    let mut alias = paths["/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate"].clone();
    alias["post"]["operationId"] = "rotateWebhookEndpointSecretAlias".into();
    alias["post"]["summary"] =
        "Rotate the signing secret (the path that client libraries call)".into();
    paths["/webhooks/endpoints/{webhook_endpoint_id}/rotate-secret"] = alias;
    document
}

/// What a receiver gets: Standard Webhooks 1.0.0.
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
            "2XX": { "description": "The event was taken." },
            "410": { "description": "Nobody is here any more: the endpoint is disabled." },
            "default": { "description": "The event is sent again later." },
        },
    } } })
}

/// Errors of one field are told apart by the field's own code.
fn name(problem: &Value) -> String {
    let code = &problem["errors"][0]["code"];
    let code = if code.is_null() {
        &problem["code"]
    } else {
        code
    };
    code.as_str().unwrap_or_default().to_owned()
}

fn failures(operation: &str) -> Vec<Failure> {
    let too_many = Error::TooManyLiveSecrets {
        next_expires_at: Timestamp::from_millis(1_781_259_300_000),
    };
    let url = "must start with https://";
    match operation {
        "rotateWebhookEndpointSecret" => vec![
            example_field(
                "expire_current_in",
                FieldCode::OutOfRange,
                "must be from 0 to 86400",
            ),
            example_field(
                "expire_current_in",
                FieldCode::InvalidType,
                "must be an integer",
            ),
            Error::SigningDisabled.into(),
            too_many.into(),
        ],
        "revokePreviousWebhookEndpointSecrets" | "listWebhookEndpointSecrets" => {
            vec![Error::SigningDisabled.into()]
        }
        "createWebhookEndpoint" => vec![
            example_field("url", FieldCode::MissingField, "is required"),
            example_field("url", FieldCode::InvalidFormat, url),
        ],
        "updateWebhookEndpoint" => vec![example_field("url", FieldCode::InvalidFormat, url)],
        "listWebhookEndpoints" | "listDeliveries" => vec![
            example_field("limit", FieldCode::OutOfRange, "must be from 1 to 100"),
            Error::InvalidCursor.into(),
        ],
        "publishEvent" => vec![
            example_field("type", FieldCode::MissingField, "is required"),
            Error::EventIdReused.into(),
        ],
        "sendTestEvent" => vec![Error::EndpointDisabled.into()],
        "getDelivery" => vec![Error::DeliveryNotFound.into()],
        "resendDelivery" => {
            vec![
                Error::DeliveryNotFound.into(),
                Error::EndpointNotFound.into(),
                Error::EndpointDisabled.into(),
            ]
        }
        "advanceClock" => vec![example_field(
            "seconds",
            FieldCode::MissingField,
            "is required",
        )],
        "readProblemType" => vec![Failure::RouteNotFound],
        _ => Vec::new(),
    }
}
