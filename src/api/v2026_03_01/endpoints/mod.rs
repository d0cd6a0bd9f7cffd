//! Creates, reads, changes and deletes endpoints.

mod answers;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use utoipa_axum::routes;

use self::answers::{CreatedWebhookEndpoint, EndpointStatus, WebhookEndpoint, WebhookEndpointList};
use super::paging::{DEFAULT_LIMIT, LIMIT, count};
use crate::api::app::App;
use crate::api::body::ChangeRequest;
use crate::api::example;
use crate::api::extract::{Authenticated, EndpointPath};
use crate::api::failure::Failure;
use crate::api::fields::settings::{DESCRIPTION, EndpointUrl, EventPatterns};
use crate::api::fields::{Choice, Cursor, Nullable, Query, fields};
use crate::api::openapi::{Answers, Operations};
use crate::api::respond::{answer, json, respond};
use crate::domain::{Endpoint, EndpointId, EventPattern, Format, Secret, Settings};
use crate::service::Error;
use crate::service::endpoints::SettingsPatch;

/// Returns the operations on endpoints.
pub fn operations() -> Operations {
    Operations::default()
        .with(routes!(create_endpoint), || {
            let secret = example::first_secret();
            let body = CreatedWebhookEndpoint::new(&example::endpoint(), Some(&secret));
            let failures = vec![
                CreateEndpoint::refusal("{}"),
                CreateEndpoint::refusal(r#"{"url":"http://example.com/hook"}"#),
                Error::QuotaExceeded(example::TOO_MANY_ENDPOINTS).into(),
            ];
            Answers::new(&body, failures)
        })
        .with(routes!(list_endpoints), || {
            let body = WebhookEndpointList::new(&[example::endpoint()], false);
            let limit = PageQuery::refusal("/webhooks/endpoints?limit=0");
            Answers::new(&body, vec![limit, Error::InvalidCursor.into()])
        })
        .with(routes!(read_endpoint), || {
            Answers::new(&WebhookEndpoint::from(&example::endpoint()), Vec::new())
        })
        .with(routes!(patch_endpoint), || {
            let url = PatchEndpoint::refusal(r#"{"url":"http://example.com/hook"}"#);
            Answers::new(&WebhookEndpoint::from(&example::endpoint()), vec![url])
        })
        .with(routes!(delete_endpoint), Answers::default)
}

/// The rule for event patterns: this dialect accepts all of them.
const EVENTS: EventPatterns = EventPatterns {
    accepts: |_| true,
    detail: "must be an event type of dotted words of letters, digits and underscores, such a prefix followed by \
             `.*`, or `*`",
};

fields! {
    /// The endpoint to create.
    pub struct CreateEndpoint from Object with (allow_http: bool = false) {
        /// Where deliveries are sent: an absolute `https` URL (also `http` with `--dev`), without
        /// user information, fragment or backslash. Other characters that a URL must not contain
        /// are percent-encoded in the request.
        url: Box<str> = required(EndpointUrl { allow_http }), example "https://example.com/hook";
        /// Which event types are sent: exact types, prefixes followed by `.*`, or `*`. Empty or
        /// absent means all.
        events: Option<Box<[EventPattern]>> = optional(EVENTS), example ["call.*"];
        /// A description, for people.
        description: Option<Option<Box<str>>> = optional(Nullable(DESCRIPTION)), example "Production receiver";
    }
}

fields! {
    /// The settings to change. Fields that are not sent stay as they are.
    pub struct PatchEndpoint from Object with (allow_http: bool = false) {
        /// Where deliveries are sent.
        url: Option<Box<str>> = optional(EndpointUrl { allow_http }), example "https://example.com/hook";
        /// Which event types are sent. Empty means all.
        events: Option<Box<[EventPattern]>> = optional(EVENTS), example ["call.*"];
        /// A description, for people; null removes it.
        description: Option<Option<Box<str>>> = optional(Nullable(DESCRIPTION)), example "Production receiver";
        /// Whether deliveries are made.
        status: Option<EndpointStatus> = optional(Choice::<EndpointStatus>::default());
    }
}

fields! {
    /// Which page of the list.
    pub struct PageQuery from Query {
        /// The maximum number of endpoints to list.
        limit: u64 = default(LIMIT, DEFAULT_LIMIT);
        /// The id of the last endpoint of the previous page.
        starting_after: Option<EndpointId> = optional(Cursor::<EndpointId>::default()), example "we_550e8400e29b41d4a716446655440000";
    }
}

/// Create an endpoint
///
/// Returns the endpoint with its first signing secret, which is shown only in this answer.
#[utoipa::path(
    post, path = "/webhooks/endpoints", operation_id = "createWebhookEndpoint", tag = "Endpoints",
    request_body = CreateEndpoint,
    responses((status = 201, description = "The endpoint was created.", body = CreatedWebhookEndpoint)),
)]
async fn create_endpoint(
    State(app): State<App>,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    let request = CreateEndpoint::read(body.object()?, app.allows_http_urls())?;
    let settings = Settings {
        url: request.url,
        events: request.events.unwrap_or_default(),
        description: request.description.flatten(),
        active: true,
        name: None,
        headers: Box::default(),
        agent_ids: Box::default(),
        workspace_ids: Box::default(),
    };

    let render = |endpoint: &Endpoint, secret: Option<&Secret>| {
        answer(
            StatusCode::CREATED,
            &CreatedWebhookEndpoint::new(endpoint, secret),
        )
    };
    let format = Format::StandardWebhooks;
    let service = app.service();
    let created = service.create_endpoint(caller, format, settings, true, render);
    Ok(respond(created.await?))
}

/// List the endpoints
///
/// Newest first.
#[utoipa::path(
    get, path = "/webhooks/endpoints", operation_id = "listWebhookEndpoints", tag = "Endpoints",
    params(PageQuery),
    responses((status = 200, description = "A page of endpoints.", body = WebhookEndpointList)),
)]
async fn list_endpoints(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    uri: Uri,
) -> Result<Response, Failure> {
    let query = PageQuery::read(Query::of(&uri))?;

    let (after, limit) = (query.starting_after, count(query.limit));
    let page = app.service().endpoints(&tenant, after, limit).await?;
    Ok(json(&WebhookEndpointList::new(&page.items, page.has_more)))
}

/// Read an endpoint
#[utoipa::path(
    get, path = "/webhooks/endpoints/{webhook_endpoint_id}",
    operation_id = "getWebhookEndpoint", tag = "Endpoints",
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)),
)]
async fn read_endpoint(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<Response, Failure> {
    let endpoint = app.service().endpoint(&tenant, path.id()?).await?;
    Ok(json(&WebhookEndpoint::from(&endpoint)))
}

/// Change an endpoint
///
/// Changes only the fields that are sent. The secrets of the endpoint stay as they are.
#[utoipa::path(
    patch, path = "/webhooks/endpoints/{webhook_endpoint_id}",
    operation_id = "updateWebhookEndpoint", tag = "Endpoints",
    request_body = PatchEndpoint,
    responses((status = 200, description = "The endpoint as it is now.", body = WebhookEndpoint)),
)]
async fn patch_endpoint(
    State(app): State<App>,
    path: EndpointPath,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    let request = PatchEndpoint::read(body.object()?, app.allows_http_urls())?;
    let changes = SettingsPatch {
        url: request.url,
        events: request.events,
        description: request.description,
        active: request
            .status
            .map(|status| matches!(status, EndpointStatus::Active)),
    };

    let render = |endpoint: &Endpoint| answer(StatusCode::OK, &WebhookEndpoint::from(endpoint));
    let service = app.service();
    let patched = service.patch_endpoint(caller, path.id()?, changes, render);
    Ok(respond(patched.await?))
}

/// Delete an endpoint
///
/// Deletes the endpoint and its secrets.
#[utoipa::path(
    delete, path = "/webhooks/endpoints/{webhook_endpoint_id}",
    operation_id = "deleteWebhookEndpoint", tag = "Endpoints",
    responses((status = 204, description = "The endpoint is gone.")),
)]
async fn delete_endpoint(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<StatusCode, Failure> {
    app.service().delete_endpoint(&tenant, path.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
