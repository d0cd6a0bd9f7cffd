//! What is searched for, in all the spellings in which it could show.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

const PREFIX: &str = "whsec_";

/// The secrets that a text shows.
pub(super) fn secrets_in(text: &str) -> Vec<String> {
    text.match_indices(PREFIX)
        .map(|(place, _)| {
            let rest = &text[place + PREFIX.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '+' || c == '/'));
            format!("{PREFIX}{}", &rest[..end.unwrap_or(rest.len())])
        })
        .collect()
}

/// Texts that must not be found.
#[derive(Default)]
pub(super) struct Needles(HashSet<String>);

impl Needles {
    /// A text, plain and encoded.
    pub(super) fn add(&mut self, text: &str) {
        self.0.insert(text.to_owned());
        self.add_bytes(text.as_bytes());
    }

    /// A signing secret: its text, and the bytes that it stands for.
    pub(super) fn add_secret(&mut self, text: &str) {
        let payload = text.strip_prefix(PREFIX).expect("a secret");
        // Half of it would be as bad, were a line cut.
        self.0.insert(payload[..payload.len() / 2].to_owned());
        self.add_bytes(text.as_bytes());
        let bytes = BASE64_STANDARD.decode(payload);
        self.add_bytes(&bytes.expect("base64 after the prefix"));
    }

    /// A master key: its base64 without padding, and the bytes that it stands for.
    pub(super) fn add_master_key(&mut self, base64: &str) {
        self.add(base64);
        // Half of it would be as bad, were a line cut.
        self.add(&base64[..base64.len() / 2]);
        let bytes = BASE64_STANDARD_NO_PAD.decode(base64);
        self.add_bytes(&bytes.expect("base64"));
    }

    /// Bytes in the spellings of bytes.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) {
        let mut hex = String::new();
        for byte in bytes {
            write!(hex, "{byte:02x}").expect("a String takes all");
        }
        self.0.extend([
            hex.to_uppercase(),
            hex,
            BASE64_STANDARD_NO_PAD.encode(bytes),
            BASE64_URL_SAFE_NO_PAD.encode(bytes),
            // As `Debug` shows a slice of bytes.
            format!("{bytes:?}").replace(['[', ']'], ""),
        ]);
    }

    /// Asserts that a text shows none of them, nor a quoted or escaped form.
    pub(super) fn assert_absent(&self, text: &str) {
        assert!(!self.0.is_empty());
        let unescaped = text.replace("\\/", "/").replace("\\\"", "\"");
        for needle in &self.0 {
            if unescaped.contains(needle.as_str()) {
                let mut lines = unescaped.lines();
                let line = lines.find(|line| line.contains(needle.as_str()));
                panic!("{needle} is in: {line:?}");
            }
        }
    }
}

#[test]
fn the_search_finds_every_spelling() {
    let mut needles = Needles::default();
    needles.add_secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd");
    for shown in [
        "a whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd b",
        "AAECAwQFBgcICQoLDA0O",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d",
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D",
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]",
    ] {
        let found = std::panic::catch_unwind(|| needles.assert_absent(shown));
        assert!(found.is_err(), "{shown}");
    }
    needles.assert_absent("nothing of the kind");
    let text = r#"{"secret":"whsec_AAAA+/zz","x":"whsec_b"}"#;
    assert_eq!(secrets_in(text), ["whsec_AAAA+/zz", "whsec_b"]);
}
