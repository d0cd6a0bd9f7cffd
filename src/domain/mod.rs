//! The rules of the product as pure values and functions: no HTTP, no runtime, no database.
//!
//! Read [`secret`] first (what a signing secret is), then [`key_ring`] (what a rotation does to the
//! secrets of an endpoint), then [`signature`] (what the live secrets do to a delivery) and
//! [`verification`] (what a receiver makes of it). The rest
//! ([`endpoint`], [`event`], [`id`], [`time`]) are the nouns those need.

pub mod endpoint;
pub mod event;
pub mod id;
pub mod key_ring;
pub mod secret;
pub mod signature;
pub mod time;
pub mod verification;

pub use endpoint::{Endpoint, Format, HeaderEntry, Settings};
pub use event::EventPattern;
pub use id::{EndpointId, TenantId};
pub use key_ring::{KeyRing, Refusal, Rotation};
pub use secret::{Fingerprint, Secret};
pub use time::Timestamp;
