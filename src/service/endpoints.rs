//! Creating, reading, changing and deleting endpoints.

use std::sync::Arc;

use super::{Caller, Error, Service};
use crate::domain::{
    Action, Endpoint, EndpointId, EventPattern, Format, KeyRing, Secret, Settings, TenantId,
};
use crate::idempotency::Answer;
use crate::random;
use crate::store::{Change, Committed, Page};

/// The settings of an endpoint to change. `None` leaves a setting as it is.
#[derive(Clone, Debug, Default)]
pub struct SettingsPatch {
    /// A new URL.
    pub url: Option<Box<str>>,
    /// New event patterns.
    pub events: Option<Box<[EventPattern]>>,
    /// A new description; `Some(None)` removes it.
    pub description: Option<Option<Box<str>>>,
    /// Whether deliveries are made.
    pub active: Option<bool>,
}

impl SettingsPatch {
    fn apply(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        if let Some(url) = &self.url {
            settings.url.clone_from(url);
        }
        if let Some(events) = &self.events {
            settings.events.clone_from(events);
        }
        if let Some(description) = &self.description {
            settings.description.clone_from(description);
        }
        if let Some(active) = self.active {
            settings.active = active;
        }
        settings
    }
}

impl Service {
    /// Creates an endpoint, with a first secret when `signing` is true.
    ///
    /// # Errors
    ///
    /// [`Error::NameTaken`], [`Error::IdempotencyKeyReused`] or [`Error::Internal`]; nothing has
    /// been created then.
    pub async fn create_endpoint(
        &self,
        caller: Caller,
        format: Format,
        settings: Settings,
        signing: bool,
        render: impl Fn(&Endpoint, Option<&Secret>) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let secret = signing.then(random::secret).transpose()?;
        let id = match format {
            Format::StandardWebhooks => random::endpoint_id()?,
            Format::Verbex => random::subscription_id()?,
        };
        let settings = Arc::new(settings);
        let decide = move |now| Endpoint {
            id,
            format,
            created_at: now,
            updated_at: now,
            settings: Arc::clone(&settings),
            key_ring: secret.clone().map(|secret| KeyRing::new(secret, now)),
        };
        let render = move |endpoint: &Endpoint| {
            let key_ring = endpoint.key_ring.as_ref();
            render(endpoint, key_ring.map(|ring| &ring.current().secret))
        };
        self.create(caller, decide, render).await
    }

    /// Returns one endpoint of the tenant.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`] or [`Error::Internal`].
    pub async fn endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<Endpoint, Error> {
        let endpoint = self.store.endpoint(tenant, id).await?;
        endpoint.ok_or(Error::EndpointNotFound)
    }

    /// Returns a page of the tenant's endpoints, newest first, that starts after the endpoint
    /// `after`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCursor`] or [`Error::Internal`].
    pub async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Page<Endpoint>, Error> {
        let page = self.store.endpoints(tenant, after, limit).await?;
        page.ok_or(Error::InvalidCursor)
    }

    /// Changes some settings of an endpoint.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::IdempotencyKeyReused`] or [`Error::Internal`]; nothing
    /// has changed then.
    pub async fn patch_endpoint(
        &self,
        caller: Caller,
        id: EndpointId,
        patch: SettingsPatch,
        render: impl Fn(&Endpoint) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let decide = move |endpoint: &Endpoint, now| {
            let patched = Endpoint {
                updated_at: now,
                settings: Arc::new(patch.apply(&endpoint.settings)),
                ..endpoint.clone()
            };
            let change = Change::Replace(patched.clone());
            Ok((change, Action::EndpointUpdated, patched))
        };
        self.update(caller, id, decide, render).await
    }

    /// Replaces the settings of an endpoint. Turning signing on makes a first secret, turning it
    /// off drops the key ring, and leaving it on keeps the key ring.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::NameTaken`], [`Error::IdempotencyKeyReused`] or
    /// [`Error::Internal`]; nothing has changed then.
    pub async fn replace_endpoint(
        &self,
        caller: Caller,
        id: EndpointId,
        settings: Settings,
        signing: bool,
        render: impl Fn(&Endpoint, Option<&Secret>) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        // Made before it is known whether it is needed, since making it can fail and the decision
        // cannot.
        let fresh = random::secret()?;
        let settings = Arc::new(settings);
        let decide = move |endpoint: &Endpoint, now| {
            let (key_ring, issued) = match (&endpoint.key_ring, signing) {
                (_, false) => (None, None),
                (Some(key_ring), true) => (Some(key_ring.clone()), None),
                (None, true) => (Some(KeyRing::new(fresh.clone(), now)), Some(fresh.clone())),
            };
            let replaced = Endpoint {
                updated_at: now,
                settings: Arc::clone(&settings),
                key_ring,
                ..endpoint.clone()
            };
            let change = Change::Replace(replaced.clone());
            Ok((change, Action::EndpointUpdated, (replaced, issued)))
        };
        let render = move |(endpoint, issued): &(Endpoint, Option<Secret>)| {
            render(endpoint, issued.as_ref())
        };
        self.update(caller, id, decide, render).await
    }

    /// Deletes an endpoint with its secrets.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`] or [`Error::Internal`].
    pub async fn delete_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<(), Error> {
        let caller = Caller {
            tenant: tenant.clone(),
            key_use: None,
        };
        let decide = |_: &Endpoint, _| Ok((Change::Delete, Action::EndpointDeleted, ()));
        let render = |(): &()| Answer {
            status: 204,
            body: bytes::Bytes::new(),
        };
        self.update(caller, id, decide, render).await?;
        Ok(())
    }
}
