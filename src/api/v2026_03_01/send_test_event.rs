//! `POST /webhooks/endpoints/{webhook_endpoint_id}/test`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::wire::{Delivery, NoFields};
use crate::api::failure::Failure;
use crate::api::submission::{Submission, answer, respond};
use crate::api::{App, EndpointPath, Traced};
use crate::store::Published;

/// Send a test event
///
/// Sends an event of type `webhook.test` to this endpoint, whatever it subscribes to.
#[utoipa::path(
    post, path = "/webhooks/endpoints/{webhook_endpoint_id}/test",
    operation_id = "sendTestEvent", tag = "Deliveries",
    request_body = NoFields,
    responses((status = 202, description = "The event is on its way.", body = Delivery)),
)]
pub(super) async fn send_test_event(
    State(app): State<App>,
    path: EndpointPath,
    Traced(trace_id): Traced,
    submission: Submission,
) -> Result<Response, Failure> {
    submission.body.object()?.finish()?;

    let id = path.id()?;
    let render = |published: &Published| {
        let delivery = published.delivery.as_ref().map(Delivery::from);
        answer(StatusCode::ACCEPTED, &delivery)
    };
    let sent = app
        .service()
        .send_test(submission.caller, id, trace_id, render);
    Ok(respond(sent.await?))
}
