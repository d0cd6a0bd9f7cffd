//! Reads records: for the writer inside its transaction, and for the readers beside it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::fault::{Fault, damaged};
use super::rows::DeliveryRow;
use super::sql;
use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, Event, TenantId, Timestamp, TraceId,
};
use crate::idempotency::{IdempotencyKey, Record};
use crate::store::Page;
use crate::store::at_rest::fields::Fields;
use crate::store::at_rest::{MasterKeys, codec};

/// A connection, with the keys that decrypt what it reads.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub db: &'a Connection,
    pub keys: &'a MasterKeys,
}

/// A tenant that has records: its number and its name.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    pub number: i64,
    pub id: TenantId,
}

/// Events that were read, each once, by their number.
#[derive(Default)]
pub(super) struct Events(HashMap<i64, Arc<Event>>);

impl Events {
    /// Adds an event that is in memory already, so that it is not read.
    pub fn note(&mut self, number: i64, event: &Arc<Event>) {
        self.0.entry(number).or_insert_with(|| Arc::clone(event));
    }
}

impl Reader<'_> {
    /// Returns the first row of a statement, if there is one.
    pub fn row<T>(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
        read: impl FnOnce(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// Returns all rows of a statement.
    pub fn rows<T>(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// Returns the tenant, if it ever had a record.
    pub fn tenant(&self, id: &TenantId) -> Result<Option<Tenant>, Fault> {
        let mut statement = self.db.prepare_cached(sql::TENANT)?;
        let number = statement.query_row([id.as_str()], |row| row.get(0));
        Ok(number.optional()?.map(|number| Tenant {
            number,
            id: id.clone(),
        }))
    }

    /// Returns an endpoint with its number.
    pub fn endpoint(
        &self,
        tenant: &Tenant,
        id: EndpointId,
    ) -> Result<Option<(i64, Endpoint)>, Fault> {
        self.row(
            sql::ENDPOINT,
            &[&tenant.number, &codec::endpoint_id_bytes(&id)],
            |row| self.read_endpoint(&tenant.id, row),
        )
    }

    /// Returns the endpoint with this number.
    pub fn endpoint_of_number(
        &self,
        tenant: &TenantId,
        number: i64,
    ) -> Result<Option<Endpoint>, Fault> {
        self.row(sql::ENDPOINT_OF_NUMBER, &[&number], |row| {
            Ok(self.read_endpoint(tenant, row)?.1)
        })
    }

    fn read_endpoint(&self, tenant: &TenantId, row: &Row<'_>) -> Result<(i64, Endpoint), Fault> {
        let endpoint = Fields::of(tenant, self.keys).open_endpoint(
            row.get_ref(3)?.as_blob()?,
            row.get_ref(1)?.as_blob()?,
            row.get_ref(2)?.as_blob_or_null()?,
        )?;
        Ok((row.get(0)?, endpoint))
    }

    /// Returns a page of a tenant's endpoints: see
    /// [`Store::endpoints`](crate::store::Store::endpoints).
    pub fn endpoints(
        &self,
        tenant: &Tenant,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, Fault> {
        let before = match after {
            None => i64::MAX,
            Some(id) => {
                let id = codec::endpoint_id_bytes(&id);
                let number = self.row(sql::ENDPOINT_NUMBER, &[&tenant.number, &id], |row| {
                    Ok(row.get(0)?)
                })?;
                match number {
                    Some(number) => number,
                    None => return Ok(None),
                }
            }
        };
        let found = self.rows(
            sql::ENDPOINTS,
            &[&tenant.number, &before, &sql::one_more_than(limit)],
            |row| Ok(self.read_endpoint(&tenant.id, row)?.1),
        )?;
        Ok(Some(page(found, limit)))
    }

    /// Returns the recorded answer for a key, if it has not expired at `now`.
    pub fn record(
        &self,
        tenant: &Tenant,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Record>, Fault> {
        Ok(self.answer(tenant, key, now)?.flatten())
    }

    /// Returns `None` when there is no answer for a key, and `Some(None)` when there is one that has
    /// expired at `now`.
    pub fn answer(
        &self,
        tenant: &Tenant,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Option<Record>>, Fault> {
        self.row(sql::ANSWER, &[&tenant.number, &key.as_str()], |row| {
            if now.as_millis() >= row.get::<_, i64>(0)? {
                return Ok(None);
            }
            let fields = Fields::of(&tenant.id, self.keys);
            let record = fields.open_record(key, row.get_ref(1)?.as_blob()?)?;
            Ok(Some(record))
        })
    }

    /// Returns the event with this number, and the number of endpoints that it went to.
    pub fn event(&self, tenant: &TenantId, number: i64) -> Result<Option<(Event, usize)>, Fault> {
        self.row(sql::EVENT, &[&number], |row| {
            let id = row.get_ref(0)?.as_str()?;
            let fields = Fields::of(tenant, self.keys);
            let data = fields.open_data(id, row.get_ref(4)?.as_blob()?)?;
            let event = Event {
                id: id.parse().map_err(|_| damaged("event id"))?,
                event_type: row.get_ref(1)?.as_str()?.into(),
                data,
                trace_id: TraceId::from_bits(u128::from_be_bytes(row.get(2)?)),
                created_at: Timestamp::from_millis(row.get(3)?),
            };
            Ok((event, row.get(5)?))
        })
    }

    /// Returns the row of a delivery, if the tenant has that delivery.
    pub fn delivery_row(
        &self,
        tenant: &Tenant,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRow>, Fault> {
        let id = id.as_uuid().as_bytes().as_slice();
        let mut found = self.row(sql::DELIVERY, &[&tenant.number, &id], DeliveryRow::read)?;
        if let Some(row) = found.as_mut().filter(|row| row.was_pending)
            && let Some(at) = self.deleted_at(row.endpoint)?
        {
            row.cancel(at);
        }
        Ok(found)
    }

    /// Returns when an endpoint was deleted, if its pending deliveries may not all be canceled yet.
    fn deleted_at(&self, endpoint: i64) -> Result<Option<Timestamp>, Fault> {
        self.row(sql::DELETION, &[&endpoint], |row| {
            Ok(Timestamp::from_millis(row.get(0)?))
        })
    }

    /// Returns the delivery of this row, with its event.
    pub fn delivery(
        &self,
        tenant: &TenantId,
        row: DeliveryRow,
        events: &mut Events,
    ) -> Result<Delivery, Fault> {
        let event = match events.0.entry(row.event) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(unknown) => {
                let (event, _) = self
                    .event(tenant, row.event)?
                    .ok_or_else(|| damaged("the event of a delivery"))?;
                Arc::clone(unknown.insert(Arc::new(event)))
            }
        };
        Ok(row.with(event))
    }

    /// Returns a page of an endpoint's deliveries: see
    /// [`Store::deliveries`](crate::store::Store::deliveries).
    pub fn deliveries(
        &self,
        tenant: &Tenant,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, Fault> {
        let before = match after {
            None => i64::MAX,
            Some(id) => match self.delivery_row(tenant, id)? {
                Some(row) if row.endpoint_id == endpoint => row.number,
                _ => return Ok(None),
            },
        };
        let statuses = match &status {
            // Those of a deleted endpoint may still be pending in the file.
            Some(DeliveryStatus::Canceled) => &[DeliveryStatus::Canceled, DeliveryStatus::Pending],
            Some(status) => std::slice::from_ref(status),
            None => &codec::STATUSES[..],
        };
        // The index has each status in order, but not all of them together. So at most four times
        // too many rows are read. An index for all would cost every delivery a write.
        let mut found: Vec<DeliveryRow> = Vec::new();
        let id = codec::endpoint_id_bytes(&endpoint);
        for status in statuses {
            let status = codec::status_to_number(*status);
            found.extend(self.rows(
                sql::DELIVERIES,
                &[
                    &id,
                    &status,
                    &tenant.number,
                    &before,
                    &sql::one_more_than(limit),
                ],
                DeliveryRow::read,
            )?);
        }
        if let Some(pending) = found.iter().find(|row| row.was_pending)
            && let Some(at) = self.deleted_at(pending.endpoint)?
        {
            found.iter_mut().for_each(|row| row.cancel(at));
        }
        found.retain(|row| status.is_none_or(|status| status == row.status()));
        found.sort_unstable_by_key(|row| std::cmp::Reverse(row.number));
        let found = page(found, limit);
        let mut events = Events::default();
        let items: Result<Vec<_>, _> = found
            .items
            .into_iter()
            .map(|row| self.delivery(&tenant.id, row, &mut events))
            .collect();
        Ok(Some(Page {
            items: items?,
            has_more: found.has_more,
        }))
    }
}

/// Makes a page of at most `limit` of the items.
fn page<T>(mut items: Vec<T>, limit: usize) -> Page<T> {
    let has_more = items.len() > limit;
    items.truncate(limit);
    Page { items, has_more }
}
