//! The actions that callers take, as the log and the API name them.

use super::secret::Fingerprint;
use super::time::Timestamp;

/// What one committed change did. It names secrets by their fingerprints and holds none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An endpoint was created.
    EndpointCreated,
    /// The settings of an endpoint were changed.
    EndpointUpdated,
    /// An endpoint was deleted, with its secrets.
    EndpointDeleted,
    /// A new secret took the place of the current one.
    SecretRotated {
        /// The secret that was replaced.
        previous: Fingerprint,
        /// The new current secret.
        current: Fingerprint,
        /// When the replaced secret stops signing.
        previous_secret_expires_at: Timestamp,
    },
    /// The retiring secrets of an endpoint stopped signing before they expired.
    SecretsRevoked,
    /// An event was stored with its deliveries.
    EventPublished,
    /// A caller asked for one more attempt of a delivery.
    DeliveryResent,
}
