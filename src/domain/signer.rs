//! HMAC-SHA256 with the key set up once.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// An HMAC-SHA256 that is keyed once and cloned for each message.
///
/// Setting up the key takes two of the SHA-256 compressions that a short message needs, which a
/// clone saves.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// Makes an HMAC-SHA256 (RFC 2104) with this key.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        match Hmac::new_from_slice(key) {
            Ok(keyed) => Self(keyed),
            Err(_) => unreachable!("HMAC takes keys of every length (RFC 2104, section 2)"),
        }
    }

    /// Returns the HMAC of the concatenated `parts`. Compare it in constant time.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
