//! `hookturn backup`: copies a file as it is at one instant, while a server goes on writing it.
//!
//! The copy reads everything in one transaction (`Snapshot`). Otherwise every commit would restart
//! it. It is written under another name, and gets its own name when it is complete and on the disk:
//! a file with that name is always a whole backup. Values stay encrypted as they are, so no master
//! key is needed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::open_error::OpenError;
use super::partial::{Partial, SIDES};
use super::paths;
use super::progress::Progress;
use super::snapshot::Snapshot;

/// The pages of one step: 1 MiB, a few milliseconds.
const STEP: i32 = 256;

/// Says why there is no backup: one line, which names the file and says what to do. Nothing is left
/// of the copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] OpenError),
    /// The target exists already.
    #[error("{} exists already: choose another name", .0.display())]
    Exists(PathBuf),
    /// The copy cannot be written.
    #[error("{} cannot be written: {}; check its directory and the free space on its disk", .0.display(), .1)]
    Target(PathBuf, String),
    /// The backup was stopped.
    #[error("stopped before the backup was complete; nothing is left of it")]
    Stopped,
}

/// Copies the database at `source` to the new file `target`, which only its owner may read. Stops
/// when `stop` is true. Returns the length of the copy in bytes.
///
/// The copy is one file, and needs no file beside it.
///
/// # Errors
///
/// [`BackupError`]. There is no `target` then.
pub fn backup(
    source: &Path,
    target: &Path,
    stop: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<u64, BackupError> {
    let system = |error: io::Error| BackupError::Target(target.to_owned(), error.to_string());
    // SQLite would take a log beside the copy for its own.
    let beside = SIDES.map(|side| paths::beside(target, side));
    for taken in beside.iter().map(PathBuf::as_path).chain([target]) {
        if fs::symlink_metadata(taken).is_ok() {
            return Err(BackupError::Exists(taken.to_owned()));
        }
    }
    let snapshot = Snapshot::at(source)?;
    let partial = Partial::beside(target).map_err(system)?;
    progress.begin("copying", None);
    copy(&snapshot, &partial, target, stop, progress)?;
    snapshot.end()?;
    progress.begin("writing to the disk", None);
    let copied = File::open(partial.path()).map_err(system)?;
    copied.sync_all().map_err(system)?;
    let length = copied.metadata().map_err(system)?.len();
    partial.name(target).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(target.to_owned()),
        _ => system(error),
    })?;
    Ok(length)
}

/// Copies page by page, and makes the copy independent of any other file.
fn copy(
    snapshot: &Snapshot,
    partial: &Partial,
    target: &Path,
    stop: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<(), BackupError> {
    let fault = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            BackupError::Source(OpenError::of(snapshot.path(), error.into()))
        }
        _ => BackupError::Target(target.to_owned(), error.to_string()),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut to = Connection::open_with_flags(partial.path(), flags).map_err(fault)?;
    // If anything fails, the file is deleted. It is synced to the disk at the end.
    let quick =
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE";
    to.execute_batch(quick).map_err(fault)?;
    let copying = Backup::new(&snapshot.db, &mut to).map_err(fault)?;
    let mut is_begun = false;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(BackupError::Stopped);
        }
        let step = copying.step(STEP).map_err(fault)?;
        let state = copying.progress();
        let pages = |pages: i32| u64::from(pages.unsigned_abs());
        if !std::mem::replace(&mut is_begun, true) {
            progress.begin("copying", Some(pages(state.pagecount)));
        }
        progress.reach(pages(state.pagecount - state.remaining));
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // No other process has the copy, and the transaction on the source has begun.
            _ => {
                let problem = "it is locked".to_owned();
                return Err(OpenError::System(snapshot.path().to_owned(), problem).into());
            }
        }
    }
    drop(copying);
    // The copied header says, as that of the source does, that there is a log.
    let mode: String = to
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        .map_err(fault)?;
    if mode != "delete" {
        let problem = "its log cannot be removed".to_owned();
        return Err(BackupError::Target(target.to_owned(), problem));
    }
    to.close().map_err(|(_, error)| fault(error))
}
