//! Runs a commit: the change, and the record of its answer.

use super::fault::Fault;
use super::read::{Remembered, Tenant};
use super::transaction::Transaction;
use super::{endpoints, events, sql};
use crate::domain::TenantId;
use crate::idempotency::{KeyUse, RETENTION, Record};
use crate::store::at_rest::fields::Fields;
use crate::store::quotas::Usage;
use crate::store::repeats::{Digests, NeedsDigests, Tried};
use crate::store::writes::Written;
use crate::store::{CommitError, Committed, Write};

/// Commits a write: see [`Store::commit`](crate::store::Store::commit). The record of the answer is
/// part of the same transaction.
pub(super) fn commit(
    tx: &mut Transaction<'_>,
    tenant: &TenantId,
    key_use: Option<&KeyUse>,
    write: Write,
    digests: &Digests,
) -> Result<Tried, CommitError> {
    let tenant = tx.tenant(tenant)?;
    let Some(key_use) = key_use else {
        return Ok(match apply(tx, &tenant, write, digests)? {
            Ok(written) => Committed::from(written).into(),
            Err(needs) => Tried::NeedsDigests(needs),
        });
    };
    let found = tx.reader().answer(&tenant, &key_use.key, tx.now())?;
    // An answer that has expired is replaced.
    let one = Usage::keys(i64::from(matches!(found, Remembered::Nothing)));
    if let Remembered::Live(record) = found {
        return Ok(Committed::replay(record.replay(key_use)?).into());
    }
    tx.usages.check(tenant.number, &tx.limits.quotas, one)?;
    let written = match apply(tx, &tenant, write, digests)? {
        Ok(written) => written,
        Err(needs) => return Ok(Tried::NeedsDigests(needs)),
    };
    tx.usages.change(tenant.number, one);
    remember(tx, &tenant, key_use, &written)?;
    Ok(Committed::from(written).into())
}

fn apply(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    write: Write,
    digests: &Digests,
) -> Result<Result<Written, Box<NeedsDigests>>, CommitError> {
    Ok(Ok(match write {
        Write::Create(decide) => endpoints::create(tx, tenant, &decide)?,
        Write::Update(id, decide) => endpoints::update(tx, tenant, id, &decide)?,
        Write::Publish(publish) => return events::publish(tx, tenant, publish, digests),
        Write::UpdateDelivery(id, decide) => events::update_delivery(tx, tenant, id, &decide)?,
    }))
}

/// Records the answer for the key.
fn remember(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    key_use: &KeyUse,
    written: &Written,
) -> Result<(), Fault> {
    let record = Record {
        fingerprint: key_use.fingerprint,
        answer: written.answer.clone(),
    };
    let fields = Fields::of(&tenant.id, tx.keys);
    let sealed = fields.seal_record(&key_use.key, &record)?;
    let expires_at = written.at.plus(RETENTION).as_millis();
    tx.db.prepare_cached(sql::REMEMBER)?.execute((
        tenant.number,
        key_use.key.as_str(),
        expires_at,
        sealed,
    ))?;
    Ok(())
}
