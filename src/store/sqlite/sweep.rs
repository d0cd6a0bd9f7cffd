//! Deletes expired records, a few at a time, so that no commit is delayed.

use std::time::Duration;

use super::fault::Fault;
use super::read::Reader;
use super::sql;
use super::transaction::Transaction;
use super::turns::Key;
use crate::domain::delivery::WAIT_WHILE_DISABLED;
use crate::domain::retry::LONGEST;
use crate::domain::{Delivery, DeliveryStatus, Timestamp};
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

/// An age at which a pending delivery may have to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// As long as the schedule may take.
    Overdue,
    /// As long as a delivery may wait for a disabled endpoint.
    Waited,
}

impl Age {
    /// Returns the age.
    pub fn length(self) -> Duration {
        match self {
            Self::Overdue => LONGEST,
            Self::Waited => WAIT_WHILE_DISABLED,
        }
    }
}

/// How far the deliveries have come of an age. They come of age in the order of creation, which is
/// that of their numbers, so each is looked at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aged {
    /// The number of the last delivery that has come of age.
    pub after: i64,
    /// When the next one comes of age, at the earliest.
    pub next: Timestamp,
}

/// Looks at the next deliveries that have come of age, and fails those that are still pending and
/// have no more time.
pub(super) fn come_of_age(
    tx: &mut Transaction<'_>,
    age: Age,
    after: i64,
    now: Timestamp,
) -> Result<Aged, Fault> {
    let rows = tx
        .reader()
        .rows(sql::DELIVERIES_AFTER, &[&after, &LOOKED_AT], |row| {
            let first_due_at: Option<i64> = row.get(3)?;
            let created_at: i64 = row.get(2)?;
            Ok(Aging {
                number: row.get(0)?,
                is_pending: row.get::<_, i64>(1)? == 0,
                created_at: Timestamp::from_millis(created_at),
                first_due_at: Timestamp::from_millis(first_due_at.unwrap_or(created_at)),
                endpoint: (row.get(4)?, row.get(5)?),
            })
        })?;
    let is_end = rows.len() < usize::try_from(LOOKED_AT).unwrap_or(usize::MAX);
    let mut reached = Aged { after, next: now };
    let mut failed = 0;
    for row in rows {
        let at = row.created_at.plus(age.length());
        if at > now || failed == MOST {
            reached.next = at.max(now);
            return keep(tx, age, after, reached);
        }
        reached.after = row.number;
        failed += usize::from(row.is_pending && fail_if_overdue(tx, age, &row, now)?);
    }
    if is_end {
        reached.next = now.plus(age.length());
    }
    keep(tx, age, after, reached)
}

/// How many deliveries are looked at in one step.
const LOOKED_AT: i64 = 256;

/// A delivery that may have come of age.
struct Aging {
    number: i64,
    is_pending: bool,
    created_at: Timestamp,
    first_due_at: Timestamp,
    endpoint: Key,
}

/// Keeps how far the deliveries have come of age.
fn keep(tx: &Transaction<'_>, age: Age, before: i64, reached: Aged) -> Result<Aged, Fault> {
    if reached.after != before {
        let sql = match age {
            Age::Overdue => sql::SET_OVERDUE_AFTER,
            Age::Waited => sql::SET_WAITED_AFTER,
        };
        tx.run_on(sql, reached.after)?;
    }
    Ok(reached)
}

/// Fails a pending delivery, unless it has more time. Returns whether it has failed.
fn fail_if_overdue(
    tx: &mut Transaction<'_>,
    age: Age,
    row: &Aging,
    now: Timestamp,
) -> Result<bool, Fault> {
    let is_active = tx.turns.queues.is_active(&row.endpoint);
    let overdue = Delivery::overdue(row.first_due_at, is_active, now);
    // The result of an attempt in flight decides. One of a deleted endpoint is being canceled.
    let (Some(reason), None) = (overdue, tx.turns.held(row.number)) else {
        return Ok(false);
    };
    if age == Age::Overdue && !is_active || tx.reader().deleted_at(row.endpoint.1)?.is_some() {
        return Ok(false);
    }
    // Does what `Delivery::fail` does, without reading the event, which is not needed here.
    tx.db.prepare_cached(sql::FAIL_DELIVERY)?.execute((
        row.number,
        codec::status_to_number(DeliveryStatus::Failed),
        now.as_millis(),
        codec::failure_reason_to_number(reason),
    ))?;
    tx.usages.change(row.endpoint.0, Usage::pending(-1));
    tx.turns.touch(row.endpoint);
    Ok(true)
}

fn most() -> i64 {
    i64::try_from(MOST).unwrap_or(i64::MAX)
}
