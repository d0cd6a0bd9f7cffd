//! Lists every way in which a request can fail, before a dialect gives it words.
//!
//! Handlers and extractors return a [`Failure`], which travels as an extension of an empty
//! response. The [middleware](super::middleware) then renders it in the dialect of the path: only
//! the middleware knows the path and the trace id, which error bodies show.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::host::InvalidHost;
use crate::idempotency::InvalidKey;
use crate::service;

/// The most field errors that one answer lists. More would not help a caller.
pub const MAX_FIELD_ERRORS: usize = 100;

/// Why a request was not served.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The request does not name its host as HTTP requires.
    InvalidHost(InvalidHost),
    /// No bearer token was sent.
    MissingToken,
    /// The token belongs to no tenant.
    InvalidToken,
    /// The tenant's bucket is empty.
    RateLimited {
        /// Seconds until another request is allowed, at least 1. Sent as `Retry-After`.
        retry_after_seconds: u64,
    },
    /// There is no route with this path.
    RouteNotFound,
    /// The path exists, but not with this method; the `Allow` header lists its methods.
    MethodNotAllowed,
    /// The idempotency key is malformed, or the two headers with it contradict each other.
    InvalidIdempotencyKey(InvalidKey),
    /// The body is longer than this many bytes.
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body did not arrive completely in time.
    BodyTimeout,
    /// The body ended early, or its framing is broken.
    BodyUnreadable,
    /// The body's content type is not JSON.
    UnsupportedContentType,
    /// The body is not valid JSON; the text says where it breaks.
    MalformedJson(String),
    /// The body is JSON, but not an object.
    NotAnObject,
    /// Fields of the body, or query parameters, are wrong. Never empty.
    InvalidFields(Vec<FieldError>),
    /// The request was valid, and the service refused it.
    Service(service::Error),
    /// A handler panicked.
    Panicked,
}

/// What is wrong with one field or query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name, with an index or a key if the fault is inside it: `events[2]`.
    pub param: String,
    /// The code of the fault, for programs.
    pub code: FieldCode,
    /// What would be valid, for people. Never repeats the value.
    pub detail: String,
}

/// The codes for what can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldCode {
    /// A number, a length or a count is outside its bounds.
    OutOfRange,
    /// The value has another JSON type than expected.
    InvalidType,
    /// The request has no such field.
    UnknownField,
    /// The field was sent more than once.
    DuplicateField,
    /// The field is required and was not sent.
    MissingField,
    /// The text does not have the required form.
    InvalidFormat,
    /// The cursor names no record of the tenant.
    InvalidCursor,
}

impl FieldCode {
    /// Returns the code as it is sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::InvalidType => "invalid_type",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
            Self::MissingField => "missing_field",
            Self::InvalidFormat => "invalid_format",
            Self::InvalidCursor => "invalid_cursor",
        }
    }
}

/// An error answer, as a dialect renders it.
pub struct Rendered {
    /// The HTTP status.
    pub status: StatusCode,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        Self::Service(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        // The status is provisional: the middleware replaces it with the dialect's.
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
