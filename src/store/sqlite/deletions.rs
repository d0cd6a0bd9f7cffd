//! Cancels the pending deliveries of deleted endpoints, a few at a time.
//!
//! A deletion is one small commit. From then on each pending delivery of the endpoint is shown as
//! canceled, whether its row says so yet or not (`rows`).

use super::fault::Fault;
use super::read::{Reader, Tenant};
use super::sql::{self, offline};
use super::transaction::Transaction;
use crate::domain::{DeliveryStatus, Timestamp};
use crate::store::at_rest::codec;
use crate::store::fan_outs::AT_ONCE;
use crate::store::quotas::Usage;

/// A deleted endpoint that may have pending deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deletion {
    pub endpoint: i64,
    pub tenant: i64,
    pub at: Timestamp,
}

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

/// Cancels some deliveries of a deleted endpoint. Returns whether there may be more.
pub(super) fn step(tx: &mut Transaction<'_>, deletion: Deletion) -> Result<bool, Fault> {
    let canceled = codec::status_to_number(DeliveryStatus::Canceled);
    let at = deletion.at.as_millis();
    let mut cancel = tx.db.prepare_cached(sql::CANCEL_SOME)?;
    let count = cancel.execute((deletion.endpoint, canceled, at, AT_ONCE))?;
    let more = count == AT_ONCE;
    if !more {
        tx.run_on(sql::DELETE_DELETION, deletion.endpoint)?;
    }
    let freed = Usage::pending(-i64::try_from(count).unwrap_or(0));
    tx.usages.change(deletion.tenant, freed);
    Ok(more)
}
