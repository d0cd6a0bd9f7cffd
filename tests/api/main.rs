//! Tests what the server promises to its clients, with a real server on a real socket.
//!
//! Every answer that a test receives is also checked against the `OpenAPI` documents; see
//! `hookturn_test::openapi`. `server` tests the connections below the API, and `hostile` tests
//! clients that try to do harm.

mod auth;
mod clock;
mod cross_dialect;
mod documents;
mod endpoints_2026;
mod endpoints_2026_list;
mod envelope;
mod examples;
mod hostile;
mod pages;
mod rate_limit;
mod rotate_2026;
mod rotate_2026_body;
mod rotate_verbex;
mod secrets_2026;
mod seeds;
mod server;
mod subscriptions_verbex;
mod subscriptions_verbex_fields;
mod tenants;
