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

pub(super) mod steps;

use std::path::Path;

use self::steps::{Did, end, reached, step};
use super::fault::Fault;
use super::generation;
use super::open_error::OpenError;
use super::opening::Opening;
use super::progress::Progress;
use super::read::Reader;
use super::sql::offline;
use crate::store::at_rest::rewrap::{STAGES, Step};

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
        rewrite_file(&db, &path)?;
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
fn rewrite_file(db: &rusqlite::Connection, path: &Path) -> Result<(), OpenError> {
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
