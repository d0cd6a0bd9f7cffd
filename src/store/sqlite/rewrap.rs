//! Bringing a new first master key to every record, in small steps: by a server between commits, or by
//! `hookturn keys rewrap`.
//!
//! How far it has come rests in the file and is part of each step's transaction, so that it goes on after a crash where
//! it was, whoever goes on. What is written meanwhile is sealed under the new key anyway.
//!
//! **What remains in the file.** SQLite leaves old contents in pages that are free, and in its log until that is written
//! over. So a file may hold values under a key that no record rests under any more. That is nothing to somebody who
//! changes keys as a matter of routine. One who does it because a key leaked runs [`rewrap`], which writes the file anew
//! and ends the log. (What other copies hold, such as backups, it cannot change: whose key leaked with a copy has to
//! rotate the secrets.)

use std::path::Path;
use std::time::{Duration, Instant};

use super::Opening;
use super::fault::Fault;
use super::generation;
use super::open_error::OpenError;
use super::view::View;
use super::watch::Watch;
use crate::store::seal::{self, Kind, Place};

/// The most records of one step.
const MOST: usize = 64;

/// How many bytes of sealed values end a step before that: events can be large.
const ENOUGH: usize = 128 << 10;

/// After how long a step ends, with what it has done: whoever wants to write meanwhile waits for it.
const LONG: Duration = Duration::from_millis(2);

/// A table with sealed values, and how they are read and replaced.
struct Stage {
    kind: Kind,
    /// As `hookturn check` names its records, and what is sealed of them.
    record: &'static str,
    value: &'static str,
    /// The rows after a number: number, value, the tenant's name, and what else belongs to the place of the value. Rows
    /// whose tenant or endpoint is missing are among them.
    read: &'static str,
    write: &'static str,
    /// The last number.
    last: &'static str,
}

/// All of them, in the order in which they are gone through.
const STAGES: [Stage; 4] = [
    Stage {
        kind: Kind::Settings,
        record: "endpoint",
        value: "settings",
        read: "SELECT endpoint.number, sealed, tenant.name, id FROM endpoint
             LEFT JOIN tenant ON tenant.number = endpoint.tenant
             WHERE endpoint.number > ?1 ORDER BY endpoint.number",
        write: "UPDATE endpoint SET sealed = ?2 WHERE number = ?1",
        last: "SELECT max(number) FROM endpoint",
    },
    Stage {
        kind: Kind::KeyRing,
        record: "endpoint",
        value: "key ring",
        read: "SELECT key_ring.endpoint, key_ring.sealed, tenant.name, id FROM key_ring
             LEFT JOIN endpoint ON endpoint.number = key_ring.endpoint
             LEFT JOIN tenant ON tenant.number = endpoint.tenant
             WHERE key_ring.endpoint > ?1 ORDER BY key_ring.endpoint",
        write: "UPDATE key_ring SET sealed = ?2 WHERE endpoint = ?1",
        last: "SELECT max(endpoint) FROM key_ring",
    },
    Stage {
        kind: Kind::Event,
        record: "event",
        value: "data",
        read: "SELECT event.number, sealed, tenant.name, CAST(id AS BLOB) FROM event
             LEFT JOIN tenant ON tenant.number = event.tenant
             WHERE event.number > ?1 ORDER BY event.number",
        write: "UPDATE event SET sealed = ?2 WHERE number = ?1",
        last: "SELECT max(number) FROM event",
    },
    Stage {
        kind: Kind::Answer,
        record: "answer",
        value: "answer",
        read: "SELECT answer.number, sealed, tenant.name, CAST(key AS BLOB) FROM answer
             LEFT JOIN tenant ON tenant.number = answer.tenant
             WHERE answer.number > ?1 ORDER BY answer.number",
        write: "UPDATE answer SET sealed = ?2 WHERE number = ?1",
        last: "SELECT max(number) FROM answer",
    },
];

/// One record with a sealed value.
struct Sealed {
    number: i64,
    value: Vec<u8>,
    tenant: Option<String>,
    record: Option<Vec<u8>>,
}

/// What one step did.
struct Step {
    /// The stage, and the number that it reached. `None` when every record has been seen.
    reached: Option<(usize, i64)>,
    /// How many values were sealed anew.
    sealed: u64,
    /// What does not open: one line each, without data.
    unopened: Vec<String>,
}

/// How it ended.
struct End {
    /// How many values do not open.
    failed: u64,
    /// The ids of the other master keys, which nothing rests under.
    old: Vec<String>,
}

/// How far it has come: the stage, the number of the last row, and how many values could not be opened.
type Progress = (usize, i64, i64);

fn progress(view: View<'_>) -> Result<Option<Progress>, Fault> {
    let sql = "SELECT rewrap_stage, rewrap_after, rewrap_failed FROM state";
    let found = view.row(sql, &[], |row| {
        let stage: Option<i64> = row.get(0)?;
        let stage = stage.and_then(|stage| usize::try_from(stage).ok());
        Ok((stage, row.get(1)?, row.get(2)?))
    })?;
    Ok(found.and_then(|(stage, after, failed)| Some((stage?, after, failed))))
}

/// One step, within the caller's transaction. `None` when there was nothing to do.
fn step(view: View<'_>) -> Result<Option<Step>, Fault> {
    let Some((number, after, mut failed)) = progress(view)? else {
        return Ok(None);
    };
    let mut step = Step {
        reached: None,
        sealed: 0,
        unopened: Vec::new(),
    };
    let Some(stage) = STAGES.get(number) else {
        return Ok(Some(step));
    };
    let began = Instant::now();
    let (rows, mut is_end) = read(view, stage, after)?;
    let mut last = after;
    for row in &rows {
        if last > after && began.elapsed() > LONG {
            is_end = false;
            break;
        }
        last = row.number;
        if seal::key_id(&row.value) == Some(view.keys.first_id()) {
            continue;
        }
        if let Some(problem) = reseal(view, stage, row)? {
            failed += 1;
            let Stage { record, value, .. } = stage;
            step.unopened
                .push(format!("{record} {}: {value}: {problem}", row.number));
        } else {
            step.sealed += 1;
        }
    }
    let reached = if is_end {
        (number + 1, 0)
    } else {
        (number, last)
    };
    view.db
        .prepare_cached(
            "UPDATE state SET rewrap_stage = ?1, rewrap_after = ?2, rewrap_failed = ?3",
        )?
        .execute((reached.0, reached.1, failed))?;
    step.reached = Some(reached);
    Ok(Some(step))
}

/// The rows of one step, and whether the table ends with them.
fn read(view: View<'_>, stage: &Stage, after: i64) -> Result<(Vec<Sealed>, bool), Fault> {
    let mut statement = view.db.prepare_cached(stage.read)?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::with_capacity(MOST);
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(1)?;
        bytes += value.len();
        found.push(Sealed {
            number: row.get(0)?,
            value,
            tenant: row.get(2)?,
            record: row.get(3)?,
        });
        if found.len() == MOST || bytes >= ENOUGH {
            return Ok((found, false));
        }
    }
    Ok((found, true))
}

/// Seals a value under the first key. Returns why it does not open, if so: other faults end the step.
fn reseal(view: View<'_>, stage: &Stage, row: &Sealed) -> Result<Option<String>, Fault> {
    let (Some(tenant), Some(record)) = (&row.tenant, &row.record) else {
        return Ok(Some("it belongs to nothing".to_owned()));
    };
    let place = Place {
        kind: stage.kind,
        tenant,
        record,
    };
    let opened = match view.keys.open(&place, &row.value) {
        Ok(opened) => opened,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let sealed = view.keys.seal(&place, &opened)?;
    view.db
        .prepare_cached(stage.write)?
        .execute((row.number, sealed))?;
    Ok(None)
}

/// What follows when every record has been seen, within the caller's transaction: unless something did not open, the
/// file forgets the other keys.
fn end(view: View<'_>) -> Result<End, Fault> {
    let failed = progress(view)?.map_or(0, |(_, _, failed)| failed.unsigned_abs());
    view.db
        .execute("UPDATE state SET rewrap_stage = NULL", [])?;
    if failed > 0 {
        return Ok(End {
            failed,
            old: Vec::new(),
        });
    }
    let first = view.keys.first_id();
    let sql = "SELECT id FROM master_key WHERE id <> ?1 ORDER BY id";
    let old = view.rows(sql, &[&first], |row| Ok(row.get(0)?))?;
    view.db
        .execute("DELETE FROM master_key WHERE id <> ?1", [first])?;
    Ok(End { failed, old })
}

/// What a server's step came to.
pub(super) enum Stepped {
    /// There may be more to do.
    More,
    /// There is nothing left to do.
    Done,
}

/// Whether something may be left to do.
pub(super) fn is_unfinished(view: View<'_>) -> Result<bool, Fault> {
    Ok(progress(view)?.is_some())
}

/// One step of a server, within the caller's transaction. Returns what to [tell](Tidings::tell) once it is committed.
pub(super) fn step_of_server(view: View<'_>) -> Result<(Stepped, Tidings), Fault> {
    Ok(match step(view)? {
        None => (Stepped::Done, Tidings::default()),
        Some(Step { reached: None, .. }) => {
            let end = Some(end(view)?);
            let tidings = Tidings {
                end,
                ..Tidings::default()
            };
            (Stepped::Done, tidings)
        }
        Some(Step { unopened, .. }) => {
            let tidings = Tidings {
                unopened,
                ..Tidings::default()
            };
            (Stepped::More, tidings)
        }
    })
}

/// What the log is to say of a step.
#[derive(Default)]
pub(super) struct Tidings {
    unopened: Vec<String>,
    end: Option<End>,
}

impl Tidings {
    /// Says it. `first` is the id of the first master key.
    pub fn tell(self, first: &str) {
        for unopened in self.unopened {
            tracing::error!("cannot encrypt a value with the first master key: {unopened}");
        }
        if let Some(end) = self.end {
            end.tell(first);
        }
    }
}

impl End {
    fn tell(&self, first: &str) {
        if self.failed > 0 {
            tracing::error!(
                failed = self.failed,
                "some values do not open: keep the old master keys, and run `hookturn check`"
            );
        } else if !self.old.is_empty() {
            tracing::info!(
                sealed_under = first,
                may_be_dropped = self.old.join(", "),
                "every record rests under the first master key: the others may be dropped when no backup needs them"
            );
        }
    }
}

/// What [`rewrap`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many values were sealed anew.
    pub sealed: u64,
    /// How many do not open, before this run as well, if it was interrupted.
    pub unopened: u64,
    /// The ids of the master keys under which values rested before, and none does now.
    pub may_be_dropped: Vec<String>,
}

/// Brings every value in the file at `path` to the first of `keys`, in steps that are each committed, and then writes the
/// file anew, so that nothing of the old values is left in it. `watch` is told of each value that does not open; then
/// nothing is dropped, and the file is not written anew.
///
/// # Errors
///
/// [`OpenError`] when the file is not there, is in use, or cannot be written. What was done stays done, and the next run
/// goes on from there.
pub fn rewrap(opening: Opening, watch: &mut dyn Watch) -> Result<Rewrapped, OpenError> {
    let Opening {
        path,
        keys,
        mut db,
        lock,
        ..
    } = opening;
    let fault = |fault: Fault| OpenError::of(&path, fault);
    let sql_fault = |error: rusqlite::Error| OpenError::of(&path, error.into());
    // From here on the database is another one than any log of it that was copied before.
    end_log(&db, &path)?;
    generation::begin(&db).map_err(fault)?;
    // Nothing that is replaced from here on is left behind, and a large file is not copied into memory.
    db.execute_batch("PRAGMA secure_delete = ON; PRAGMA temp_store = FILE")
        .map_err(sql_fault)?;
    let mut done = Rewrapped {
        sealed: 0,
        unopened: 0,
        may_be_dropped: Vec::new(),
    };
    let mut stage_told = None;
    loop {
        let transaction = db.transaction().map_err(sql_fault)?;
        let view = View {
            db: &transaction,
            keys: &keys,
        };
        let step = step(view).map_err(fault)?;
        let reached = step.as_ref().and_then(|step| step.reached);
        if let Some((stage, _)) = reached
            && stage_told != Some(stage)
            && let Some(Stage { record, last, .. }) = STAGES.get(stage)
        {
            stage_told = Some(stage);
            let last: Option<Option<i64>> =
                view.row(last, &[], |row| Ok(row.get(0)?)).map_err(fault)?;
            watch.begin(record, last.flatten().map(i64::unsigned_abs));
        }
        transaction.commit().map_err(sql_fault)?;
        let Some((_, after)) = reached else { break };
        watch.reach(after.unsigned_abs());
        if let Some(step) = step {
            done.sealed += step.sealed;
            step.unopened.iter().for_each(|line| watch.found(line));
        }
    }
    let has_failed = {
        let view = View {
            db: &db,
            keys: &keys,
        };
        progress(view)
            .map_err(fault)?
            .is_some_and(|(_, _, failed)| failed > 0)
    };
    if !has_failed {
        watch.begin("writing the file anew", None);
        write_anew(&db, &path)?;
    }
    let transaction = db.transaction().map_err(sql_fault)?;
    let view = View {
        db: &transaction,
        keys: &keys,
    };
    let end = end(view).map_err(fault)?;
    transaction.commit().map_err(sql_fault)?;
    done.unopened = end.failed;
    done.may_be_dropped = end.old;
    generation::begin(&db).map_err(fault)?;
    db.close().map_err(|(_, error)| sql_fault(error))?;
    drop(lock);
    Ok(done)
}

/// Leaves nothing in the file, and in its log, but what there is.
fn write_anew(db: &rusqlite::Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    db.execute_batch("VACUUM").map_err(fault)?;
    end_log(db, path)
}

/// Brings all of the log to the database, and empties it.
fn end_log(db: &rusqlite::Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    let is_busy: bool = db
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(fault)?;
    if is_busy {
        return Err(OpenError::BeingRead(path.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::store::sqlite::schema;

    use super::*;

    /// A table that is forgotten here would rest under its old key for ever.
    #[test]
    fn every_table_with_sealed_values_is_gone_through() {
        let db = schema::blank().expect("a database");
        let sql = "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table' AND c.type = 'BLOB' AND c.name = 'sealed'";
        let mut statement = db.prepare(sql).expect("sound");
        let tables: BTreeSet<String> = statement
            .query_map([], |row| row.get(0))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("names");
        let written: BTreeSet<_> = STAGES
            .iter()
            .filter_map(|stage| stage.write.split(' ').nth(1).map(str::to_owned))
            .collect();
        assert_eq!(tables, written);
    }
}
