//! The Verbex v1 dialect: a grace of 72 hours, error bodies of its own.
//!
//! One file an operation; [`wire`] holds what goes over the wire and [`errors`] all words for what
//! can go wrong.

pub mod create_subscription;
pub mod delete_subscription;
pub mod errors;
pub mod openapi;
pub mod read_subscription;
pub mod replace_subscription;
pub mod rotate_secret;
pub mod wire;

use axum::Router;
use axum::routing::{get, post};

use super::App;

/// The routes of this dialect.
pub fn routes() -> Router<App> {
    Router::new()
        .route(
            "/v1/public/webhook/subscription",
            post(create_subscription::create_subscription),
        )
        .route(
            "/v1/public/webhook/subscription/{id}",
            get(read_subscription::read_subscription)
                .put(replace_subscription::replace_subscription)
                .delete(delete_subscription::delete_subscription),
        )
        .route(
            "/v1/public/webhook/subscription/{id}/rotate/secret",
            post(rotate_secret::rotate_secret),
        )
}
