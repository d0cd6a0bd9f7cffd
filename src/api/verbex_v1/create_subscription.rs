//! `POST /v1/public/webhook/subscription`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::wire::{Subscription, SubscriptionInput, read_subscription_input};
use crate::api::App;
use crate::api::failure::Failure;
use crate::api::submission::{Submission, answer, respond};
use crate::domain::{Endpoint, Format, Secret};

/// Create a subscription
///
/// With `enable_signed_webhooks` the answer carries the first signing secret, which is shown this once.
#[utoipa::path(
    post, path = "/v1/public/webhook/subscription",
    operation_id = "create_webhook_subscription", tag = "Webhook Subscriptions",
    request_body = SubscriptionInput,
    responses((status = 201, description = "The subscription was created.", body = Subscription)),
)]
pub(super) async fn create_subscription(
    State(app): State<App>,
    Submission { caller, body }: Submission,
) -> Result<Response, Failure> {
    let (settings, signing) = read_subscription_input(body.object()?)?;

    let tenant = caller.tenant.clone();
    let render = move |endpoint: &Endpoint, secret: Option<&Secret>| {
        answer(
            StatusCode::CREATED,
            &Subscription::new(&tenant, endpoint, secret),
        )
    };
    let created = app
        .service()
        .create_endpoint(caller, Format::Verbex, settings, signing, render);
    Ok(respond(created.await?))
}
