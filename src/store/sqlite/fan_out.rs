//! Makes the deliveries of events for many endpoints, a few at a time.
//!
//! The event and its audience are written in one small commit. Each claim first makes some of the
//! deliveries, in a commit of its own. After a crash it continues where the last commit left it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::fault::{Fault, damaged};
use super::read::{Reader, Tenant};
use super::sql::{self, offline};
use super::sweep::release_event;
use super::transaction::Transaction;
use super::turns::{Unmade, UnmadeEvent};
use crate::domain::{DeliveryId, DeliveryStatus, EndpointId, EventPattern, Timestamp};
use crate::random;
use crate::store::at_rest::{audience, codec};
use crate::store::pending_fan_outs::{AT_ONCE, PendingFanOut};
use crate::store::quotas::{BYTES_OF_DELIVERY, Usage};

/// Who gets an event.
pub(super) enum Recipients {
    /// So few endpoints that their deliveries are made at once.
    Few(Vec<(i64, EndpointId)>),
    /// The numbers of more endpoints, with the number of the audience if it is stored already.
    Many(Option<i64>, Arc<[i64]>),
}

impl Recipients {
    /// Returns how many endpoints get the event.
    pub fn len(&self) -> usize {
        match self {
            Self::Few(endpoints) => endpoints.len(),
            Self::Many(_, endpoints) => endpoints.len(),
        }
    }
}

/// Returns the active endpoints of a tenant that subscribe to a type, each once.
pub(super) fn subscribers(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    event_type: &str,
) -> Result<Recipients, Fault> {
    if let Some((number, members)) = tx.cache.audience(tenant, event_type) {
        return Ok(Recipients::Many(Some(*number), Arc::clone(members)));
    }
    let mut few: Vec<(i64, EndpointId)> = Vec::new();
    for pattern in EventPattern::matching(event_type) {
        few.extend(tx.reader().rows(
            sql::SUBSCRIBERS,
            &[
                &tenant.number,
                &pattern.to_string(),
                &sql::one_more_than(AT_ONCE),
            ],
            |row| {
                let id = row.get_ref(1)?.as_blob()?;
                Ok((row.get(0)?, codec::endpoint_id_from(id)?))
            },
        )?);
        if few.len() > AT_ONCE {
            return many(tx, tenant, event_type);
        }
    }
    few.sort_unstable();
    few.dedup();
    Ok(Recipients::Few(few))
}

fn many(tx: &Transaction<'_>, tenant: &Tenant, event_type: &str) -> Result<Recipients, Fault> {
    let mut numbers: Vec<i64> = Vec::new();
    for pattern in EventPattern::matching(event_type) {
        let pattern = pattern.to_string();
        let found: Vec<i64> = tx.reader().rows(
            sql::SUBSCRIBER_NUMBERS,
            &[&tenant.number, &pattern],
            |row| Ok(row.get(0)?),
        )?;
        numbers.extend(found);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Recipients::Many(None, numbers.into()))
}

/// Stores a new delivery, whose first attempt is due at once.
pub(super) fn insert_delivery(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    (endpoint, endpoint_id): (i64, EndpointId),
    event: i64,
    (id, at): (DeliveryId, Timestamp),
) -> Result<(), Fault> {
    tx.db.prepare_cached(sql::ADD_DELIVERY)?.execute((
        tenant.number,
        id.as_uuid().as_bytes(),
        endpoint,
        codec::endpoint_id_bytes(&endpoint_id),
        event,
        codec::status_to_number(DeliveryStatus::Pending),
        at.as_millis(),
        codec::attempts_to_text(&[])?,
    ))?;
    Ok(())
}

/// Notes that the deliveries of an event are made later.
pub(super) fn make_later(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    event_type: &str,
    (number, created_at): (i64, Timestamp),
    (audience, members): (Option<i64>, Arc<[i64]>),
) -> Result<(), Fault> {
    let audience = if let Some(audience) = audience {
        audience
    } else {
        let bytes = audience::audience_to_bytes(&members)?;
        tx.db.prepare_cached(sql::ADD_AUDIENCE)?.execute([bytes])?;
        let audience = tx.db.last_insert_rowid();
        tx.cache
            .keep_audience(tenant, event_type, audience, &members);
        audience
    };
    tx.db
        .prepare_cached(sql::ADD_FAN_OUT)?
        .execute((number, tenant.number, audience))?;
    let event = UnmadeEvent {
        number,
        created_at,
        audience,
    };
    let fan_out = PendingFanOut {
        event,
        audience: members,
        done: 0,
    };
    tx.turns.make_later(tenant.number, fan_out);
    Ok(())
}

/// Reads the events whose deliveries are not all made.
pub(super) fn find_all(reader: Reader<'_>) -> Result<Unmade, Fault> {
    let mut unmade = Unmade::default();
    let mut audiences: HashMap<i64, Arc<[i64]>> = HashMap::new();
    let rows: Vec<(i64, i64, i64, usize, i64)> = reader.rows(offline::FAN_OUTS, &[], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    })?;
    for (number, tenant, audience, done, created_at) in rows {
        let members = match audiences.entry(audience) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(unknown) => match read_audience(reader, audience) {
                Ok(members) => Arc::clone(unknown.insert(members.into())),
                Err(fault) if fault.is_passing() => return Err(fault),
                Err(error) => {
                    tracing::error!(%error, number, "cannot read who gets an event; its other deliveries are not made");
                    continue;
                }
            },
        };
        let event = UnmadeEvent {
            number,
            created_at: Timestamp::from_millis(created_at),
            audience,
        };
        let fan_out = PendingFanOut {
            event,
            audience: members,
            done,
        };
        unmade.push(&tenant, fan_out);
    }
    Ok(unmade)
}

fn read_audience(reader: Reader<'_>, number: i64) -> Result<Vec<i64>, Fault> {
    let found = reader.row(offline::AUDIENCE, &[&number], |row| {
        Ok(audience::audience_from(row.get_ref(0)?.as_blob()?)?)
    })?;
    found.ok_or_else(|| damaged("the audience of an event"))
}

/// Makes the next deliveries of the tenant whose turn it is, if there are any. When this is
/// committed, the caller notes that the step is done.
pub(super) fn step(tx: &mut Transaction<'_>) -> Result<(), Fault> {
    let now = tx.now();
    let Some((tenant, fan_out)) = tx.turns.next_unmade(now) else {
        return Ok(());
    };
    let UnmadeEvent {
        number,
        created_at,
        audience,
    } = fan_out.event;
    let of = tx.tenant_of_number(tenant)?;
    let mut skipped = 0;
    for endpoint in fan_out.next() {
        let id = tx.reader().row(sql::ENDPOINT_ID, &[endpoint], |row| {
            Ok(codec::endpoint_id_from(row.get_ref(0)?.as_blob()?)?)
        })?;
        // An endpoint that was deleted meanwhile gets nothing.
        let Some(id) = id else {
            skipped += 1;
            continue;
        };
        let delivery = random::delivery_id(created_at)?;
        insert_delivery(tx, &of, (*endpoint, id), number, (delivery, created_at))?;
        tx.turns.touch((tenant, *endpoint));
    }
    if skipped > 0 {
        release_event(tx, number, skipped)?;
        let freed = Usage {
            pending_deliveries: -skipped,
            event_bytes: -skipped * BYTES_OF_DELIVERY,
            ..Usage::default()
        };
        tx.usages.change(tenant, freed);
    }
    if fan_out.is_last_step() {
        tx.run_on(sql::DELETE_FAN_OUT, number)?;
        let mut delete = tx.db.prepare_cached(sql::DELETE_AUDIENCE)?;
        if delete.execute([audience])? > 0 {
            tx.cache.forget_audience(audience);
        }
    } else {
        let done = fan_out.done + fan_out.next().len();
        tx.db
            .prepare_cached(sql::SET_FAN_OUT)?
            .execute((number, done))?;
    }
    Ok(())
}
