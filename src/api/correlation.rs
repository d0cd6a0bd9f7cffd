//! The two names by which a request is found again: its request id and its trace id.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::random;

/// The header of the request id, in requests and in every response.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over from the caller, in characters.
const MAX_REQUEST_ID: usize = 128;

/// The request id: the caller's own when it is 1 to 128 visible ASCII characters, else a new one.
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
    // Hex digits are always a header value.
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// A trace id: 128 bits, never zero, shown as 32 lower-case hex digits (W3C Trace Context, section
/// 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    /// The one that the W3C's own examples show.
    pub const EXAMPLE: Self = Self(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);

    /// The trace id of a valid `traceparent`, else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all("traceparent").iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()),
            // Two of them contradict each other, so neither is believed (W3C Trace Context, 3.2).
            _ => None,
        }
        .unwrap_or_else(|| Self(random::correlation_id().as_u128()))
    }

    /// The trace id in a `traceparent` header: `version-trace_id-parent_id-flags` in lower-case hex
    /// (W3C Trace Context, section 3.2). Versions above `00` may carry more after another dash.
    #[must_use]
    pub fn parse(traceparent: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(traceparent).ok()?;
        let mut parts = text.splitn(5, '-');
        let version = lower_hex(parts.next()?, 2)?;
        let trace_id = lower_hex(parts.next()?, 32)?;
        let parent_id = lower_hex(parts.next()?, 16)?;
        lower_hex(parts.next()?, 2)?;
        let has_more = parts.next().is_some();
        let sound =
            version != 0xff && trace_id != 0 && parent_id != 0 && !(version == 0 && has_more);
        sound.then_some(Self(trace_id))
    }
}

fn lower_hex(digits: &str, length: usize) -> Option<u128> {
    let all_lower = digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != length || !all_lower {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn parsed(text: &str) -> Option<String> {
        TraceId::parse(text.as_bytes()).map(|trace| trace.to_string())
    }

    #[test]
    fn only_a_valid_traceparent_is_believed() {
        let parent = "00f067aa0ba902b7";
        assert_eq!(
            parsed(&format!("00-{TRACE}-{parent}-01")).as_deref(),
            Some(TRACE)
        );
        assert_eq!(
            parsed(&format!("cc-{TRACE}-{parent}-01-more-")).as_deref(),
            Some(TRACE)
        );
        for bad in [
            String::new(),
            format!("00-{TRACE}-{parent}"),
            format!("00-{TRACE}-{parent}-01-"),
            format!("00-{TRACE}-{parent}-01-more"),
            format!("ff-{TRACE}-{parent}-01"),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{parent}-01", TRACE.to_uppercase()),
            format!("0-{TRACE}-{parent}-01"),
            format!("00-{TRACE}-{parent}-0g"),
            format!(" 00-{TRACE}-{parent}-01"),
            format!("00-+{}-{parent}-01", &TRACE[1..]),
        ] {
            assert_eq!(parsed(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_trace_id_comes_back(trace in 1_u128.., parent in 1_u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{parent:016x}-{flags:02x}");
            prop_assert_eq!(parsed(&text), Some(format!("{trace:032x}")));
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceId::parse(&bytes);
        }
    }
}
