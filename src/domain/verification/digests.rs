//! The signatures of a request, and the signature that it should have.

use subtle::ConstantTimeEq as _;

use crate::domain::format::Format;
use crate::domain::signature::{standard_webhooks_parts, verbex_parts};
use crate::domain::signer::Signer;

/// The `v1` signatures of a request, with `None` for each other entry of the header.
pub(super) struct Digests(pub Vec<Option<[u8; 32]>>);

impl Digests {
    /// Returns the numbers, from 1, of the signatures that equal `expected`. All are compared, each
    /// in constant time, so that the time does not show how much of a signature was right (Standard
    /// Webhooks 1.0.0, "Verifying signatures").
    pub fn matching(&self, expected: &[u8; 32]) -> Vec<usize> {
        (1..)
            .zip(&self.0)
            .filter(|(_, digest)| digest.is_some_and(|digest| digest.ct_eq(expected).into()))
            .map(|(number, _)| number)
            .collect()
    }

    /// Returns whether one of the signatures equals `expected`.
    pub fn hold(&self, expected: &[u8; 32]) -> bool {
        !self.matching(expected).is_empty()
    }
}

/// Returns the signature that a sender of `format` makes.
pub(super) fn signs(
    signer: &Signer,
    format: Format,
    id: &[u8],
    timestamp: &[u8],
    body: &[u8],
) -> [u8; 32] {
    match format {
        Format::StandardWebhooks => signer.sign(&standard_webhooks_parts(id, timestamp, body)),
        Format::Verbex => signer.sign(&verbex_parts(timestamp, body)),
    }
}
