//! The one thread that writes: it gathers what waits into one transaction, and answers when that is committed.
//!
//! ```text
//!  commit, settle ──▶ ┌─────────┐  batch   BEGIN · job · job · … · COMMIT ── fsync ──▶ answers
//!                     │ bounded │ ───────▶                                             │
//!  claim ───────────▶ │ channel │                           what the batch did to queues ▼
//!                     └─────────┘ ───────────────────────────────────────────────────▶ claims
//! ```
//!
//! A disk takes as long for one write as for fifty, so the batch is whatever came while the last one was written: alone,
//! a request waits for no other; under load, many share a commit.
//!
//! A job decides before it writes, so one that refuses, cannot read its record or panics has written nothing, and
//! disturbs nobody. One that fails with half of its writes done takes the batch with it, and from then on jobs run in
//! savepoints for a while, which cost each of them three more statements, and keep to itself a record that cannot be
//! written.
//!
//! What is kept in memory (whose turn it is, what is under way) follows the commits: it changes after one, and not at
//! all when one fails.

mod health;
mod job;
mod upkeep;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{Notify, mpsc};

use self::health::Health;
use self::upkeep::Upkeep;
use super::cache::Cache;
use super::checkpoint::Checkpoints;
use super::fault::Fault;
use super::lock::Files;
use super::read::Reader;
use super::transaction::Transaction;
use super::turns::Turns;
use super::{claim, commit, events, generation, queue};
use crate::clock::Clock;
use crate::store::at_rest::MasterKeys;
use crate::store::{Claims, CommitError, DeliveryLimits, StoreError};

pub(super) use self::job::{Answered, Ended, Job, Reply};

/// The most jobs of one commit.
const MOST_JOBS: usize = 256;

/// How long a batch may grow: jobs that are slow, such as an event for very many endpoints, are committed before more
/// are taken in.
const GROWS: Duration = Duration::from_millis(5);

/// For how many jobs savepoints are used after one failed with half of its writes done.
const CAREFUL_JOBS: u32 = 10_000;

/// The writes of a batch, and whether it was committed.
pub(super) type AnsweredBatch = (Vec<Answered>, Result<(), StoreError>);

/// How much was written, which tells how well commits are shared.
#[derive(Default)]
struct Written {
    commits: u64,
    jobs: u64,
}

/// What the thread owns.
pub(super) struct Writer {
    db: Connection,
    keys: MasterKeys,
    clock: Arc<dyn Clock>,
    limits: DeliveryLimits,
    turns: Turns,
    cache: Cache,
    upkeep: Upkeep,
    careful_jobs: u32,
    /// See [`GROWS`].
    grows: Duration,
    answers: mpsc::UnboundedSender<AnsweredBatch>,
    work: Arc<Notify>,
    health: Health,
    checkpoints: Checkpoints,
    /// Why the transaction of this batch ended before its time.
    lost: Option<StoreError>,
    written: Written,
}

/// What a writer is made of.
pub(super) struct Parts {
    pub db: Connection,
    pub keys: MasterKeys,
    pub files: Files,
    pub checkpoints: Checkpoints,
    pub clock: Arc<dyn Clock>,
    pub limits: DeliveryLimits,
    /// Notified when there may be something to claim that was not there before.
    pub work: Arc<Notify>,
    /// Where the answers of each batch go.
    pub answers: mpsc::UnboundedSender<AnsweredBatch>,
}

impl Writer {
    pub fn new(parts: Parts) -> Result<Self, Fault> {
        let reader = Reader {
            db: &parts.db,
            keys: &parts.keys,
        };
        let mut turns = Turns::new(parts.limits);
        queue::find_all(reader, &mut turns)?;
        Ok(Self {
            upkeep: Upkeep::new(reader)?,
            turns,
            db: parts.db,
            keys: parts.keys,
            clock: parts.clock,
            limits: parts.limits,
            cache: Cache::default(),
            careful_jobs: 0,
            grows: GROWS,
            answers: parts.answers,
            work: parts.work,
            health: Health::new(parts.files),
            checkpoints: parts.checkpoints,
            lost: None,
            written: Written::default(),
        })
    }

    /// Works until nobody can ask for anything any more.
    pub fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let job = if self.upkeep.is_rewrapping() {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Disconnected) => break,
                    Err(mpsc::error::TryRecvError::Empty) => None,
                }
            } else {
                match jobs.blocking_recv() {
                    Some(job) => Some(job),
                    None => break,
                }
            };
            if let Some(job) = job {
                self.batch(job, &mut jobs);
            }
            if self.upkeep.is_rewrapping() {
                self.rewrap_some();
            }
            if self.checkpoints.is_due() && self.expect_files().is_ok() {
                self.checkpoints.keep_short(&self.db);
            }
        }
        self.conclude_log();
        tracing::info!(
            writes = self.written.jobs,
            commits = self.written.commits,
            "the store is closed"
        );
    }

    /// Writes what tells the logs that were copied before from the database that is left, or leaves the log where it is
    /// if a file is gone: closing the database would write it to whatever is there now.
    fn conclude_log(&mut self) {
        let concluded = match self.expect_files() {
            Ok(()) => generation::begin(&self.db),
            Err(_) => self
                .db
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map(|_| ())
                .map_err(Fault::from),
        };
        if let Err(error) = concluded {
            tracing::debug!(%error, "cannot conclude the log");
        }
    }

    /// One commit of the writes that wait, and then what was asked of the committed state.
    fn batch(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        let began = Instant::now();
        let (mut answers, mut after) = (Vec::new(), Vec::new());
        let mut begun = None;
        let changes_before = self.db.total_changes();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            if matches!(job, Job::Claim { .. } | Job::Sweep { .. }) {
                after.push(job);
            } else {
                begun.get_or_insert_with(|| self.execute("BEGIN IMMEDIATE"));
                answers.extend(self.write(job));
            }
            if answers.len() + after.len() < MOST_JOBS && began.elapsed() < self.grows {
                next = jobs.try_recv().ok();
            }
        }
        if let Some(begun) = begun {
            self.written.jobs += answers.len() as u64;
            self.written.commits += 1;
            let committed = self.commit_batch(begun, changes_before);
            // Nobody waits any more if it cannot be sent.
            let _ = self.answers.send((answers, committed));
        }
        for job in after {
            match job {
                Job::Claim { most, reply } if !reply.is_closed() => {
                    let claimed = self.claim(most);
                    if let Err(Ok(unheard)) = reply.send(claimed) {
                        self.take_back(unheard);
                    }
                }
                Job::Sweep { reply } if !reply.is_closed() => {
                    // The next call sweeps on if this one's caller is gone.
                    let _ = reply.send(self.sweep());
                }
                _ => {}
            }
        }
    }

    /// Runs a write within the batch. `None` when its caller went away before it began.
    fn write(&mut self, job: Job) -> Option<Answered> {
        match job {
            Job::Commit {
                tenant,
                key_use,
                write,
                reply,
            } => self.answer(reply, Answered::Commit, |tx| {
                commit::commit(tx, &tenant, key_use.as_ref(), write)
            }),
            Job::Settle {
                claimed,
                attempt,
                verdict,
                reply,
            } => self.answer(reply, Answered::Settle, |tx| {
                events::settle(tx, &claimed, &attempt, verdict)
            }),
            Job::KeepClockAdvance { millis, reply } => self.answer(reply, Answered::Done, |tx| {
                Ok(events::keep_clock_advance(tx, millis)?)
            }),
            Job::Try { reply } => {
                let is_needed = self.health.begin_trial();
                self.answer(reply, Answered::Done, |tx| {
                    if is_needed {
                        health::try_to_write(tx.db)?;
                    }
                    Ok(())
                })
            }
            Job::Claim { .. } | Job::Sweep { .. } => None,
        }
    }

    fn answer<T>(
        &mut self,
        reply: Reply<T>,
        answer: impl FnOnce(Reply<T>, Ended<T>) -> Answered,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, CommitError>,
    ) -> Option<Answered> {
        if reply.is_closed() {
            return None;
        }
        let ended = self.atomically(write);
        Some(answer(reply, ended))
    }

    /// Commits a batch, unless a file of the store is gone. One that goes while it is committed is found after it.
    fn commit_batch(
        &mut self,
        begun: Result<(), Fault>,
        changes_before: u64,
    ) -> Result<(), StoreError> {
        if let Err(fault) = self.expect_files() {
            self.undo_batch();
            return Err(fault.into());
        }
        let committed = begun.and_then(|()| self.execute("COMMIT"));
        self.conclude(committed, changes_before)?;
        Ok(self.expect_files()?)
    }

    /// See [`Health::expect_files`].
    fn expect_files(&mut self) -> Result<(), Fault> {
        self.health.expect_files(self.checkpoints.least_bytes())
    }

    /// Leaves nothing of a batch that was not committed.
    fn undo_batch(&mut self) {
        self.lost = None;
        // It may be gone already: SQLite ends a transaction by itself when the disk fails.
        let _ = self.execute("ROLLBACK");
        self.turns.forget_batch();
        self.cache.clear();
    }

    /// Brings what is in memory in step with what is committed.
    fn conclude(
        &mut self,
        committed: Result<(), Fault>,
        changes_before: u64,
    ) -> Result<(), StoreError> {
        match committed {
            Ok(()) => {
                if self.follow_commit() {
                    self.work.notify_one();
                }
                // A batch that only refused has not tried the disk.
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

    /// Runs a write so that it leaves nothing behind unless it succeeds.
    fn atomically<T>(
        &mut self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, CommitError>,
    ) -> Ended<T> {
        if self.db.is_autocommit() {
            // SQLite ends a transaction by itself when the disk fails. A savepoint now would begin another one.
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
        let mark = self.turns.mark();
        let (changes, tenants) = (self.db.total_changes(), self.cache.tenants_added());
        let ended = catch_unwind(AssertUnwindSafe(|| write(&mut self.transaction())));
        let has_succeeded = matches!(ended, Ok(Ok(_)));
        if !has_succeeded {
            self.turns.back_to(mark);
        }
        let tenants_added = self.cache.tenants_added() - tenants;
        let written = (self.db.total_changes() - changes).saturating_sub(tenants_added);
        let is_undone = match (has_succeeded, is_careful) {
            (true, false) => return ended,
            (true, true) => self.execute("RELEASE job").is_ok(),
            (false, true) => {
                // What it entered is gone with it.
                self.cache.clear();
                let undone = self.execute("ROLLBACK TO job");
                undone.and_then(|()| self.execute("RELEASE job")).is_ok()
            }
            (false, false) => written == 0,
        };
        if !is_undone || self.db.is_autocommit() {
            // SQLite ended the transaction, or half of a job is in it: the jobs before this one go with it. The commit
            // will fail, and all are told.
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
    fn alone<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.expect_files()?;
        self.execute("BEGIN IMMEDIATE")?;
        let outcome = write(self).and_then(|outcome| {
            self.execute("COMMIT")?;
            Ok(outcome)
        });
        if outcome.is_err() {
            let _ = self.execute("ROLLBACK");
        }
        outcome
    }

    /// Hands deliveries out, of the committed state.
    fn claim(&mut self, most: usize) -> Result<Claims, StoreError> {
        self.expect_files()?;
        let claim = AssertUnwindSafe(|| claim::claim(&mut self.transaction(), most));
        Ok(catch_unwind(claim).unwrap_or(Err(Fault::Panicked))?)
    }

    /// Takes back what was handed out to a worker that is gone: nobody would settle it.
    fn take_back(&mut self, unheard: Claims) {
        for claimed in unheard.claimed {
            if let Some(endpoint) = self.turns.release(claimed.delivery.id, claimed.hold) {
                let reader = Reader {
                    db: &self.db,
                    keys: &self.keys,
                };
                queue::find_first(reader, &mut self.turns, endpoint);
            }
        }
        self.work.notify_one();
    }

    /// Returns whether there may be something to claim that was not there before the commit.
    fn follow_commit(&mut self) -> bool {
        let reader = Reader {
            db: &self.db,
            keys: &self.keys,
        };
        queue::follow_commit(reader, &mut self.turns, self.clock.now())
    }

    fn transaction(&mut self) -> Transaction<'_> {
        Transaction {
            db: &self.db,
            keys: &self.keys,
            clock: &*self.clock,
            limits: self.limits,
            turns: &mut self.turns,
            cache: &mut self.cache,
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Fault> {
        self.db.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
