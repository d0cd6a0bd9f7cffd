//! Cancels the pending deliveries of deleted endpoints, a few at a time.
//!
//! A deletion is one small commit. From then on each pending delivery of the endpoint is shown as
//! canceled, whether its row says so yet or not (`rows`).

use super::fault::Fault;
use super::read::{Reader, Tenant};
use super::sql::{self, offline};
use super::transaction::Transaction;
use super::turns::Deletion;
use crate::domain::{DeliveryStatus, Timestamp};
use crate::store::at_rest::codec;
use crate::store::pending_fan_outs::AT_ONCE;
use crate::store::quotas::Usage;

/// The most endpoints of one step.
pub(super) const MOST: usize = 16;

/// Notes that an endpoint was deleted.
pub(super) fn cancel_later(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    endpoint: i64,
    at: Timestamp,
) -> Result<(), Fault> {
    tx.db
        .prepare_cached(sql::ADD_DELETION)?
        .execute((endpoint, tenant.number, at.as_millis()))?;
    tx.turns.gone(Deletion {
        endpoint,
        tenant: tenant.number,
        at,
    });
    Ok(())
}

/// Reads the deleted endpoints that may have pending deliveries.
pub(super) fn find_all(reader: Reader<'_>) -> Result<Vec<Deletion>, Fault> {
    reader.rows(offline::DELETIONS, &[], |row| {
        Ok(Deletion {
            endpoint: row.get(0)?,
            tenant: row.get(1)?,
            at: Timestamp::from_millis(row.get(2)?),
        })
    })
}

/// Cancels some deliveries of deleted endpoints. Returns the endpoints that may have more.
pub(super) fn step(
    tx: &mut Transaction<'_>,
    deletions: &[Deletion],
) -> Result<Vec<Deletion>, Fault> {
    let canceled = codec::status_to_number(DeliveryStatus::Canceled);
    let mut left = Vec::new();
    let mut room = AT_ONCE;
    for deletion in deletions {
        let at = deletion.at.as_millis();
        let mut cancel = tx.db.prepare_cached(sql::CANCEL_SOME)?;
        let count = cancel.execute((deletion.endpoint, canceled, at, room))?;
        if count == room {
            left.push(*deletion);
        } else {
            tx.run_on(sql::DELETE_DELETION, deletion.endpoint)?;
        }
        room -= count;
        let freed = Usage::pending(-i64::try_from(count).unwrap_or(0));
        tx.usages.change(deletion.tenant, freed);
    }
    Ok(left)
}
