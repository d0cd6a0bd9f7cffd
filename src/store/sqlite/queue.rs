//! Reads the waiting deliveries of endpoints from the file: when the store opens, and after a
//! commit has changed them.

use super::fault::Fault;
use super::read::Reader;
use super::sql;
use super::turns::{Key, Turns};
use crate::domain::Timestamp;

/// Finds the endpoints that have waiting deliveries.
pub(super) fn find_all(reader: Reader<'_>, turns: &mut Turns, now: Timestamp) -> Result<(), Fault> {
    let mut after: i64 = 0;
    while let Some(endpoint) = reader.row(sql::NEXT_QUEUE, &[&after], |row| Ok(row.get(0)?))? {
        after = endpoint;
        let found: Option<(bool, i64)> = reader.row(sql::QUEUE, &[&endpoint], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        // The deliveries of a deleted endpoint are canceled.
        let Some((is_active, tenant)) = found else {
            continue;
        };
        let key = (tenant, endpoint);
        turns.may_retry.insert(key);
        let first = waiting(reader, turns, key, 1, now)?.pop();
        turns.queues.set_active(&key, is_active);
        if let Some((_, number)) = first {
            let failures: Option<u32> =
                reader.row(sql::FAILURES, &[&number], |row| Ok(row.get(0)?))?;
            // The first waiting delivery has failed before: one attempt is enough to find out
            // whether its receiver is back.
            turns
                .queues
                .set_failing(&key, failures.unwrap_or_default() > 0);
        }
        turns.waits(key, first);
    }
    Ok(())
}

/// Returns at most `most` waiting deliveries of an endpoint that are not in flight, in the order in
/// which they are attempted at `now`: the retries that are due, those that wait for their first
/// attempt, and the other retries.
pub(super) fn waiting(
    reader: Reader<'_>,
    turns: &mut Turns,
    endpoint: Key,
    most: usize,
    now: Timestamp,
) -> Result<Vec<(Timestamp, i64)>, Fault> {
    let mut waiting = Vec::new();
    // Most endpoints have no retries, and one statement is enough.
    if turns.may_retry.contains(&endpoint) {
        let has_some = some(
            reader,
            turns,
            (sql::WAITING_AGAIN, endpoint.1),
            most,
            &mut waiting,
        )?;
        if !has_some {
            turns.may_retry.remove(&endpoint);
        }
    }
    let due = waiting.partition_point(|(at, _)| *at <= now);
    let later = waiting.split_off(due);
    some(
        reader,
        turns,
        (sql::WAITING, endpoint.1),
        most,
        &mut waiting,
    )?;
    waiting.extend(later);
    waiting.truncate(most);
    Ok(waiting)
}

/// Adds deliveries that are not in flight until there are `most`. Returns whether there are any, in
/// flight or not.
fn some(
    reader: Reader<'_>,
    turns: &Turns,
    (sql, endpoint): (&str, i64),
    most: usize,
    waiting: &mut Vec<(Timestamp, i64)>,
) -> Result<bool, Fault> {
    let mut statement = reader.db.prepare_cached(sql)?;
    let mut rows = statement.query([endpoint])?;
    let mut has_some = false;
    while waiting.len() < most
        && let Some(row) = rows.next()?
    {
        has_some = true;
        let number = row.get(1)?;
        if !turns.is_taken(number) {
            waiting.push((Timestamp::from_millis(row.get(0)?), number));
        }
    }
    Ok(has_some)
}

/// Updates `turns` after the batch was committed. Returns whether there may be new deliveries to
/// claim at `now`.
pub(super) fn follow_commit(reader: Reader<'_>, turns: &mut Turns, now: Timestamp) -> bool {
    let (touched, is_news) = turns.apply_batch();
    for endpoint in touched {
        find_first(reader, turns, endpoint, now);
    }
    is_news || turns.queues.is_due(now)
}

/// Looks up the first waiting delivery of an endpoint.
pub(super) fn find_first(reader: Reader<'_>, turns: &mut Turns, endpoint: Key, now: Timestamp) {
    match waiting(reader, turns, endpoint, 1, now) {
        Ok(mut waiting) => turns.waits(endpoint, waiting.pop()),
        Err(error) => {
            tracing::error!(%error, "cannot read the waiting deliveries of an endpoint");
            turns.waits(endpoint, None);
            if error.is_passing() {
                turns.look_again(endpoint);
            }
        }
    }
}
