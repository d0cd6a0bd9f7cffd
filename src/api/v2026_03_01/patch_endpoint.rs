//! `PATCH /webhooks/endpoints/{webhook_endpoint_id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;

use super::wire::{EndpointStatus, WebhookEndpoint, read_description, read_events, read_url};
use crate::api::failure::{Failure, FieldCode};
use crate::api::submission::{Submission, answer, respond};
use crate::api::{App, EndpointPath};
use crate::service::endpoints::SettingsPatch;

/// The settings to change. What is not sent stays as it is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub struct PatchEndpoint {
    /// Where deliveries are sent.
    #[schema(
        nullable = false,
        format = "uri",
        max_length = 2048,
        example = "https://example.com/hook"
    )]
    url: Option<String>,
    /// Which event types are sent. Empty means all.
    #[schema(nullable = false, max_items = 100, example = json!(["call.*"]))]
    events: Option<Vec<String>>,
    /// A text for people; null takes it away.
    #[schema(max_length = 1500, nullable, example = "Production receiver")]
    description: Option<String>,
    /// Whether deliveries are made.
    #[schema(nullable = false)]
    status: Option<EndpointStatus>,
}

/// Change an endpoint
///
/// Changes the fields that are sent, and no others. Its secrets stay as they are.
#[utoipa::path(
    patch, path = "/webhooks/endpoints/{webhook_endpoint_id}",
    operation_id = "updateWebhookEndpoint", tag = "Endpoints",
    request_body = PatchEndpoint,
    responses((status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint)),
)]
pub(super) async fn patch_endpoint(
    State(app): State<App>,
    path: EndpointPath,
    submission: Submission,
) -> Result<Response, Failure> {
    let mut object = submission.body.object()?;
    let url = read_url(&mut object, app.allows_http_urls());
    let events = read_events(&mut object);
    let description = read_description(&mut object);
    let active = match object.string("status").as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => {
            object.fail(
                "status",
                FieldCode::InvalidFormat,
                "must be active or disabled",
            );
            None
        }
    };
    object.finish()?;
    let changes = SettingsPatch {
        url,
        events,
        description,
        active,
    };

    let patched =
        app.service()
            .patch_endpoint(submission.caller, path.id()?, changes, |endpoint| {
                answer(StatusCode::OK, &WebhookEndpoint::from(endpoint))
            });
    Ok(respond(patched.await?))
}
