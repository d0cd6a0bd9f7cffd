//! Reads, sends and resends deliveries.

mod answers;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use utoipa_axum::routes;

use self::answers::{Delivery, DeliveryList, DeliveryStatus};
use super::no_fields::NoFields;
use super::paging::{DEFAULT_LIMIT, LIMIT, count};
use crate::api::app::App;
use crate::api::body::ChangeRequest;
use crate::api::example;
use crate::api::extract::{Authenticated, DeliveryPath, EndpointPath, Traced};
use crate::api::failure::Failure;
use crate::api::fields::{Choice, Cursor, Query, fields};
use crate::api::openapi::{Answers, Operations};
use crate::api::respond::{answer, json, respond};
use crate::domain::{self, DeliveryId};
use crate::service::Error;
use crate::store::Published;

/// Returns the operations on deliveries.
pub fn operations() -> Operations {
    Operations::default()
        .with(routes!(send_test_event), || {
            let body = Delivery::from(&example::test_delivery());
            let failures = vec![
                Error::EndpointDisabled.into(),
                Error::QuotaExceeded(example::TOO_MANY_PENDING).into(),
            ];
            Answers::new(&body, failures)
        })
        .with(routes!(list_deliveries), || {
            let body = DeliveryList::new(&[example::delivery()], false);
            let limit = DeliveryQuery::refusal("/deliveries?limit=0");
            Answers::new(&body, vec![limit, Error::InvalidCursor.into()])
        })
        .with(routes!(read_delivery), || {
            let body = Delivery::from(&example::delivery());
            Answers::new(&body, vec![Error::DeliveryNotFound.into()])
        })
        .with(routes!(resend_delivery), || {
            let body = Delivery::from(&example::resent_delivery());
            let failures = vec![
                Error::DeliveryNotFound.into(),
                Error::EndpointNotFound.into(),
                Error::EndpointDisabled.into(),
            ];
            Answers::new(&body, failures)
        })
}

fields! {
    /// Which page of the list.
    pub struct DeliveryQuery from Query {
        /// Lists only deliveries with this status.
        status: Option<DeliveryStatus> = optional(Choice::<DeliveryStatus>::default());
        /// The maximum number of deliveries to list.
        limit: u64 = default(LIMIT, DEFAULT_LIMIT);
        /// The id of the last delivery of the previous page.
        starting_after: Option<DeliveryId> = optional(Cursor::<DeliveryId>::default()), example "dlv_550e8400e29b41d4a716446655440000";
    }
}

/// Send a test event
///
/// Sends an event of type `webhook.test` to this endpoint, whatever it subscribes to.
#[utoipa::path(
    post, path = "/webhooks/endpoints/{webhook_endpoint_id}/test",
    operation_id = "sendTestEvent", tag = "Deliveries",
    request_body = NoFields,
    responses((status = 202, description = "The event is on its way.", body = Delivery)),
)]
async fn send_test_event(
    State(app): State<App>,
    path: EndpointPath,
    Traced(trace_id): Traced,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    NoFields::read(body.object()?)?;

    let id = path.id()?;
    let render = |published: &Published| {
        let delivery = published.delivery.as_ref().map(Delivery::from);
        answer(StatusCode::ACCEPTED, &delivery)
    };
    let sent = app.service().send_test(caller, id, trace_id, render);
    Ok(respond(sent.await?))
}

/// List the deliveries of an endpoint
///
/// Newest first. Finished ones are kept for 7 days, unless the server is set otherwise.
#[utoipa::path(
    get, path = "/webhooks/endpoints/{webhook_endpoint_id}/deliveries",
    operation_id = "listDeliveries", tag = "Deliveries",
    params(DeliveryQuery),
    responses((status = 200, description = "A page of deliveries.", body = DeliveryList)),
)]
async fn list_deliveries(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = DeliveryQuery::read(Query::of(&uri))?;

    let status = query.status.map(domain::DeliveryStatus::from);
    let (after, limit) = (query.starting_after, count(query.limit));
    let service = app.service();
    let page = service.deliveries(&tenant, path.id()?, status, after, limit);
    let page = page.await?;
    Ok(json(&DeliveryList::new(&page.items, page.has_more)))
}

/// Read a delivery
///
/// Shows its attempts, and which secrets signed each of them.
#[utoipa::path(
    get, path = "/deliveries/{delivery_id}", operation_id = "getDelivery", tag = "Deliveries",
    responses((status = 200, description = "The delivery.", body = Delivery)),
)]
async fn read_delivery(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: DeliveryPath,
) -> Result<Response, Failure> {
    let delivery = app.service().delivery(&tenant, path.id()?).await?;
    Ok(json(&Delivery::from(&delivery)))
}

/// Resend a delivery
///
/// Makes one more attempt of the same delivery now: the same event under the same `webhook-id`,
/// signed with the secrets that are live at that time. A pending delivery also keeps its schedule
/// of retries; one that has ended gets only this attempt.
#[utoipa::path(
    post, path = "/deliveries/{delivery_id}/resend", operation_id = "resendDelivery", tag = "Deliveries",
    request_body = NoFields,
    responses((status = 202, description = "The attempt is on its way.", body = Delivery)),
)]
async fn resend_delivery(
    State(app): State<App>,
    path: DeliveryPath,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    NoFields::read(body.object()?)?;

    let render =
        |delivery: &domain::Delivery| answer(StatusCode::ACCEPTED, &Delivery::from(delivery));
    let resent = app.service().resend(caller, path.id()?, render);
    Ok(respond(resent.await?))
}
