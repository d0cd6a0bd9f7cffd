//! Signing secrets, which are compared in constant time and wiped on drop.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::format::Format;
use super::signer::Signer;

/// The prefix of every secret's text (Standard Webhooks 1.0.0, "Signature scheme").
pub const PREFIX: &str = "whsec_";

/// The number of random bytes in a secret: 240 bits, and a multiple of three, so that base64 needs
/// no padding.
pub const SECRET_BYTES: usize = 30;

/// The number of characters in a secret's text: the prefix and 40 characters of base64.
pub const TEXT_LENGTH: usize = PREFIX.len() + SECRET_BYTES / 3 * 4;

/// A signing secret.
///
/// There is no `Display` and no `Serialize`, and `Debug` shows only the [`Fingerprint`]. The text
/// can be had only from [`Secret::expose`], which is called to answer a creation or a rotation and
/// to key an HMAC. Clones share the bytes on the heap, so that neither cloning nor moving leaves a
/// copy. The bytes are wiped when the last clone is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
    /// The HMAC keyed with this secret. It is part of the secret, since a cache beside the key ring
    /// could outlive a rotation.
    signer: OnceLock<Box<(Format, Signer)>>,
    fingerprint: OnceLock<Fingerprint>,
}

impl Secret {
    /// Makes a secret of these bytes, which must come from the operating system's random generator.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SECRET_BYTES]) -> Self {
        Self(Arc::new(Inner {
            bytes: Zeroizing::new(*bytes),
            signer: OnceLock::new(),
            fingerprint: OnceLock::new(),
        }))
    }

    /// Returns the random bytes, which are the HMAC key of Standard Webhooks.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0.bytes
    }

    /// Returns the signer of this secret for `format`.
    ///
    /// The first call keys it and keeps it. A secret signs only in the format of its endpoint, so a
    /// signer of the other format is keyed anew at each call.
    #[must_use]
    pub fn signer(&self, format: Format) -> Signer {
        let keyed = || Box::new((format, self.key(format)));
        match &**self.0.signer.get_or_init(keyed) {
            (of, signer) if *of == format => signer.clone(),
            _ => self.key(format),
        }
    }

    fn key(&self, format: Format) -> Signer {
        match format {
            Format::StandardWebhooks => Signer::from_key(self.as_bytes()),
            Format::Verbex => Signer::from_key(self.expose().as_bytes()),
        }
    }

    /// Returns the text as issued (`whsec_…`), which is also the HMAC key of Verbex v1. It is wiped
    /// on drop.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LENGTH));
        text.push_str(PREFIX);
        STANDARD.encode_string(self.as_bytes(), &mut text);
        text
    }

    /// Returns the public name of this secret.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let of_text = || Fingerprint::of(&self.expose());
        *self.0.fingerprint.get_or_init(of_text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.fingerprint())
    }
}

/// The public name of a secret: `sha256:` and the first 16 hex digits of SHA-256 of its text.
///
/// It tells secrets apart in a list or a log and is far too short to sign with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Returns the fingerprint of the secret with this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        Self(first)
    }

    /// Makes a fingerprint of stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes that are shown as 16 hex digits.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_prefix_and_forty_characters() {
        let text = Secret::from_bytes(&[0xff; SECRET_BYTES]).expose();
        assert_eq!(text.as_str(), format!("whsec_{}", "/".repeat(40)));
        assert_eq!(text.len(), TEXT_LENGTH);
    }

    #[test]
    fn debug_shows_the_fingerprint_and_nothing_of_the_text() {
        let secret = Secret::from_bytes(&[7; SECRET_BYTES]);
        let shown = format!("{secret:?}");
        assert_eq!(shown, format!("Secret({})", secret.fingerprint()));
        assert!(!shown.contains(&secret.expose()[PREFIX.len()..][..8]));
    }

    #[test]
    fn the_fingerprint_is_the_start_of_the_digest_of_the_text() {
        // From: printf %s "whsec_$(printf 'A%.0s' {1..40})" | sha256sum
        let zero = Secret::from_bytes(&[0; SECRET_BYTES]);
        assert_eq!(zero.fingerprint().to_string(), "sha256:237c15df8390c9fc");
    }
}
