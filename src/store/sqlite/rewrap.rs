//! Bringing a new first master key to every record, in small steps between commits.
//!
//! How far it has come rests in the file and is part of each step's transaction, so that it goes on after a crash where
//! it was. What is written meanwhile is sealed under the new key anyway.

use super::fault::Fault;
use super::view::Tenant;
use super::writer::Writer;
use crate::store::seal::{self, Kind, Place};

/// How many records one step reads.
const STEP: i64 = 64;

/// The tables with sealed values, in the order in which they are gone through: the rows after a number, with what
/// belongs to the place of each value, and how a value is replaced.
const STAGES: [(Kind, &str, &str); 4] = [
    (
        Kind::Settings,
        "SELECT number, sealed, tenant, id FROM endpoint WHERE number > ?1 ORDER BY number LIMIT ?2",
        "UPDATE endpoint SET sealed = ?2 WHERE number = ?1",
    ),
    (
        Kind::KeyRing,
        "SELECT key_ring.endpoint, key_ring.sealed, tenant, id FROM key_ring
         JOIN endpoint ON endpoint.number = key_ring.endpoint
         WHERE key_ring.endpoint > ?1 ORDER BY key_ring.endpoint LIMIT ?2",
        "UPDATE key_ring SET sealed = ?2 WHERE endpoint = ?1",
    ),
    (
        Kind::Event,
        "SELECT number, sealed, tenant, CAST(id AS BLOB) FROM event WHERE number > ?1 ORDER BY number LIMIT ?2",
        "UPDATE event SET sealed = ?2 WHERE number = ?1",
    ),
    (
        Kind::Answer,
        "SELECT number, sealed, tenant, CAST(key AS BLOB) FROM answer WHERE number > ?1 ORDER BY number LIMIT ?2",
        "UPDATE answer SET sealed = ?2 WHERE number = ?1",
    ),
];

/// One record with a sealed value.
struct Sealed {
    number: i64,
    value: Vec<u8>,
    tenant: i64,
    record: Vec<u8>,
}

/// How far it has come: the stage, the number of the last row, and how many values could not be opened.
type Progress = (usize, i64, i64);

impl Writer {
    /// Whether something may be left to do.
    pub fn has_more_to_rewrap(&self) -> Result<bool, Fault> {
        Ok(self.progress()?.is_some())
    }

    fn progress(&self) -> Result<Option<Progress>, Fault> {
        let sql = "SELECT rewrap_stage, rewrap_after, rewrap_failed FROM state";
        let found = self.view().row(sql, &[], |row| {
            let stage: Option<i64> = row.get(0)?;
            let stage = stage.and_then(|stage| usize::try_from(stage).ok());
            Ok((stage, row.get(1)?, row.get(2)?))
        })?;
        Ok(found.and_then(|(stage, after, failed)| Some((stage?, after, failed))))
    }

    /// One step, in a commit of its own. A failure is told once, and it goes on with the next start.
    pub fn rewrap_some(&mut self) {
        match self.alone(Self::rewrap_step) {
            Ok(is_more) => self.is_rewrapping = is_more,
            Err(error) => {
                tracing::error!(%error, "sealing under the first master key goes on with the next start");
                self.is_rewrapping = false;
            }
        }
    }

    /// One step. Returns whether there is more to do.
    pub fn rewrap_step(&mut self) -> Result<bool, Fault> {
        let Some((stage, after, mut failed)) = self.progress()? else {
            return Ok(false);
        };
        let Some((kind, read, write)) = STAGES.get(stage) else {
            self.end_rewrap(failed)?;
            return Ok(false);
        };
        let rows = self.view().rows(read, &[&after, &STEP], |row| {
            Ok(Sealed {
                number: row.get(0)?,
                value: row.get(1)?,
                tenant: row.get(2)?,
                record: row.get(3)?,
            })
        })?;
        for row in &rows {
            if seal::key_id(&row.value) != Some(self.keys.first_id())
                && let Err(error) = self.reseal(*kind, row, write)
            {
                let number = row.number;
                tracing::error!(%error, ?kind, number, "a value cannot be sealed under the first master key");
                failed += 1;
            }
        }
        let is_end_of_table = rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
        let (stage, after) = match rows.last() {
            Some(last) if !is_end_of_table => (stage, last.number),
            _ => (stage + 1, 0),
        };
        self.db
            .prepare_cached(
                "UPDATE state SET rewrap_stage = ?1, rewrap_after = ?2, rewrap_failed = ?3",
            )?
            .execute((stage, after, failed))?;
        Ok(true)
    }

    fn reseal(&mut self, kind: Kind, row: &Sealed, write: &str) -> Result<(), Fault> {
        let Tenant { id, .. } = self.tenant_of_number(row.tenant)?;
        let place = Place {
            kind,
            tenant: id.as_str(),
            record: &row.record,
        };
        let opened = self.keys.open(&place, &row.value)?;
        let sealed = self.keys.seal(&place, &opened)?;
        self.db
            .prepare_cached(write)?
            .execute((row.number, sealed))?;
        Ok(())
    }

    fn end_rewrap(&mut self, failed: i64) -> Result<(), Fault> {
        let first = self.keys.first_id();
        self.db
            .execute("UPDATE state SET rewrap_stage = NULL", [])?;
        if failed > 0 {
            tracing::error!(
                failed,
                "some values do not open: keep the old master keys, and run `hookturn check`"
            );
            return Ok(());
        }
        let old: Vec<String> = self.view().rows(
            "SELECT id FROM master_key WHERE id <> ?1 ORDER BY id",
            &[&first],
            |row| Ok(row.get(0)?),
        )?;
        self.db
            .execute("DELETE FROM master_key WHERE id <> ?1", [first])?;
        if !old.is_empty() {
            tracing::info!(
                sealed_under = first,
                may_be_dropped = old.join(", "),
                "every record rests under the first master key: the others may be dropped"
            );
        }
        Ok(())
    }
}
