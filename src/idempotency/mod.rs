//! One `Idempotency-Key`, one change, one answer (I5).
//!
//! The key is parsed here ([`key`]) and bound to the request it came with by a fingerprint
//! ([`KeyUse`]). Everything else is the store's: **the record of an answer is written by the commit
//! of the change that it answers**, and every commit looks for that record before it changes
//! anything. So there is no table of requests in flight, no lock that can stay behind a client that
//! went away, and no instant at which a crash could separate the change from its answer: of two
//! requests with one key, the second to reach the commit finds the record of the first and gets its
//! answer, or, where the first was refused, runs in its place.

pub mod key;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub use key::{IdempotencyKey, InvalidKey};

/// For how long an answer is remembered, from the commit that it answers: 24 hours.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// What a key was used for: SHA-256 over method, path with query, and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFingerprint([u8; 32]);

impl RequestFingerprint {
    /// The fingerprint of a request. Each part is preceded by its length, so that no two requests
    /// run together to the same bytes.
    #[must_use]
    pub fn of(method: &str, path_and_query: &str, body: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for part in [method.as_bytes(), path_and_query.as_bytes(), body] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// The fingerprint of these bytes, as a store kept them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A request's wish to be done once: its key and what it is used for.
#[derive(Clone, Debug)]
pub struct KeyUse {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// The request that came with it.
    pub fingerprint: RequestFingerprint,
}

/// An answer as it is sent and remembered: status and body, byte for byte.
///
/// `Debug` hides the body, which may carry a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status: always a 2xx, since nothing else is remembered.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// A remembered answer, with what it answered.
#[derive(Clone, Debug)]
pub struct Record {
    /// The request that was answered.
    pub fingerprint: RequestFingerprint,
    /// The answer.
    pub answer: Answer,
}

/// The key was used before, for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyReused;

impl Record {
    /// The answer, when `claim` is a repetition of the request that was answered.
    ///
    /// # Errors
    ///
    /// [`KeyReused`] when it is another request.
    pub fn replay(self, key_use: &KeyUse) -> Result<Answer, KeyReused> {
        if self.fingerprint == key_use.fingerprint {
            Ok(self.answer)
        } else {
            Err(KeyReused)
        }
    }
}
