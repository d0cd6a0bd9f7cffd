//! Why a sound request does not fit the state of things.

use super::time::Timestamp;

/// Why a decision was against a change. Nothing is written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The endpoint was made without signing, or signing was turned off: it has no key ring.
    #[error("signing is not enabled")]
    SigningDisabled,
    /// The rotation would make more than [`MAX_LIVE`](super::key_ring::MAX_LIVE) secrets live at
    /// once.
    #[error("too many live secrets; the next one expires at {next_expires_at}")]
    TooManyLiveSecrets {
        /// When the first of the retiring secrets expires, and a rotation fits again.
        next_expires_at: Timestamp,
    },
    /// The endpoint is disabled: nothing can be sent to it now.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
}
