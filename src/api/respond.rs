//! Turns the outcome of a request into a response.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::idempotency::Answer;
use crate::store::Committed;

/// The header of an answer that repeats an earlier one.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Returns the response that carries an answer, new or repeated.
#[must_use]
pub fn respond(committed: Committed) -> Response {
    let Committed {
        answer, replayed, ..
    } = committed;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    let mut response = (status, [(CONTENT_TYPE, json)], answer.body).into_response();
    if replayed {
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, replayed);
    }
    response
}

/// Returns the answer with `value` as its JSON body.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Answer {
    // The wire types are structs of strings, numbers and lists: serializing them cannot fail.
    let body = serde_json::to_vec(value).unwrap_or_default();
    Answer {
        status: status.as_u16(),
        body: body.into(),
    }
}

/// Returns the response to a successful read.
pub(super) fn json(value: &impl Serialize) -> Response {
    respond(Committed {
        answer: answer(StatusCode::OK, value),
        replayed: false,
        action: None,
    })
}
