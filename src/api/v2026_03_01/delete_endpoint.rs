//! `DELETE /webhooks/endpoints/{webhook_endpoint_id}`

use axum::extract::State;
use axum::http::StatusCode;

use crate::api::failure::Failure;
use crate::api::{App, Authenticated, EndpointPath};

/// Delete an endpoint
///
/// Deletes it with its secrets.
#[utoipa::path(
    delete, path = "/webhooks/endpoints/{webhook_endpoint_id}",
    operation_id = "deleteWebhookEndpoint", tag = "Endpoints",
    responses((status = 204, description = "The endpoint is gone.")),
)]
pub(super) async fn delete_endpoint(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<StatusCode, Failure> {
    app.service().delete_endpoint(&tenant, path.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
