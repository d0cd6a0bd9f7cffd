//! What surrounds every request, in this order and for these reasons:
//!
//! 1. *Names.* Request id and trace id are settled first: every response and log line carries them.
//! 2. *Host.* A request that does not name the one host that it is for is no sound HTTP message: it is
//!    refused for that alone, before anything in it is looked at.
//! 3. *Key.* Under the protected prefixes nothing else is looked at before the key: an unauthenticated
//!    caller learns nothing but 401, also not whether a path exists.
//! 4. *Rate.* The tenant's bucket is next, so that no later work can be had beyond it.
//! 5. *Panics.* A handler that panics is a 500; the server goes on.
//! 6. *Words.* A [`Failure`] is rendered in the dialect of the path.
//! 7. *Log.* One line, with the route's template instead of the path, which may hold anything; and a span around what the
//!    request does, so that lines in it have the request's names.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tracing::{Instrument as _, Span};

use super::app::App;
use super::auth::{Tenant, is_protected};
use super::body::discard_unasked;
use super::dialect::Dialect;
use super::extract::RequestContext;
use super::failure::{Failure, Rendered};
use super::rate_limit::Taken;
use super::trace_id::{X_REQUEST_ID, request_id, trace_id};
use super::{host, v2026_03_01, verbex_v1};
use crate::domain::{Timestamp, TraceId};
use crate::service::Error;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The middleware around all routes.
pub async fn around_request(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let trace_id = trace_id(request.headers());
    let method = request.method().clone();
    let uri = request.uri().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();

    let mut tenant = None;
    let mut taken = None;
    let admitted = admit(&app, &mut request, trace_id, &mut tenant, &mut taken);
    let names = Names {
        method: method.as_str(),
        route: route.as_ref().map_or("-", MatchedPath::as_str),
        tenant: tenant.as_ref().map_or("-", |tenant| tenant.id.as_str()),
        request_id: request_id.to_str().unwrap_or("-"),
        trace_id,
    };
    let mut response = match admitted {
        Err(failure) => {
            let (parts, body) = request.into_parts();
            discard_unasked(&parts.headers, body).await;
            failure.into_response()
        }
        Ok(()) => AssertUnwindSafe(next.run(request).instrument(names.span()))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Failure::Panicked.into_response()),
    };

    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        if let Failure::Service(Error::Internal(error)) = &failure {
            names.log_fault(error);
        }
        let (path, now) = (uri.path(), app.service().now());
        let rendered = match Dialect::of(path) {
            Dialect::V2026 => v2026_03_01::errors::render(&failure, app.public_url(), path),
            Dialect::Verbex => verbex_v1::errors::render(&failure, path, trace_id, now),
        };
        put_failure(&mut response, &failure, rendered);
    }

    let headers = response.headers_mut();
    // What a body is, its type says: no browser is to guess, from text that a request may have put there.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_protected(uri.path()) {
        // Answers with a secret must not be kept, and no other answer here needs to be.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(taken) = taken {
        put_rate_limit(headers, &taken, app.service().wall());
    }
    names.log(response.status(), started.elapsed());
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    response
}

/// What the log knows a request by. Nothing that may hold anything is among it: no path, no query, no header but the
/// request id.
struct Names<'a> {
    method: &'a str,
    route: &'a str,
    tenant: &'a str,
    request_id: &'a str,
    trace_id: TraceId,
}

impl Names<'_> {
    /// The span of what the request does, whose fields are on every line that is logged meanwhile.
    ///
    /// Made when the tenant is known, so that nothing has to be filled in later. The layer of `tower-http` makes its
    /// span before, and has another line for the answer than the one below.
    fn span(&self) -> Span {
        tracing::info_span!(
            "request",
            method = %self.method,
            route = self.route,
            tenant = self.tenant,
            request_id = self.request_id,
            trace_id = %self.trace_id,
        )
    }

    /// Logs the one line of the request. It is outside of the span and names everything itself.
    fn log(&self, status: StatusCode, duration: Duration) {
        tracing::info!(
            method = %self.method,
            route = self.route,
            status = status.as_u16(),
            duration_ms = milliseconds(duration),
            tenant = self.tenant,
            request_id = self.request_id,
            trace_id = %self.trace_id,
            "request"
        );
    }

    /// Logs why a request failed, also where the filter leaves spans out.
    fn log_fault(&self, error: &(impl Display + ?Sized)) {
        tracing::error!(
            %error,
            tenant = self.tenant,
            request_id = self.request_id,
            trace_id = %self.trace_id,
            "a request failed"
        );
    }
}

/// Lets a request on, or says why not.
fn admit(
    app: &App,
    request: &mut Request,
    trace_id: TraceId,
    tenant: &mut Option<Arc<Tenant>>,
    taken: &mut Option<Taken>,
) -> Result<(), Failure> {
    host::check(request.version(), request.uri(), request.headers())
        .map_err(Failure::InvalidHost)?;
    if !is_protected(request.uri().path()) {
        return Ok(());
    }
    let found = app.tenants().authenticate(request.headers())?;
    let found = tenant.insert(Arc::clone(found));
    if let Some(limit) = &found.rate_limit {
        let found_tokens = *taken.insert(limit.take());
        if let Some(wait) = found_tokens.refused_for {
            return Err(Failure::RateLimited {
                retry_after_seconds: whole_seconds(wait).max(1),
            });
        }
    }
    request.extensions_mut().insert(RequestContext {
        tenant: found.id.clone(),
        trace_id,
    });
    Ok(())
}

fn put_failure(response: &mut Response, failure: &Failure, rendered: Rendered) {
    *response.status_mut() = rendered.status;
    *response.body_mut() = Body::from(rendered.body);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(rendered.content_type),
    );
    match failure {
        Failure::MissingToken => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Failure::InvalidToken => {
            let value = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            headers.insert(WWW_AUTHENTICATE, value);
        }
        Failure::RateLimited {
            retry_after_seconds,
        } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_seconds));
        }
        _ => {}
    }
}

fn put_rate_limit(headers: &mut HeaderMap, taken: &Taken, wall: Timestamp) {
    let full_at = wall.plus(taken.full_in).as_millis();
    let reset = full_at.div_euclid(1000) + i64::from(full_at.rem_euclid(1000) > 0);
    headers.insert(LIMIT, HeaderValue::from(taken.limit));
    headers.insert(REMAINING, HeaderValue::from(taken.remaining));
    headers.insert(RESET, HeaderValue::from(reset));
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A duration in milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
