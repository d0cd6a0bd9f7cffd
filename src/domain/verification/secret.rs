//! A receiver's secrets, of every length that Standard Webhooks allows.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::domain::format::Format;
use crate::domain::secret::Fingerprint;
pub use crate::domain::secret::PREFIX;
use crate::domain::signer::Signer;

/// The number of bytes in a secret (Standard Webhooks 1.0.0, "Signature scheme": 192 to 512 bits).
pub const KEY_BYTES: RangeInclusive<usize> = 24..=64;

/// Why a text is not a signing secret. It says nothing about the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSecret {
    /// It does not start with `whsec_`.
    #[error("a secret starts with whsec_, and this text does not")]
    Prefix,
    /// It has an invisible character, such as text copied from documents may have.
    #[error("it has a character that cannot be seen, U+{:04X}; copy it again without", *.0 as u32)]
    Invisible(char),
    /// What follows the prefix is not padded base64 of the standard alphabet (RFC 4648, section 4).
    #[error("what follows whsec_ must be base64: A-Z a-z 0-9 + /, with = at the end where due")]
    Base64,
    /// It decodes to a length outside [`KEY_BYTES`].
    #[error("what follows whsec_ must decode to 24 to 64 bytes, and this decodes to {bytes}")]
    Length {
        /// How many bytes it decodes to.
        bytes: usize,
    },
}

/// A receiver's secret: its text, and the key that the text encodes.
///
/// As with [`Secret`](crate::domain::Secret), there is no `Display` and no `Serialize`, `Debug`
/// shows only the [`Fingerprint`], and the bytes are wiped on drop.
#[derive(Clone)]
pub struct ReceiverSecret {
    text: Zeroizing<String>,
    key: Result<Zeroizing<Vec<u8>>, MalformedSecret>,
}

impl ReceiverSecret {
    /// Parses a secret's text.
    ///
    /// A malformed secret is kept and named in the [`Report`](super::Report) of every verification,
    /// since a receiver with one good secret out of two can still verify.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            key: decode(text),
        }
    }

    /// Returns what is wrong with the text, if anything is.
    #[must_use]
    pub fn malformed(&self) -> Option<MalformedSecret> {
        self.key.as_ref().err().copied()
    }

    /// Returns the fingerprint of the secret.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.text)
    }

    /// Returns the signer of `format`, or `None` when the text is malformed.
    pub(super) fn signer(&self, format: Format) -> Option<Signer> {
        let key = self.key.as_ref().ok()?;
        Some(match format {
            Format::StandardWebhooks => Signer::from_key(key),
            Format::Verbex => Signer::from_key(self.text.as_bytes()),
        })
    }

    /// Returns the signer that results from a common mistake: its key is the text after the prefix,
    /// not decoded.
    pub(super) fn undecoded_signer(&self) -> Signer {
        let text = self.text.strip_prefix(PREFIX).unwrap_or(&self.text);
        Signer::from_key(text.as_bytes())
    }
}

impl fmt::Debug for ReceiverSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiverSecret({})", self.fingerprint())
    }
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, MalformedSecret> {
    if let Some(char) = text.chars().find(|char| is_invisible(*char)) {
        return Err(MalformedSecret::Invisible(char));
    }
    let encoded = text.strip_prefix(PREFIX).ok_or(MalformedSecret::Prefix)?;
    // The error is dropped, since it quotes a byte of the text.
    let key = Zeroizing::new(
        STANDARD
            .decode(encoded)
            .map_err(|_| MalformedSecret::Base64)?,
    );
    if KEY_BYTES.contains(&key.len()) {
        Ok(key)
    } else {
        Err(MalformedSecret::Length { bytes: key.len() })
    }
}

/// Returns whether a character takes no room where it is shown: control characters, zero-width
/// spaces, direction marks, a byte order mark. Secrets contain none.
#[must_use]
pub fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(char, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_24_to_64_bytes_are_taken() {
        for bytes in 0..80_usize {
            let text = format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
            let expected =
                (!KEY_BYTES.contains(&bytes)).then_some(MalformedSecret::Length { bytes });
            assert_eq!(ReceiverSecret::new(&text).malformed(), expected, "{bytes}");
        }
    }

    #[test]
    fn what_is_malformed_is_named_and_not_shown() {
        for (text, expected) in [
            ("", MalformedSecret::Prefix),
            ("C2FVsBQIhrscChlQIMV+b5sSYspob7oD", MalformedSecret::Prefix),
            ("WHSEC_C2FVsBQIhrsc", MalformedSecret::Prefix),
            (
                "whsec_C2FVsBQ_hrscChlQIMV-b5sSYspob7oD",
                MalformedSecret::Base64,
            ),
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ",
                MalformedSecret::Base64,
            ),
            (
                "whsec_ C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                MalformedSecret::Base64,
            ),
            (
                "whsec_C2FVsBQI\u{200b}hrscChlQIMV+b5sSYspob7oD",
                MalformedSecret::Invisible('\u{200b}'),
            ),
            (
                "\u{feff}whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                MalformedSecret::Invisible('\u{feff}'),
            ),
        ] {
            let secret = ReceiverSecret::new(text);
            let malformed = secret.malformed().expect(text);
            assert_eq!(malformed, expected, "{text}");
            for shown in [malformed.to_string(), format!("{malformed:?} {secret:?}")] {
                assert!(!shown.contains("C2FV"), "{shown}");
            }
        }
    }
}
