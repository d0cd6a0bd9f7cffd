//! Finds the secrets that signed a delivery, without using the code that signs.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use standardwebhooks::Webhook;

use crate::Received;

/// Returns the secrets among `known` that signed a delivery, in the order of its signatures, in
/// either format.
///
/// Panics when none of them made a signature, or when a receiver with the secret could not verify
/// the delivery.
pub fn signers<'a>(received: &Received, known: &'a [String]) -> Vec<&'a str> {
    if received.headers.contains_key("webhook-id") {
        standard(received, known)
    } else {
        verbex(received, known)
    }
}

fn standard<'a>(received: &Received, known: &'a [String]) -> Vec<&'a str> {
    let id = received.header("webhook-id");
    let timestamp = received.header("webhook-timestamp").parse();
    let timestamp: i64 = timestamp.expect("Unix seconds");
    let signatures = received.header("webhook-signature").split(' ');
    signatures
        .map(|signature| {
            let by = known.iter().find(|secret| {
                let holder = Webhook::new(secret).expect("a sound secret");
                let signed = holder.sign(id, timestamp, &received.body);
                signed.is_ok_and(|signed| signed == signature)
            });
            let by = by.unwrap_or_else(|| panic!("no known secret made a signature: {received:?}"));
            let holder = Webhook::new(by).expect("a sound secret");
            let verified = holder.verify(&received.body, &received.headers);
            verified.expect("the holder of a secret verifies it");
            by.as_str()
        })
        .collect()
}

fn verbex<'a>(received: &Received, known: &'a [String]) -> Vec<&'a str> {
    let header = received.header("x-webhook-signature");
    let mut parts = header.split(',');
    let timestamp = parts.next().and_then(|part| part.strip_prefix("t="));
    let timestamp = timestamp.expect("t= comes first");
    timestamp.parse::<u64>().expect("Unix seconds");
    parts
        .map(|part| {
            let signature = part.strip_prefix("v1=").expect("v1= follows");
            let by = known
                .iter()
                .find(|secret| hex_hmac(secret, timestamp, &received.body) == signature);
            by.unwrap_or_else(|| panic!("no known secret made a signature: {received:?}"))
                .as_str()
        })
        .collect()
}

fn hex_hmac(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    let mut mac = keyed.expect("any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

/// Returns the fingerprint of a secret, by which answers name it.
pub fn fingerprint(secret: &str) -> String {
    format!("sha256:{}", &hex(&Sha256::digest(secret))[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}
