//! Randomness: the one place where it enters the program (`clippy.toml` bans it elsewhere).

use std::cell::RefCell;

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{DeliveryId, EndpointId, EventId, Secret, Timestamp};

/// The operating system gave no random bytes. Nothing may be made up in their place.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system's random generator failed: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// A new signing secret, straight from the operating system's generator.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn secret() -> Result<Secret, NoRandomness> {
    let mut bytes = Zeroizing::new([0; crate::domain::secret::SECRET_BYTES]);
    fill(bytes.as_mut())?;
    Ok(Secret::from_bytes(&bytes))
}

/// 256 random bits for an API key or a master key.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn key() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(bytes.as_mut())?;
    Ok(bytes)
}

/// A number that none of the others is, and is no secret: at least 2^62, so that it is spelt in 8 bytes.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn number() -> Result<i64, NoRandomness> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(i64::from_ne_bytes(bytes) & i64::MAX | 1 << 62)
}

/// The bytes of a nonce: those of `XChaCha20`.
pub const NONCE_BYTES: usize = 24;

/// How many nonces a thread draws from the system at once. A call for one takes a sixth of the time of sealing a signing
/// secret; spread over these it is a twentieth, and more of them would hardly save more.
const NONCES_AT_ONCE: usize = 16;

/// Nonces that were drawn and not yet handed out. They need not be secret, only never the same.
struct Nonces {
    drawn: [u8; NONCE_BYTES * NONCES_AT_ONCE],
    /// How many of them, from the start, are left.
    left: usize,
}

thread_local! {
    static NONCES: RefCell<Nonces> = const {
        RefCell::new(Nonces { drawn: [0; NONCE_BYTES * NONCES_AT_ONCE], left: 0 })
    };
}

/// 192 random bits from the operating system's generator, handed out once. They must be unique; they need not be secret.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn nonce() -> Result<[u8; NONCE_BYTES], NoRandomness> {
    NONCES.with_borrow_mut(|nonces| {
        if nonces.left == 0 {
            fill(&mut nonces.drawn)?;
            nonces.left = NONCES_AT_ONCE;
        }
        nonces.left -= 1;
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&nonces.drawn[nonces.left * NONCE_BYTES..][..NONCE_BYTES]);
        Ok(nonce)
    })
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
    f64::from(correlation_id().as_fields().0) / f64::from(u32::MAX)
}

fn uuid() -> Result<Uuid, NoRandomness> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// A UUID that sorts by time (RFC 9562, version 7), with 74 random bits: what is made one after the other stands side by
/// side in an index on a disk, so that a commit of many writes few pages.
fn ordered_uuid(now: Timestamp) -> Result<Uuid, NoRandomness> {
    let mut bytes = [0; 10];
    fill(&mut bytes)?;
    let millis = u64::try_from(now.as_millis()).unwrap_or_default();
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
}

/// A new id in the Verbex v1 form: 24 hex digits.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn subscription_id() -> Result<EndpointId, NoRandomness> {
    let mut bytes = [0; 12];
    fill(&mut bytes)?;
    Ok(EndpointId::Object(bytes))
}

/// An id to find a request by, in a log. Not secret, and made for every request, so it comes from the
/// fast generator of the thread rather than from a system call.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where randomness enters the program"
)]
#[must_use]
pub fn correlation_id() -> Uuid {
    Uuid::new_v4()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where randomness enters the program"
)]
fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    Ok(getrandom::fill(bytes)?)
}
