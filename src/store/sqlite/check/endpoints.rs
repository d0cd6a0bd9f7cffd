//! Endpoints with their key rings, and the index of their subscriptions.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Row;

use super::{Checker, wrong};
use crate::domain::key_ring::MAX_LIVE;
use crate::domain::{Endpoint, KeyRing, Settings};
use crate::store::seal::Kind;
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows;

const ENDPOINTS: &str = "SELECT endpoint.number, tenant, id, active, name, endpoint.sealed, key_ring.sealed
    FROM endpoint LEFT JOIN key_ring ON key_ring.endpoint = endpoint.number ORDER BY endpoint.number";

const STRAY_RINGS: &str = "SELECT key_ring.endpoint FROM key_ring
    LEFT JOIN endpoint ON endpoint.number = key_ring.endpoint WHERE endpoint.number IS NULL";

const IS_SUBSCRIBED: &str =
    "SELECT 1 FROM subscription WHERE tenant = ?1 AND pattern = ?2 AND endpoint = ?3";

const SUBSCRIPTIONS: &str =
    "SELECT subscription.endpoint, subscription.tenant, pattern, endpoint.tenant, id, sealed
    FROM subscription LEFT JOIN endpoint ON endpoint.number = subscription.endpoint";

impl Checker<'_> {
    pub fn endpoints(&mut self) -> Result<(), Fault> {
        self.each("endpoints", "endpoint", ENDPOINTS, Self::endpoint)?;
        self.each("key rings", "endpoint", STRAY_RINGS, |checker, _, name| {
            checker.problem(&format!("{name}: it has a key ring, and does not exist"));
            Ok(())
        })
    }

    fn endpoint(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        self.summary.endpoints += 1;
        let (number, tenant): (i64, i64) = (row.get(0)?, row.get(1)?);
        let record = row.get_ref(2)?.as_blob()?;
        let id = rows::endpoint_id_from(record)?;
        let name = &format!("{name} ({id})");
        let ring = row.get_ref(6)?.as_blob_or_null()?;
        if let Some(sealed) = ring {
            self.summary.key_rings += 1;
            if let Some(ring) = self.open(Kind::KeyRing, tenant, record, sealed, name) {
                match rows::key_ring_from(&ring) {
                    Ok(ring) => self.key_ring(&ring, name),
                    Err(_) => self.problem(&format!("{name}: it has no current secret")),
                }
            }
        }
        let sealed = row.get_ref(5)?.as_blob()?;
        let Some(settings) = self.open(Kind::Settings, tenant, record, sealed, name) else {
            return Ok(());
        };
        let (endpoint, is_signed) = rows::settings_from(id, &settings)?;
        match (is_signed, ring.is_some()) {
            (true, false) => self.problem(&format!(
                "{name}: it is signed, and its key ring is missing"
            )),
            (false, true) => self.problem(&format!("{name}: it is not signed, and has a key ring")),
            _ => {}
        }
        if row.get::<_, bool>(3)? != endpoint.settings.active {
            self.problem(&format!("{name}: the column active is not what is sealed"));
        }
        if row.get_ref(4)?.as_str_or_null()? != endpoint.settings.name.as_deref() {
            self.problem(&format!("{name}: the column name is not what is sealed"));
        }
        self.subscribed(number, tenant, &endpoint, name)
    }

    /// I1, I3 and the cap.
    fn key_ring(&mut self, ring: &KeyRing, name: &str) {
        if ring.live(self.now).count() > MAX_LIVE {
            self.problem(&format!("{name}: more than {MAX_LIVE} secrets are live"));
        }
        let retiring = ring.retiring();
        let made = std::iter::once(ring.current().created_at)
            .chain(retiring.iter().map(|retiring| retiring.created_at));
        if !made.is_sorted_by(|newer, older| newer >= older) {
            self.problem(&format!(
                "{name}: its secrets are not newest first (unless the clock was set back)"
            ));
        }
        if retiring
            .iter()
            .any(|retiring| retiring.expires_at < retiring.created_at)
        {
            self.problem(&format!(
                "{name}: a secret expires before it was made (unless the clock was set back)"
            ));
        }
        let names = std::iter::once(&ring.current().secret)
            .chain(retiring.iter().map(|retiring| &retiring.secret))
            .map(|secret| secret.fingerprint().bytes());
        if names.collect::<HashSet<_>>().len() <= retiring.len() {
            self.problem(&format!("{name}: it has a secret twice"));
        }
    }

    /// Every pattern of an active endpoint is in the index.
    fn subscribed(
        &mut self,
        number: i64,
        tenant: i64,
        endpoint: &Endpoint,
        name: &str,
    ) -> Result<(), Fault> {
        for pattern in patterns(&endpoint.settings) {
            let found = self
                .view
                .row(IS_SUBSCRIBED, &[&tenant, &pattern, &number], |_| Ok(()))?;
            if found.is_some() {
                self.subscriptions_found += 1;
            } else {
                self.problem(&format!(
                    "{name}: a subscription of it is missing: it gets no such events"
                ));
            }
        }
        Ok(())
    }

    /// Every entry of the index is a pattern of an active endpoint.
    pub fn subscriptions(&mut self) -> Result<(), Fault> {
        let db = self.view.db;
        let all: u64 = db.query_row("SELECT count(*) FROM subscription", [], |row| row.get(0))?;
        if all == self.subscriptions_found {
            // Those that the endpoints asked for, and no other.
            self.summary.subscriptions = all;
            return Ok(());
        }
        let mut statement = db.prepare(SUBSCRIPTIONS)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.summary.subscriptions += 1;
            self.watch.reach(self.summary.subscriptions);
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
                "{name}: it has a subscription, and does not exist"
            ));
            return Ok(());
        };
        if of_endpoint != tenant {
            self.problem(&format!("{name}: a subscription of it is another tenant's"));
            return Ok(());
        }
        let record = row.get_ref(4)?.as_blob()?;
        let id = rows::endpoint_id_from(record)?;
        // One that does not open was told already.
        let Some(opened) = self.peek(Kind::Settings, tenant, record, row.get_ref(5)?.as_blob()?)
        else {
            return Ok(());
        };
        let Ok((endpoint, _)) = rows::settings_from(id, &opened) else {
            return Ok(());
        };
        let pattern = row.get_ref(2)?.as_str()?;
        if pattern.is_empty() {
            return wrong("the pattern of a subscription");
        }
        if !patterns(&endpoint.settings).contains(pattern) {
            self.problem(&format!(
                "{name}: a subscription is not among its settings, or it is disabled"
            ));
        }
        Ok(())
    }
}

/// What must be in the index for an endpoint with these settings.
fn patterns(settings: &Settings) -> BTreeSet<String> {
    let patterns = settings.patterns().iter().map(ToString::to_string);
    patterns.filter(|_| settings.active).collect()
}
