//! Serves the `OpenAPI` 3.1 documents, and the pages that show them.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use super::app::App;
use super::browser::{DOCS_POLICY, guarded};
use super::failure::Failure;
use super::{dev, pages, v2026_03_01, verbex_v1};

/// The names of the documents.
pub const NAMES: [&str; 2] = ["2026-03-01", "verbex-v1"];

/// Returns the `OpenAPI` document called `name` as indented JSON, or `None` if there is no such
/// document.
#[must_use]
pub fn document(name: &str) -> Option<String> {
    let document = match name {
        "2026-03-01" => {
            let operations = v2026_03_01::operations()
                .merge(dev::operations())
                .merge(pages::operations());
            v2026_03_01::document::of(operations)
        }
        "verbex-v1" => verbex_v1::document::of(verbex_v1::operations()),
        _ => return None,
    };
    serde_json::to_string_pretty(&document).ok()
}

/// Returns the routes of the documents and of Swagger UI. All files are part of the program:
/// nothing is loaded from elsewhere.
pub(super) fn routes() -> Router<App> {
    // Made once for all servers that a process starts.
    static TEXTS: LazyLock<[Bytes; 2]> =
        LazyLock::new(|| NAMES.map(|name| document(name).unwrap_or_default().into()));
    let [v2026, verbex] = TEXTS
        .each_ref()
        .map(|text| get(async move || ([(CONTENT_TYPE, "application/json")], text.clone())));
    let urls = [
        Url::new("2026-03-01", "/openapi/2026-03-01.json"),
        Url::new("verbex-v1", "/openapi/verbex-v1.json"),
    ];
    // The badge of the online validator would send the document's address to a third party.
    let config = Config::new(urls)
        .validator_url("none")
        .try_it_out_enabled(true);
    let pages = Router::new()
        .route("/openapi/2026-03-01.json", v2026)
        .route("/openapi/verbex-v1.json", verbex)
        .merge(SwaggerUi::new("/docs").config(config));
    guarded(pages, DOCS_POLICY).layer(middleware::map_response(in_our_words))
}

/// Answers 404 in the API's own format, instead of Swagger UI's.
async fn in_our_words(response: Response) -> Response {
    if response.status().is_client_error() {
        return Failure::RouteNotFound.into_response();
    }
    response
}
