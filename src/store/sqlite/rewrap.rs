//! Encrypts every record of a file with a new first master key (see
//! [`at_rest`](crate::store::at_rest)): a server does it between commits, `hookturn keys rewrap`
//! without a server.
//!
//! **What remains in the file.** SQLite leaves old contents in free pages, and in its log until
//! that is overwritten. So a file may contain values that are encrypted with a key that no record
//! uses any more. That does not matter when keys are changed as a matter of routine. When a key has
//! leaked, run [`rewrap()`], which rewrites the file and empties the log. It cannot change other
//! copies, such as backups: if a copy has leaked together with its key, the secrets have to be
//! rotated.

use std::path::Path;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::open_error::OpenError;
use super::progress::Progress;
use super::read::Reader;
use super::sql::offline;
use super::{Opening, generation};
use crate::store::at_rest::rewrap::{self, Reached, STAGES, SealedRow, Step};

/// How long a step may take before it ends with what it has done. Other writes wait for it.
const LONG: Duration = Duration::from_millis(2);

/// The result of a rewrap.
struct End {
    /// How many values could not be decrypted.
    failed: u64,
    /// The ids of the other master keys, which no value is encrypted with any more.
    old: Vec<String>,
}

/// Returns the progress. `None` when there is nothing to do.
fn reached(reader: Reader<'_>) -> Result<Option<Reached>, Fault> {
    let found = reader.row(offline::REWRAP_PROGRESS, &[], |row| {
        let stage: Option<i64> = row.get(0)?;
        let (after, failed) = (row.get(1)?, row.get(2)?);
        let stage = stage.and_then(|stage| usize::try_from(stage).ok());
        Ok(stage.map(|stage| Reached {
            stage,
            after,
            failed,
        }))
    })?;
    Ok(found.flatten())
}

/// The result of one step.
enum Did {
    /// There was nothing to do.
    Nothing,
    /// Every record has been seen. The caller calls [`end`] next.
    All,
    /// Some records were done.
    Some(Step),
}

/// Does one step, within the caller's transaction.
fn step(reader: Reader<'_>) -> Result<Did, Fault> {
    let Some(reached) = reached(reader)? else {
        return Ok(Did::Nothing);
    };
    let (Some(stage), Some(sql)) = (
        STAGES.get(reached.stage),
        offline::REWRAP.get(reached.stage),
    ) else {
        return Ok(Did::All);
    };
    let began = Instant::now();
    let (rows, is_end) = read(reader, sql, reached.after)?;
    let is_long = || began.elapsed() > LONG;
    let step = rewrap::step(reader.keys, stage, reached, &rows, is_end, is_long)?;
    for (number, value) in &step.resealed {
        reader
            .db
            .prepare_cached(sql.write)?
            .execute((number, value))?;
    }
    let Reached {
        stage,
        after,
        failed,
    } = step.reached;
    reader
        .db
        .prepare_cached(offline::SET_REWRAP_PROGRESS)?
        .execute((stage, after, failed))?;
    Ok(Did::Some(step))
}

/// Reads the rows of one step, and returns whether the table ends with them.
fn read(
    reader: Reader<'_>,
    sql: &offline::Rewrap,
    after: i64,
) -> Result<(Vec<SealedRow>, bool), Fault> {
    let mut statement = reader.db.prepare_cached(sql.read)?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::with_capacity(rewrap::MOST);
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(1)?;
        bytes += value.len();
        found.push(SealedRow {
            number: row.get(0)?,
            value,
            tenant: row.get(2)?,
            record: row.get(3)?,
        });
        if found.len() == rewrap::MOST || bytes >= rewrap::ENOUGH {
            return Ok((found, false));
        }
    }
    Ok((found, true))
}

/// Ends a rewrap that has seen every record, within the caller's transaction. The file forgets the
/// other keys, unless a value could not be decrypted.
fn end(reader: Reader<'_>) -> Result<End, Fault> {
    let failed = reached(reader)?.map_or(0, |reached| reached.failed.unsigned_abs());
    reader.db.execute(offline::END_REWRAP, [])?;
    if failed > 0 {
        return Ok(End {
            failed,
            old: Vec::new(),
        });
    }
    let first = reader.keys.first_id();
    let old = reader.rows(offline::OTHER_KEYS, &[&first], |row| Ok(row.get(0)?))?;
    reader.db.execute(offline::FORGET_OTHER_KEYS, [first])?;
    Ok(End { failed, old })
}

/// Whether a server's step has left something to do.
pub(super) enum Stepped {
    /// There may be more to do.
    More,
    /// There is nothing left to do.
    Done,
}

/// Returns whether there may be something left to do.
pub(super) fn is_unfinished(reader: Reader<'_>) -> Result<bool, Fault> {
    Ok(reached(reader)?.is_some())
}

/// Does one step of a server, within the caller's transaction. Returns what to [log](Tidings::tell)
/// once it is committed.
pub(super) fn step_of_server(reader: Reader<'_>) -> Result<(Stepped, Tidings), Fault> {
    Ok(match step(reader)? {
        Did::Nothing => (Stepped::Done, Tidings::default()),
        Did::All => {
            let end = Some(end(reader)?);
            let tidings = Tidings {
                end,
                ..Tidings::default()
            };
            (Stepped::Done, tidings)
        }
        Did::Some(Step { unopened, .. }) => {
            let tidings = Tidings {
                unopened,
                ..Tidings::default()
            };
            (Stepped::More, tidings)
        }
    })
}

/// What to log about a step.
#[derive(Default)]
pub(super) struct Tidings {
    unopened: Vec<String>,
    end: Option<End>,
}

impl Tidings {
    /// Logs it. `first` is the id of the first master key.
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
                "cannot decrypt some values; keep the old master keys and run `hookturn check`"
            );
        } else if !self.old.is_empty() {
            tracing::info!(
                sealed_under = first,
                may_be_dropped = self.old.join(", "),
                "all records are encrypted with the first master key; the others can be removed when no backup needs them"
            );
        }
    }
}

/// The result of [`rewrap()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// How many values were encrypted again.
    pub sealed: u64,
    /// How many values could not be decrypted, including those of an interrupted run before this
    /// one.
    pub unopened: u64,
    /// The ids of the master keys that values were encrypted with before, and that no value is
    /// encrypted with now.
    pub may_be_dropped: Vec<String>,
}

/// Encrypts every value in the file at `path` with the first of `keys`, in steps that are each
/// committed. Then it rewrites the file, so that nothing of the old values is left in it.
/// `progress` gets each value that cannot be decrypted. If there is one, no key is removed and the
/// file is not rewritten.
///
/// # Errors
/// [`OpenError`] when the file does not exist, is in use, or cannot be written. What was done stays
/// done, and the next run continues there.
pub fn rewrap(opening: Opening, progress: &mut dyn Progress) -> Result<Rewrapped, OpenError> {
    let Opening {
        path,
        keys,
        mut db,
        lock,
        ..
    } = opening;
    let fault = |fault: Fault| OpenError::of(&path, fault);
    let sql_fault = |error: rusqlite::Error| OpenError::of(&path, error.into());
    // From here on no log that was copied before belongs to this database.
    end_log(&db, &path)?;
    generation::begin(&db).map_err(fault)?;
    // Overwrites everything that is replaced from here on, and does not copy a large file into
    // memory.
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
        let reader = Reader {
            db: &transaction,
            keys: &keys,
        };
        let did = step(reader).map_err(fault)?;
        if let Did::Some(Step { reached, .. }) = &did
            && stage_told != Some(reached.stage)
            && let (Some(stage), Some(sql)) = (
                STAGES.get(reached.stage),
                offline::REWRAP.get(reached.stage),
            )
        {
            stage_told = Some(reached.stage);
            let last = reader.row(sql.last, &[], |row| Ok(row.get::<_, Option<i64>>(0)?));
            let last = last.map_err(fault)?.flatten();
            progress.begin(stage.record, last.map(i64::unsigned_abs));
        }
        transaction.commit().map_err(sql_fault)?;
        let Did::Some(step) = did else { break };
        progress.reach(step.reached.after.unsigned_abs());
        done.sealed += step.resealed.len() as u64;
        step.unopened.iter().for_each(|line| progress.found(line));
    }
    let reader = Reader {
        db: &db,
        keys: &keys,
    };
    let has_failed = reached(reader).map_err(fault)?;
    let has_failed = has_failed.is_some_and(|reached| reached.failed > 0);
    if !has_failed {
        progress.begin("rewriting the file", None);
        write_anew(&db, &path)?;
    }
    let transaction = db.transaction().map_err(sql_fault)?;
    let reader = Reader {
        db: &transaction,
        keys: &keys,
    };
    let end = end(reader).map_err(fault)?;
    transaction.commit().map_err(sql_fault)?;
    done.unopened = end.failed;
    done.may_be_dropped = end.old;
    generation::begin(&db).map_err(fault)?;
    db.close().map_err(|(_, error)| sql_fault(error))?;
    drop(lock);
    Ok(done)
}

/// Rewrites the file, so that the file and its log contain only current values.
fn write_anew(db: &rusqlite::Connection, path: &Path) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    db.execute_batch("VACUUM").map_err(fault)?;
    end_log(db, path)
}

/// Writes all of the log back to the database, and empties it.
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

    use super::*;
    use crate::store::sqlite::schema;

    /// A table that is missing in the list would stay encrypted with its old key for ever.
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
        let written: BTreeSet<_> = offline::REWRAP
            .iter()
            .filter_map(|sql| sql.write.split(' ').nth(1).map(str::to_owned))
            .collect();
        assert_eq!(tables, written);
    }
}
