//! The HTTP API: two dialects over one service.
//!
//! A request passes through the [`middleware`], which authenticates it, limits its rate, gives it
//! ids and renders its errors. The [router] then passes it to one handler of one dialect. A handler
//! reads from top to bottom: parse, call the [service](crate::service), render. Everything that can
//! go wrong is a [`failure::Failure`]; each dialect words it in its own `errors` module and nowhere
//! else.
//!
//! Modules import one another in one direction only, from the top of this list to its end:
//!
//! 1. [`routes`]: all routes together, inside the [`middleware`].
//! 2. [`documents`]: the `OpenAPI` documents, built from the operations.
//! 3. [`v2026_03_01`] and [`verbex_v1`]: the dialects, by resource. [`dev`] and [`pages`] are at
//!    the same level.
//! 4. [`openapi`]: what the operations of all documents share.
//! 5. [`fields`]: the tables of request fields, based on [`json`] and [`query`].
//! 6. [`body`], [`respond`] and [`extract`]: reading requests and answering them.
//! 7. `example`: the story that the examples in the documents tell.
//! 8. [`app`], [`auth`], [`failure`] and the rest, which depend on none of the above.

pub mod app;
pub mod auth;
pub mod body;
pub mod body_room;
mod browser;
pub mod dev;
pub mod dialect;
pub mod documents;
mod example;
pub mod extract;
pub mod failure;
pub mod fields;
pub mod host;
pub mod json;
pub mod middleware;
pub mod openapi;
pub mod pages;
pub mod query;
mod quota;
pub mod rate_limit;
pub mod respond;
pub mod routes;
pub mod secret_text;
pub mod trace_id;
pub mod url;
pub mod v2026_03_01;
pub mod verbex_v1;

pub use self::app::{App, AppConfig};
pub use self::routes::{Routes, router};
