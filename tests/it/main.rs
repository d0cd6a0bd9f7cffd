//! The server's promises, held against a real server on a real socket.
//!
//! Every answer that a test receives is also held against the `OpenAPI` documents: see `openapi_check`.

mod client;
#[path = "../stores/faults/store.rs"]
#[expect(
    dead_code,
    reason = "shared with the tests of stores, which use all of it"
)]
mod faulty_store;
mod openapi_check;
mod support;

mod auth;
mod clock;
mod cross_dialect;
mod documents;
mod endpoints_2026;
mod endpoints_2026_list;
mod envelope;
mod examples;
mod pages;
mod rate_limit;
mod rotate_2026;
mod rotate_2026_body;
mod rotate_verbex;
mod secrets_2026;
mod seeds;
mod subscriptions_verbex;
mod subscriptions_verbex_fields;
mod tenants;
