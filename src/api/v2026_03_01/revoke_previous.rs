//! `POST /webhooks/endpoints/{webhook_endpoint_id}/secret/revoke-previous`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::wire::{LiveSecretList, NoFields};
use crate::api::failure::Failure;
use crate::api::submission::{Submission, answer, respond};
use crate::api::{App, EndpointPath};

/// Revoke the retiring secrets
///
/// Ends every retiring secret now, before its grace is over: for a secret that leaked. The current one
/// alone signs from here on. Doing it twice is doing it once.
#[utoipa::path(
    post, path = "/webhooks/endpoints/{webhook_endpoint_id}/secret/revoke-previous",
    operation_id = "revokePreviousWebhookEndpointSecrets", tag = "Secrets",
    request_body = NoFields,
    responses((status = 200, description = "The current secret is the only live one.", body = LiveSecretList)),
)]
pub(super) async fn revoke_previous(
    State(app): State<App>,
    path: EndpointPath,
    submission: Submission,
) -> Result<Response, Failure> {
    submission.body.object()?.finish()?;

    let id = path.id()?;
    let revoked = app
        .service()
        .revoke_previous(submission.caller, id, |left| {
            answer(StatusCode::OK, &LiveSecretList::from(left))
        });
    Ok(respond(revoked.await?))
}
