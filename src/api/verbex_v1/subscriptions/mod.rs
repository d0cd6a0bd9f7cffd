//! Creates, reads, replaces and deletes webhook subscriptions.

mod answers;
mod headers;
mod input;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::routes;

use self::answers::Subscription;
use self::input::{SubscriptionInput, SubscriptionReplacement};
use crate::api::app::App;
use crate::api::body::ChangeRequest;
use crate::api::example;
use crate::api::extract::{Authenticated, EndpointPath};
use crate::api::failure::Failure;
use crate::api::openapi::{Answers, Operations};
use crate::api::respond::{answer, json, respond};
use crate::domain::{Endpoint, Format, Secret};
use crate::service::Error;

/// Returns the operations on subscriptions.
pub fn operations() -> Operations {
    Operations::default()
        .with(routes!(create_subscription), || {
            let body = Subscription::new(
                &example::tenant(),
                &example::subscription(),
                Some(&example::first_secret()),
            );
            let mut failures = input_failures();
            failures.push(Error::QuotaExceeded(example::TOO_MANY_ENDPOINTS).into());
            Answers::new(&body, failures)
        })
        .with(routes!(read_subscription), || {
            Answers::new(&example_body(), Vec::new())
        })
        .with(routes!(replace_subscription), || {
            Answers::new(&example_body(), input_failures())
        })
        .with(routes!(delete_subscription), Answers::default)
}

fn input_failures() -> Vec<Failure> {
    let incomplete = r#"{"name":"Production receiver","url":"https://example.com/hook"}"#;
    vec![
        SubscriptionInput::refusal(incomplete),
        Error::NameTaken.into(),
    ]
}

fn example_body() -> Subscription {
    Subscription::new(&example::tenant(), &example::subscription(), None)
}

/// Create a subscription
///
/// With `enable_signed_webhooks`, the answer has the first signing secret, which is shown only
/// there.
#[utoipa::path(
    post, path = "/v1/public/webhook/subscription",
    operation_id = "create_webhook_subscription", tag = "Webhook Subscriptions",
    request_body = SubscriptionInput,
    responses((status = 201, description = "The subscription was created.", body = Subscription)),
)]
async fn create_subscription(
    State(app): State<App>,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    let (settings, signing) = SubscriptionInput::read(body.object()?)?.into_settings();

    let tenant = caller.tenant.clone();
    let render = move |endpoint: &Endpoint, secret: Option<&Secret>| {
        let body = Subscription::new(&tenant, endpoint, secret);
        answer(StatusCode::CREATED, &body)
    };
    let service = app.service();
    let created = service.create_endpoint(caller, Format::Verbex, settings, signing, render);
    Ok(respond(created.await?))
}

/// Read a subscription
#[utoipa::path(
    get, path = "/v1/public/webhook/subscription/{id}",
    operation_id = "get_webhook_subscription", tag = "Webhook Subscriptions",
    responses((status = 200, description = "The subscription.", body = Subscription)),
)]
async fn read_subscription(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<Response, Failure> {
    let endpoint = app.service().endpoint(&tenant, path.id()?).await?;
    Ok(json(&Subscription::new(&tenant, &endpoint, None)))
}

/// Replace a subscription
///
/// Fields that are not sent are unset. Turning signing on creates a new secret, which is shown only
/// in this answer; turning it off deletes all secrets; leaving it on keeps them. The other fields
/// that a read shows (`id`, `organization_id`, `scope`, `signing_enabled`, `created_at`,
/// `updated_at`) may be sent back, and are ignored.
#[utoipa::path(
    put, path = "/v1/public/webhook/subscription/{id}",
    operation_id = "replace_webhook_subscription", tag = "Webhook Subscriptions",
    request_body = SubscriptionReplacement,
    responses((status = 200, description = "The subscription as it is now.", body = Subscription)),
)]
async fn replace_subscription(
    State(app): State<App>,
    path: EndpointPath,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    let replacement = SubscriptionReplacement::read(body.object()?)?;
    let (settings, signing) = replacement.into_settings();

    let tenant = caller.tenant.clone();
    let render = move |endpoint: &Endpoint, secret: Option<&Secret>| {
        let body = Subscription::new(&tenant, endpoint, secret);
        answer(StatusCode::OK, &body)
    };
    let service = app.service();
    let replaced = service.replace_endpoint(caller, path.id()?, settings, signing, render);
    Ok(respond(replaced.await?))
}

/// Delete a subscription
///
/// Deletes the subscription and its secrets.
#[utoipa::path(
    delete, path = "/v1/public/webhook/subscription/{id}",
    operation_id = "delete_webhook_subscription", tag = "Webhook Subscriptions",
    responses((status = 204, description = "The subscription is gone.")),
)]
async fn delete_subscription(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<StatusCode, Failure> {
    app.service().delete_endpoint(&tenant, path.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
