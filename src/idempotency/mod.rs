//! Idempotency keys: one `Idempotency-Key`, one change, one answer (I5).
//!
//! [`key`] parses the key, and [`KeyUse`] binds it to a fingerprint of the request. The store does
//! the rest: **the commit of a change also writes the record of its answer**, and every commit
//! looks for that record before it changes anything. So there is no table of requests in flight, no
//! lock that a disconnected client could leave behind, and no instant at which a crash could
//! separate the change from its answer.
//!
//! When two requests have the same key, the second to reach the commit finds the record of the
//! first and gets the same answer. If the first was refused, there is no record, and the second
//! runs.

pub mod key;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
pub use key::{IdempotencyKey, InvalidKey};
use sha2::{Digest as _, Sha256};

/// How long an answer is kept after its commit: 24 hours.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Identifies the request for which a key was used: SHA-256 over method, path with query, and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFingerprint([u8; 32]);

impl RequestFingerprint {
    /// Returns the fingerprint of a request. Each part is hashed after its length, so that
    /// different requests are never the same bytes.
    #[must_use]
    pub fn of(method: &str, path_and_query: &str, body: &[u8]) -> Self {
        let mut digest = Sha256::new();
        for part in [method.as_bytes(), path_and_query.as_bytes(), body] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// Makes a fingerprint of stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// An idempotency key, with the request for which it is used.
#[derive(Clone, Debug)]
pub struct KeyUse {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// The fingerprint of the request that carried it.
    pub fingerprint: RequestFingerprint,
}

/// An answer as it is sent and kept: its status and its body, byte for byte.
///
/// `Debug` hides the body, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status: always 2xx, since nothing else is kept.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// A kept answer, with the fingerprint of its request.
#[derive(Clone, Debug)]
pub struct Record {
    /// The fingerprint of the request that was answered.
    pub fingerprint: RequestFingerprint,
    /// The answer.
    pub answer: Answer,
}

/// The key was used before for another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyReused;

impl Record {
    /// Returns the answer when `key_use` repeats the request that was answered.
    ///
    /// # Errors
    ///
    /// [`KeyReused`] when `key_use` is of another request.
    pub fn replay(self, key_use: &KeyUse) -> Result<Answer, KeyReused> {
        if self.fingerprint == key_use.fingerprint {
            Ok(self.answer)
        } else {
            Err(KeyReused)
        }
    }
}
