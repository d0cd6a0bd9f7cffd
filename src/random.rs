//! Randomness: the one place where it enters the program (`clippy.toml` bans it elsewhere).
//!
//! Secrets and keys come straight from the operating system. What must only never repeat or be
//! foreseen (nonces, ids, jitter) comes from a generator of the thread, which the operating system
//! seeds: a call of the system for each would take longer than what it is needed for.

use std::cell::RefCell;

use rand::rngs::{StdRng, SysError, SysRng};
use rand::{Rng as _, SeedableRng as _, TryRng as _};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{DeliveryId, EndpointId, EventId, Secret, Timestamp};

/// The operating system gave no random bytes. Nothing may be made up in their place.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system's random generator failed: {0}")]
pub struct NoRandomness(#[from] SysError);

/// A new signing secret, straight from the operating system's generator.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn secret() -> Result<Secret, NoRandomness> {
    let mut bytes = Zeroizing::new([0; crate::domain::secret::SECRET_BYTES]);
    SysRng.try_fill_bytes(bytes.as_mut())?;
    Ok(Secret::from_bytes(&bytes))
}

/// 256 random bits for an API key or a master key.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn key() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(bytes.as_mut())?;
    Ok(bytes)
}

/// A number that none of the others is, and is no secret: at least 2^62, so that it is spelt in 8
/// bytes.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn number() -> Result<i64, NoRandomness> {
    Ok(i64::from_ne_bytes(bytes()?) & i64::MAX | 1 << 62)
}

/// The bytes of a nonce: those of `XChaCha20`.
pub const NONCE_BYTES: usize = 24;

/// 192 random bits. They must be unique; they need not be secret.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn nonce() -> Result<[u8; NONCE_BYTES], NoRandomness> {
    bytes()
}

/// A new id in the 2026-03-01 form: `we_` and a random UUID (RFC 9562, version 4).
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn endpoint_id() -> Result<EndpointId, NoRandomness> {
    uuid().map(EndpointId::Uuid)
}

/// A new id for a delivery that is created at `now`: one that sorts by time.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn delivery_id(now: Timestamp) -> Result<DeliveryId, NoRandomness> {
    ordered_uuid(now).map(DeliveryId::from)
}

/// A new id for an event whose caller chose none, accepted at `now`: one that sorts by time.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn event_id(now: Timestamp) -> Result<EventId, NoRandomness> {
    ordered_uuid(now).map(EventId::from)
}

/// From 0 to 1: how much of the jitter to add to a wait. Need not be secret.
#[must_use]
pub fn jitter() -> f64 {
    let bytes = bytes().unwrap_or_default();
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

fn uuid() -> Result<Uuid, NoRandomness> {
    Ok(uuid::Builder::from_random_bytes(bytes()?).into_uuid())
}

/// A UUID that sorts by time (RFC 9562, version 7), with 74 random bits: what is made one after the
/// other stands side by side in an index on a disk, so that a commit of many writes few pages.
fn ordered_uuid(now: Timestamp) -> Result<Uuid, NoRandomness> {
    let millis = u64::try_from(now.as_millis()).unwrap_or_default();
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &bytes()?).into_uuid())
}

/// A new id in the Verbex v1 form: 24 hex digits.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn subscription_id() -> Result<EndpointId, NoRandomness> {
    bytes().map(EndpointId::Object)
}

/// An id to find a request by, in a log. Not secret; all zeros when the generator fails, so that a
/// request does not.
#[must_use]
pub fn correlation_id() -> Uuid {
    uuid().unwrap_or_default()
}

thread_local! {
    /// Made when it is first used.
    static GENERATOR: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Bytes from the generator of the thread.
fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    GENERATOR.with_borrow_mut(|generator| {
        let generator = match generator {
            Some(generator) => generator,
            None => generator.insert(StdRng::try_from_rng(&mut SysRng)?),
        };
        let mut bytes = [0; N];
        generator.fill_bytes(&mut bytes);
        Ok(bytes)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_drawn_twice_by_any_thread() {
        let drawn = |_| thread::spawn(|| (0..1000).map(|_| nonce().expect("a nonce")).collect());
        let threads: Vec<thread::JoinHandle<Vec<_>>> = (0..4).map(drawn).collect();
        let drawn = threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"));
        assert_eq!(drawn.collect::<HashSet<_>>().len(), 4000);
        let secrets: HashSet<_> = (0..1000)
            .map(|_| secret().expect("a secret").as_bytes().to_vec())
            .collect();
        assert_eq!(secrets.len(), 1000);
    }

    #[test]
    fn jitter_spreads_from_0_to_1() {
        let drawn: Vec<f64> = (0..1000).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|jitter| (0.0..=1.0).contains(jitter)));
        assert!(
            drawn.iter().any(|jitter| *jitter < 0.1) && drawn.iter().any(|jitter| *jitter > 0.9)
        );
    }
}
