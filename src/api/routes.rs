//! Builds all routes of the server, and the answers where there is no route.

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

/// The router of the whole API, and a change to each of its responses.
pub type Routes = MapResponse<Router, fn(Response) -> Response>;

/// Returns the router of the whole API.
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
        // The last layer is the outermost: requests without a route are authenticated, counted and
        // logged too.
        .layer(from_fn_with_state(app.clone(), middleware::around_request))
        .with_state(app);
    // The router adds `Allow` outside of all its layers, even to a 401. Only something around the
    // whole router can remove it. A layer of another router would cost four allocations per
    // request.
    MapResponse::new(router, allow_only_with_405)
}

/// Refuses a request without a route, and discards its body.
async fn refuse(request: Request, failure: Failure) -> Failure {
    let (parts, body) = request.into_parts();
    body::discard_unasked(&parts.headers, body).await;
    failure
}

/// Removes `Allow` from all responses except 405. Without a key, a caller must not learn which
/// methods a path has, nor that it exists.
fn allow_only_with_405(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(ALLOW);
    }
    response
}
