//! Reading and resending deliveries.

use super::{Caller, Error, Service};
use crate::domain::{Action, Delivery, DeliveryId, DeliveryStatus, EndpointId, TenantId};
use crate::idempotency::Answer;
use crate::store::{Committed, Decision, Page, Write};

impl Service {
    /// Returns one delivery of the tenant.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`] or [`Error::Internal`].
    pub async fn delivery(&self, tenant: &TenantId, id: DeliveryId) -> Result<Delivery, Error> {
        let delivery = self.store.delivery(tenant, id).await?;
        delivery.ok_or(Error::DeliveryNotFound)
    }

    /// Returns a page of an endpoint's deliveries, newest first, that starts after the delivery
    /// `after`.
    ///
    /// # Errors
    ///
    /// [`Error::EndpointNotFound`], [`Error::InvalidCursor`] or [`Error::Internal`].
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Page<Delivery>, Error> {
        self.endpoint(tenant, endpoint).await?;
        let page = self
            .store
            .deliveries(tenant, endpoint, status, after, limit);
        page.await?.ok_or(Error::InvalidCursor)
    }

    /// Makes one more attempt of a delivery due now.
    ///
    /// # Errors
    ///
    /// [`Error::DeliveryNotFound`], [`Error::EndpointNotFound`] when its endpoint was deleted,
    /// [`Error::EndpointDisabled`], [`Error::IdempotencyKeyReused`] or [`Error::Internal`]; nothing
    /// has changed then.
    pub async fn resend(
        &self,
        caller: Caller,
        id: DeliveryId,
        render: impl Fn(&Delivery) -> Answer + Send + Sync + 'static,
    ) -> Result<Committed, Error> {
        let decide = move |delivery: &Delivery, is_in_flight, now| {
            let resent = delivery.resend(now, is_in_flight);
            Ok(Decision {
                answer: render(&resent),
                action: Some(Action::DeliveryResent),
                write: resent,
            })
        };
        let write = Write::UpdateDelivery(id, Box::new(decide));
        let committed = self.store.commit(&caller.tenant, caller.key_use, write);
        Ok(committed.await?)
    }
}
