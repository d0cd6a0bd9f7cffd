//! Deletes expired records, a few at a time, so that no commit is delayed.

use std::time::Duration;

use super::fault::Fault;
use super::read::Reader;
use super::transaction::Transaction;
use super::{queue, sql};
use crate::domain::{DeliveryStatus, Timestamp};
use crate::store::DeliveryLimits;
use crate::store::at_rest::codec;

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
    let mut sweep = tx.db.prepare_cached(sql::SWEEP_ANSWERS)?;
    Ok(sweep.execute((now.as_millis(), MOST))? == MOST)
}

/// Deletes finished deliveries past their retention, and each event with its last delivery.
fn deliveries(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let old = older_than_retention(tx, sql::OLD_DELIVERIES, now)?;
    for (number, event) in &old {
        tx.run_on(sql::DELETE_DELIVERY, *number)?;
        let left: Option<(i64, bool)> = tx.reader().row(sql::RELEASE_EVENT, &[event], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        if let Some((..=0, false)) = left {
            tx.run_on(sql::DELETE_EVENT, *event)?;
        }
    }
    Ok(old.len() == MOST)
}

/// Frees the ids of events past their retention, and deletes those without deliveries.
fn events(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let old = older_than_retention(tx, sql::OLD_EVENTS, now)?;
    for (number, kept) in &old {
        let sql = if *kept > 0 {
            sql::FORGET_EVENT_ID
        } else {
            sql::DELETE_EVENT
        };
        tx.run_on(sql, *number)?;
    }
    Ok(old.len() == MOST)
}

/// Returns the two columns of the rows that a statement finds past the retention.
fn older_than_retention(
    tx: &Transaction<'_>,
    sql: &str,
    now: Timestamp,
) -> Result<Vec<(i64, i64)>, Fault> {
    let until = now.minus(tx.limits.retention).as_millis();
    tx.reader().rows(sql, &[&until, &most()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// Fails deliveries that have waited too long for a disabled endpoint: some of one endpoint.
pub(super) fn overdue(tx: &mut Transaction<'_>, now: Timestamp) -> Result<bool, Fault> {
    let Some(endpoint) = tx.turns.overdue(now) else {
        return Ok(false);
    };
    for (at, number) in queue::waiting(tx.reader(), tx.turns, endpoint, MOST)? {
        if at.plus(DeliveryLimits::WAIT_WHILE_DISABLED) <= now {
            // Does what `Delivery::end` does, without reading the event, which is not needed here.
            let status = codec::status_to_number(DeliveryStatus::Failed);
            let mut end = tx.db.prepare_cached(sql::END_DELIVERY)?;
            end.execute((number, status, now.as_millis()))?;
        }
    }
    // The next delivery of this endpoint has its own deadline, which is looked up after the commit.
    tx.turns.touch(endpoint);
    Ok(true)
}

fn most() -> i64 {
    i64::try_from(MOST).unwrap_or(i64::MAX)
}
