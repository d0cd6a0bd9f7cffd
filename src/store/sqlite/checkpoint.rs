//! Writes the log back to the database, so that the log stays short however many reads run.
//!
//! SQLite restarts its log, which means that it writes it from the beginning again, when all of it
//! is in the database and nobody reads from it. SQLite never waits for that, and reads that overlap
//! leave no such moment. So every read of this process passes a [`Gate`], which the writer closes
//! when the log has become long: it waits for the running reads, writes the rest of the log back
//! and restarts it. It does not wait for the reads of other processes, such as a backup: the log
//! grows until they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;

use super::fault::Fault;
use super::file::CHECKPOINT_PAGES;
use super::generation;

/// After how many more pages a failed attempt is repeated.
const AGAIN_AFTER: u32 = 1024;

/// A gate that reads pass, and that the writer closes for a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<RwLock<()>>);

impl Gate {
    /// Waits until the gate is open, and keeps it open while the guard lives.
    pub fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read()
    }
}

/// Measures the log of a connection, and keeps it short.
#[derive(Debug)]
pub(super) struct Checkpoints {
    gate: Gate,
    /// The length of the log after the last commit, in pages.
    length: Arc<AtomicU32>,
    /// The length at which the log is written back next.
    next: u32,
    /// The size of a page in the database. In the log it takes a little more.
    bytes_of_page: u64,
}

impl Checkpoints {
    /// Takes over the log of `db` from SQLite, and begins it with a number that identifies it.
    pub fn new(db: &mut Connection, gate: Gate) -> Result<Self, Fault> {
        let length = Arc::new(AtomicU32::new(0));
        let of_hook = Arc::clone(&length);
        db.wal_hook(Some(move |_: &mut _, pages: i32| {
            of_hook.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        let bytes_of_page = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let mut checkpoints = Self {
            gate,
            length,
            next: CHECKPOINT_PAGES,
            bytes_of_page,
        };
        checkpoints.write_back(db)?;
        Ok(checkpoints)
    }

    /// Returns the least length in bytes of a log that has everything that was committed.
    pub fn least_bytes(&self) -> u64 {
        let pages = u64::from(self.length.load(Ordering::Relaxed));
        pages * self.bytes_of_page
    }

    /// Returns whether the log has become long.
    pub fn is_due(&self) -> bool {
        self.length.load(Ordering::Relaxed) >= self.next
    }

    /// Writes the log back if it has become long. Call it after commits, when no caller waits for
    /// an answer.
    pub fn keep_short(&mut self, db: &Connection) {
        if !self.is_due() {
            return;
        }
        let length = self.length.load(Ordering::Relaxed);
        self.next = match self.write_back(db) {
            Ok(true) => CHECKPOINT_PAGES,
            Ok(false) => length + AGAIN_AFTER,
            Err(error) => {
                // The disk may be full. Writes report that when the log cannot grow either.
                tracing::debug!(%error, pages = length, "cannot write the log back to the database; trying again later");
                length + AGAIN_AFTER
            }
        };
    }

    /// Writes all of the log back and restarts it. Returns whether that was possible: another
    /// process that reads may prevent it.
    fn write_back(&mut self, db: &Connection) -> Result<bool, Fault> {
        // Most of it is written while reads run, so that they wait only for the rest.
        checkpoint(db)?;
        let _closed = self.gate.0.write();
        let is_done = checkpoint(db)?;
        if is_done {
            // The first commit from here on restarts the log.
            generation::begin(db)?;
        }
        Ok(is_done)
    }
}

/// Writes back what no read needs in its old state. Returns whether that was all.
fn checkpoint(db: &Connection) -> Result<bool, Fault> {
    let (length, done) = db.wal_checkpoint_v2(Some(rusqlite::MAIN_DB), CheckpointMode::PASSIVE)?;
    Ok(done >= length)
}

#[cfg(test)]
mod tests;
