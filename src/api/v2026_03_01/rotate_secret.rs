//! `POST /webhooks/endpoints/{webhook_endpoint_id}/secret/rotate`

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::failure::Failure;
use crate::api::secret_text::SecretText;
use crate::api::submission::{Submission, answer, respond};
use crate::api::{App, EndpointPath};
use crate::domain::{EndpointId, Timestamp};

/// The grace when none is asked for, in seconds.
pub const DEFAULT_GRACE_SECONDS: u64 = 3600;

/// The longest grace, in seconds: a day.
pub const MAX_GRACE_SECONDS: i64 = 86_400;

/// How to rotate.
#[derive(ToSchema)]
pub struct RotateSecret {
    /// Seconds until the current secret expires; 0 retires it at once. An integer by JSON Schema's
    /// rule, so `3600.0` is one.
    #[schema(
        minimum = 0,
        maximum = 86_400,
        default = 3600,
        example = 3600,
        nullable = false
    )]
    #[expect(dead_code, reason = "describes the body for the OpenAPI document")]
    expire_current_in: Option<u32>,
}

/// The outcome of a rotation. The secret is shown once.
#[derive(Serialize, ToSchema)]
pub struct RotatedSecret {
    /// The endpoint's id.
    #[schema(value_type = String, example = "we_550e8400e29b41d4a716446655440000")]
    id: EndpointId,
    secret: SecretText,
    /// When the replaced secret stops being included in signatures.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T11:15:00.000Z")]
    previous_secret_expires_at: Timestamp,
}

/// Rotate the signing secret
///
/// Makes a new current secret and answers it, this once. The replaced one keeps signing, beside the
/// new one, until `previous_secret_expires_at`: deliveries carry a signature of each live secret, so a
/// receiver that holds any of them verifies every delivery. A later rotation never shortens that.
#[utoipa::path(
    post, path = "/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate",
    operation_id = "rotateWebhookEndpointSecret", tag = "Secrets",
    request_body = RotateSecret,
    responses((status = 200, description = "The secret was rotated.", body = RotatedSecret)),
)]
pub(super) async fn rotate_secret(
    State(app): State<App>,
    path: EndpointPath,
    submission: Submission,
) -> Result<Response, Failure> {
    let mut object = submission.body.object()?;
    let seconds = object.integer("expire_current_in", &(0..=MAX_GRACE_SECONDS));
    object.finish()?;
    let seconds = seconds.map_or(DEFAULT_GRACE_SECONDS, i64::unsigned_abs);

    let id = path.id()?;
    let grace = Duration::from_secs(seconds);
    let rotated = app
        .service()
        .rotate(submission.caller, id, grace, move |rotation| {
            let body = RotatedSecret {
                id,
                secret: (&rotation.secret).into(),
                previous_secret_expires_at: rotation.previous_secret_expires_at,
            };
            answer(StatusCode::OK, &body)
        });
    Ok(respond(rotated.await?))
}
