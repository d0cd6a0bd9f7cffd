//! The ids of endpoints, tenants, events, deliveries and traces.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The id of an endpoint (2026-03-01) or subscription (Verbex v1): the same in both dialects.
///
/// A record made through the 2026-03-01 API has `we_` and a UUID of 32 lower-case hex digits; one
/// made through the Verbex v1 API has 24 lower-case hex digits. Parsing accepts exactly the text
/// that printing gives, so that one record has one spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointId {
    /// Made through the 2026-03-01 API.
    Uuid(Uuid),
    /// Made through the Verbex v1 API.
    Object([u8; 12]),
}

/// The text is not an id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this kind")]
pub struct NotAnId;

impl FromStr for EndpointId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text.strip_prefix("we_") {
            Some(digits) => Ok(Self::Uuid(Uuid::from_bytes(hex_bytes(digits)?))),
            None => Ok(Self::Object(hex_bytes(text)?)),
        }
    }
}

/// Parses exactly `N` bytes of lower-case hex.
fn hex_bytes<const N: usize>(digits: &str) -> Result<[u8; N], NotAnId> {
    let mut bytes = [0; N];
    if digits.len() != N * 2 {
        return Err(NotAnId);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Ok(bytes)
}

fn hex_digit(byte: u8) -> Result<u8, NotAnId> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(NotAnId),
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => write!(f, "we_{}", uuid.simple()),
            Self::Object(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl serde::Serialize for EndpointId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name of a tenant, which owns records. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Makes the id of the tenant called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// Returns the tenant's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of an event: 1 to 64 characters of `[A-Za-z0-9_-]`, unique within its tenant. Cheap to
/// clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Arc<str>);

/// The most characters in an event id.
pub const MAX_EVENT_ID: usize = 64;

impl EventId {
    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_EVENT_ID).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(Arc::from(text)))
        } else {
            Err(NotAnId)
        }
    }
}

impl From<Uuid> for EventId {
    /// Makes a generated id: `evt_` and 32 hex digits.
    fn from(uuid: Uuid) -> Self {
        Self(Arc::from(format!("evt_{}", uuid.simple())))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// The id of a delivery: `dlv_` and 32 lower-case hex digits of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// Returns the UUID in the id.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl From<Uuid> for DeliveryId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for DeliveryId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix("dlv_").ok_or(NotAnId)?;
        Ok(Self(Uuid::from_bytes(hex_bytes(digits)?)))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dlv_{}", self.0.simple())
    }
}

impl serde::Serialize for DeliveryId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A trace id: 128 bits, never zero, shown as 32 lower-case hex digits (W3C Trace Context, section
/// 3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// The trace id in the examples of W3C Trace Context.
    pub const EXAMPLE: Self = Self(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);

    /// Makes a trace id of these bits, which must not all be zero.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Returns the bits of the trace id.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Reads the trace id from a `traceparent` header: `version-trace_id-parent_id-flags` in
    /// lower-case hex (W3C Trace Context, section 3.2). Versions above `00` may carry more after
    /// another dash.
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

    proptest! {
        #[test]
        fn printing_and_parsing_agree(uuid in any::<[u8; 16]>(), object in any::<[u8; 12]>()) {
            for id in [EndpointId::Uuid(Uuid::from_bytes(uuid)), EndpointId::Object(object)] {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }

        #[test]
        fn whatever_parses_prints_the_same(text in "(we_)?[0-9a-fA-F]{20,34}|\\PC*") {
            if let Ok(id) = text.parse::<EndpointId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

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
