//! `POST /webhooks/endpoints`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa::ToSchema;

use super::wire::{CreatedWebhookEndpoint, read_description, read_events, read_url};
use crate::api::App;
use crate::api::failure::Failure;
use crate::api::submission::{Submission, answer, respond};
use crate::domain::{Endpoint, Format, Secret, Settings};

/// The endpoint to create.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub struct CreateEndpoint {
    /// Where deliveries are sent: an absolute `https` URL (also `http` with `--dev`), without user
    /// information, fragment and backslash. Other characters that are none of a URL's are
    /// percent-encoded in the request.
    #[schema(
        format = "uri",
        max_length = 2048,
        example = "https://example.com/hook"
    )]
    url: String,
    /// Which event types are sent: exact types, prefixes followed by `.*`, or `*`. Empty or absent
    /// means all.
    #[schema(nullable = false, max_items = 100, example = json!(["call.*"]))]
    events: Option<Vec<String>>,
    /// A text for people.
    #[schema(max_length = 1500, nullable, example = "Production receiver")]
    description: Option<String>,
}

/// Create an endpoint
///
/// Answers the endpoint with its first signing secret, which is shown this once.
#[utoipa::path(
    post, path = "/webhooks/endpoints", operation_id = "createWebhookEndpoint", tag = "Endpoints",
    request_body = CreateEndpoint,
    responses((status = 201, description = "The endpoint was created.", body = CreatedWebhookEndpoint)),
)]
pub(super) async fn create_endpoint(
    State(app): State<App>,
    submission: Submission,
) -> Result<Response, Failure> {
    let mut object = submission.body.object()?;
    let url = read_url(&mut object, app.allows_http_urls());
    if url.is_none() {
        object.missing("url");
    }
    let settings = Settings {
        url: url.unwrap_or_default(),
        events: read_events(&mut object).unwrap_or_default(),
        description: read_description(&mut object).flatten(),
        active: true,
        name: None,
        headers: Box::default(),
        agent_ids: Box::default(),
        workspace_ids: Box::default(),
    };
    object.finish()?;

    let render = |endpoint: &Endpoint, secret: Option<&Secret>| {
        answer(
            StatusCode::CREATED,
            &CreatedWebhookEndpoint::new(endpoint, secret),
        )
    };
    let created = app.service().create_endpoint(
        submission.caller,
        Format::StandardWebhooks,
        settings,
        true,
        render,
    );
    Ok(respond(created.await?))
}
