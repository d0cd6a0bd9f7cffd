//! `GET /webhooks/endpoints/{webhook_endpoint_id}`

use axum::extract::State;
use axum::response::Response;

use super::wire::WebhookEndpoint;
use crate::api::failure::Failure;
use crate::api::submission::json;
use crate::api::{App, Authenticated, EndpointPath};

/// Read an endpoint
#[utoipa::path(
    get, path = "/webhooks/endpoints/{webhook_endpoint_id}",
    operation_id = "getWebhookEndpoint", tag = "Endpoints",
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)),
)]
pub(super) async fn read_endpoint(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<Response, Failure> {
    let endpoint = app.service().endpoint(&tenant, path.id()?).await?;
    Ok(json(&WebhookEndpoint::from(&endpoint)))
}
