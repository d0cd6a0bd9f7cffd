//! `GET /v1/public/webhook/subscription/{id}`

use axum::extract::State;
use axum::response::Response;

use super::wire::Subscription;
use crate::api::failure::Failure;
use crate::api::submission::json;
use crate::api::{App, Authenticated, EndpointPath};

/// Read a subscription
#[utoipa::path(
    get, path = "/v1/public/webhook/subscription/{id}",
    operation_id = "get_webhook_subscription", tag = "Webhook Subscriptions",
    responses((status = 200, description = "The subscription.", body = Subscription)),
)]
pub(super) async fn read_subscription(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<Response, Failure> {
    let endpoint = app.service().endpoint(&tenant, path.id()?).await?;
    Ok(json(&Subscription::new(&tenant, &endpoint, None)))
}
