//! `POST /deliveries/{delivery_id}/resend`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::wire::{Delivery, NoFields};
use crate::api::failure::Failure;
use crate::api::submission::{Submission, answer, respond};
use crate::api::{App, DeliveryPath};
use crate::domain;

/// Resend a delivery
///
/// Makes one more attempt, now, of the same delivery: the same event under the same `webhook-id`,
/// signed with the secrets that are live then. A pending delivery keeps its place on the schedule of
/// retries; one that has ended gets this attempt and no retries.
#[utoipa::path(
    post, path = "/deliveries/{delivery_id}/resend", operation_id = "resendDelivery", tag = "Deliveries",
    request_body = NoFields,
    responses((status = 202, description = "The attempt is on its way.", body = Delivery)),
)]
pub(super) async fn resend_delivery(
    State(app): State<App>,
    path: DeliveryPath,
    submission: Submission,
) -> Result<Response, Failure> {
    submission.body.object()?.finish()?;

    let render =
        |delivery: &domain::Delivery| answer(StatusCode::ACCEPTED, &Delivery::from(delivery));
    let resent = app.service().resend(submission.caller, path.id()?, render);
    Ok(respond(resent.await?))
}
