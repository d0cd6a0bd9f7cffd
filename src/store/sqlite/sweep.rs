//! Deletes expired records, a few at a time, so that no commit is delayed.

use std::time::Duration;

use super::fault::Fault;
use super::read::Reader;
use super::transaction::Transaction;
use super::{queue, sql};
use crate::domain::{DeliveryStatus, Timestamp};
use crate::store::StoreLimits;
use crate::store::at_rest::codec;
use crate::store::quotas::{BYTES_OF_DELIVERY, Usage};

/// The most records of one kind that one step deletes. A step with all kinds and their commits took
/// 1.8 ms in the median, in an unoptimised build.
const MOST: usize = 64;

/// Sweeps one kind of record. Returns whether there is more to delete right now.
pub(super) type Sweep = fn(&mut Transaction<'_>, Timestamp) -> Result<bool, Fault>;

/// The sweeps of records that expire by age.
pub(super) const BY_AGE: [Sweep; 3] = [answers, deliveries, events];

/// Returns when the next record expires, of those that expire [by age](BY_AGE).
pub(super) fn earliest_expiry(
    reader: Reader<'_>,
    retention: Duration,
) -> Result<Option<Timestamp>, Fault> {
    let first = |sql: &str, plus: Duration| -> Result<Option<Timestamp>, Fault> {
        let at: Option<Option<i64>> = reader.row(sql, &[], |row| Ok(row.get(0)?))?;
        Ok(at.flatten().map(|at| Timestamp::from_millis(at).plus(plus)))
    };
    let all = [
        first(sql::FIRST_ANSWER_EXPIRY, Duration::ZERO)?,
        first(sql::FIRST_FINISHED, retention)?,
        first(sql::FIRST_EVENT_AGE, retention)?,
    ];
    Ok(all.into_iter().flatten().min())
}

/// Deletes expired answers.
fn answers(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let until = now.as_millis();
    let tenants = tx.reader().rows(
        sql::SWEEP_ANSWERS,
        &[&until, &most()],
        |row| Ok(row.get(0)?),
    )?;
    for tenant in &tenants {
        tx.usages.change(*tenant, Usage::keys(-1));
    }
    Ok(tenants.len() == MOST)
}

/// Deletes finished deliveries past their retention, and each event with its last delivery.
fn deliveries(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let until = now.minus(tx.limits.retention).as_millis();
    let old: Vec<(i64, i64, i64)> =
        tx.reader()
            .rows(sql::OLD_DELIVERIES, &[&until, &most()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
    for (number, event, tenant) in &old {
        tx.run_on(sql::DELETE_DELIVERY, *number)?;
        tx.usages.change(*tenant, Usage::bytes(-BYTES_OF_DELIVERY));
        release_event(tx, *event, 1)?;
    }
    Ok(old.len() == MOST)
}

/// Notes that some deliveries of an event are gone or will never be made. Deletes the event if they
/// were the last ones and its id is not remembered.
pub(super) fn release_event(
    tx: &mut Transaction<'_>,
    event: i64,
    deliveries: i64,
) -> Result<(), Fault> {
    let left: Option<(i64, bool)> =
        tx.reader()
            .row(sql::RELEASE_EVENT, &[&event, &deliveries], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
    match left {
        Some((..=0, false)) => delete_event(tx, event),
        _ => Ok(()),
    }
}

fn delete_event(tx: &mut Transaction<'_>, event: i64) -> Result<(), Fault> {
    let deleted: Option<(i64, i64)> = tx.reader().row(sql::DELETE_EVENT, &[&event], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    if let Some((tenant, bytes)) = deleted {
        tx.usages.change(tenant, Usage::bytes(-bytes));
    }
    Ok(())
}

/// Frees the ids of events past their retention, and deletes those without deliveries.
fn events(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let until = now.minus(tx.limits.retention).as_millis();
    let old: Vec<(i64, i64)> = tx
        .reader()
        .rows(sql::OLD_EVENTS, &[&until, &most()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (number, kept) in &old {
        if *kept > 0 {
            tx.run_on(sql::FORGET_EVENT_ID, *number)?;
        } else {
            delete_event(tx, *number)?;
        }
    }
    Ok(old.len() == MOST)
}

/// Fails deliveries that have waited too long for a disabled endpoint: some of one endpoint.
pub(super) fn overdue(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let Some(endpoint) = tx.turns.overdue(now) else {
        return Ok(false);
    };
    for (at, number) in queue::waiting(tx.reader(), tx.turns, endpoint.1, MOST)? {
        if at.plus(StoreLimits::WAIT_WHILE_DISABLED) <= now {
            // Does what `Delivery::end` does, without reading the event, which is not needed here.
            let status = codec::status_to_number(DeliveryStatus::Failed);
            let mut end = tx.db.prepare_cached(sql::END_DELIVERY)?;
            end.execute((number, status, now.as_millis()))?;
            tx.usages.change(endpoint.0, Usage::pending(-1));
        }
    }
    // The next delivery of this endpoint has its own deadline, which is looked up after the commit.
    tx.turns.touch(endpoint);
    Ok(true)
}

fn most() -> i64 {
    i64::try_from(MOST).unwrap_or(i64::MAX)
}
