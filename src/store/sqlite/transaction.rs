//! Defines what a write works with, inside the open transaction of the writer.

use rusqlite::Connection;

use super::cache::Cache;
use super::fault::Fault;
use super::read::{Reader, Tenant};
use super::turns::Turns;
use super::usage::Usages;
use crate::clock::Clock;
use crate::domain::{Endpoint, EndpointId, TenantId, Timestamp};
use crate::store::StoreLimits;
use crate::store::at_rest::MasterKeys;

/// The open transaction, with what the writer keeps in memory. A write decides before it writes, so
/// a refusal leaves nothing behind.
pub(super) struct Transaction<'a> {
    pub db: &'a Connection,
    pub keys: &'a MasterKeys,
    pub clock: &'a dyn Clock,
    pub limits: StoreLimits,
    pub turns: &'a mut Turns,
    pub cache: &'a mut Cache,
    pub usages: &'a mut Usages,
}

impl Transaction<'_> {
    /// Returns a reader of the file.
    pub fn reader(&self) -> Reader<'_> {
        Reader {
            db: self.db,
            keys: self.keys,
        }
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the tenant, and adds it if it is new.
    pub fn tenant(&mut self, id: &TenantId) -> Result<Tenant, Fault> {
        let reader = Reader {
            db: self.db,
            keys: self.keys,
        };
        self.cache.tenant(reader, id)
    }

    /// Returns the tenant with this number.
    pub fn tenant_of_number(&mut self, number: i64) -> Result<Tenant, Fault> {
        let reader = Reader {
            db: self.db,
            keys: self.keys,
        };
        self.cache.tenant_of_number(reader, number)
    }

    /// Returns an endpoint with its number, as the last write left it.
    pub fn endpoint(
        &mut self,
        tenant: &Tenant,
        id: EndpointId,
    ) -> Result<Option<(i64, Endpoint)>, Fault> {
        let reader = Reader {
            db: self.db,
            keys: self.keys,
        };
        self.cache.endpoint(reader, tenant, id)
    }

    /// Runs a statement on the record with this number.
    pub fn run_on(&self, sql: &str, number: i64) -> Result<(), Fault> {
        self.db.prepare_cached(sql)?.execute([number])?;
        Ok(())
    }
}
