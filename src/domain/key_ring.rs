//! The key ring of an endpoint, and rotation as a pure function on it.
//!
//! This file holds the whole policy:
//!
//! 1. A key ring has exactly one current secret (I1). A new ring has one, and every change keeps
//!    one.
//! 2. A rotation with a grace period keeps the replaced secret live until `now + grace`, never
//!    longer and never shorter (I2). A later rotation does not change the expiry of retiring
//!    secrets.
//! 3. A secret is live while `now < expires_at`. Each read compares the two times itself; no
//!    background job is involved. Expired secrets are dropped when the ring changes.
//! 4. Secrets are in the order of the signatures (I3): the current one first, then the retiring
//!    ones, newest first.
//! 5. At most [`MAX_LIVE`] secrets are live at once. A rotation that would exceed this is refused.
//!    A rotation with grace period 0 adds none and is never refused.

use std::time::Duration;

use super::refusal::Refusal;
use super::secret::{Fingerprint, Secret};
use super::time::Timestamp;

/// The most secrets that may be live at once. Each live secret adds a signature to every delivery.
pub const MAX_LIVE: usize = 10;

/// A secret that signs until it is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// The secret.
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A replaced secret that signs until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// The secret.
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first instant at which it no longer signs.
    pub expires_at: Timestamp,
}

/// The secrets of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRing {
    current: Current,
    /// Newest first.
    retiring: Vec<Retiring>,
}

/// What a rotation did: all that an answer or a log line needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The new current secret.
    pub secret: Secret,
    /// The fingerprint of the secret that it replaced.
    pub previous: Fingerprint,
    /// When the replaced secret stops signing.
    pub previous_secret_expires_at: Timestamp,
}

/// A secret that is live at a given instant.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops signing: `None` for the current one.
    pub expires_at: Option<Timestamp>,
}

impl KeyRing {
    /// Makes a ring with one secret, created at `now`.
    #[must_use]
    pub fn new(secret: Secret, now: Timestamp) -> Self {
        Self {
            current: Current {
                secret,
                created_at: now,
            },
            retiring: Vec::new(),
        }
    }

    /// Returns the current secret.
    #[must_use]
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Makes the ring of stored secrets. `retiring` must be in the order of
    /// [`retiring`](Self::retiring).
    #[must_use]
    pub fn from_parts(current: Current, retiring: Vec<Retiring>) -> Self {
        Self { current, retiring }
    }

    /// Returns the replaced secrets, newest first. Those that expired since the last change are
    /// among them.
    #[must_use]
    pub fn retiring(&self) -> &[Retiring] {
        &self.retiring
    }

    /// Returns the secrets that sign at `now`, in the order of the signatures. There is always at
    /// least one.
    pub fn live(&self, now: Timestamp) -> impl Iterator<Item = Live<'_>> {
        let current = Live {
            secret: &self.current.secret,
            created_at: self.current.created_at,
            expires_at: None,
        };
        let retiring = self.live_retiring(now).map(|retiring| Live {
            secret: &retiring.secret,
            created_at: retiring.created_at,
            expires_at: Some(retiring.expires_at),
        });
        std::iter::once(current).chain(retiring)
    }

    /// Makes `fresh` the current secret and keeps the replaced secret live for `grace`.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyLiveSecrets`] when `grace` is not zero and [`MAX_LIVE`] secrets are live.
    pub fn rotate(
        &self,
        now: Timestamp,
        grace: Duration,
        fresh: Secret,
    ) -> Result<(Self, Rotation), Refusal> {
        let expires_at = now.plus(grace);
        let mut retiring = Vec::with_capacity(self.retiring.len() + 1);
        if now < expires_at {
            retiring.push(Retiring {
                secret: self.current.secret.clone(),
                created_at: self.current.created_at,
                expires_at,
            });
        }
        let replaced_stays = !retiring.is_empty();
        retiring.extend(self.live_retiring(now).cloned());

        if replaced_stays && 1 + retiring.len() > MAX_LIVE {
            // The first entry is the replaced secret, for which there is no room, so it does not
            // count.
            let next_expires_at = retiring[1..]
                .iter()
                .map(|retiring| retiring.expires_at)
                .min()
                .unwrap_or(expires_at);
            return Err(Refusal::TooManyLiveSecrets { next_expires_at });
        }

        let rotation = Rotation {
            secret: fresh.clone(),
            previous: self.current.secret.fingerprint(),
            previous_secret_expires_at: expires_at,
        };
        let ring = Self {
            current: Current {
                secret: fresh,
                created_at: now,
            },
            retiring,
        };
        Ok((ring, rotation))
    }

    /// Returns the ring without retiring secrets, so that only the current one signs.
    #[must_use]
    pub fn without_retiring(&self) -> Self {
        Self {
            current: self.current.clone(),
            retiring: Vec::new(),
        }
    }

    fn live_retiring(&self, now: Timestamp) -> impl Iterator<Item = &Retiring> {
        self.retiring
            .iter()
            .filter(move |retiring| now < retiring.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(number: u32) -> Secret {
        let mut bytes = [0; 30];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Secret::from_bytes(&bytes)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Rotate { grace: u64 },
        Revoke,
        Advance { millis: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => prop_oneof![Just(0), 1..100_u64, Just(86_400)].prop_map(|grace| Step::Rotate { grace }),
            1 => Just(Step::Revoke),
            3 => prop_oneof![Just(1), 1..200_000_u64].prop_map(|millis| Step::Advance { millis }),
        ];
        prop::collection::vec(step, 0..80)
    }

    proptest! {
        /// I1, I2, I3 and the cap against a model that remembers every secret ever made with the
        /// expiry that was answered for it, and forgets nothing.
        #[test]
        fn a_ring_agrees_with_the_list_of_answers(steps in steps()) {
            let mut now = Timestamp::from_millis(1_000_000);
            let mut ring = KeyRing::new(secret(0), now);
            let mut made = 0;
            // (secret, expiry), oldest first; the last is current.
            let mut answered: Vec<(Secret, Timestamp)> = vec![(secret(0), Timestamp::MAX)];
            for step in steps {
                match step {
                    Step::Rotate { grace } => {
                        made += 1;
                        let live = answered.iter().filter(|(_, expiry)| now < *expiry).count();
                        match ring.rotate(now, Duration::from_secs(grace), secret(made)) {
                            Ok((next, rotation)) => {
                                prop_assert!(grace == 0 || live < MAX_LIVE);
                                let expiry = now.plus(Duration::from_secs(grace));
                                prop_assert_eq!(rotation.previous_secret_expires_at, expiry);
                                let replaced = answered.last_mut().expect("never empty");
                                prop_assert_eq!(rotation.previous, replaced.0.fingerprint());
                                replaced.1 = expiry;
                                answered.push((secret(made), Timestamp::MAX));
                                ring = next;
                            }
                            Err(refusal) => {
                                prop_assert!(grace > 0 && live == MAX_LIVE);
                                let next = answered.iter().map(|(_, expiry)| *expiry)
                                    .filter(|expiry| now < *expiry).min();
                                let told = Refusal::TooManyLiveSecrets {
                                    next_expires_at: next.expect("some are live"),
                                };
                                prop_assert_eq!(refusal, told);
                            }
                        }
                    }
                    Step::Revoke => {
                        ring = ring.without_retiring();
                        let current = answered.pop().expect("never empty");
                        answered.clear();
                        answered.push(current);
                    }
                    Step::Advance { millis } => now = now.plus(Duration::from_millis(millis)),
                }
                let expected: Vec<&Secret> = answered.iter().rev()
                    .filter(|(_, expiry)| now < *expiry).map(|(secret, _)| secret).collect();
                let live: Vec<&Secret> = ring.live(now).map(|live| live.secret).collect();
                prop_assert_eq!(&live, &expected);
                prop_assert!(live.len() <= MAX_LIVE);
                prop_assert_eq!(live[0], &ring.current().secret);
            }
        }
    }

    #[test]
    fn a_secret_is_live_until_its_last_millisecond_and_not_at_its_expiry() {
        let start = Timestamp::from_millis(0);
        let ring = KeyRing::new(secret(0), start);
        let (ring, rotation) = ring
            .rotate(start, Duration::from_secs(1), secret(1))
            .expect("there is room");
        assert_eq!(rotation.previous_secret_expires_at.as_millis(), 1000);
        assert_eq!(ring.live(Timestamp::from_millis(999)).count(), 2);
        assert_eq!(ring.live(Timestamp::from_millis(1000)).count(), 1);
    }
}
