//! `GET /webhooks/endpoints/{webhook_endpoint_id}/deliveries`

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use utoipa::IntoParams;

use super::wire::{Delivery, DeliveryList, DeliveryStatus};
use crate::api::failure::Failure;
use crate::api::query::Query;
use crate::api::submission::json;
use crate::api::{App, Authenticated, EndpointPath};
use crate::domain;

/// Which page of the list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query for the OpenAPI document")]
pub struct DeliveryQuery {
    /// Only those with this status.
    #[param(inline)]
    status: Option<DeliveryStatus>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// The id of the last delivery of the page before.
    #[param(example = "dlv_550e8400e29b41d4a716446655440000")]
    starting_after: Option<String>,
}

/// The words for `status`.
const STATUSES: [(&str, domain::DeliveryStatus); 4] = [
    ("pending", domain::DeliveryStatus::Pending),
    ("succeeded", domain::DeliveryStatus::Succeeded),
    ("failed", domain::DeliveryStatus::Failed),
    ("canceled", domain::DeliveryStatus::Canceled),
];

/// List the deliveries of an endpoint
///
/// Newest first. Finished ones are kept for 7 days, unless the server is set otherwise.
#[utoipa::path(
    get, path = "/webhooks/endpoints/{webhook_endpoint_id}/deliveries",
    operation_id = "listDeliveries", tag = "Deliveries",
    params(DeliveryQuery),
    responses((status = 200, description = "A page of deliveries.", body = DeliveryList)),
)]
pub(super) async fn list_deliveries(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
    uri: Uri,
) -> Result<Response, Failure> {
    let mut query = Query::of(&uri);
    let status = query.choice("status", &STATUSES);
    let (after, limit) = (query.starting_after(), query.limit());
    query.finish()?;

    let page = app
        .service()
        .deliveries(&tenant, path.id()?, status, after, limit);
    let page = page.await?;
    Ok(json(&DeliveryList {
        object: "list",
        data: page.items.iter().map(Delivery::from).collect(),
        has_more: page.has_more,
    }))
}
