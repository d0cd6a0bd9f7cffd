//! `GET /webhooks/endpoints`

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use utoipa::IntoParams;

use super::wire::{WebhookEndpoint, WebhookEndpointList};
use crate::api::failure::{Failure, FieldCode, FieldError};
use crate::api::submission::json;
use crate::api::{App, Authenticated, query_pairs};
use crate::domain::EndpointId;

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

/// The page asked for: how many, and after which endpoint.
struct Paging {
    limit: usize,
    starting_after: Option<EndpointId>,
}

impl Paging {
    fn read(uri: &Uri) -> Result<Self, Failure> {
        let mut limit = None;
        let mut starting_after = None;
        let mut errors = Vec::new();
        let mut fail = |param: &str, code, detail: &str| {
            errors.push(FieldError {
                param: param.chars().take(64).collect(),
                code,
                detail: detail.to_owned(),
            });
        };
        for (name, value) in query_pairs(uri) {
            match &*name {
                "limit" if limit.is_none() => {
                    limit = Some(match value.parse::<i128>() {
                        Ok(number @ 1..=100) => usize::try_from(number).unwrap_or(20),
                        Ok(_) => {
                            fail("limit", FieldCode::OutOfRange, "must be from 1 to 100");
                            20
                        }
                        Err(_) => {
                            fail("limit", FieldCode::InvalidType, "must be an integer");
                            20
                        }
                    });
                }
                "starting_after" if starting_after.is_none() => {
                    let cursor = value.parse().ok();
                    if cursor.is_none() {
                        fail("starting_after", FieldCode::InvalidCursor, CURSOR_DETAIL);
                    }
                    starting_after = Some(cursor);
                }
                "limit" | "starting_after" => {
                    fail(&name, FieldCode::DuplicateField, "must be sent once");
                }
                _ => fail(
                    &name,
                    FieldCode::UnknownField,
                    "is not a parameter of this request",
                ),
            }
        }
        if errors.is_empty() {
            Ok(Self {
                limit: limit.unwrap_or(20),
                starting_after: starting_after.flatten(),
            })
        } else {
            Err(Failure::InvalidFields(errors))
        }
    }
}

/// What a cursor must be, for people.
pub const CURSOR_DETAIL: &str = "must be the id of an endpoint, as the page before showed it";

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
    let paging = Paging::read(&uri)?;
    let page = app
        .service()
        .endpoints(&tenant, paging.starting_after, paging.limit)
        .await?;
    Ok(json(&WebhookEndpointList {
        object: "list",
        data: page.items.iter().map(WebhookEndpoint::from).collect(),
        has_more: page.has_more,
    }))
}
