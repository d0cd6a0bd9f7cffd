//! Why a valid request is refused in the present state of the records.

use super::time::Timestamp;

/// Why a change is refused. Nothing is written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The endpoint has no key ring: it was created without signing, or signing was turned off.
    #[error("signing is not enabled")]
    SigningDisabled,
    /// The rotation would make more than [`MAX_LIVE`](super::key_ring::MAX_LIVE) secrets live at
    /// once.
    #[error("too many live secrets; the next one expires at {next_expires_at}")]
    TooManyLiveSecrets {
        /// When the first of the retiring secrets expires, which makes room for a rotation.
        next_expires_at: Timestamp,
    },
    /// The endpoint is disabled, so nothing can be sent to it.
    #[error("the endpoint is disabled")]
    EndpointDisabled,
}
