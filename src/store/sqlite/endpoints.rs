//! Writes endpoints: creates, changes and deletes them.

use super::fault::Fault;
use super::read::Tenant;
use super::transaction::Transaction;
use super::{deletions, sql};
use crate::domain::{Endpoint, EndpointId, KeyRing, Settings, Timestamp};
use crate::store::at_rest::change::{KeyRingChange, Rewrite};
use crate::store::at_rest::codec;
use crate::store::at_rest::fields::Fields;
use crate::store::quotas::Usage;
use crate::store::writes::Written;
use crate::store::{Change, CommitError, Create, Decision, Update};

pub(super) fn create(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    decide: &Create,
) -> Result<Written, CommitError> {
    let one = Usage::endpoints(1);
    tx.usages.check(tenant.number, &tx.limits.quotas, one)?;
    let now = tx.now();
    let Decision {
        write: endpoint,
        action,
        answer,
    } = decide(now)?;
    check_name(tx, tenant, &endpoint.settings, None)?;
    let sealed = Fields::of(&tenant.id, tx.keys)
        .seal_settings(&endpoint)
        .map_err(Fault::from)?;
    insert(tx, tenant, &endpoint, &sealed)?;
    tx.usages.change(tenant.number, one);
    Ok(Written {
        at: now,
        action,
        answer,
    })
}

fn insert(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    endpoint: &Endpoint,
    sealed: &[u8],
) -> Result<(), Fault> {
    let settings = &endpoint.settings;
    tx.db.prepare_cached(sql::ADD_ENDPOINT)?.execute((
        tenant.number,
        codec::endpoint_id_bytes(&endpoint.id),
        settings.active,
        &settings.name,
        sealed,
    ))?;
    let number = tx.db.last_insert_rowid();
    if let Some(ring) = &endpoint.key_ring {
        put_key_ring(tx, sql::ADD_KEY_RING, tenant, number, endpoint.id, ring)?;
    }
    subscribe(tx, tenant, number, settings)
}

pub(super) fn update(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    id: EndpointId,
    decide: &Update,
) -> Result<Written, CommitError> {
    let found = tx.endpoint(tenant, id)?;
    let (number, before) = found.ok_or(CommitError::NotFound)?;
    let now = tx.now();
    let Decision {
        write: change,
        action,
        answer,
    } = decide(&before, now)?;
    match change {
        Change::Keep => {}
        Change::Replace(after) => replace(tx, tenant, number, &before, after)?,
        Change::Delete => delete(tx, tenant, number, &before, now)?,
    }
    Ok(Written {
        at: now,
        action,
        answer,
    })
}

/// Writes what differs between two states of an endpoint.
pub(super) fn replace(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    number: i64,
    before: &Endpoint,
    after: Endpoint,
) -> Result<(), CommitError> {
    let rewrite = Rewrite::between(before, &after);
    if rewrite.name {
        check_name(tx, tenant, &after.settings, Some(number))?;
    }
    write_rewrite(tx, tenant, number, &rewrite, before, &after)?;
    tx.cache.keep(tenant, number, after);
    Ok(())
}

/// Writes the records that `rewrite` names.
fn write_rewrite(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    number: i64,
    rewrite: &Rewrite,
    before: &Endpoint,
    after: &Endpoint,
) -> Result<(), Fault> {
    let settings = &after.settings;
    if rewrite.settings {
        let sealed = Fields::of(&tenant.id, tx.keys).seal_settings(after)?;
        tx.db.prepare_cached(sql::SET_ENDPOINT)?.execute((
            number,
            settings.active,
            &settings.name,
            sealed,
        ))?;
    }
    if rewrite.subscriptions {
        unsubscribe(tx, tenant, number, &before.settings)?;
        subscribe(tx, tenant, number, settings)?;
    }
    if let Some(is_active) = rewrite.active {
        tx.turns.active((tenant.number, number), is_active);
    }
    match rewrite.key_ring {
        KeyRingChange::Keep => {}
        KeyRingChange::Add(ring) => {
            put_key_ring(tx, sql::ADD_KEY_RING, tenant, number, after.id, ring)?;
        }
        KeyRingChange::Set(ring) => {
            put_key_ring(tx, sql::SET_KEY_RING, tenant, number, after.id, ring)?;
        }
        KeyRingChange::Delete => tx.run_on(sql::DELETE_KEY_RING, number)?,
    }
    Ok(())
}

fn delete(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    number: i64,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<(), Fault> {
    tx.cache.forget(tenant, endpoint.id);
    unsubscribe(tx, tenant, number, &endpoint.settings)?;
    tx.run_on(sql::DELETE_KEY_RING, number)?;
    tx.run_on(sql::DELETE_ENDPOINT, number)?;
    tx.usages.change(tenant.number, -Usage::endpoints(1));
    deletions::cancel_later(tx, tenant, number, now)
}

/// Refuses a name that another endpoint of the tenant has. `own` is the number of the endpoint that
/// gets it.
fn check_name(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    settings: &Settings,
    own: Option<i64>,
) -> Result<(), CommitError> {
    let Some(name) = &settings.name else {
        return Ok(());
    };
    let holder: Option<i64> = tx
        .reader()
        .row(sql::NAME, &[&tenant.number, name], |row| Ok(row.get(0)?))?;
    if holder.is_some() && holder != own {
        return Err(CommitError::NameTaken);
    }
    Ok(())
}

fn put_key_ring(
    tx: &Transaction<'_>,
    sql: &str,
    tenant: &Tenant,
    number: i64,
    id: EndpointId,
    ring: &KeyRing,
) -> Result<(), Fault> {
    let fields = Fields::of(&tenant.id, tx.keys);
    let sealed = fields.seal_key_ring(&id, ring)?;
    tx.db.prepare_cached(sql)?.execute((number, sealed))?;
    Ok(())
}

/// Adds the patterns of an endpoint to the index of subscriptions, if it is active.
fn subscribe(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    number: i64,
    settings: &Settings,
) -> Result<(), Fault> {
    if !settings.active {
        return Ok(());
    }
    each_pattern(tx, sql::SUBSCRIBE, tenant, number, settings)
}

/// Removes the patterns of an endpoint from the index of subscriptions.
fn unsubscribe(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    number: i64,
    settings: &Settings,
) -> Result<(), Fault> {
    each_pattern(tx, sql::UNSUBSCRIBE, tenant, number, settings)
}

fn each_pattern(
    tx: &mut Transaction<'_>,
    sql: &str,
    tenant: &Tenant,
    number: i64,
    settings: &Settings,
) -> Result<(), Fault> {
    tx.cache.forget_audiences(tenant);
    let mut statement = tx.db.prepare_cached(sql)?;
    for pattern in settings.patterns() {
        statement.execute((tenant.number, pattern.to_string(), number))?;
    }
    Ok(())
}
