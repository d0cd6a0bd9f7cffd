//! `GET /webhooks/endpoints`

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use utoipa::IntoParams;

use super::wire::{WebhookEndpoint, WebhookEndpointList};
use crate::api::failure::Failure;
use crate::api::query::Query;
use crate::api::submission::json;
use crate::api::{App, Authenticated};

/// Which page of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query for the OpenAPI document")]
pub struct PageQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// The id of the last endpoint of the page before.
    #[param(example = "we_550e8400e29b41d4a716446655440000")]
    starting_after: Option<String>,
}

/// List the endpoints
///
/// Newest first.
#[utoipa::path(
    get, path = "/webhooks/endpoints", operation_id = "listWebhookEndpoints", tag = "Endpoints",
    params(PageQuery),
    responses((status = 200, description = "A page of endpoints.", body = WebhookEndpointList)),
)]
pub(super) async fn list_endpoints(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    uri: Uri,
) -> Result<Response, Failure> {
    let mut query = Query::of(&uri);
    let (after, limit) = (query.starting_after(), query.limit());
    query.finish()?;

    let page = app.service().endpoints(&tenant, after, limit).await?;
    Ok(json(&WebhookEndpointList {
        object: "list",
        data: page.items.iter().map(WebhookEndpoint::from).collect(),
        has_more: page.has_more,
    }))
}
