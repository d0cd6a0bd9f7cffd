//! Verifies deliveries as a receiver does, and explains failures.
//!
//! It is the counterpart of [`signature`](super::signature), for both formats, which it recognises
//! by their headers. [`verify`] checks a request against any number of secrets, since a receiver
//! has several during a rotation, and finds out
//!
//! 1. which secret made which signature, and what the other signatures and secrets are;
//! 2. whether the attempt is recent, since a genuine but old one may be a replay (Standard Webhooks
//!    1.0.0, "Verifying signatures");
//! 3. when nothing matches, which common mistake explains it: a final line end, JSON that was
//!    parsed and written again, a body in another encoding, the key of the other format.
//!
//! Reports name secrets by their fingerprints. Signatures are compared in constant time, and the
//! time that it takes to explain a failure depends on nothing secret.

mod digests;
mod headers;
mod hints;
mod json;
mod names;
mod report;
mod rewrite;
mod secret;
#[cfg(test)]
mod tests;
mod undo;

use std::time::Duration;

use self::digests::{Digests, signs};
use self::headers::{Mark, Parsed, values};
pub use self::names::{
    WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, X_WEBHOOK_EVENT, X_WEBHOOK_SIGNATURE,
    X_WEBHOOK_TRACEID,
};
pub use self::report::{
    BodyChange, Difference, Hint, JsonWriter, Key, Rejection, Report, Rewrite, SecretOutcome,
    SecretReport, SignatureReport, SignedBytes, format_name, printable, span,
};
pub use self::secret::{KEY_BYTES, MalformedSecret, PREFIX, ReceiverSecret, is_invisible};
use super::format::Format;
use super::time::Timestamp;

/// How far a timestamp may be from the receiver's clock, in either direction, by default: five
/// minutes, as in the Standard Webhooks reference libraries.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// The most characters of an id that a report shows.
const SHOWN_ID: usize = 64;

/// Verifies one request: its `headers`, in any order and with names in any case, and its `body`, as
/// the bytes that came.
///
/// A `tolerance` of `None` ignores the age, for saved requests. The age is in whole seconds; an age
/// of exactly `tolerance` is accepted.
#[must_use]
pub fn verify(
    headers: &[(&str, &[u8])],
    body: &[u8],
    secrets: &[ReceiverSecret],
    now: Timestamp,
    tolerance: Option<Duration>,
) -> Report {
    let parsed = headers::parse(headers);
    let digests = Digests(parsed.marks.iter().map(digest_of).collect());
    let age = parsed
        .seconds
        .map(|seconds| now.unix_seconds().saturating_sub(seconds));

    let mut failures = parsed.failures.clone();
    if secrets.iter().all(|secret| secret.malformed().is_some()) {
        failures.push(Rejection::NoSecret);
    }
    // Only a request whose headers were parsed without failure has anything to compare.
    let format = parsed.format.filter(|_| parsed.failures.is_empty());
    let secret_reports: Vec<_> = secrets
        .iter()
        .map(|secret| SecretReport {
            fingerprint: secret.fingerprint(),
            outcome: outcome(secret, format, &parsed, body, &digests),
        })
        .collect();
    let matched = secret_reports
        .iter()
        .any(|secret| matches!(secret.outcome, SecretOutcome::Matched(_)));
    if let Some(format) = format
        && failures.is_empty()
        && !matched
    {
        let hints = hints::find(headers, body, &parsed, format, &digests, secrets);
        failures.push(Rejection::NoMatch { hints });
    }
    failures.extend(staleness(age, tolerance));

    Report {
        format: parsed.format,
        id: id(headers, &parsed),
        timestamp: parsed.seconds,
        age,
        signatures: signatures(&parsed, format, &secret_reports),
        secrets: secret_reports,
        failures,
    }
}

fn digest_of(mark: &Mark) -> Option<[u8; 32]> {
    match mark {
        Mark::Digest(digest) => Some(*digest),
        Mark::OtherScheme(_) | Mark::Malformed(_) => None,
    }
}

fn outcome(
    secret: &ReceiverSecret,
    format: Option<Format>,
    parsed: &Parsed<'_>,
    body: &[u8],
    digests: &Digests,
) -> SecretOutcome {
    if let Some(malformed) = secret.malformed() {
        return SecretOutcome::Malformed(malformed);
    }
    let Some((format, signer)) = format.and_then(|format| Some((format, secret.signer(format)?)))
    else {
        return SecretOutcome::NotTried;
    };
    let expected = signs(&signer, format, parsed.id, parsed.timestamp, body);
    match digests.matching(&expected) {
        numbers if numbers.is_empty() => SecretOutcome::NotMatched,
        numbers => SecretOutcome::Matched(numbers),
    }
}

fn signatures(
    parsed: &Parsed<'_>,
    tried: Option<Format>,
    secrets: &[SecretReport],
) -> Vec<SignatureReport> {
    let makers = |number: usize| -> Vec<usize> {
        (1..)
            .zip(secrets)
            .filter(|(_, secret)| match &secret.outcome {
                SecretOutcome::Matched(numbers) => numbers.contains(&number),
                _ => false,
            })
            .map(|(maker, _)| maker)
            .collect()
    };
    (1..)
        .zip(&parsed.marks)
        .map(|(number, mark)| match mark {
            Mark::OtherScheme(scheme) => SignatureReport::OtherScheme(scheme.clone()),
            Mark::Malformed(problem) => SignatureReport::Malformed(problem),
            Mark::Digest(_) if tried.is_none() => SignatureReport::NotTried,
            Mark::Digest(_) => match makers(number) {
                makers if makers.is_empty() => SignatureReport::NotMatched,
                makers => SignatureReport::Matched(makers),
            },
        })
        .collect()
}

fn staleness(age: Option<i64>, tolerance: Option<Duration>) -> Option<Rejection> {
    let (age, tolerance) = (age?, tolerance?);
    let distance = Duration::from_secs(age.unsigned_abs());
    if distance <= tolerance {
        None
    } else if age > 0 {
        Some(Rejection::TooOld {
            age: distance,
            tolerance,
        })
    } else {
        Some(Rejection::TooNew {
            ahead: distance,
            tolerance,
        })
    }
}

fn id(headers: &[(&str, &[u8])], parsed: &Parsed<'_>) -> Option<String> {
    let name = match parsed.format? {
        Format::StandardWebhooks => WEBHOOK_ID,
        Format::Verbex => X_WEBHOOK_TRACEID,
    };
    let id = values(headers, name).next()?;
    Some(printable(id, SHOWN_ID))
}
