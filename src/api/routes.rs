//! All routes of the server, and what is answered where there is none.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use tower::util::MapResponse;

use super::app::App;
use super::failure::Failure;
use super::{body, dev, documents, middleware, pages, v2026_03_01, verbex_v1};

/// The routes, and what is done to each response of theirs.
pub type Routes = MapResponse<Router, fn(Response) -> Response>;

/// The whole API of `app`.
pub fn router(app: App) -> Routes {
    let mut operations = v2026_03_01::operations()
        .merge(verbex_v1::operations())
        .merge(pages::operations());
    if app.test_clock().is_some() {
        operations = operations.merge(dev::operations());
    }
    let router = operations
        .into_router()
        .merge(documents::routes())
        .fallback(async |request: Request| refuse(request, Failure::RouteNotFound).await)
        .method_not_allowed_fallback(async |request: Request| {
            refuse(request, Failure::MethodNotAllowed).await
        })
        // Last, and so outermost: also what leads nowhere is authenticated, counted and logged.
        .layer(from_fn_with_state(app.clone(), middleware::around_request))
        .with_state(app);
    // The router adds `Allow` outside of all its layers, to a 401 as well: only what surrounds the
    // whole router can take it away again. As a layer of another router that costs each request four
    // allocations.
    MapResponse::new(router, allow_only_with_405)
}

/// Refuses a request that leads nowhere, with whatever body it has.
async fn refuse(request: Request, failure: Failure) -> Failure {
    let (parts, body) = request.into_parts();
    body::discard_unasked(&parts.headers, body).await;
    failure
}

/// Keeps `Allow` to 405: without a key a caller does not learn which methods a path has, nor that it
/// exists.
fn allow_only_with_405(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(ALLOW);
    }
    response
}
