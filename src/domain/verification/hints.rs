//! Finds the common mistake that explains why no signature matched.
//!
//! Each possible mistake is undone, and one HMAC shows whether a signature matches then. So a hint
//! is never a guess.

#[cfg(test)]
mod tests;

use super::digests::{Digests, signs};
use super::headers::{Parsed, values};
use super::names::WEBHOOK_ID;
use super::report::{BodyChange, Hint, Key, SignedBytes};
use super::rewrite::{self, Budget};
use super::secret::ReceiverSecret;
use super::undo::{decoded, line_ends};
use crate::domain::format::Format;
use crate::domain::signature::{standard_webhooks_parts, verbex_parts};
use crate::domain::signer::Signer;

/// The most bytes that are signed in the search for what happened to a body: about a tenth of a
/// second of work.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// The most texts that are tried in that search.
const MOST_TEXTS: usize = 12_000;

/// Returns every mistake that explains the failure; usually none or one.
pub(super) fn find(
    headers: &[(&str, &[u8])],
    body: &[u8],
    parsed: &Parsed<'_>,
    format: Format,
    digests: &Digests,
    secrets: &[ReceiverSecret],
) -> Vec<Hint> {
    let mut hints = what_came(headers, body);
    // A malformed secret has an error of its own, which says more.
    let signers: Vec<_> = (1..)
        .zip(secrets)
        .filter_map(|(secret, given)| Some((secret, given.signer(format)?)))
        .collect();
    let is_signed = |signer: &Signer, body: &[u8]| {
        digests.hold(&signs(signer, format, parsed.id, parsed.timestamp, body))
    };
    let mut search = Search {
        budget: Budget {
            bytes: MOST_BYTES / signers.len().max(1),
            texts: MOST_TEXTS / signers.len().max(1),
        },
        signed_by: |body: &[u8]| {
            let mut signers = signers.iter();
            signers.find_map(|(secret, signer)| is_signed(signer, body).then_some(*secret))
        },
    };
    hints.extend(
        search
            .changes(body)
            .into_iter()
            .map(|(changes, secret)| Hint::Body { secret, changes }),
    );
    for (secret, given) in (1..).zip(secrets) {
        hints.extend(
            other_ways(headers, body, parsed, format, digests, given)
                .map(|(key, bytes)| Hint::Signed { secret, key, bytes }),
        );
    }
    hints
}

/// Finds what shows without a secret that this body was not sent.
fn what_came(headers: &[(&str, &[u8])], body: &[u8]) -> Vec<Hint> {
    let mut hints = Vec::new();
    if body.is_empty() {
        hints.push(Hint::Empty);
    }
    if body.trim_ascii() == b"[object Object]" {
        hints.push(Hint::ObjectText);
    }
    let found = body.len() as u64;
    let mut stated = values(headers, "content-length");
    if let (Some(stated), None) = (stated.next(), stated.next())
        && let Some(stated) = str::from_utf8(stated)
            .ok()
            .and_then(|text| text.parse().ok())
        && stated != found
    {
        hints.push(Hint::Length { stated, found });
    }
    hints
}

/// A search for the body that was sent, within a budget.
struct Search<S> {
    budget: Budget,
    /// Returns the number of the secret that signed a body, if one did.
    signed_by: S,
}

impl<S: Fn(&[u8]) -> Option<usize>> Search<S> {
    /// Returns the changes that restore the body that was sent, with the secret that signed it. It
    /// tries single changes first, then pairs.
    fn changes(&mut self, body: &[u8]) -> Vec<(Vec<BodyChange>, usize)> {
        let decoded = decoded(body);
        let mut found = Vec::new();
        for (change, changed) in line_ends(body).iter().chain(&decoded) {
            if let Some(secret) = self.signed_by(changed) {
                found.push((vec![change.clone()], secret));
            }
        }
        if found.is_empty() {
            found.extend(self.rewrite(&[], body));
        }
        if found.is_empty() {
            for (change, changed) in &decoded {
                for (second, changed) in line_ends(changed) {
                    if let Some(secret) = self.signed_by(&changed) {
                        found.push((vec![change.clone(), second], secret));
                    }
                }
                if found.is_empty() {
                    found.extend(self.rewrite(std::slice::from_ref(change), changed));
                }
            }
        }
        found
    }

    fn signed_by(&mut self, body: &[u8]) -> Option<usize> {
        let is_affordable = self.budget.take(body.len());
        is_affordable.then(|| (self.signed_by)(body)).flatten()
    }

    /// Calls [`rewrite::find`] on a body that has the changes `before`.
    fn rewrite(&mut self, before: &[BodyChange], body: &[u8]) -> Option<(Vec<BodyChange>, usize)> {
        let (rewrite, secret) = rewrite::find(body, &mut self.budget, &self.signed_by)?;
        Some(([before, &[BodyChange::Json(rewrite)]].concat(), secret))
    }
}

/// Returns the other ways of signing by which this secret made one of the signatures.
fn other_ways<'a>(
    headers: &[(&'a str, &'a [u8])],
    body: &'a [u8],
    parsed: &Parsed<'a>,
    format: Format,
    digests: &'a Digests,
    given: &ReceiverSecret,
) -> impl Iterator<Item = (Key, SignedBytes)> + use<'a> {
    let timestamp = parsed.timestamp;
    let id = match format {
        Format::StandardWebhooks => parsed.id,
        Format::Verbex => values(headers, WEBHOOK_ID).next().unwrap_or_default(),
    };
    // A malformed secret has no keys.
    let keys = [
        (Key::Decoded, given.signer(Format::StandardWebhooks)),
        (Key::WholeText, given.signer(Format::Verbex)),
        (
            Key::Undecoded,
            given
                .malformed()
                .is_none()
                .then(|| given.undecoded_signer()),
        ),
    ];
    keys.into_iter()
        .filter_map(|(key, signer)| Some((key, signer?)))
        .flat_map(move |(key, signer)| {
            let ways = [
                (
                    SignedBytes::IdTimestampBody,
                    signer.sign(&standard_webhooks_parts(id, timestamp, body)),
                ),
                (
                    SignedBytes::TimestampBody,
                    signer.sign(&verbex_parts(timestamp, body)),
                ),
                (SignedBytes::Body, signer.sign(&[body])),
            ];
            let signed = ways.into_iter().filter(|(_, digest)| digests.hold(digest));
            signed
                .map(move |(bytes, _)| (key, bytes))
                .collect::<Vec<_>>()
        })
}
