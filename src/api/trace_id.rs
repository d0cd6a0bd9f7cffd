//! The two ids by which a request can be found in the log: its request id and its trace id.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::TraceId;
use crate::random;

/// The header of the request id, in requests and in all responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is accepted from a caller, in characters.
const MAX_REQUEST_ID: usize = 128;

/// Returns the caller's request id if it is 1 to 128 visible ASCII characters, or else a new one.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(own) = headers.get(X_REQUEST_ID) {
        let bytes = own.as_bytes();
        if (1..=MAX_REQUEST_ID).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
            return own.clone();
        }
    }
    let mut buffer = [0; 32];
    let id = random::correlation_id().simple().encode_lower(&mut buffer);
    // Hex digits are always a valid header value.
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Returns the trace id of a valid `traceparent`, or else a new one.
#[must_use]
pub fn trace_id(headers: &HeaderMap) -> TraceId {
    let mut values = headers.get_all("traceparent").iter();
    match (values.next(), values.next()) {
        (Some(value), None) => TraceId::parse(value.as_bytes()),
        // Several headers are invalid together, so none is used (W3C Trace Context, section 3.2).
        _ => None,
    }
    .unwrap_or_else(|| TraceId::from_bits(random::correlation_id().as_u128()))
}
