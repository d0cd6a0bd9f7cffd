//! Runs the one thread that writes: it gathers waiting jobs into one transaction, and answers when
//! that is committed.
//!
//! ```text
//!  commit, settle ──▶ ┌─────────┐  batch   BEGIN · job · job · … · COMMIT ── fsync ──▶ answers
//!                     │ bounded │ ───────▶                                             │
//!  claim ───────────▶ │ channel │                           what the batch did to queues ▼
//!                     └─────────┘ ───────────────────────────────────────────────────▶ claims
//! ```
//!
//! A disk takes as long for one write as for fifty. So a batch is what arrived while the last one
//! was written: a single request waits for no other, and under load many requests share a commit.
//!
//! A job decides before it writes. So a job that refuses, cannot read its record or panics has
//! written nothing and does not affect the others. If a job fails after some of its writes, the
//! whole batch fails. For a while after that, each job runs in a savepoint, so that a record that
//! cannot be written fails only its own job. A savepoint costs each job three more statements.
//!
//! What is in memory (the order of attempts, the attempts in flight) follows the commits: it
//! changes after a commit, and not at all when one fails.

mod database;
mod health;
mod job;
mod upkeep;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::database::Database;
pub(super) use self::database::Parts;
use self::health::try_to_write;
pub(super) use self::job::{Answered, Ended, Job, Reply};
use self::upkeep::Upkeep;
use super::fault::Fault;
use super::lanes::{Found, Lanes};
use super::transaction::Transaction;
use super::{claim, commit, events};
use crate::store::{Claims, CommitError, StoreError};

/// The most jobs in one commit.
const MOST_JOBS: usize = 256;

/// How long a batch may grow. If jobs are slow, such as an event for very many endpoints, they are
/// committed before the batch takes more.
const GROWS: Duration = Duration::from_millis(5);

/// The answers of a batch's writes, and whether it was committed.
pub(super) type AnsweredBatch = (Vec<Answered>, Result<(), StoreError>);

/// Counts writes and commits, which shows how well commits are shared.
#[derive(Default)]
struct Written {
    commits: u64,
    jobs: u64,
}

/// The state of the writer thread.
pub(super) struct Writer {
    database: Database,
    upkeep: Upkeep,
    /// See [`GROWS`].
    grows: Duration,
    answers: mpsc::UnboundedSender<AnsweredBatch>,
    written: Written,
}

impl Writer {
    pub fn new(parts: Parts, answers: mpsc::UnboundedSender<AnsweredBatch>) -> Result<Self, Fault> {
        let mut database = Database::new(parts)?;
        Ok(Self {
            upkeep: Upkeep::new(&mut database)?,
            database,
            grows: GROWS,
            answers,
            written: Written::default(),
        })
    }

    /// Works until nobody can send jobs any more.
    pub fn work(mut self, jobs: &Lanes<Job>) {
        loop {
            let job = if self.upkeep.is_rewrapping() {
                match jobs.try_next() {
                    Found::Work(job) => Some(job),
                    Found::Nothing => None,
                    Found::Closed => break,
                }
            } else {
                match jobs.next() {
                    Some(job) => Some(job),
                    None => break,
                }
            };
            if let Some(job) = job {
                self.batch(job, jobs);
            }
            if self.upkeep.is_rewrapping() {
                self.upkeep.rewrap_some(&mut self.database);
            }
            self.database.keep_log_short();
        }
        self.database.conclude_log();
        tracing::info!(
            writes = self.written.jobs,
            commits = self.written.commits,
            "closed the store"
        );
    }

    /// Commits the waiting writes, then does the jobs that read the committed state.
    fn batch(&mut self, first: Job, jobs: &Lanes<Job>) {
        let began = Instant::now();
        let (mut answers, mut after) = (Vec::new(), Vec::new());
        let mut begun = None;
        let changes_before = self.database.total_changes();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            if matches!(job, Job::Claim { .. } | Job::Sweep { .. }) {
                after.push(job);
            } else {
                begun.get_or_insert_with(|| self.database.begin());
                answers.extend(self.write(job));
            }
            if answers.len() + after.len() < MOST_JOBS && began.elapsed() < self.grows {
                next = match jobs.try_next() {
                    Found::Work(job) => Some(job),
                    Found::Nothing | Found::Closed => None,
                };
            }
        }
        if let Some(begun) = begun {
            self.written.jobs += answers.len() as u64;
            self.written.commits += 1;
            let committed = self.database.commit_batch(begun, changes_before);
            // If the answers cannot be sent, nobody waits for them any more.
            let _ = self.answers.send((answers, committed));
        }
        for job in after {
            match job {
                Job::Claim { most, reply } if !reply.is_closed() => {
                    let claimed = self.claim(most);
                    if let Err(Ok(unheard)) = reply.send(claimed) {
                        self.database.take_back(unheard);
                    }
                }
                Job::Sweep { reply } if !reply.is_closed() => {
                    // If the caller is gone, the next call continues the sweep.
                    let _ = reply.send(self.upkeep.sweep(&mut self.database));
                }
                _ => {}
            }
        }
    }

    /// Runs a write within the batch. Returns `None` when its caller went away before it began.
    fn write(&mut self, job: Job) -> Option<Answered> {
        match job {
            Job::Commit {
                tenant,
                key_use,
                write,
                digests,
                reply,
            } => self.answer(reply, Answered::Commit, |tx| {
                commit::commit(tx, &tenant, key_use.as_ref(), write, &digests)
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
                let is_needed = self.database.begin_trial();
                self.answer(reply, Answered::Done, |tx| {
                    if is_needed {
                        try_to_write(tx.db)?;
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
        let ended = self.database.atomically(write);
        Some(answer(reply, ended))
    }

    /// Claims deliveries from the committed state.
    fn claim(&mut self, most: usize) -> Result<Claims, StoreError> {
        self.database.expect_files()?;
        let unfinished = self.database.do_unfinished();
        let claim = AssertUnwindSafe(|| claim::claim(&mut self.database.transaction(), most));
        let mut claims = catch_unwind(claim).unwrap_or(Err(Fault::Panicked))?;
        if let Some(after) = unfinished {
            let at = self.database.transaction().now().plus(after);
            claims.next_due = Some(claims.next_due.map_or(at, |due| due.min(at)));
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
