//! The HTTP API: two dialects over one service.
//!
//! A request passes through the [`middleware`] (who asks, how often, under which names it will be
//! found again, in which words it is refused), then the [router], then one handler of one dialect, which
//! reads top-down: parse, ask the [service](crate::service), render. All that can go wrong is one
//! [`failure::Failure`]; each dialect gives it words in its own `errors` file and nowhere else.
//!
//! Modules import one another in one direction only, from the top of this list to its end:
//!
//! 1. [`routes`]: all routes together, inside the [`middleware`].
//! 2. [`documents`]: the `OpenAPI` documents, made of what the operations say.
//! 3. [`v2026_03_01`] and [`verbex_v1`], the dialects, by resource; [`dev`] and [`pages`] beside them.
//! 4. [`openapi`]: what the operations of all documents share.
//! 5. [`fields`]: the tables of the fields of requests, over [`json`] and [`query`].
//! 6. [`body`], [`respond`] and [`extract`]: how requests are read and answered.
//! 7. `example`: the story that the examples in the documents tell.
//! 8. [`app`], [`auth`], [`failure`] and the rest, which know nothing of the above.

pub mod app;
pub mod auth;
pub mod body;
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
