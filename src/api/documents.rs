//! Serves the `OpenAPI` 3.1 documents, and the pages that show them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, middleware};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use parking_lot::RwLock;
use percent_encoding::percent_decode_str;
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use super::app::App;
use super::browser::{DOCS_POLICY, guarded};
use super::failure::Failure;
use super::{dev, pages, v2026_03_01, verbex_v1};
use crate::service::Error;

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
        .merge(SwaggerUi::new("/docs").config(config))
        .layer(middleware::from_fn(shared));
    guarded(pages, DOCS_POLICY).layer(middleware::map_response(in_our_words))
}

/// Shares the bytes of each file among all answers. Swagger UI's script has more than a megabyte,
/// and every answer would have a copy of it.
async fn shared(request: Request, next: Next) -> Response {
    static FILES: RwLock<BTreeMap<String, Bytes>> = RwLock::new(BTreeMap::new());

    let is_get = request.method() == Method::GET;
    // One file has one name, however its path is escaped.
    let path = percent_decode_str(request.uri().path()).decode_utf8_lossy();
    let path = path.into_owned();
    let (parts, body) = next.run(request).await.into_parts();
    if parts.status != StatusCode::OK || !is_get {
        return Response::from_parts(parts, body);
    }
    let known = FILES.read().get(&path).cloned();
    let bytes = match known {
        Some(bytes) => bytes,
        // The files are part of the program, so there are few, and they can be read.
        None => match body.collect().await {
            Ok(body) => FILES.write().entry(path).or_insert(body.to_bytes()).clone(),
            Err(error) => return Failure::from(Error::internal(error)).into_response(),
        },
    };
    Response::from_parts(parts, bytes.into())
}

/// Answers 404 in the API's own format, instead of Swagger UI's.
async fn in_our_words(response: Response) -> Response {
    if response.status().is_client_error() {
        return Failure::RouteNotFound.into_response();
    }
    response
}
