//! Claims due deliveries, with all that an attempt needs as it is at that instant.
//!
//! The writer claims between two commits, so nothing can change while it reads: what signs a
//! delivery is what the last commit wrote.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::fault::{Fault, damaged};
use super::read::Reader;
use super::rows::DeliveryRow;
use super::transaction::Transaction;
use super::turns::Key;
use super::{queue, sql};
use crate::domain::{Delivery, Endpoint, Event, TenantId, Timestamp};
use crate::store::{Claimed, Claims};

/// How many deliveries of one endpoint are looked up at once.
const LOOK_AHEAD: usize = 8;

/// How many unreadable deliveries end a claim, so that the writer can do other work in between.
const MOST_UNREADABLE: usize = 64;

/// What one claim has read so far.
#[derive(Default)]
struct ReadSoFar {
    /// The waiting deliveries of an endpoint, the earliest first.
    waiting: HashMap<Key, VecDeque<(Timestamp, i64)>>,
    endpoints: HashMap<Key, (TenantId, Endpoint)>,
    events: HashMap<i64, Arc<Event>>,
    /// How many deliveries could not be read.
    unreadable: usize,
}

/// Claims deliveries that are due: see [`Store::claim`](crate::store::Store::claim).
pub(super) fn claim(tx: &mut Transaction<'_>, most: usize) -> Result<Claims, Fault> {
    let now = tx.now();
    let mut claims = Claims::default();
    let mut read = ReadSoFar::default();
    while claims.claimed.len() < most
        && read.unreadable < MOST_UNREADABLE
        && let Some(endpoint) = tx.turns.queues.next(now)
    {
        let room = most - claims.claimed.len();
        if let Err(error) = take(tx, endpoint, (now, room), &mut read, &mut claims) {
            if claims.claimed.is_empty() {
                return Err(error);
            }
            // The deliveries taken so far are held, so their attempts are made. The next claim
            // reports the fault.
            claims.next_due = Some(now);
            return Ok(claims);
        }
    }
    let is_there_more = claims.claimed.len() == most || read.unreadable == MOST_UNREADABLE;
    claims.next_due = if is_there_more {
        Some(now)
    } else {
        tx.turns.queues.next_due(now)
    };
    Ok(claims)
}

/// Claims the first waiting delivery of an endpoint that gets the next attempt.
fn take(
    tx: &mut Transaction<'_>,
    endpoint: Key,
    (now, most): (Timestamp, usize),
    read: &mut ReadSoFar,
    claims: &mut Claims,
) -> Result<(), Fault> {
    let waiting = match read.waiting.remove(&endpoint) {
        Some(waiting) if !waiting.is_empty() => Ok(waiting),
        // Looks up one more than it takes, to know which comes next. Few at a time: most claims
        // have capacity for one or two.
        _ => {
            let most = most.min(LOOK_AHEAD) + 1;
            let reader = Reader {
                db: tx.db,
                keys: tx.keys,
            };
            queue::waiting(reader, tx.turns, endpoint, most, now).map(Into::into)
        }
    };
    let mut waiting: VecDeque<_> = match waiting {
        Ok(waiting) => waiting,
        Err(fault) => return set_aside(tx, endpoint, fault),
    };
    let Some((_, number)) = waiting.pop_front() else {
        tx.turns.waits(endpoint, None);
        return Ok(());
    };
    let (tenant, of) = match claimed_endpoint(tx, endpoint, read) {
        Ok(read) => read,
        Err(fault) => return set_aside(tx, endpoint, fault),
    };
    // The queue may have begun with a delivery that was made after the endpoint was disabled.
    if !of.settings.active {
        tx.turns.queues.set_active(&endpoint, false);
        return Ok(());
    }
    match claimed_delivery(tx, &tenant, number, read) {
        Ok((delivery, event)) => {
            let turn = tx.turns.queues.take(&endpoint, now);
            let hold = tx.turns.hold(number, endpoint, &delivery, turn);
            claims.claimed.push(Claimed {
                tenant,
                delivery,
                event,
                endpoint: of,
                at: tx.now(),
                hold,
            });
        }
        Err(fault) if fault.is_passing() => return Err(fault),
        Err(error) => {
            tracing::error!(%error, number, "cannot read a delivery; it waits until the next start");
            tx.turns.unreadable.insert(number);
            read.unreadable += 1;
        }
    }
    let next = if let Some(next) = waiting.front() {
        Some(*next)
    } else {
        let reader = Reader {
            db: tx.db,
            keys: tx.keys,
        };
        queue::waiting(reader, tx.turns, endpoint, 1, now)?.pop()
    };
    tx.turns.waits(endpoint, next);
    read.waiting.insert(endpoint, waiting);
    Ok(())
}

/// Skips an endpoint that cannot be read. Otherwise it would stay first in line and block all
/// others. A fault that may pass ends the claim instead.
fn set_aside(tx: &mut Transaction<'_>, endpoint: Key, fault: Fault) -> Result<(), Fault> {
    if fault.is_passing() {
        return Err(fault);
    }
    tracing::error!(error = %fault, number = endpoint.1, "cannot read an endpoint; its deliveries wait until the next start");
    tx.turns.set_aside(endpoint);
    Ok(())
}

fn claimed_endpoint(
    tx: &mut Transaction<'_>,
    key: Key,
    read: &mut ReadSoFar,
) -> Result<(TenantId, Endpoint), Fault> {
    if let Some(known) = read.endpoints.get(&key) {
        return Ok(known.clone());
    }
    let (tenant, number) = key;
    let tenant = tx.tenant_of_number(tenant)?.id;
    let found = tx.reader().endpoint_of_number(&tenant, number)?;
    let found = (
        tenant,
        found.ok_or_else(|| damaged("the endpoint of a delivery"))?,
    );
    read.endpoints.insert(key, found.clone());
    Ok(found)
}

fn claimed_delivery(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    number: i64,
    read: &mut ReadSoFar,
) -> Result<(Delivery, Arc<Event>), Fault> {
    let found = tx
        .reader()
        .row(sql::DELIVERY_OF_NUMBER, &[&number], DeliveryRow::read)?;
    let row = found.ok_or_else(|| damaged("a delivery"))?;
    let event = match (read.events.get(&row.event), tx.cache.event(row.event)) {
        (Some(known), _) | (None, Some(known)) => Arc::clone(known),
        (None, None) => tx.reader().event(tenant, row.event)?,
    };
    read.events.insert(row.event, Arc::clone(&event));
    Ok((row.with(Arc::clone(&event.head)), event))
}
