//! Checks what events and deletions have left to do, and what each tenant uses of its quotas.

use rusqlite::Row;

use super::{Checker, wrong};
use crate::store::at_rest::audience;
use crate::store::quotas::{BYTES_OF_DELIVERY, Usage};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::sql::offline::check as sql;

impl Checker<'_> {
    pub fn unfinished(&mut self) -> Result<(), Fault> {
        self.each("events", "fan_out", sql::FAN_OUTS, Self::fan_out)?;
        self.each(
            "audiences",
            "audience",
            sql::STRAY_AUDIENCES,
            |checker, _, name| {
                checker.problem(&format!("{name}: no event needs it"));
                Ok(())
            },
        )?;
        self.each(
            "deletions",
            "deletion",
            sql::DELETIONS,
            |checker, row, name| {
                if row.get::<_, Option<i64>>(2)?.is_some() {
                    checker.problem(&format!("{name}: the endpoint is still there"));
                }
                let tenant: i64 = row.get(1)?;
                if !checker.tenants.contains_key(&tenant) {
                    checker.problem(&format!("{name}: its tenant {tenant} is missing"));
                }
                Ok(())
            },
        )
    }

    fn fan_out(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        let (event, tenant): (i64, i64) = (row.get(0)?, row.get(1)?);
        let done: usize = row.get(2)?;
        let Some(members) = row.get_ref(3)?.as_blob_or_null()? else {
            return wrong("its audience");
        };
        let members = audience::audience_from(members)?.len();
        if done >= members {
            self.problem(&format!("{name}: all of its deliveries were made"));
        }
        if row.get::<_, Option<i64>>(4)? != Some(tenant) {
            self.problem(&format!("{name}: its event is missing or another tenant's"));
        }
        let unmade = i64::try_from(members.saturating_sub(done)).unwrap_or(i64::MAX);
        self.unmade.insert(event, unmade);
        *self.unmade_of_tenant.entry(tenant).or_default() += unmade;
        Ok(())
    }

    pub fn usages(&mut self) -> Result<(), Fault> {
        self.each("usage", "tenant", sql::USAGES, |checker, row, name| {
            let unmade = checker.unmade_of_tenant.get(&row.get(0)?);
            let unmade = unmade.copied().unwrap_or_default();
            let own = Usage {
                endpoints: row.get(1)?,
                pending_deliveries: row.get(2)?,
                event_bytes: row.get(3)?,
                idempotency_keys: row.get(4)?,
            };
            let deliveries: i64 = row.get(8)?;
            let counted = Usage {
                endpoints: row.get(5)?,
                pending_deliveries: row.get::<_, i64>(6)? + unmade,
                event_bytes: row.get::<_, i64>(7)? + (deliveries + unmade) * BYTES_OF_DELIVERY,
                idempotency_keys: row.get(9)?,
            };
            for (what, own, counted) in [
                ("endpoints", own.endpoints, counted.endpoints),
                (
                    "pending deliveries",
                    own.pending_deliveries,
                    counted.pending_deliveries,
                ),
                ("bytes of events", own.event_bytes, counted.event_bytes),
                (
                    "idempotency keys",
                    own.idempotency_keys,
                    counted.idempotency_keys,
                ),
            ] {
                if own != counted {
                    checker.problem(&format!(
                        "{name}: it uses {counted} {what}, but the file says {own}"
                    ));
                }
            }
            Ok(())
        })
    }
}
