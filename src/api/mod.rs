//! The HTTP API: two dialects over one service.
//!
//! A request passes through the [`envelope`] (who asks, how often, under which names it will be
//! found again, in which words it is refused), then the router, then one handler of one dialect, which
//! reads top-down: parse, ask the [service](crate::service), render. All that can go wrong is one
//! [`failure::Failure`]; each dialect gives it words in its own `errors` file and nowhere else.

pub mod auth;
mod browser;
pub mod correlation;
pub mod dev;
pub mod envelope;
pub mod failure;
pub mod host;
pub mod json;
pub mod openapi;
pub mod pages;
pub mod query;
pub mod rate_limit;
pub mod secret_text;
pub mod submission;
pub mod url;
pub mod v2026_03_01;
pub mod verbex_v1;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::ALLOW;
use axum::http::request::Parts;
use axum::http::{Extensions, StatusCode};
use axum::middleware;
use axum::response::Response;

use crate::clock::TestClock;
use crate::domain::{DeliveryId, EndpointId, TenantId, TraceId};
use crate::service::{Error, Service};

use self::auth::Tenants;
use self::failure::Failure;

/// What the API is made of.
pub struct AppConfig {
    /// The use cases.
    pub service: Service,
    /// Who may ask.
    pub tenants: Tenants,
    /// Where this server is reached, without a slash at the end: what problem types start with.
    pub public_url: String,
    /// With `--dev`: the clock that can be moved. Its presence also lets 2026-03-01 endpoints have
    /// `http:` URLs.
    pub test_clock: Option<Arc<TestClock>>,
    /// How long a body may take: [`submission::BODY_TIMEOUT`] outside tests.
    pub body_timeout: Duration,
}

/// The API's state. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<AppConfig>);

impl App {
    /// The API made of `config`.
    #[must_use]
    pub fn new(config: AppConfig) -> Self {
        Self(Arc::new(config))
    }

    fn service(&self) -> &Service {
        &self.0.service
    }

    fn tenants(&self) -> &Tenants {
        &self.0.tenants
    }

    fn public_url(&self) -> &str {
        &self.0.public_url
    }

    fn test_clock(&self) -> Option<&Arc<TestClock>> {
        self.0.test_clock.as_ref()
    }

    fn allows_http_urls(&self) -> bool {
        self.0.test_clock.is_some()
    }

    fn body_timeout(&self) -> Duration {
        self.0.body_timeout
    }
}

/// All routes of the server.
pub fn router(app: App) -> Router {
    let mut router = Router::new()
        .merge(v2026_03_01::routes())
        .merge(verbex_v1::routes())
        .merge(pages::routes())
        .merge(openapi::routes());
    if app.test_clock().is_some() {
        router = router.merge(dev::routes());
    }
    let router = router
        .fallback(async |request: Request| refuse(request, Failure::RouteNotFound).await)
        .method_not_allowed_fallback(async |request: Request| {
            refuse(request, Failure::MethodNotAllowed).await
        })
        // Last, and so outermost: also what leads nowhere is authenticated, counted and logged.
        .layer(middleware::from_fn_with_state(
            app.clone(),
            envelope::envelope,
        ))
        .with_state(app);
    // The router adds `Allow` outside of all its layers, to a 401 as well: only what surrounds the
    // whole router can take it away again.
    Router::new()
        .fallback_service(router)
        .layer(middleware::map_response(allow_only_with_405))
}

/// Refuses a request that leads nowhere, with whatever body it has.
async fn refuse(request: Request, failure: Failure) -> Failure {
    let (parts, body) = request.into_parts();
    submission::discard_unasked(&parts.headers, body).await;
    failure
}

/// Which methods a path has is told with a 405 only: without a key not even that it exists is told.
async fn allow_only_with_405(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(ALLOW);
    }
    response
}

/// A dialect: whose words a path is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The 2026-03-01 API, and all that belongs to none.
    V2026,
    /// Verbex v1.
    Verbex,
}

impl Dialect {
    /// The dialect of a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/public") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Verbex,
            _ => Self::V2026,
        }
    }
}

/// The tenant that the envelope found to be asking.
pub struct Authenticated(pub TenantId);

/// The trace of a request to a protected path.
pub struct Traced(pub TraceId);

/// Who is asking, as the envelope found out.
#[derive(Clone)]
struct Asker {
    tenant: TenantId,
    trace_id: TraceId,
}

fn asker(extensions: &Extensions) -> Result<&Asker, Failure> {
    // Every route that asks for a tenant is under a protected prefix, where the envelope puts one.
    // Were one forgotten there, this refuses instead of guessing.
    extensions.get().ok_or(Failure::MissingToken)
}

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(asker(&parts.extensions)?.tenant.clone()))
    }
}

impl<S: Sync> FromRequestParts<S> for Traced {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(asker(&parts.extensions)?.trace_id))
    }
}

/// The id in a path. Text that can be no id, whatever its bytes, names nothing: that is told only when
/// the record is looked up, after what is wrong with the request itself.
pub struct IdPath<Id>(Option<Id>);

/// The id of an endpoint or subscription in a path.
pub type EndpointPath = IdPath<EndpointId>;

/// The id of a delivery in a path.
pub type DeliveryPath = IdPath<DeliveryId>;

impl IdPath<EndpointId> {
    fn id(&self) -> Result<EndpointId, Failure> {
        self.0.ok_or(Failure::Service(Error::EndpointNotFound))
    }
}

impl IdPath<DeliveryId> {
    fn id(&self) -> Result<DeliveryId, Failure> {
        self.0.ok_or(Failure::Service(Error::DeliveryNotFound))
    }
}

impl<Id: FromStr, S: Sync + Send> FromRequestParts<S> for IdPath<Id> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.ok().and_then(|Path(text)| text.parse().ok())))
    }
}
