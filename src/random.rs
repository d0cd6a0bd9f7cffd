//! The only source of randomness in the program (`clippy.toml` bans others).
//!
//! Secrets and keys come directly from the operating system's generator. Nonces, ids and jitter,
//! which must only not repeat or be predictable, come from a generator in each thread that the
//! operating system seeds, since a system call for each would take longer than the work that needs
//! it.

use std::cell::RefCell;

use rand::rngs::{StdRng, SysError, SysRng};
use rand::{Rng as _, SeedableRng as _, TryRng as _};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{DeliveryId, EndpointId, EventId, Secret, Timestamp};

/// The operating system gave no random bytes. There is no substitute for them.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system's random generator failed: {0}")]
pub struct NoRandomness(#[from] SysError);

/// Makes a signing secret, directly from the operating system's generator.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn secret() -> Result<Secret, NoRandomness> {
    let mut bytes = Zeroizing::new([0; crate::domain::secret::SECRET_BYTES]);
    SysRng.try_fill_bytes(bytes.as_mut())?;
    Ok(Secret::from_bytes(&bytes))
}

/// Makes 256 random bits for an API key or a master key, directly from the operating system's
/// generator.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn key() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(bytes.as_mut())?;
    Ok(bytes)
}

/// Makes a unique number, which is not secret. It is at least 2^62, so that `SQLite` always stores
/// it in 8 bytes.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn number() -> Result<i64, NoRandomness> {
    Ok(i64::from_ne_bytes(bytes()?) & i64::MAX | 1 << 62)
}

/// The number of bytes in a nonce of `XChaCha20`.
pub const NONCE_BYTES: usize = 24;

/// Makes a nonce of 192 random bits, which must be unique but need not be secret.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn nonce() -> Result<[u8; NONCE_BYTES], NoRandomness> {
    bytes()
}

/// Makes an endpoint id of the 2026-03-01 form: `we_` and a random UUID (RFC 9562, version 4).
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn endpoint_id() -> Result<EndpointId, NoRandomness> {
    uuid().map(EndpointId::Uuid)
}

/// Makes the id of a delivery that is created at `now`. Ids sort by time.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn delivery_id(now: Timestamp) -> Result<DeliveryId, NoRandomness> {
    ordered_uuid(now).map(DeliveryId::from)
}

/// Makes the id of an event that is accepted at `now` without an id of the caller's. Ids sort by
/// time.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn event_id(now: Timestamp) -> Result<EventId, NoRandomness> {
    ordered_uuid(now).map(EventId::from)
}

/// Makes a random number from 0 to 1: how much of the jitter to add to a wait.
#[must_use]
pub fn jitter() -> f64 {
    let bytes = bytes().unwrap_or_default();
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

fn uuid() -> Result<Uuid, NoRandomness> {
    Ok(uuid::Builder::from_random_bytes(bytes()?).into_uuid())
}

/// Makes a UUID that sorts by time (RFC 9562, version 7), with 74 random bits. Ids that are made
/// one after the other are neighbours in an index on a disk, so that a commit of many writes few
/// pages.
fn ordered_uuid(now: Timestamp) -> Result<Uuid, NoRandomness> {
    let millis = u64::try_from(now.as_millis()).unwrap_or_default();
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &bytes()?).into_uuid())
}

/// Makes an endpoint id of the Verbex v1 form: 24 hex digits.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn subscription_id() -> Result<EndpointId, NoRandomness> {
    bytes().map(EndpointId::Object)
}

/// Makes an id by which to find a request in the log. It is not secret. It is all zeros when the
/// generator fails, so that the request does not fail.
#[must_use]
pub fn correlation_id() -> Uuid {
    uuid().unwrap_or_default()
}

thread_local! {
    /// Made at the first use.
    static GENERATOR: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Returns bytes from the thread's generator.
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
