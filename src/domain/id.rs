//! Names of things: endpoints and tenants.

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

/// The text is not the id of any endpoint, whatever the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an endpoint id")]
pub struct NotAnId;

impl FromStr for EndpointId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (digits, is_uuid) = match text.strip_prefix("we_") {
            Some(digits) => (digits.as_bytes(), true),
            None => (text.as_bytes(), false),
        };
        let mut bytes = [0u8; 16];
        let wanted = if is_uuid { 16 } else { 12 };
        if digits.len() != wanted * 2 {
            return Err(NotAnId);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(if is_uuid {
            Self::Uuid(Uuid::from_bytes(bytes))
        } else {
            let mut object = [0u8; 12];
            object.copy_from_slice(&bytes[..12]);
            Self::Object(object)
        })
    }
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

/// The name of a tenant: who owns records. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The tenant's name.
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
}
