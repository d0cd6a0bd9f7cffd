//! Serves what needs no key: health checks, and pages for people.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use utoipa_axum::routes;

use super::app::App;
use super::browser::{PAGE_POLICY, guarded};
use super::failure::Failure;
use super::openapi::{Answers, Operations};
use super::v2026_03_01::problem_types::{NOT_FOUND, PROBLEM_TYPES, ProblemType};
use crate::service::Error;

/// Returns the operations that need no key, and the page at `/`.
pub fn operations() -> Operations {
    Operations::default()
        .with(routes!(problem), || {
            let page = ProblemPage {
                problem: &NOT_FOUND,
            }
            .render();
            Answers::new(&page.ok(), vec![Failure::RouteNotFound])
        })
        .map(|pages| guarded(pages.route("/", get(home)), PAGE_POLICY))
        .with(routes!(healthz), || Answers::new(&OK, Vec::new()))
        .with(routes!(readyz), || {
            Answers::new(&OK, vec![Failure::Panicked])
        })
}

/// The paths of the health checks.
pub const PROBES: &[&str] = &["/healthz", "/readyz"];

/// The body of a successful health check.
const OK: &str = "ok\n";

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    version: &'static str,
    problems: &'static [&'static ProblemType],
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    problem: &'static ProblemType,
}

fn page(template: &impl Template) -> Result<Response, Failure> {
    let html = template.render().map_err(Error::internal)?;
    Ok(Html(html).into_response())
}

async fn home() -> Result<Response, Failure> {
    page(&Home {
        version: env!("CARGO_PKG_VERSION"),
        problems: &PROBLEM_TYPES,
    })
}

/// Whether the process is up
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "Server",
    responses((status = 200, description = "The process is up.", body = String, content_type = "text/plain")),
)]
async fn healthz() -> &'static str {
    OK
}

/// Whether the store answers
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "Server",
    responses((status = 200, description = "The store answers.", body = String, content_type = "text/plain")),
)]
async fn readyz(State(app): State<App>) -> Result<(StatusCode, &'static str), Failure> {
    app.service().store().ready().await.map_err(Error::from)?;
    Ok((StatusCode::OK, OK))
}

/// Read about a problem type
///
/// A page for people. The `type` of every problem document leads here.
#[utoipa::path(
    get, path = "/problems/{slug}", operation_id = "readProblemType", tag = "Server",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")),
)]
async fn problem(slug: Result<Path<String>, PathRejection>) -> Result<Response, Failure> {
    let Path(slug) = slug.map_err(|_| Failure::RouteNotFound)?;
    let problem = PROBLEM_TYPES.iter().find(|problem| problem.slug == slug);
    page(&ProblemPage {
        problem: problem.ok_or(Failure::RouteNotFound)?,
    })
}
