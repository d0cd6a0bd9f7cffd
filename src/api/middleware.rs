//! Wraps every request. The steps come in this order, for these reasons:
//!
//! 1. *Ids.* The request id and the trace id come first: every response and log line carries them.
//! 2. *Host.* A request that does not name exactly one host is not valid HTTP. It is refused before
//!    anything else in it is read.
//! 3. *Key.* Under the protected prefixes, the API key is checked before anything else. A caller
//!    without a valid key gets 401 and does not learn whether a path exists.
//! 4. *Rate limit.* The tenant's bucket is next, so that no tenant causes more work than its limit
//!    allows.
//! 5. *Panics.* If a handler panics, the answer is 500 and the server continues.
//! 6. *Errors.* A [`Failure`] is rendered in the dialect of the path.
//! 7. *Log.* Each request is logged on one line, with the template of its route: the path itself
//!    may contain anything. A span around the handler adds the ids to all lines that are logged
//!    meanwhile.

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
use super::auth::{Authenticated, Tenant, is_protected};
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

/// Handles one request: admits it, runs its handler, renders its failure and logs it.
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

    if let Some(tenant) = &tenant {
        let mark = Authenticated(tenant.id.clone());
        response.extensions_mut().insert(mark);
    }
    let headers = response.headers_mut();
    // Browsers must not guess the type of a body, which may contain text from a request.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_protected(uri.path()) {
        // Answers with a secret must not be cached, and no other answer here needs to be.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(taken) = taken {
        put_rate_limit(headers, &taken, app.service().wall());
    }
    names.log(response.status(), started.elapsed());
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    response
}

/// What the log shows of a request.
///
/// Nothing here may hold arbitrary text: no path, no query, and no header except the request id.
struct Names<'a> {
    method: &'a str,
    route: &'a str,
    tenant: &'a str,
    request_id: &'a str,
    trace_id: TraceId,
}

impl Names<'_> {
    /// Creates the span around the handler, whose fields are on every line that is logged
    /// meanwhile.
    ///
    /// It is created when the tenant is known, so that no field is filled in later. That is why the
    /// layer of `tower-http` is not used: it creates its span earlier, and logs the answer in
    /// another form.
    fn span(&self) -> Span {
        // Not of this module: a filter that silences the requests' own lines keeps the span for
        // the lines inside it.
        tracing::info_span!(
            target: "hookturn",
            "request",
            method = %self.method,
            route = self.route,
            tenant = self.tenant,
            request_id = self.request_id,
            trace_id = %self.trace_id,
        )
    }

    /// Logs the request, on one line. The line is outside the span, so it carries all fields
    /// itself.
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

    /// Logs why a request failed. The line carries the ids itself, as a log filter may leave spans
    /// out.
    fn log_fault(&self, error: &(impl Display + ?Sized)) {
        tracing::error!(
            %error,
            tenant = self.tenant,
            request_id = self.request_id,
            trace_id = %self.trace_id,
            "request failed"
        );
    }
}

/// Checks the host, the key and the rate limit of a request. Stores the tenant and the state of its
/// bucket as soon as they are known, also when the request is refused.
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
        bodies: found.bodies.clone(),
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

/// Returns a duration in milliseconds, rounded to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
