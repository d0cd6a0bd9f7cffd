//! `DELETE /v1/public/webhook/subscription/{id}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::api::failure::Failure;
use crate::api::{App, Authenticated, EndpointPath};

/// Delete a subscription
///
/// Deletes it with its secrets.
#[utoipa::path(
    delete, path = "/v1/public/webhook/subscription/{id}",
    operation_id = "delete_webhook_subscription", tag = "Webhook Subscriptions",
    responses((status = 204, description = "The subscription is gone.")),
)]
pub(super) async fn delete_subscription(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<StatusCode, Failure> {
    app.service().delete_endpoint(&tenant, path.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
