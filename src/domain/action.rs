//! What a committed change did, in the words of the product: for the log, and for whoever asks
//! later who did what.

use super::secret::Fingerprint;
use super::time::Timestamp;

/// One change, as it was committed. It names secrets by their fingerprints and holds none.
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
    /// The replaced secrets of an endpoint stopped signing before their time.
    SecretsRevoked,
    /// An event was stored with its deliveries.
    EventPublished,
    /// One more attempt of a delivery was asked for.
    DeliveryResent,
}
