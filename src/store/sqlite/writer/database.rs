//! Runs transactions on the file, and updates what is in memory after them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::Notify;

use super::health::{Health, try_to_write};
use super::job::Ended;
use crate::clock::Clock;
use crate::store::at_rest::MasterKeys;
use crate::store::sqlite::cache::Cache;
use crate::store::sqlite::checkpoint::Checkpoints;
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::lock::Files;
use crate::store::sqlite::read::Reader;
use crate::store::sqlite::transaction::Transaction;
use crate::store::sqlite::turns::{Deletion, Turns};
use crate::store::sqlite::usage::Usages;
use crate::store::sqlite::{deletions, fan_out, generation, queue};
use crate::store::{Claims, CommitError, StoreError, StoreLimits};

/// How many jobs run in savepoints after a job failed with some of its writes done.
const CAREFUL_JOBS: u32 = 10_000;

/// After how long a step is tried again that failed for a cause that may pass, such as a full disk.
/// No request need come meanwhile.
pub(super) const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a writer is made of.
pub(in crate::store::sqlite) struct Parts {
    pub db: Connection,
    pub keys: MasterKeys,
    pub files: Files,
    pub checkpoints: Checkpoints,
    pub clock: Arc<dyn Clock>,
    pub limits: StoreLimits,
    /// Notified when there may be new deliveries to claim.
    pub work: Arc<Notify>,
}

/// The database, with what the writer keeps in memory for it.
pub(super) struct Database {
    db: Connection,
    keys: MasterKeys,
    clock: Arc<dyn Clock>,
    limits: StoreLimits,
    turns: Turns,
    cache: Cache,
    usages: Usages,
    careful_jobs: u32,
    work: Arc<Notify>,
    health: Health,
    checkpoints: Checkpoints,
    /// Why the transaction of this batch ended too early.
    lost: Option<StoreError>,
}

impl Database {
    /// Reads the queues from the file.
    pub fn new(parts: Parts) -> Result<Self, Fault> {
        let reader = Reader {
            db: &parts.db,
            keys: &parts.keys,
        };
        let mut turns = Turns::new(parts.limits);
        queue::find_all(reader, &mut turns, parts.clock.now())?;
        turns.unmade = fan_out::find_all(reader)?;
        for deletion in deletions::find_all(reader)? {
            turns.cancel_later(deletion);
        }
        let usages = Usages::read(reader)?;
        Ok(Self {
            turns,
            db: parts.db,
            keys: parts.keys,
            clock: parts.clock,
            limits: parts.limits,
            cache: Cache::default(),
            usages,
            careful_jobs: 0,
            work: parts.work,
            health: Health::new(parts.files),
            checkpoints: parts.checkpoints,
            lost: None,
        })
    }

    /// Returns how many rows were written so far: see [`Connection::total_changes`].
    pub fn total_changes(&self) -> u64 {
        self.db.total_changes()
    }

    /// Begins the transaction of a batch.
    pub fn begin(&self) -> Result<(), Fault> {
        self.execute("BEGIN IMMEDIATE")
    }

    /// Begins a trial: see [`Health::begin_trial`].
    pub fn begin_trial(&mut self) -> bool {
        self.health.begin_trial()
    }

    /// Returns the id of the master key that encrypts.
    pub fn first_key_id(&self) -> &str {
        self.keys.first_id()
    }

    /// Writes the log back if it has become long.
    pub fn keep_log_short(&mut self) {
        if self.checkpoints.is_due() && self.expect_files().is_ok() {
            self.checkpoints.keep_short(&self.db);
        }
    }

    /// Writes the number that tells logs which were copied before from the database that is left.
    /// If a file is gone, leaves the log where it is instead: closing the database would write it
    /// into whatever file is there now.
    pub fn conclude_log(&mut self) {
        let concluded = match self.expect_files() {
            Ok(()) => generation::begin(&self.db),
            Err(_) => self
                .db
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map(|_| ())
                .map_err(Fault::from),
        };
        if let Err(error) = concluded {
            tracing::debug!(%error, "cannot complete the log before closing the store");
        }
    }

    /// Commits a batch, unless a file of the store is gone. A file that goes during the commit is
    /// found after it.
    pub fn commit_batch(
        &mut self,
        begun: Result<(), Fault>,
        changes_before: u64,
    ) -> Result<(), StoreError> {
        if let Err(fault) = self.expect_files() {
            self.undo_batch();
            return Err(fault.into());
        }
        let committed = begun.and_then(|()| self.commit());
        self.conclude(committed, changes_before)?;
        Ok(self.expect_files()?)
    }

    /// Commits the open transaction, with what it changes of the tenants' usage.
    fn commit(&mut self) -> Result<(), Fault> {
        self.usages.write(Reader {
            db: &self.db,
            keys: &self.keys,
        })?;
        self.execute("COMMIT")?;
        self.usages.committed();
        Ok(())
    }

    /// Checks the files: see [`Health::expect_files`].
    pub fn expect_files(&mut self) -> Result<(), Fault> {
        self.health.expect_files(self.checkpoints.least_bytes())
    }

    /// Removes everything of a batch that was not committed.
    fn undo_batch(&mut self) {
        self.lost = None;
        // The transaction may have ended already: SQLite ends it by itself when the disk fails.
        let _ = self.execute("ROLLBACK");
        self.turns.forget_batch();
        self.usages.back_to(0);
        self.cache.clear();
    }

    /// Updates what is in memory to what is committed.
    fn conclude(
        &mut self,
        committed: Result<(), Fault>,
        changes_before: u64,
    ) -> Result<(), StoreError> {
        match committed {
            Ok(()) => {
                self.follow_commit();
                // A batch with only refusals has not tested the disk.
                if self.db.total_changes() > changes_before {
                    self.note_success();
                }
                Ok(())
            }
            Err(fault) => {
                let error = self.lost.take().unwrap_or_else(|| fault.into());
                self.undo_batch();
                self.health.note_failure(&error);
                Err(error)
            }
        }
    }

    /// Notes that a batch which changed something was committed. If the store could not write
    /// before, the batch may have been small. So a large write is tried before the store counts as
    /// healthy again.
    fn note_success(&mut self) {
        if self.health.note_success() {
            let tried = self.alone(|database| try_to_write(&database.db));
            self.health.note_trial(tried.is_ok());
        }
    }

    /// Runs a write so that it leaves nothing behind unless it succeeds.
    pub fn atomically<T>(
        &mut self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, CommitError>,
    ) -> Ended<T> {
        if self.db.is_autocommit() {
            // SQLite ends a transaction by itself when the disk fails. A savepoint would begin
            // another one now.
            let lost = self.lost.clone();
            return Ok(Err(lost
                .unwrap_or_else(|| Fault::NoTransaction.into())
                .into()));
        }
        let is_careful = self.careful_jobs > 0;
        if is_careful {
            self.careful_jobs -= 1;
            if let Err(fault) = self.execute("SAVEPOINT job") {
                return Ok(Err(fault.into()));
            }
        }
        let (mark, used) = (self.turns.mark(), self.usages.mark());
        let (changes, tenants) = (self.db.total_changes(), self.cache.tenants_added());
        let ended = catch_unwind(AssertUnwindSafe(|| write(&mut self.transaction())));
        let has_succeeded = matches!(ended, Ok(Ok(_)));
        if !has_succeeded {
            self.turns.back_to(mark);
            self.usages.back_to(used);
        }
        let tenants_added = self.cache.tenants_added() - tenants;
        let written = (self.db.total_changes() - changes).saturating_sub(tenants_added);
        let is_undone = match (has_succeeded, is_careful) {
            (true, false) => return ended,
            (true, true) => self.execute("RELEASE job").is_ok(),
            (false, true) => {
                // The tenants that the job added are rolled back with it.
                self.cache.clear();
                let undone = self.execute("ROLLBACK TO job");
                undone.and_then(|()| self.execute("RELEASE job")).is_ok()
            }
            (false, false) => written == 0,
        };
        if !is_undone || self.db.is_autocommit() {
            // SQLite ended the transaction, or it has the first writes of a failed job, so the jobs
            // before this one are rolled back, too. The commit will fail, and every caller gets the
            // error.
            self.careful_jobs = CAREFUL_JOBS;
            let _ = self.execute("ROLLBACK");
            self.lost = match &ended {
                Ok(Err(CommitError::Store(error))) => Some(error.clone()),
                Err(_) => Some(Fault::Panicked.into()),
                _ => None,
            };
        }
        ended
    }

    /// Runs `write` in a transaction of its own, between batches.
    pub fn alone<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.expect_files()?;
        self.execute("BEGIN IMMEDIATE")?;
        let outcome = write(self).and_then(|outcome| {
            self.commit()?;
            Ok(outcome)
        });
        if outcome.is_err() {
            let _ = self.execute("ROLLBACK");
            self.usages.back_to(0);
        }
        outcome
    }

    /// Does a step of what events and deletions have left to do: makes some deliveries, and cancels
    /// some, each in a commit of its own. Returns after how long there is more to do.
    pub fn do_unfinished(&mut self) -> Option<Duration> {
        let mut is_more = false;
        if !self.turns.unmade.is_empty()
            && let Some((tenant, _)) = self.turns.next_unmade(self.clock.now())
        {
            match self.unfinished_step(fan_out::step) {
                Some(Ok(())) => self.turns.unmade.step_done(&tenant),
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot make the deliveries of an event; they are made after the next start");
                    self.turns.unmade.forget_first(&tenant);
                }
                None => return Some(TRY_AGAIN_AFTER),
            }
            is_more = true;
        }
        let most = self.turns.deletions.len().min(deletions::MOST);
        let some: Vec<Deletion> = self.turns.deletions.drain(..most).collect();
        if !some.is_empty() {
            match self.unfinished_step(|tx| deletions::step(tx, &some)) {
                Some(Ok(left)) => {
                    for done in some.iter().filter(|one| !left.contains(one)) {
                        self.turns.being_canceled.remove(&done.endpoint);
                    }
                    self.turns.deletions.extend(left);
                }
                Some(Err(error)) => {
                    tracing::error!(%error, "cannot cancel the deliveries of deleted endpoints; they are canceled after the next start");
                }
                None => {
                    self.turns.deletions.extend(some);
                    return Some(TRY_AGAIN_AFTER);
                }
            }
            is_more |= !self.turns.deletions.is_empty();
        }
        is_more.then_some(Duration::ZERO)
    }

    /// Runs a step in a commit of its own. Returns `None` when it failed for a cause that may pass,
    /// such as a full disk: requests fail, too, and report it.
    fn unfinished_step<T>(
        &mut self,
        step: impl FnOnce(&mut Transaction<'_>) -> Result<T, Fault>,
    ) -> Option<Result<T, Fault>> {
        match self.alone(|database| step(&mut database.transaction())) {
            Ok(done) => {
                self.follow_commit();
                Some(Ok(done))
            }
            Err(fault) => {
                self.turns.forget_batch();
                (!fault.is_passing()).then_some(Err(fault))
            }
        }
    }

    /// Releases the claims of a worker that is gone, since nobody would settle them.
    pub fn take_back(&mut self, unheard: Claims) {
        for claimed in unheard.claimed {
            if let Some(endpoint) = self.turns.release(claimed.delivery.id, claimed.hold) {
                let reader = Reader {
                    db: &self.db,
                    keys: &self.keys,
                };
                queue::find_first(reader, &mut self.turns, endpoint, self.clock.now());
            }
        }
        self.work.notify_one();
    }

    /// Updates the queues after a commit. Notifies the worker if there may be new deliveries to
    /// claim.
    pub fn follow_commit(&mut self) {
        let reader = Reader {
            db: &self.db,
            keys: &self.keys,
        };
        if queue::follow_commit(reader, &mut self.turns, self.clock.now()) {
            self.work.notify_one();
        }
    }

    pub fn transaction(&mut self) -> Transaction<'_> {
        Transaction {
            db: &self.db,
            keys: &self.keys,
            clock: &*self.clock,
            limits: self.limits,
            turns: &mut self.turns,
            cache: &mut self.cache,
            usages: &mut self.usages,
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Fault> {
        self.db.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
