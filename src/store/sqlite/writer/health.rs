//! Knows whether writes are safe: whether the disk accepts them, and whether the files are still
//! the ones that were opened.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::fault::Fault;
use super::super::lock::Files;
use super::super::{file, sql};
use crate::store::StoreError;

/// The bytes that a trial writes, to find out whether the store can write again: more than the
/// largest request, which is an event of 256 KiB.
const TRIAL: u32 = 512 << 10;

/// How many pages the cache holds during a trial.
const FEW_PAGES: u32 = 8;

/// The shortest time between two trials that no caller has asked for.
const TRY_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// What is known about the disk and the files.
pub(super) struct Health {
    files: Files,
    /// Whether one of the files is gone.
    is_gone: bool,
    /// Whether a commit failed, and no trial has succeeded since then.
    is_failing: bool,
    /// Whether the batch contains a trial.
    is_trying: bool,
    /// When the last trial was made that no caller had asked for.
    tried_at: Option<Instant>,
}

impl Health {
    pub fn new(files: Files) -> Self {
        Self {
            files,
            is_gone: false,
            is_failing: false,
            is_trying: false,
            tried_at: None,
        }
    }

    /// Notes that a batch was not committed.
    pub fn note_failure(&mut self, error: &StoreError) {
        self.is_trying = false;
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(%error, "cannot write to the store");
        }
    }

    /// Refuses while a file of the store is not the one that was opened: what is written to such a
    /// file is lost. `log` is the least length of the log, in bytes.
    pub fn expect_files(&mut self, log: u64) -> Result<(), Fault> {
        let gone = self.files.first_gone(log);
        let was_gone = std::mem::replace(&mut self.is_gone, gone.is_some());
        let Some(gone) = gone else {
            if was_gone {
                tracing::info!("files of the store are back");
            }
            return Ok(());
        };
        let error = Fault::FileGone(gone.to_owned());
        if !was_gone {
            tracing::error!(%error, "file of the store is gone");
        }
        Err(error)
    }

    /// Returns whether a trial is needed to know that the store can write. If so, notes that the
    /// batch contains one.
    pub fn begin_trial(&mut self) -> bool {
        self.is_trying |= self.is_failing;
        self.is_failing
    }

    /// Notes that a batch which changed something was committed. Returns whether a
    /// [trial](try_to_write) is needed to know that the store can write again.
    pub fn note_success(&mut self) -> bool {
        let has_tried = std::mem::take(&mut self.is_trying);
        if !self.is_failing {
            return false;
        }
        if has_tried {
            self.note_recovery();
            return false;
        }
        let is_recent = |at: Instant| at.elapsed() < TRY_AT_MOST_EVERY;
        if self.tried_at.is_some_and(is_recent) {
            return false;
        }
        self.tried_at = Some(Instant::now());
        true
    }

    /// Notes how a trial ended that no caller had asked for.
    pub fn note_trial(&mut self, has_succeeded: bool) {
        self.is_trying = false;
        if has_succeeded {
            self.note_recovery();
        }
    }

    fn note_recovery(&mut self) {
        self.is_failing = false;
        tracing::info!("can write to the store again");
    }
}

/// Writes as much as the largest request needs, so that a success means something.
pub(super) fn try_to_write(db: &Connection) -> Result<(), Fault> {
    // With few pages in the cache, the pages go to the log at once, where they are rolled back. The
    // log has grown by then, so the next commits have space.
    db.pragma_update(None, "cache_size", FEW_PAGES)?;
    let tried = try_large_write(db).and_then(|()| try_small_write(db));
    file::set_cache(db)?;
    Ok(tried?)
}

/// Writes as much as the largest request needs, and rolls it back.
fn try_large_write(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("SAVEPOINT trial")?;
    db.execute(sql::FILL, [TRIAL])?;
    db.execute_batch("ROLLBACK TO trial; RELEASE trial")
}

/// Makes a small write, which is committed.
fn try_small_write(db: &Connection) -> rusqlite::Result<()> {
    // Adds and deletes a row: SQLite does not write a page in which nothing has changed.
    db.execute(sql::FILL, [0])?;
    db.execute(sql::CLEAR, [])?;
    Ok(())
}
