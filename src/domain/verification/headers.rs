//! Parses the signature headers of both formats from untrusted requests.
//!
//! - Standard Webhooks 1.0.0 ("Webhook headers"): `webhook-id`, `webhook-timestamp` and
//!   `webhook-signature`, a list of `scheme,base64` separated by single spaces.
//! - Verbex v1: `X-Webhook-Signature: t=<Unix seconds>,v1=<hex>[,v1=<hex>…]`.
//!
//! A malformed signature, or one of another scheme, is recorded and skipped, since Standard
//! Webhooks lets a sender add schemes that a receiver does not know. What is signed is parsed
//! strictly: the timestamp and the id are used as they were sent, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::names::{
    WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, X_WEBHOOK_EVENT, X_WEBHOOK_SIGNATURE,
    X_WEBHOOK_TRACEID,
};
use super::report::{Rejection, printable};
use crate::domain::format::Format;

/// The one scheme that both formats sign with today: HMAC-SHA256.
const V1: &str = "v1";

/// The most digits in a timestamp. They reach the year 5138, and are one fewer than a timestamp in
/// milliseconds has today.
const TIMESTAMP_DIGITS: usize = 11;

/// One entry of a signature header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Digest([u8; 32]),
    OtherScheme(String),
    Malformed(&'static str),
}

/// The parsed headers. When `failures` is empty, they hold everything that is needed to verify.
pub(super) struct Parsed<'a> {
    pub format: Option<Format>,
    /// Empty for Verbex v1, which does not sign an id.
    pub id: &'a [u8],
    /// As it was sent, and so as it was signed.
    pub timestamp: &'a [u8],
    pub seconds: Option<i64>,
    /// In the order of the header.
    pub marks: Vec<Mark>,
    pub failures: Vec<Rejection>,
}

/// Returns all values of a header. The case of names does not matter (RFC 9110, section 5.1).
pub(super) fn values<'a>(
    headers: &[(&'a str, &'a [u8])],
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

/// Recognises the format by its headers and parses them.
pub(super) fn parse<'a>(headers: &[(&'a str, &'a [u8])]) -> Parsed<'a> {
    let mut parsed = Parsed {
        format: None,
        id: b"",
        timestamp: b"",
        seconds: None,
        marks: Vec::new(),
        failures: Vec::new(),
    };
    let has = |name| values(headers, name).next().is_some();
    match (has(WEBHOOK_SIGNATURE), has(X_WEBHOOK_SIGNATURE)) {
        (true, true) => parsed.failures.push(Rejection::TwoFormats),
        (false, true) => {
            parsed.format = Some(Format::Verbex);
            verbex(headers, &mut parsed);
        }
        (standard, _) if standard || has(WEBHOOK_ID) || has(WEBHOOK_TIMESTAMP) => {
            parsed.format = Some(Format::StandardWebhooks);
            standard_webhooks(headers, &mut parsed);
        }
        _ => {
            // Not signed, but other headers may show the sender's format.
            let verbex = has(X_WEBHOOK_EVENT) || has(X_WEBHOOK_TRACEID);
            let format = verbex.then_some(Format::Verbex);
            parsed.format = format;
            parsed.failures.push(Rejection::NotSigned { format });
        }
    }
    parsed
}

fn standard_webhooks<'a>(headers: &[(&'a str, &'a [u8])], parsed: &mut Parsed<'a>) {
    if let Some(id) = one(headers, WEBHOOK_ID, parsed) {
        if id.is_empty() || !id.iter().all(u8::is_ascii_graphic) {
            parsed.malformed(WEBHOOK_ID, 1, "an id is one or more visible characters");
        } else if let Some(at) = id.iter().position(|byte| *byte == b'.') {
            // Otherwise "id.timestamp.body" could be split in two ways.
            parsed.malformed(WEBHOOK_ID, at + 1, "an id must not contain a full stop");
        } else {
            parsed.id = id;
        }
    }
    if let Some(text) = one(headers, WEBHOOK_TIMESTAMP, parsed) {
        match seconds(text) {
            Ok(seconds) => {
                parsed.timestamp = text;
                parsed.seconds = Some(seconds);
            }
            Err(problem) => parsed.malformed(WEBHOOK_TIMESTAMP, 1, problem),
        }
    }
    if let Some(list) = one(headers, WEBHOOK_SIGNATURE, parsed) {
        if list.is_empty() {
            parsed.malformed(WEBHOOK_SIGNATURE, 1, "it is empty");
            return;
        }
        let entries = entries(list, b' ');
        parsed.marks = entries
            .iter()
            .map(|(_, entry)| base64_mark(entry))
            .collect();
        parsed.judge_marks(WEBHOOK_SIGNATURE, &entries);
    }
}

fn verbex<'a>(headers: &[(&'a str, &'a [u8])], parsed: &mut Parsed<'a>) {
    let Some(list) = one(headers, X_WEBHOOK_SIGNATURE, parsed) else {
        return;
    };
    let mut signatures = Vec::new();
    for (at, entry) in entries(list, b',') {
        match entry.strip_prefix(b"t=") {
            None => {
                parsed.marks.push(hex_mark(entry));
                signatures.push((at, entry));
            }
            // With two, it would be unclear which one is signed.
            Some(_) if parsed.seconds.is_some() => {
                parsed.malformed(X_WEBHOOK_SIGNATURE, at, "t= comes twice");
            }
            Some(text) => match seconds(text) {
                Ok(seconds) => {
                    parsed.timestamp = text;
                    parsed.seconds = Some(seconds);
                }
                Err(problem) => parsed.malformed(X_WEBHOOK_SIGNATURE, at + 2, problem),
            },
        }
    }
    if parsed.seconds.is_none() && parsed.failures.is_empty() {
        let problem = "t=<Unix seconds> is missing";
        parsed.malformed(X_WEBHOOK_SIGNATURE, 1, problem);
    }
    if signatures.is_empty() {
        let at = list.len() + 1;
        parsed.malformed(X_WEBHOOK_SIGNATURE, at, "no v1=<hex> follows");
    } else {
        parsed.judge_marks(X_WEBHOOK_SIGNATURE, &signatures);
    }
}

impl Parsed<'_> {
    fn malformed(&mut self, header: &'static str, at: usize, problem: &'static str) {
        self.failures.push(Rejection::MalformedHeader {
            header,
            at,
            problem,
        });
    }

    /// Adds a failure when there is no signature to compare.
    fn judge_marks(&mut self, header: &'static str, entries: &[(usize, &[u8])]) {
        if self
            .marks
            .iter()
            .any(|mark| matches!(mark, Mark::Digest(_)))
        {
            return;
        }
        let broken = self
            .marks
            .iter()
            .zip(entries)
            .find_map(|(mark, (at, _))| match mark {
                Mark::Malformed(problem) => Some((*at, *problem)),
                _ => None,
            });
        if let Some((at, problem)) = broken {
            self.malformed(header, at, problem);
            return;
        }
        let mut schemes: Vec<String> = Vec::new();
        for mark in &self.marks {
            if let Mark::OtherScheme(scheme) = mark
                && !schemes.contains(scheme)
            {
                schemes.push(scheme.clone());
            }
        }
        self.failures.push(Rejection::UnknownScheme { schemes });
    }
}

/// Returns the value of a header that must come exactly once. A choice between two would be a
/// guess.
fn one<'a>(
    headers: &[(&'a str, &'a [u8])],
    name: &'static str,
    parsed: &mut Parsed<'_>,
) -> Option<&'a [u8]> {
    let mut values = values(headers, name);
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value),
        (Some(_), Some(_)) => {
            parsed
                .failures
                .push(Rejection::RepeatedHeader { header: name });
            None
        }
        (None, _) => {
            parsed
                .failures
                .push(Rejection::MissingHeader { header: name });
            None
        }
    }
}

/// Splits a list into its entries, each with the place of its first character, counted from 1.
fn entries(list: &[u8], separator: u8) -> Vec<(usize, &[u8])> {
    let mut at = 1;
    list.split(|byte| *byte == separator)
        .map(|entry| {
            let place = at;
            at += entry.len() + 1;
            (place, entry)
        })
        .collect()
}

/// Parses Unix seconds. Only one spelling is allowed, since the text is what is signed.
fn seconds(text: &[u8]) -> Result<i64, &'static str> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err("a timestamp is Unix seconds: digits only");
    }
    if text.len() > 1 && text[0] == b'0' {
        return Err("a timestamp has no leading zero");
    }
    if text.len() > TIMESTAMP_DIGITS {
        return Err("a timestamp is Unix seconds; this may be milliseconds");
    }
    Ok(text
        .iter()
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn base64_mark(entry: &[u8]) -> Mark {
    let Some((scheme, value)) = split_once(entry, b',') else {
        return Mark::Malformed("a signature is v1,<base64>, in a list separated by one space");
    };
    if scheme != V1.as_bytes() {
        return other_scheme(scheme);
    }
    match STANDARD.decode(value).map(<[u8; 32]>::try_from) {
        Ok(Ok(digest)) => Mark::Digest(digest),
        _ => Mark::Malformed("after v1, come 44 characters of base64, the last of them ="),
    }
}

fn hex_mark(entry: &[u8]) -> Mark {
    let Some((scheme, value)) = split_once(entry, b'=') else {
        return Mark::Malformed("an entry is t=<seconds> or v1=<hex>, separated by a comma alone");
    };
    if scheme != V1.as_bytes() {
        return other_scheme(scheme);
    }
    match lower_hex(value) {
        Some(digest) => Mark::Digest(digest),
        None => Mark::Malformed("after v1= come 64 hex digits in lower case"),
    }
}

fn other_scheme(scheme: &[u8]) -> Mark {
    let named = !scheme.is_empty() && scheme.iter().all(u8::is_ascii_alphanumeric);
    if named {
        Mark::OtherScheme(printable(scheme, 16))
    } else {
        Mark::Malformed("a signature starts with its scheme, such as v1")
    }
}

fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Parses lower-case hex only, as it is sent. Many receivers compare the text, and this must agree
/// with them.
fn lower_hex(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}
