//! Writing endpoints, and remembering answers: a commit as the callers know it.

use std::sync::Arc;

use super::fault::Fault;
use super::rows;
use super::sql;
use super::view::Tenant;
use super::writer::Writer;
use crate::domain::{DeliveryStatus, Endpoint, EndpointId, EventPattern, Settings, TenantId};
use crate::domain::{KeyRing, Timestamp};
use crate::idempotency::{Answer, Claim, RETENTION, Record};
use crate::store::seal::{Kind, Place};
use crate::store::{Change, CommitError, Committed, Create, Update, Write};

impl Writer {
    /// See [`Store::commit`](crate::store::Store::commit). The record of the answer is part of the same savepoint.
    pub fn commit(
        &mut self,
        tenant: &TenantId,
        claim: Option<Claim>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let tenant = self.tenant(tenant)?;
        let Some(claim) = claim else {
            let (_, answer) = self.apply(&tenant, write)?;
            return Ok(Committed {
                answer,
                replayed: false,
            });
        };
        let now = self.clock.now();
        if let Some(record) = self.view().record(&tenant, &claim.key, now)? {
            return Ok(Committed {
                answer: record.replay(&claim)?,
                replayed: true,
            });
        }
        let (now, answer) = self.apply(&tenant, write)?;
        self.remember(&tenant, &claim, &answer, now)?;
        Ok(Committed {
            answer,
            replayed: false,
        })
    }

    fn apply(&mut self, tenant: &Tenant, write: Write) -> Result<(Timestamp, Answer), CommitError> {
        match write {
            Write::Create(decide) => self.create(tenant, decide),
            Write::Update(id, decide) => self.update(tenant, id, decide),
            Write::Publish(publish) => self.publish(tenant, publish),
            Write::UpdateDelivery(id, decide) => self.update_delivery(tenant, id, decide),
        }
    }

    fn remember(
        &self,
        tenant: &Tenant,
        claim: &Claim,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let record = Record {
            fingerprint: claim.fingerprint,
            answer: answer.clone(),
        };
        let key = claim.key.as_str();
        let place = Place {
            kind: Kind::Answer,
            tenant: tenant.id.as_str(),
            record: key.as_bytes(),
        };
        let sealed = self.keys.seal(&place, &rows::record_to_bytes(&record))?;
        self.db.prepare_cached(sql::REMEMBER)?.execute((
            tenant.number,
            key,
            now.plus(RETENTION).as_millis(),
            sealed,
        ))?;
        Ok(())
    }

    fn create(
        &mut self,
        tenant: &Tenant,
        decide: Create,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let now = self.clock.now();
        let (endpoint, answer) = decide(now)?;
        let settings = &endpoint.settings;
        self.check_name(tenant, settings, None)?;
        let sealed = self.seal_settings(tenant, &endpoint)?;
        self.insert_endpoint(tenant, &endpoint, &sealed)?;
        let number = self.db.last_insert_rowid();
        if let Some(ring) = &endpoint.key_ring {
            self.put_key_ring(sql::ADD_KEY_RING, tenant, number, endpoint.id, ring)?;
        }
        self.subscribe(tenant, number, settings)?;
        Ok((now, answer))
    }

    fn insert_endpoint(
        &self,
        tenant: &Tenant,
        endpoint: &Endpoint,
        sealed: &[u8],
    ) -> Result<(), Fault> {
        self.db.prepare_cached(sql::ADD_ENDPOINT)?.execute((
            tenant.number,
            rows::endpoint_id_bytes(&endpoint.id),
            endpoint.settings.active,
            &endpoint.settings.name,
            sealed,
        ))?;
        Ok(())
    }

    fn update(
        &mut self,
        tenant: &Tenant,
        id: EndpointId,
        decide: Update,
    ) -> Result<(Timestamp, Answer), CommitError> {
        let found = self.endpoint(tenant, id)?;
        let (number, before) = found.ok_or(CommitError::NotFound)?;
        let now = self.clock.now();
        let (change, answer) = decide(&before, now)?;
        match change {
            Change::Keep => {}
            Change::Replace(after) => self.replace(tenant, number, &before, after)?,
            Change::Delete => self.delete(tenant, number, &before, now)?,
        }
        Ok((now, answer))
    }

    /// Writes what differs between two states of an endpoint. A rotation leaves the settings as they are, and writes
    /// one row.
    pub fn replace(
        &mut self,
        tenant: &Tenant,
        number: i64,
        before: &Endpoint,
        after: Endpoint,
    ) -> Result<(), CommitError> {
        let (old, new) = (&before.settings, &after.settings);
        let is_same_settings = Arc::ptr_eq(old, new)
            && before.updated_at == after.updated_at
            && before.key_ring.is_some() == after.key_ring.is_some();
        if !is_same_settings {
            if old.name != new.name {
                self.check_name(tenant, new, Some(number))?;
            }
            let sealed = self.seal_settings(tenant, &after)?;
            self.update_endpoint(number, new, &sealed)?;
        }
        if (old.active, &old.events) != (new.active, &new.events) {
            self.unsubscribe(tenant, number, old)?;
            self.subscribe(tenant, number, new)?;
        }
        if old.active != new.active {
            self.turns.active(number, new.active);
        }
        match (&before.key_ring, &after.key_ring) {
            (Some(old), Some(new)) if old == new => {}
            (old, Some(new)) => {
                let sql = if old.is_some() {
                    sql::SET_KEY_RING
                } else {
                    sql::ADD_KEY_RING
                };
                self.put_key_ring(sql, tenant, number, after.id, new)?;
            }
            (Some(_), None) => self.run_on(sql::DELETE_KEY_RING, number)?,
            (None, None) => {}
        }
        self.know(tenant, number, after);
        Ok(())
    }

    fn update_endpoint(
        &self,
        number: i64,
        settings: &Settings,
        sealed: &[u8],
    ) -> Result<(), Fault> {
        self.db.prepare_cached(sql::SET_ENDPOINT)?.execute((
            number,
            settings.active,
            &settings.name,
            sealed,
        ))?;
        Ok(())
    }

    fn delete(
        &mut self,
        tenant: &Tenant,
        number: i64,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.known.remove(&(tenant.number, endpoint.id));
        self.unsubscribe(tenant, number, &endpoint.settings)?;
        self.run_on(sql::DELETE_KEY_RING, number)?;
        self.run_on(sql::DELETE_ENDPOINT, number)?;
        self.db.prepare_cached(sql::CANCEL_DELIVERIES)?.execute((
            number,
            rows::status_to_number(DeliveryStatus::Canceled),
            now.as_millis(),
            rows::endpoint_id_bytes(&endpoint.id),
        ))?;
        self.turns.gone(number);
        Ok(())
    }

    /// Runs a statement on the record with this number.
    fn run_on(&self, sql: &str, number: i64) -> Result<(), Fault> {
        self.db.prepare_cached(sql)?.execute([number])?;
        Ok(())
    }

    fn check_name(
        &self,
        tenant: &Tenant,
        settings: &Settings,
        own: Option<i64>,
    ) -> Result<(), CommitError> {
        let Some(name) = &settings.name else {
            return Ok(());
        };
        let holder: Option<i64> = self
            .view()
            .row(sql::NAME, &[&tenant.number, name], |row| Ok(row.get(0)?))?;
        if holder.is_some() && holder != own {
            return Err(CommitError::NameTaken);
        }
        Ok(())
    }

    fn seal_settings(&self, tenant: &Tenant, endpoint: &Endpoint) -> Result<Vec<u8>, Fault> {
        let place = Place {
            kind: Kind::Settings,
            tenant: tenant.id.as_str(),
            record: rows::endpoint_id_bytes(&endpoint.id),
        };
        Ok(self
            .keys
            .seal(&place, &rows::settings_to_bytes(endpoint)?)?)
    }

    fn put_key_ring(
        &self,
        sql: &str,
        tenant: &Tenant,
        number: i64,
        id: EndpointId,
        ring: &KeyRing,
    ) -> Result<(), Fault> {
        let place = Place {
            kind: Kind::KeyRing,
            tenant: tenant.id.as_str(),
            record: rows::endpoint_id_bytes(&id),
        };
        let sealed = self.keys.seal(&place, &rows::key_ring_to_bytes(ring))?;
        self.db.prepare_cached(sql)?.execute((number, sealed))?;
        Ok(())
    }

    fn subscribe(&self, tenant: &Tenant, number: i64, settings: &Settings) -> Result<(), Fault> {
        if !settings.active {
            return Ok(());
        }
        self.each_pattern(sql::SUBSCRIBE, tenant, number, settings)
    }

    fn unsubscribe(&self, tenant: &Tenant, number: i64, settings: &Settings) -> Result<(), Fault> {
        self.each_pattern(sql::UNSUBSCRIBE, tenant, number, settings)
    }

    fn each_pattern(
        &self,
        sql: &str,
        tenant: &Tenant,
        number: i64,
        settings: &Settings,
    ) -> Result<(), Fault> {
        let mut statement = self.db.prepare_cached(sql)?;
        for pattern in settings.patterns() {
            statement.execute((tenant.number, pattern.to_string(), number))?;
        }
        Ok(())
    }

    /// The active endpoints of a tenant that subscribe to a type, each once.
    pub fn subscribers(
        &self,
        tenant: &Tenant,
        event_type: &str,
    ) -> Result<Vec<(i64, EndpointId)>, Fault> {
        let mut found = Vec::new();
        for pattern in EventPattern::matching(event_type) {
            found.extend(self.view().rows(
                sql::SUBSCRIBERS,
                &[&tenant.number, &pattern.to_string()],
                |row| {
                    let id = row.get_ref(1)?.as_blob()?;
                    Ok((row.get(0)?, rows::endpoint_id_from(id)?))
                },
            )?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
