//! `PUT /v1/public/webhook/subscription/{id}`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::wire::{Subscription, SubscriptionInput, read_subscription_input};
use crate::api::failure::Failure;
use crate::api::submission::{Submission, answer, respond};
use crate::api::{App, EndpointPath};
use crate::domain::{Endpoint, Secret};

/// The fields that a read shows and that nobody sets: what was read can be sent back.
pub const IGNORED: [&str; 6] = [
    "id",
    "organization_id",
    "scope",
    "signing_enabled",
    "created_at",
    "updated_at",
];

/// Replace a subscription
///
/// What is not sent is unset. Turning signing on answers a new secret, this once; turning it off drops
/// all secrets; leaving it on keeps them. What a read shows beside these fields (`id`,
/// `organization_id`, `scope`, `signing_enabled`, `created_at`, `updated_at`) may be sent back, and is
/// ignored.
#[utoipa::path(
    put, path = "/v1/public/webhook/subscription/{id}",
    operation_id = "replace_webhook_subscription", tag = "Webhook Subscriptions",
    request_body = SubscriptionInput,
    responses((status = 200, description = "The subscription as it is now.", body = Subscription)),
)]
pub(super) async fn replace_subscription(
    State(app): State<App>,
    path: EndpointPath,
    Submission { caller, body }: Submission,
) -> Result<Response, Failure> {
    let mut object = body.object()?;
    object.ignore(&IGNORED);
    let (settings, signing) = read_subscription_input(object)?;

    let tenant = caller.tenant.clone();
    let render = move |endpoint: &Endpoint, secret: Option<&Secret>| {
        answer(
            StatusCode::OK,
            &Subscription::new(&tenant, endpoint, secret),
        )
    };
    let replaced = app
        .service()
        .replace_endpoint(caller, path.id()?, settings, signing, render);
    Ok(respond(replaced.await?))
}
