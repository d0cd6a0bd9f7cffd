//! Which common mistake explains that no signature matched.
//!
//! Each guess is one HMAC away from being known: undo the mistake and see whether a signature
//! matches. So a hint is never a guess when it is told.

use std::borrow::Cow;

use super::headers::{Parsed, WEBHOOK_ID, values};
use super::report::{BodyChange, Hint, Key, SignedBytes};
use super::{Digests, ReceiverSecret, signs};
use crate::domain::endpoint::Format;
use crate::domain::signature::{standard_webhooks_parts, verbex_parts};

/// Every mistake that explains it; usually none or one.
pub(super) fn find(
    headers: &[(&str, &[u8])],
    body: &[u8],
    parsed: &Parsed<'_>,
    format: Format,
    digests: &Digests,
    secrets: &[ReceiverSecret],
) -> Vec<Hint> {
    let mut hints = Vec::new();
    for (secret, given) in (1..).zip(secrets) {
        // A malformed text is told as such, which says more.
        let Some(signer) = given.signer(format) else {
            continue;
        };
        for (change, body) in bodies(body) {
            if digests.hold(&signs(&signer, format, parsed.id, parsed.timestamp, &body)) {
                hints.push(Hint::Body { secret, change });
            }
        }
        let id = match format {
            Format::StandardWebhooks => parsed.id,
            Format::Verbex => values(headers, WEBHOOK_ID).next().unwrap_or_default(),
        };
        let keys = [
            (Key::Decoded, given.signer(Format::StandardWebhooks)),
            (Key::WholeText, given.signer(Format::Verbex)),
            (Key::Undecoded, Some(given.undecoded_signer())),
        ];
        for (key, signer) in keys {
            let Some(signer) = signer else { continue };
            let ways = [
                (
                    SignedBytes::IdTimestampBody,
                    signer.sign(&standard_webhooks_parts(id, parsed.timestamp, body)),
                ),
                (
                    SignedBytes::TimestampBody,
                    signer.sign(&verbex_parts(parsed.timestamp, body)),
                ),
                (SignedBytes::Body, signer.sign(&[body])),
            ];
            for (bytes, digest) in ways {
                if digests.hold(&digest) {
                    hints.push(Hint::Signed { secret, key, bytes });
                }
            }
        }
    }
    hints
}

/// The bodies that may have been sent, where `body` is what became of it.
fn bodies(body: &[u8]) -> impl Iterator<Item = (BodyChange, Cow<'_, [u8]>)> {
    let trimmed = body
        .strip_suffix(b"\r\n")
        .or_else(|| body.strip_suffix(b"\n"));
    let marked = body.strip_prefix(b"\xef\xbb\xbf");
    let lines = body.contains(&b'\n');
    [
        trimmed.map(|body| (BodyChange::WithoutFinalNewline, Cow::Borrowed(body))),
        Some((
            BodyChange::WithFinalNewline,
            Cow::Owned([body, b"\n"].concat()),
        )),
        lines.then(|| (BodyChange::CrlfForLf, Cow::Owned(with_crlf(body)))),
        lines.then(|| (BodyChange::LfForCrlf, Cow::Owned(with_lf(body)))),
        marked.map(|body| (BodyChange::WithoutByteOrderMark, Cow::Borrowed(body))),
        minified(body).map(|body| (BodyChange::Minified, Cow::Owned(body))),
    ]
    .into_iter()
    .flatten()
    .filter(move |(change, changed)| {
        // A final line end that is all the space there is has been tried already.
        let again = *change == BodyChange::Minified && Some(&**changed) == trimmed;
        **changed != *body && !again
    })
}

fn with_lf(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len());
    for (place, byte) in body.iter().enumerate() {
        if *byte != b'\r' || body.get(place + 1) != Some(&b'\n') {
            lines.push(*byte);
        }
    }
    lines
}

fn with_crlf(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len() + body.len() / 16);
    for byte in with_lf(body) {
        if byte == b'\n' {
            lines.push(b'\r');
        }
        lines.push(byte);
    }
    lines
}

/// A JSON object or array without the space between its tokens. Written anew from a parsed value,
/// members could change their order and numbers their form; taking the space out changes nothing else.
/// Whether the rest is JSON does not matter: the signature says whether this is what was sent.
fn minified(body: &[u8]) -> Option<Vec<u8>> {
    if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut tokens = Vec::with_capacity(body.len());
    let (mut in_string, mut escaped) = (false, false);
    for byte in body {
        if !in_string && matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        if *byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && *byte == b'\\' && !escaped;
        tokens.push(*byte);
    }
    Some(tokens)
}
