//! `GET /deliveries/{delivery_id}`

use axum::extract::State;
use axum::response::Response;

use super::wire::Delivery;
use crate::api::failure::Failure;
use crate::api::submission::json;
use crate::api::{App, Authenticated, DeliveryPath};

/// Read a delivery
///
/// With its attempts, and which secrets signed each of them.
#[utoipa::path(
    get, path = "/deliveries/{delivery_id}", operation_id = "getDelivery", tag = "Deliveries",
    responses((status = 200, description = "The delivery.", body = Delivery)),
)]
pub(super) async fn read_delivery(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: DeliveryPath,
) -> Result<Response, Failure> {
    let delivery = app.service().delivery(&tenant, path.id()?).await?;
    Ok(json(&Delivery::from(&delivery)))
}
