//! Randomness: the one place where it enters the program (`clippy.toml` bans it elsewhere).

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{DeliveryId, EndpointId, EventId, Secret};

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

/// 256 random bits for an API key.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn key() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(bytes.as_mut())?;
    Ok(bytes)
}

/// A new id in the 2026-03-01 form: `we_` and a random UUID (RFC 9562, version 4).
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn endpoint_id() -> Result<EndpointId, NoRandomness> {
    uuid().map(EndpointId::Uuid)
}

/// A new id for a delivery.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn delivery_id() -> Result<DeliveryId, NoRandomness> {
    uuid().map(DeliveryId::from)
}

/// A new id for an event whose caller chose none.
///
/// # Errors
///
/// [`NoRandomness`] when the generator fails.
pub fn event_id() -> Result<EventId, NoRandomness> {
    uuid().map(EventId::from)
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
