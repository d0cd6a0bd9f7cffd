//! Reads the waiting deliveries of endpoints from the file: when the store opens, and after a
//! commit has changed them.

use super::fault::Fault;
use super::read::Reader;
use super::sql;
use super::turns::{Key, Turns};
use crate::domain::Timestamp;

/// Finds the endpoints that have waiting deliveries.
pub(super) fn find_all(reader: Reader<'_>, turns: &mut Turns) -> Result<(), Fault> {
    let mut after: i64 = 0;
    while let Some(endpoint) = reader.row(sql::NEXT_QUEUE, &[&after], |row| Ok(row.get(0)?))? {
        after = endpoint;
        let first = waiting(reader, turns, endpoint, 1)?.pop();
        let found: Option<(bool, i64)> = reader.row(sql::QUEUE, &[&endpoint], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        // The deliveries of a deleted endpoint are canceled.
        let Some((is_active, tenant)) = found else {
            continue;
        };
        let key = (tenant, endpoint);
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

/// Returns at most `most` waiting deliveries of an endpoint that are not in flight, the earliest
/// first.
pub(super) fn waiting(
    reader: Reader<'_>,
    turns: &Turns,
    endpoint: i64,
    most: usize,
) -> Result<Vec<(Timestamp, i64)>, Fault> {
    let mut statement = reader.db.prepare_cached(sql::WAITING)?;
    let mut rows = statement.query([endpoint])?;
    let mut waiting = Vec::new();
    while waiting.len() < most
        && let Some(row) = rows.next()?
    {
        let number = row.get(1)?;
        if !turns.is_taken(number) {
            waiting.push((Timestamp::from_millis(row.get(0)?), number));
        }
    }
    Ok(waiting)
}

/// Updates `turns` after the batch was committed. Returns whether there may be new deliveries to
/// claim at `now`.
pub(super) fn follow_commit(reader: Reader<'_>, turns: &mut Turns, now: Timestamp) -> bool {
    let (touched, is_news) = turns.apply_batch();
    for endpoint in touched {
        find_first(reader, turns, endpoint);
    }
    is_news || turns.queues.is_due(now)
}

/// Looks up the first waiting delivery of an endpoint.
pub(super) fn find_first(reader: Reader<'_>, turns: &mut Turns, endpoint: Key) {
    match waiting(reader, turns, endpoint.1, 1) {
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
