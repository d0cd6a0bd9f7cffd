//! Writing events, their deliveries, and what becomes of them.

use std::sync::Arc;

use super::fault::Fault;
use super::rows::{self, DeliveryRow};
use super::sql;
use super::view::{Events, Tenant};
use super::writer::Writer;
use crate::domain::{Delivery, DeliveryId, EndpointId, Event, Refusal, TenantId, Timestamp};
use crate::idempotency::Answer;
use crate::random;
use crate::store::seal::{Kind, Place};
use crate::store::{
    Audience, CommitError, Publish, Published, ReceiverState, Settle, UpdateDelivery,
};

impl Writer {
    /// Stores an event with its deliveries, unless it was published before.
    pub fn publish(
        &mut self,
        tenant: &Tenant,
        publish: Publish,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let audience = match publish.audience {
            Audience::Subscribers => self.subscribers(tenant, &publish.event_type)?,
            Audience::Endpoint(id) => vec![(self.active_endpoint(tenant, id)?, id)],
        };
        let now = self.clock.now();
        if let Some((first, deliveries)) = self.published(tenant, &publish, now)? {
            if !first.is_same(&publish.event_type, &publish.data) {
                return Err(CommitError::EventIdReused);
            }
            let published = Published {
                event: Arc::new(first),
                deliveries,
                delivery: None,
            };
            return Ok((now, (publish.answer)(&published)));
        }
        let event = Arc::new(Event {
            id: publish.id,
            event_type: publish.event_type,
            data: publish.data,
            trace_id: publish.trace_id,
            created_at: now,
        });
        let deliveries = audience
            .iter()
            .map(|(_, endpoint)| {
                let id = random::delivery_id(now)?;
                Ok(Delivery::new(id, *endpoint, Arc::clone(&event), now))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let published = Published {
            event: Arc::clone(&event),
            deliveries: deliveries.len(),
            delivery: deliveries.first().cloned(),
        };
        let answer = (publish.answer)(&published);
        let number = self.insert_event(tenant, &event, deliveries.len())?;
        for ((endpoint, _), delivery) in audience.iter().zip(&deliveries) {
            self.insert_delivery(tenant, *endpoint, number, delivery)?;
            self.turns.touch(*endpoint);
        }
        Ok((now, answer))
    }

    fn published(
        &self,
        tenant: &Tenant,
        publish: &Publish,
        now: Timestamp,
    ) -> Result<Option<(Event, usize)>, Fault> {
        let since = now.minus(self.limits.retention).as_millis();
        let number: Option<i64> = self.view().row(
            sql::PUBLISHED,
            &[&tenant.number, &publish.id.as_str(), &since],
            |row| Ok(row.get(0)?),
        )?;
        match number {
            Some(number) => self.view().event(&tenant.id, number),
            None => Ok(None),
        }
    }

    /// The number of an endpoint that is there and active.
    fn active_endpoint(&self, tenant: &Tenant, id: EndpointId) -> Result<i64, CommitError> {
        let id = rows::endpoint_id_bytes(&id);
        let found: Option<(i64, bool)> =
            self.view()
                .row(sql::ENDPOINT_NUMBER, &[&tenant.number, &id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
        match found {
            Some((number, true)) => Ok(number),
            Some((_, false)) => Err(Refusal::EndpointDisabled.into()),
            None => Err(CommitError::NotFound),
        }
    }

    fn insert_event(
        &self,
        tenant: &Tenant,
        event: &Event,
        deliveries: usize,
    ) -> Result<i64, Fault> {
        let place = Place {
            kind: Kind::Event,
            tenant: tenant.id.as_str(),
            record: event.id.as_str().as_bytes(),
        };
        let sealed = self.keys.seal(&place, event.data.as_bytes())?;
        self.db.prepare_cached(sql::ADD_EVENT)?.execute((
            tenant.number,
            event.id.as_str(),
            &event.event_type,
            event.trace_id.bits().to_be_bytes(),
            event.created_at.as_millis(),
            deliveries,
            sealed,
        ))?;
        Ok(self.db.last_insert_rowid())
    }

    fn insert_delivery(
        &self,
        tenant: &Tenant,
        endpoint: i64,
        event: i64,
        delivery: &Delivery,
    ) -> Result<(), Fault> {
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        self.db.prepare_cached(sql::ADD_DELIVERY)?.execute((
            tenant.number,
            delivery.id.as_uuid().as_bytes(),
            endpoint,
            rows::endpoint_id_bytes(&delivery.endpoint_id),
            event,
            rows::status_to_number(delivery.status),
            delivery.created_at.as_millis(),
            millis(delivery.next_attempt_at),
            millis(delivery.finished_at),
            millis(delivery.scheduled_at),
            delivery.failures,
            delivery.is_last_attempt,
            delivery.is_resend_wanted,
            rows::attempts_to_text(&delivery.attempts)?,
        ))?;
        Ok(())
    }

    fn set_delivery(&self, number: i64, delivery: &Delivery) -> Result<(), Fault> {
        let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
        self.db.prepare_cached(sql::SET_DELIVERY)?.execute((
            number,
            rows::status_to_number(delivery.status),
            millis(delivery.next_attempt_at),
            millis(delivery.finished_at),
            millis(delivery.scheduled_at),
            delivery.failures,
            delivery.is_last_attempt,
            delivery.is_resend_wanted,
            rows::attempts_to_text(&delivery.attempts)?,
        ))?;
        Ok(())
    }

    /// The delivery of a row. Where an attempt of it is under way, its event is at hand.
    fn delivery(&self, tenant: &Tenant, row: DeliveryRow) -> Result<Delivery, Fault> {
        match self.turns.held(row.number) {
            Some(held) => Ok(row.with(Arc::clone(&held.event))),
            None => self
                .view()
                .delivery(&tenant.id, row, &mut Events::default()),
        }
    }

    /// Changes a delivery on its owner's wish.
    pub fn update_delivery(
        &mut self,
        tenant: &Tenant,
        id: DeliveryId,
        decide: UpdateDelivery,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let found = self.view().delivery_row(tenant, id)?;
        let row = found.ok_or(CommitError::DeliveryNotFound)?;
        let (number, endpoint) = (row.number, row.endpoint);
        let delivery = self.delivery(tenant, row)?;
        self.active_endpoint(tenant, delivery.endpoint_id)?;
        let now = self.clock.now();
        let is_in_flight = self.turns.held(number).is_some();
        let (changed, answer) = decide(&delivery, is_in_flight, now)?;
        self.set_delivery(number, &changed)?;
        self.turns.touch(endpoint);
        Ok((now, answer))
    }

    /// See [`Store::settle`](crate::store::Store::settle).
    pub fn settle(
        &mut self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: &ReceiverState,
    ) -> Result<(), CommitError> {
        let tenant = self.tenant(tenant)?;
        let Some(row) = self.view().delivery_row(&tenant, id)? else {
            // It was forgotten by age, and has nothing left to settle. But its place is free.
            if let Some((number, endpoint)) = self.turns.held_by_id(id) {
                let has_failed = *receiver != ReceiverState::Well;
                self.turns.ended(number, endpoint, has_failed);
            }
            return Ok(());
        };
        let (number, endpoint) = (row.number, row.endpoint);
        let delivery = self.delivery(&tenant, row)?;
        if let ReceiverState::Gone { url } = receiver {
            let found = self.endpoint(&tenant, delivery.endpoint_id)?;
            // Where it was moved away from that URL meanwhile, nothing is known against its new one.
            if let Some((_, before)) = found.filter(|(_, endpoint)| endpoint.settings.url == *url) {
                let after = before.disabled(self.clock.now());
                self.replace(&tenant, endpoint, &before, after)?;
            }
        }
        let settled = settle(&delivery, self.clock.now());
        self.set_delivery(number, &settled)?;
        let has_failed = *receiver != ReceiverState::Well;
        self.turns.ended(number, endpoint, has_failed);
        Ok(())
    }
}
