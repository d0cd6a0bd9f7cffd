//! Keeps what each tenant uses of its quotas, and writes it with the batch that changes it.

use std::collections::HashMap;

use super::fault::Fault;
use super::read::Reader;
use super::sql::{self, offline};
use crate::store::quotas::{QuotaExceeded, Quotas, Usage};

/// What all tenants use, as of the current batch, by the numbers of the tenants.
#[derive(Default)]
pub(super) struct Usages {
    by_tenant: HashMap<i64, Usage>,
    /// The changes of this batch, in order, so that those of a failed job can be taken back.
    batch: Vec<(i64, Usage)>,
}

impl Usages {
    /// Reads what each tenant uses.
    pub fn read(reader: Reader<'_>) -> Result<Self, Fault> {
        let rows = reader.rows(offline::USAGES, &[], |row| {
            let usage = Usage {
                endpoints: row.get(1)?,
                pending_deliveries: row.get(2)?,
                event_bytes: row.get(3)?,
                idempotency_keys: row.get(4)?,
            };
            Ok((row.get(0)?, usage))
        })?;
        Ok(Self {
            by_tenant: rows.into_iter().collect(),
            batch: Vec::new(),
        })
    }

    /// Refuses what would exceed a quota of the tenant.
    pub fn check(&self, tenant: i64, quotas: &Quotas, more: Usage) -> Result<(), QuotaExceeded> {
        let used = self.by_tenant.get(&tenant).copied().unwrap_or_default();
        quotas.check(used, more)
    }

    /// Notes a change.
    pub fn change(&mut self, tenant: i64, by: Usage) {
        if by != Usage::default() {
            *self.by_tenant.entry(tenant).or_default() += by;
            self.batch.push((tenant, by));
        }
    }

    /// Returns a mark in the changes of the batch, for [`back_to`](Self::back_to).
    pub fn mark(&self) -> usize {
        self.batch.len()
    }

    /// Takes back the changes after `mark`.
    pub fn back_to(&mut self, mark: usize) {
        for (tenant, by) in self.batch.drain(mark.min(self.batch.len())..) {
            *self.by_tenant.entry(tenant).or_default() -= by;
        }
    }

    /// Writes the changes of the batch, within its transaction.
    pub fn write(&self, reader: Reader<'_>) -> Result<(), Fault> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut changes: HashMap<i64, Usage> = HashMap::new();
        for (tenant, by) in &self.batch {
            *changes.entry(*tenant).or_default() += *by;
        }
        let mut add = reader.db.prepare_cached(sql::ADD_USAGE)?;
        for (tenant, by) in changes {
            if by != Usage::default() {
                let Usage {
                    endpoints,
                    pending_deliveries,
                    event_bytes,
                    idempotency_keys,
                } = by;
                add.execute((
                    tenant,
                    endpoints,
                    pending_deliveries,
                    event_bytes,
                    idempotency_keys,
                ))?;
            }
        }
        Ok(())
    }

    /// Notes that the batch was committed.
    pub fn committed(&mut self) {
        self.batch.clear();
    }
}
