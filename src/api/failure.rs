//! Every way in which a request can fail, before any dialect gives it words.
//!
//! Handlers and extractors answer a [`Failure`]; it travels as an extension of an empty response, and
//! the [middleware](super::middleware) has the dialect of the path render it, because only the
//! middleware knows the path and the trace id that error bodies show.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::host::InvalidHost;
use crate::idempotency::InvalidKey;
use crate::service;

/// The most field errors that one answer lists: past that, more would help nobody.
pub const MAX_FIELD_ERRORS: usize = 100;

/// Why a request was not served.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The request does not name the host that it is for, as HTTP has it.
    InvalidHost(InvalidHost),
    /// No bearer token was sent.
    MissingToken,
    /// A token was sent that is no key of any tenant.
    InvalidToken,
    /// The tenant's bucket is empty. Seconds until a request fits again, at least 1.
    RateLimited {
        /// For the `Retry-After` header.
        retry_after_seconds: u64,
    },
    /// The path leads nowhere.
    RouteNotFound,
    /// The path exists, the method does not; `Allow` says which do.
    MethodNotAllowed,
    /// The idempotency key, or the pair of them, is malformed.
    InvalidIdempotencyKey(InvalidKey),
    /// The body is longer than this many bytes.
    BodyTooLarge {
        /// The most that is read.
        limit: usize,
    },
    /// The body did not come to its end in time.
    BodyTimeout,
    /// The body broke off, or its framing is broken.
    BodyUnreadable,
    /// The body is of another type than JSON.
    UnsupportedContentType,
    /// The body is no JSON text; says where it breaks.
    MalformedJson(String),
    /// The body is JSON, but no object.
    NotAnObject,
    /// Fields of the body, or query parameters, are wrong. Never empty.
    InvalidFields(Vec<FieldError>),
    /// The request was understood, and the service refused it.
    Service(service::Error),
    /// A handler panicked.
    Panicked,
}

/// What is wrong with one field or query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name, with an index or a key where the fault lies inside it: `events[2]`.
    pub param: String,
    /// The machine's word for it.
    pub code: FieldCode,
    /// What would be right, for people. Never repeats the value.
    pub detail: String,
}

/// The machine's words for what can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldCode {
    /// A number, a length or a count is outside its bounds.
    OutOfRange,
    /// Another JSON type was expected.
    InvalidType,
    /// There is no such field here.
    UnknownField,
    /// The field came twice.
    DuplicateField,
    /// The field must be there.
    MissingField,
    /// The text does not have the form that it must have.
    InvalidFormat,
    /// The cursor names no record of the tenant.
    InvalidCursor,
}

impl FieldCode {
    /// The word as it is sent.
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

/// An error body, as a dialect words it.
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
