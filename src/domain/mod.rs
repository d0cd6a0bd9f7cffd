//! The rules of Hookturn as pure values and functions, without HTTP, runtime or database.
//!
//! Read [`secret`] first, then [`key_ring`] (rotation), [`signature`] (signing a delivery),
//! [`verification`] (verifying one), and [`delivery`] and [`retry`] (the states of a delivery).
//! [`data_digest`] decides whether two events are the same, and [`action`] names what a change did.
//! The rest ([`endpoint`], [`event`], [`format`](mod@format), [`id`], [`refusal`], [`signer`],
//! [`time`]) are the types that those use.

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
pub use delivery::{Attempt, Delivery, DeliveryStatus, FailureReason, Verdict};
pub use endpoint::{Endpoint, HeaderEntry, Settings};
pub use event::{Event, EventHead, EventPattern};
pub use format::Format;
pub use id::{DeliveryId, EndpointId, EventId, TenantId, TraceId};
pub use key_ring::{KeyRing, Rotation};
pub use refusal::Refusal;
pub use secret::{Fingerprint, Secret};
pub use time::Timestamp;
