//! Rotates the signing secret of a subscription.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::app::App;
use crate::api::body::BodilessChangeRequest;
use crate::api::example;
use crate::api::extract::EndpointPath;
use crate::api::failure::Failure;
use crate::api::openapi::{Answers, Operations};
use crate::api::respond::{answer, respond};
use crate::api::secret_text::SecretText;
use crate::domain::{Rotation, Timestamp};
use crate::service::Error;

/// Returns the operation.
pub fn operations() -> Operations {
    Operations::default().with(routes!(rotate_secret), || {
        let rotation = example::rotation(GRACE);
        let body = rotation.as_ref().map(WebhookRotateSecretResponse::from);
        let too_many = Error::TooManyLiveSecrets {
            next_expires_at: example::now().plus(GRACE),
        };
        Answers::new(&body, vec![Error::SigningDisabled.into(), too_many.into()])
    })
}

/// The grace period of this dialect: always 72 hours.
pub const GRACE: Duration = Duration::from_secs(72 * 3600);

/// The outcome of a rotation. The new secret is shown only in this answer.
#[derive(Serialize, ToSchema)]
pub struct WebhookRotateSecretResponse {
    secret: SecretText,
    /// When the previous secret stops signing: 72 hours after the rotation.
    #[schema(value_type = String, format = DateTime, example = "2026-06-12T10:15:00.000Z")]
    previous_secret_expires_at: Timestamp,
}

impl From<&Rotation> for WebhookRotateSecretResponse {
    fn from(rotation: &Rotation) -> Self {
        Self {
            secret: (&rotation.secret).into(),
            previous_secret_expires_at: rotation.previous_secret_expires_at,
        }
    }
}

/// Rotate the signing secret
///
/// Creates a new secret and returns it. It is shown only in this answer. For 72 hours each delivery
/// is signed with the previous secret too: `X-Webhook-Signature` has one `v1=` for each live
/// secret, the new one first. No body is needed; a body that is sent is ignored.
#[utoipa::path(
    post, path = "/v1/public/webhook/subscription/{id}/rotate/secret",
    operation_id = "rotate_webhook_subscription_secret", tag = "Webhook Subscriptions",
    responses((status = 200, description = "The secret was rotated.", body = WebhookRotateSecretResponse)),
)]
async fn rotate_secret(
    State(app): State<App>,
    path: EndpointPath,
    BodilessChangeRequest(caller): BodilessChangeRequest,
) -> Result<Response, Failure> {
    let render =
        |rotation: &Rotation| answer(StatusCode::OK, &WebhookRotateSecretResponse::from(rotation));
    let rotated = app.service().rotate(caller, path.id()?, GRACE, render);
    Ok(respond(rotated.await?))
}
