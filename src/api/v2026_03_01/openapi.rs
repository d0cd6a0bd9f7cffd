//! The `OpenAPI` document of this dialect.

use serde_json::Value;
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
            `method_not_allowed` and an `Allow` header. Under `/webhooks` and `/dev` nothing is told without a \
            key, not even that.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
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
            optional_bodies: &[
                "rotateWebhookEndpointSecret",
                "revokePreviousWebhookEndpointSecrets",
                "sendTestEvent",
                "resendDelivery",
            ],
        },
    );
    // The same operation under the path that published clients call.
    let paths = &mut document["paths"];
    let mut alias = paths["/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate"].clone();
    alias["post"]["operationId"] = "rotateWebhookEndpointSecretAlias".into();
    alias["post"]["summary"] =
        "Rotate the signing secret (the path that client libraries call)".into();
    paths["/webhooks/endpoints/{webhook_endpoint_id}/rotate-secret"] = alias;
    document
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
        "listWebhookEndpoints" => vec![
            example_field("limit", FieldCode::OutOfRange, "must be from 1 to 100"),
            Error::InvalidCursor.into(),
        ],
        "publishEvent" => vec![
            example_field("type", FieldCode::MissingField, "is required"),
            Error::EventIdReused.into(),
        ],
        "sendTestEvent" => vec![Error::EndpointDisabled.into()],
        "listDeliveries" => vec![
            example_field("limit", FieldCode::OutOfRange, "must be from 1 to 100"),
            Error::InvalidCursor.into(),
        ],
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
