//! `GET /webhooks/endpoints/{webhook_endpoint_id}/secrets`

use axum::extract::State;
use axum::response::Response;

use super::wire::LiveSecretList;
use crate::api::failure::Failure;
use crate::api::submission::json;
use crate::api::{App, Authenticated, EndpointPath};

/// List the live secrets
///
/// The secrets that sign deliveries now, in signing order, by their fingerprints. Their text is never
/// shown again.
#[utoipa::path(
    get, path = "/webhooks/endpoints/{webhook_endpoint_id}/secrets",
    operation_id = "listWebhookEndpointSecrets", tag = "Secrets",
    responses((status = 200, description = "The live secrets.", body = LiveSecretList)),
)]
pub(super) async fn list_secrets(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<Response, Failure> {
    let secrets = app.service().live_secrets(&tenant, path.id()?).await?;
    Ok(json(&LiveSecretList::from(&secrets)))
}
