//! The signature headers of both delivery formats.
//!
//! - Standard Webhooks 1.0.0 ("Signature scheme"): the key is the base64-decoded part after
//!   `whsec_`, the signed bytes are `id.timestamp.body`, the header lists `v1,<base64>` separated
//!   by spaces.
//! - Verbex v1: the key is the secret's whole text, the signed bytes are `t.body`, the header is
//!   `t=<seconds>,v1=<hex>[,v1=<hex>…]`.
//!
//! Both list one signature for each secret, in the order of
//! [`KeyRing::live`](super::key_ring::KeyRing::live).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signer::Signer;

/// Returns the parts of the bytes that Standard Webhooks signs: `id.timestamp.body`.
pub(super) fn standard_webhooks_parts<'a>(
    id: &'a [u8],
    timestamp: &'a [u8],
    body: &'a [u8],
) -> [&'a [u8]; 5] {
    [id, b".", timestamp, b".", body]
}

/// Returns the parts of the bytes that Verbex v1 signs: `t.body`.
pub(super) fn verbex_parts<'a>(timestamp: &'a [u8], body: &'a [u8]) -> [&'a [u8]; 3] {
    [timestamp, b".", body]
}

/// Returns the `webhook-signature` header of Standard Webhooks for an attempt to deliver the event
/// `id` at `timestamp` (Unix seconds).
#[must_use]
pub fn standard_webhooks(signers: &[Signer], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let mut header = String::with_capacity(signers.len() * 48);
    for signer in signers {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str("v1,");
        let parts = standard_webhooks_parts(id.as_bytes(), timestamp.as_bytes(), body);
        let signature = signer.sign(&parts);
        STANDARD.encode_string(signature, &mut header);
    }
    header
}

/// Returns the `X-Webhook-Signature` header of Verbex v1 for an attempt at `timestamp` (Unix
/// seconds).
#[must_use]
pub fn verbex(signers: &[Signer], timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let mut header = String::with_capacity(2 + timestamp.len() + signers.len() * 68);
    header.push_str("t=");
    header.push_str(&timestamp);
    for signer in signers {
        header.push_str(",v1=");
        // Written by hand, since `write!` costs more than the HMAC of a short message.
        for byte in signer.sign(&verbex_parts(timestamp.as_bytes(), body)) {
            for digit in [byte >> 4, byte & 0xf] {
                header.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Format, Secret};

    fn secret(byte: u8) -> Secret {
        Secret::from_bytes(&[byte; 30])
    }

    #[test]
    fn the_standard_webhooks_library_verifies_each_signature() {
        let secrets = [secret(1), secret(2)];
        let signers = secrets
            .each_ref()
            .map(|secret| secret.signer(Format::StandardWebhooks));
        let body = br#"{"hello":"world"}"#;
        // The library's `verify` would compare the timestamp with the wall clock; `sign` does not.
        let header = standard_webhooks(&signers, "evt_1", 1_700_000_000, body);
        assert_eq!(header.split(' ').count(), 2);
        for (secret, part) in secrets.iter().zip(header.split(' ')) {
            let oracle = standardwebhooks::Webhook::new(&secret.expose()).expect("a valid secret");
            let expected = oracle.sign("evt_1", 1_700_000_000, body).expect("signs");
            assert_eq!(part, expected);
        }
    }

    #[test]
    fn the_verbex_header_is_keyed_with_the_whole_text() {
        let signers = [secret(1), secret(2)].map(|secret| secret.signer(Format::Verbex));
        let header = verbex(&signers, 1_700_000_000, b"{}");
        // From: printf %s '1700000000.{}' | openssl dgst -sha256 -hmac "whsec_AQEB…" (each secret's
        // text)
        let by_openssl = [VERBEX_BY_OPENSSL_1, VERBEX_BY_OPENSSL_2];
        assert_eq!(
            header,
            format!("t=1700000000,v1={},v1={}", by_openssl[0], by_openssl[1])
        );
    }

    const VERBEX_BY_OPENSSL_1: &str =
        "7549c221e58104e3aa3d3a5d523ff43ca88805a6c19aff8f8ea94b3f2fce57b9";
    const VERBEX_BY_OPENSSL_2: &str =
        "b90a824f22976f005aa3c5b04a1b194d33b9606dddd069eb8ab4b48e9848730d";
}
