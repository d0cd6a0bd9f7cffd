//! Rotating, listing and revoking signing secrets.

use std::time::Duration;

use super::{Caller, Error, Service};
use crate::domain::{
    Action, Endpoint, EndpointId, Fingerprint, Refusal, Rotation, TenantId, Timestamp,
};
use crate::idempotency::Answer;
use crate::random;
use crate::store::{Change, Committed};

/// What may be shown of a live secret: all but its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its public name.
    pub fingerprint: Fingerprint,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops signing: `None` for the current one.
    pub expires_at: Option<Timestamp>,
}

fn live_secrets(endpoint: &Endpoint, now: Timestamp) -> Result<Vec<SecretInfo>, Refusal> {
    let key_ring = endpoint.key_ring.as_ref().ok_or(Refusal::SigningDisabled)?;
    Ok(key_ring
        .live(now)
        .map(|live| SecretInfo {
            fingerprint: live.secret.fingerprint(),
            created_at: live.created_at,
            expires_at: live.expires_at,
        })
        .collect())
}

impl Service {
    /// Makes a new current secret and keeps the replaced one live for `grace`.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::SigningDisabled`], [`Error::TooManyLiveSecrets`],
    /// [`Error::IdempotencyKeyReused`] or [`Error::Internal`]; nothing has changed then.
    pub async fn rotate(
        &self,
        caller: Caller,
        id: EndpointId,
        grace: Duration,
        render: impl Fn(&Rotation) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let fresh = random::secret()?;
        let decide = move |endpoint: &Endpoint, now| {
            let key_ring = endpoint.key_ring.as_ref().ok_or(Refusal::SigningDisabled)?;
            let (key_ring, rotation) = key_ring.rotate(now, grace, fresh.clone())?;
            let rotated = Endpoint {
                key_ring: Some(key_ring),
                ..endpoint.clone()
            };
            let action = Action::SecretRotated {
                previous: rotation.previous,
                current: rotation.secret.fingerprint(),
                previous_secret_expires_at: rotation.previous_secret_expires_at,
            };
            Ok((Change::Replace(rotated), action, rotation))
        };
        let committed = self.update(caller, id, decide, render).await?;
        if let Some(Action::SecretRotated {
            previous,
            current,
            previous_secret_expires_at,
        }) = &committed.action
        {
            tracing::info!(
                endpoint = %id,
                %previous,
                %current,
                %previous_secret_expires_at,
                "signing secret rotated"
            );
        }
        Ok(committed)
    }

    /// Returns the live secrets of an endpoint, in the order of the signatures.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::SigningDisabled`] or [`Error::Internal`].
    pub async fn live_secrets(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Vec<SecretInfo>, Error> {
        let endpoint = self.endpoint(tenant, id).await?;
        live_secrets(&endpoint, self.now()).map_err(|_| Error::SigningDisabled)
    }

    /// Ends every retiring secret now. Repeating it changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::SigningDisabled`], [`Error::IdempotencyKeyReused`] or
    /// [`Error::Internal`]; nothing has changed then.
    pub async fn revoke_previous(
        &self,
        caller: Caller,
        id: EndpointId,
        render: impl Fn(&Vec<SecretInfo>) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let decide = |endpoint: &Endpoint, now| {
            let key_ring = endpoint.key_ring.as_ref().ok_or(Refusal::SigningDisabled)?;
            let revoked = Endpoint {
                key_ring: Some(key_ring.without_retiring()),
                ..endpoint.clone()
            };
            let left = live_secrets(&revoked, now)?;
            Ok((Change::Replace(revoked), Action::SecretsRevoked, left))
        };
        let committed = self.update(caller, id, decide, render).await?;
        if committed.action.is_some() {
            tracing::info!(endpoint = %id, "retiring signing secrets revoked");
        }
        Ok(committed)
    }
}
