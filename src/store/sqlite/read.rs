//! Reads records: for the writer inside its transaction, and for the readers beside it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::fault::{Fault, damaged};
use super::rows::DeliveryRow;
use super::sql;
use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, Event, EventHead, TenantId,
    Timestamp, TraceId,
};
use crate::idempotency::{IdempotencyKey, Record};
use crate::store::at_rest::fields::{DataAtRest, Fields};
use crate::store::at_rest::{MasterKeys, codec};
use crate::store::repeats::KeptEvent;
use crate::store::{Filling, Page};

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

/// What is recorded for an idempotency key.
pub(super) enum Remembered {
    Nothing,
    /// An answer that has expired and was not swept yet.
    Expired,
    Live(Record),
}

/// The heads of events that were read, each once, by their number.
pub(super) type Heads = HashMap<i64, Arc<EventHead>>;

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
        let mut statement = self.db.prepare_cached(sql::ENDPOINTS)?;
        let most = sql::one_more_than(limit);
        let mut rows = statement.query((tenant.number, before, most))?;
        let mut filling = Filling::new(limit);
        while let Some(row) = rows.next()? {
            // What does not fit is not decrypted.
            let settings = row.get_ref(1)?.as_blob()?.len();
            if !filling.has_room_for(settings) {
                break;
            }
            filling.add(self.read_endpoint(&tenant.id, row)?.1);
        }
        Ok(Some(filling.page()))
    }

    /// Returns the recorded answer for a key, if it has not expired at `now`.
    pub fn record(
        &self,
        tenant: &Tenant,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Record>, Fault> {
        Ok(match self.answer(tenant, key, now)? {
            Remembered::Live(record) => Some(record),
            Remembered::Nothing | Remembered::Expired => None,
        })
    }

    /// Returns what is recorded for a key.
    pub fn answer(
        &self,
        tenant: &Tenant,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Remembered, Fault> {
        let found = self.row(sql::ANSWER, &[&tenant.number, &key.as_str()], |row| {
            if now.as_millis() >= row.get::<_, i64>(0)? {
                return Ok(Remembered::Expired);
            }
            let fields = Fields::of(&tenant.id, self.keys);
            let record = fields.open_record(key, row.get_ref(1)?.as_blob()?)?;
            Ok(Remembered::Live(record))
        })?;
        Ok(found.unwrap_or(Remembered::Nothing))
    }

    /// Returns the event with this number, without reading its data.
    pub fn head(&self, number: i64) -> Result<Option<EventHead>, Fault> {
        self.row(sql::EVENT_HEAD, &[&number], read_head)
    }

    /// Returns what is kept of the event with this number, and the number of endpoints that it went
    /// to.
    pub fn kept(
        &self,
        tenant: &TenantId,
        number: i64,
    ) -> Result<Option<(KeptEvent, usize)>, Fault> {
        self.row(sql::EVENT, &[&number], |row| {
            let head = Arc::new(read_head(row)?);
            let fields = Fields::of(tenant, self.keys);
            let data = fields.open_data(head.id.as_str(), row.get_ref(5)?.as_blob()?)?;
            let kept = match data {
                DataAtRest::Text(data) => KeptEvent::Data(Arc::new(Event { head, data })),
                DataAtRest::Digest(digest) => KeptEvent::Digest(head, digest),
            };
            Ok((kept, row.get(4)?))
        })
    }

    /// Returns the event with this number, which has deliveries.
    pub fn event(&self, tenant: &TenantId, number: i64) -> Result<Arc<Event>, Fault> {
        match self.kept(tenant, number)? {
            Some((KeptEvent::Data(event), _)) => Ok(event),
            _ => Err(damaged("the event of a delivery")),
        }
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
    pub fn deleted_at(&self, endpoint: i64) -> Result<Option<Timestamp>, Fault> {
        self.row(sql::DELETION, &[&endpoint], |row| {
            Ok(Timestamp::from_millis(row.get(0)?))
        })
    }

    /// Returns the delivery of this row.
    pub fn delivery(&self, row: DeliveryRow, heads: &mut Heads) -> Result<Delivery, Fault> {
        let event = match heads.entry(row.event) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(unknown) => {
                let head = self.head(row.event)?;
                let head = head.ok_or_else(|| damaged("the event of a delivery"))?;
                Arc::clone(unknown.insert(Arc::new(head)))
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
        // The index has each status in order, but not all of them together. So at most five times
        // too many numbers are read from it. An index for all would cost every delivery a write.
        let id = codec::endpoint_id_bytes(&endpoint);
        let mut numbers: Vec<i64> = Vec::new();
        for status in statuses {
            let status = codec::status_to_number(*status);
            numbers.extend(self.rows(
                sql::DELIVERY_NUMBERS,
                &[&id, &status, &before, &sql::one_more_than(limit)],
                |row| Ok(row.get::<_, i64>(0)?),
            )?);
        }
        numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
        let mut deleted_at = None;
        let mut heads = Heads::default();
        let mut filling = Filling::new(limit);
        for number in numbers {
            let mut found = None;
            self.row(sql::DELIVERY_OF_NUMBER, &[&number], |row| {
                // The id of an endpoint alone does not say whose it is.
                if row.get::<_, i64>(14)? == tenant.number {
                    let attempts = row.get_ref(13)?.as_str()?.len();
                    found = Some((DeliveryRow::read(row)?, attempts));
                }
                Ok(())
            })?;
            let Some((mut row, attempts)) = found else {
                continue;
            };
            if row.was_pending {
                let at = match deleted_at {
                    Some(known) => known,
                    None => *deleted_at.insert(self.deleted_at(row.endpoint)?),
                };
                if let Some(at) = at {
                    row.cancel(at);
                }
            }
            if status.is_some_and(|status| status != row.status()) {
                continue;
            }
            if !filling.has_room_for(attempts) {
                break;
            }
            filling.add(self.delivery(row, &mut heads)?);
        }
        Ok(Some(filling.page()))
    }
}

/// Reads the first columns of `EVENT` and `EVENT_HEAD`.
fn read_head(row: &Row<'_>) -> Result<EventHead, Fault> {
    Ok(EventHead {
        id: row
            .get_ref(0)?
            .as_str()?
            .parse()
            .map_err(|_| damaged("event id"))?,
        event_type: row.get_ref(1)?.as_str()?.into(),
        trace_id: TraceId::from_bits(u128::from_be_bytes(row.get(2)?)),
        created_at: Timestamp::from_millis(row.get(3)?),
    })
}
