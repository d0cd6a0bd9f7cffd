use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns whether a secret made the `X-Webhook-Signature`, at most `tolerance` seconds ago.
pub fn verify_verbex(signature: &str, body: &[u8], secrets: &[&str], tolerance: u64) -> bool {
    let (mut times, mut given) = (Vec::new(), Vec::new());
    for entry in signature.split(',') {
        match entry.split_once('=') {
            Some(("t", value)) => times.push(value),
            Some(("v1", value)) => given.extend(from_hex(value)),
            _ => {}
        }
    }
    let [time] = times[..] else { return false };
    let Ok(now) = SystemTime::UNIX_EPOCH.elapsed() else {
        return false;
    };
    let is_recent = |sent| now.as_secs().abs_diff(sent) <= tolerance;
    time.parse().is_ok_and(is_recent)
        && secrets.iter().any(|secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
            mac.update(&[time.as_bytes(), b".", body].concat());
            let is_by_it = |value: &Vec<u8>| mac.clone().verify_slice(value).is_ok();
            given.iter().any(is_by_it)
        })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(str::from_utf8);
    let bytes = pairs.map(|pair| u8::from_str_radix(pair.ok()?, 16).ok());
    bytes.collect()
}
