//! The rules of the product as pure values and functions: no HTTP, no runtime, no database.
//!
//! Read [`secret`] first (what a signing secret is), then [`key_ring`] (what a rotation does to the
//! secrets of an endpoint), then [`signature`] (what the live secrets do to a delivery) and
//! [`verification`] (what a receiver makes of it), then [`delivery`] and [`retry`] (what becomes of
//! a delivery). [`data_digest`] says when two events are one, [`action`] what a change did. The
//! rest ([`endpoint`], [`event`], [`format`](mod@format), [`id`], [`refusal`], [`signer`],
//! [`time`]) are the nouns those need.

pub mod action;
pub mod data_digest;
pub mod delivery;
pub mod endpoint;
pub mod event;
pub mod format;
pub mod id;
pub mod key_ring;
pub mod refusal;
pub mod retry;
pub mod secret;
pub mod signature;
pub mod signer;
pub mod time;
pub mod verification;

pub use action::Action;
pub use delivery::{Attempt, Delivery, DeliveryStatus, Verdict};
pub use endpoint::{Endpoint, HeaderEntry, Settings};
pub use event::{Event, EventPattern};
pub use format::Format;
pub use id::{DeliveryId, EndpointId, EventId, TenantId, TraceId};
pub use key_ring::{KeyRing, Rotation};
pub use refusal::Refusal;
pub use secret::{Fingerprint, Secret};
pub use time::Timestamp;
