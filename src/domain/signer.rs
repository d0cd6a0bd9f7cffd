//! The keyed hash that signs.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// An HMAC-SHA256 that was keyed once, to be cloned for each message: keying costs two of the
/// compression rounds that a short message needs in all.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// Keys an HMAC-SHA256 (RFC 2104) with these bytes.
    #[must_use]
    pub fn from_key(key: &[u8]) -> Self {
        match Hmac::new_from_slice(key) {
            Ok(keyed) => Self(keyed),
            Err(_) => unreachable!("HMAC takes keys of every length (RFC 2104, section 2)"),
        }
    }

    /// The HMAC of `parts`, one after the other. Compare it in constant time.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}
