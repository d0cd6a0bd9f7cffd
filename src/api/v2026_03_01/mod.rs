//! The 2026-03-01 dialect: RFC 9457 problem documents, a grace that the caller chooses.
//!
//! One file an operation; [`wire`] holds what goes over the wire and [`errors`] all words for what
//! can go wrong; [`instance`](mod@instance) turns a path into a URI reference for them.

pub mod create_endpoint;
pub mod delete_endpoint;
pub mod errors;
pub mod instance;
pub mod list_deliveries;
pub mod list_endpoints;
pub mod list_secrets;
pub mod openapi;
pub mod patch_endpoint;
pub mod publish_event;
pub mod read_delivery;
pub mod read_endpoint;
pub mod resend_delivery;
pub mod revoke_previous;
pub mod rotate_secret;
pub mod send_test_event;
pub mod wire;

use axum::Router;
use axum::routing::{get, post};

use super::App;

/// The routes of this dialect.
pub fn routes() -> Router<App> {
    Router::new()
        .route(
            "/webhooks/endpoints",
            get(list_endpoints::list_endpoints).post(create_endpoint::create_endpoint),
        )
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}",
            get(read_endpoint::read_endpoint)
                .patch(patch_endpoint::patch_endpoint)
                .delete(delete_endpoint::delete_endpoint),
        )
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate",
            post(rotate_secret::rotate_secret),
        )
        // The path that the API's published client libraries call.
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}/rotate-secret",
            post(rotate_secret::rotate_secret),
        )
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}/secrets",
            get(list_secrets::list_secrets),
        )
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}/secret/revoke-previous",
            post(revoke_previous::revoke_previous),
        )
        .route("/events", post(publish_event::publish_event))
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}/test",
            post(send_test_event::send_test_event),
        )
        .route(
            "/webhooks/endpoints/{webhook_endpoint_id}/deliveries",
            get(list_deliveries::list_deliveries),
        )
        .route(
            "/deliveries/{delivery_id}",
            get(read_delivery::read_delivery),
        )
        .route(
            "/deliveries/{delivery_id}/resend",
            post(resend_delivery::resend_delivery),
        )
}
