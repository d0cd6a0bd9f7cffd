//! Checks endpoints with their key rings, and the index of their subscriptions.

use rusqlite::Row;

use super::{Checker, wrong};
use crate::domain::Endpoint;
use crate::store::at_rest::{Kind, check as rules, codec};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::sql::offline::check as sql;

impl Checker<'_> {
    pub fn endpoints(&mut self) -> Result<(), Fault> {
        self.each("endpoints", "endpoint", sql::ENDPOINTS, Self::endpoint)?;
        self.each(
            "key rings",
            "endpoint",
            sql::STRAY_RINGS,
            |checker, _, name| {
                checker.problem(&format!("{name}: it has a key ring, but does not exist"));
                Ok(())
            },
        )
    }

    fn endpoint(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        self.summary.endpoints += 1;
        let (number, tenant): (i64, i64) = (row.get(0)?, row.get(1)?);
        let record = row.get_ref(2)?.as_blob()?;
        let id = codec::endpoint_id_from(record)?;
        let name = &format!("{name} ({id})");
        let ring = row.get_ref(6)?.as_blob_or_null()?;
        if let Some(sealed) = ring {
            self.summary.key_rings += 1;
            if let Some(ring) = self.open(Kind::KeyRing, tenant, record, sealed, name) {
                match codec::key_ring_from(&ring) {
                    Ok(ring) => self.problems(name, rules::key_ring(&ring, self.now)),
                    Err(_) => self.problem(&format!("{name}: its key ring has no current secret")),
                }
            }
        }
        let sealed = row.get_ref(5)?.as_blob()?;
        let Some(settings) = self.open(Kind::Settings, tenant, record, sealed, name) else {
            return Ok(());
        };
        let (endpoint, is_signed) = codec::settings_from(id, &settings)?;
        let (active, of_row) = (row.get(3)?, row.get_ref(4)?.as_str_or_null()?);
        let found = rules::endpoint(&endpoint, is_signed, ring.is_some(), active, of_row);
        self.problems(name, found);
        self.subscribed(number, tenant, &endpoint, name)
    }

    /// Checks that every pattern of an active endpoint is in the index.
    fn subscribed(
        &mut self,
        number: i64,
        tenant: i64,
        endpoint: &Endpoint,
        name: &str,
    ) -> Result<(), Fault> {
        for pattern in rules::subscriptions(&endpoint.settings) {
            let found = self.reader.row(
                sql::IS_SUBSCRIBED,
                &[&tenant, &pattern, &number],
                |_| Ok(()),
            )?;
            if found.is_some() {
                self.subscriptions_found += 1;
            } else {
                self.problem(&format!(
                    "{name}: a subscription of it is missing, so it does not get those events"
                ));
            }
        }
        Ok(())
    }

    /// Checks that every entry of the index is a pattern of an active endpoint.
    pub fn subscriptions(&mut self) -> Result<(), Fault> {
        let db = self.reader.db;
        let all: u64 = db.query_row(sql::COUNT_SUBSCRIPTIONS, [], |row| row.get(0))?;
        if all == self.subscriptions_found {
            // The index has those that the endpoints ask for, and no others.
            self.summary.subscriptions = all;
            return Ok(());
        }
        let mut statement = db.prepare(sql::SUBSCRIPTIONS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.summary.subscriptions += 1;
            self.progress.reach(self.summary.subscriptions);
            let name = format!("endpoint {}", row.get::<_, i64>(0)?);
            if let Err(fault) = self.subscription(row, &name) {
                self.problem(&format!("{name}: {}", super::words(&fault)));
            }
        }
        Ok(())
    }

    fn subscription(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        let tenant: i64 = row.get(1)?;
        let Some(of_endpoint) = row.get::<_, Option<i64>>(3)? else {
            self.problem(&format!(
                "{name}: it has a subscription, but does not exist"
            ));
            return Ok(());
        };
        if of_endpoint != tenant {
            self.problem(&format!(
                "{name}: a subscription of it belongs to another tenant"
            ));
            return Ok(());
        }
        let record = row.get_ref(4)?.as_blob()?;
        let id = codec::endpoint_id_from(record)?;
        // If the settings cannot be decrypted, that was reported already.
        let Some(opened) = self.peek(Kind::Settings, tenant, record, row.get_ref(5)?.as_blob()?)
        else {
            return Ok(());
        };
        let Ok((endpoint, _)) = codec::settings_from(id, &opened) else {
            return Ok(());
        };
        let pattern = row.get_ref(2)?.as_str()?;
        if pattern.is_empty() {
            return wrong("the pattern of a subscription");
        }
        if !rules::subscriptions(&endpoint.settings).contains(pattern) {
            self.problem(&format!(
                "{name}: a subscription of it is not in its settings, or it is disabled"
            ));
        }
        Ok(())
    }
}
