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

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tokio::sync::{Notify, mpsc, oneshot};

use self::health::Health;
use super::checkpoint::Checkpoints;
use super::fault::Fault;
use super::generation;
use super::lock::Files;
use super::sql;
use super::turns::Turns;
use super::view::{Tenant, View};
use crate::clock::Clock;
use crate::domain::{Endpoint, EndpointId, Settings, TenantId, Timestamp};
use crate::store::seal::MasterKeys;
use crate::store::{Claims, CommitError, DeliveryLimits, StoreError};

/// The most jobs of one commit.
const MOST_JOBS: usize = 256;

/// How long a batch may grow: jobs that are slow, such as an event for very many endpoints, are committed before more
/// are taken in.
const GROWS: Duration = Duration::from_millis(5);

/// What ended a job: what it returned, or the panic of a decision, which is its caller's.
pub(super) type Ended<T> = Result<Result<T, CommitError>, Box<dyn Any + Send>>;

/// Tells a job's caller how it ended, given whether it was committed.
pub(super) type Telling = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

/// The callers of a batch, and whether it was committed.
pub(super) type Told = (Vec<Telling>, Result<(), StoreError>);

/// For how many jobs savepoints are used after one failed with half of its writes done.
const CAREFUL_JOBS: u32 = 10_000;

/// The most bytes of text in the settings of an endpoint that is kept decoded: few have as much.
const KNOWN_TEXT: usize = 4096;

/// How many endpoints are kept decoded.
const KNOWN_ENDPOINTS: usize = 8192;

/// What the writer is asked for.
pub(super) enum Job {
    /// Something to write.
    Write(Box<dyn FnOnce(&mut Writer) -> Telling + Send>),
    /// Deliveries to hand out, at most so many.
    Claim(usize, oneshot::Sender<Result<Claims, StoreError>>),
}

impl Job {
    /// A job that runs `write`, and where to wait for its end.
    pub fn new<T: Send + 'static>(
        write: impl FnOnce(&mut Writer) -> Result<T, CommitError> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Ended<T>>) {
        let (reply, answer) = oneshot::channel();
        let run = move |writer: &mut Writer| -> Telling {
            if reply.is_closed() {
                // Its client went away before it began.
                return Box::new(|_| ());
            }
            let ended = writer.atomically(write);
            Box::new(move |committed| {
                // What a refusal was decided on is not committed either, so that it means nothing.
                let ended = match (ended, committed) {
                    (Ok(_), Err(error)) => Ok(Err(StoreError(error.0.clone()).into())),
                    (ended, _) => ended,
                };
                let _ = reply.send(ended);
            })
        };
        (Self::Write(Box::new(run)), answer)
    }
}

/// How much was written, for whoever asks how well commits are shared.
#[derive(Default)]
struct Written {
    commits: u64,
    jobs: u64,
}

/// What the thread owns.
pub(super) struct Writer {
    pub db: Connection,
    pub keys: MasterKeys,
    pub clock: Arc<dyn Clock>,
    pub limits: DeliveryLimits,
    pub turns: Turns,
    /// Whether there is something left to seal anew under the first master key.
    pub is_rewrapping: bool,
    /// When something will have had its time, as far as is known.
    pub next_sweep: Option<Timestamp>,
    /// Whether the last sweep failed.
    pub is_sweep_stuck: bool,
    /// Endpoints as the last job left them, so that one that is often rotated is not read and opened each time. Nobody
    /// else writes, so this cannot be behind the file; where it could be ahead, because a commit failed, it is emptied.
    pub known: HashMap<(i64, EndpointId), (i64, Endpoint)>,
    tenants: HashMap<TenantId, i64>,
    names: HashMap<i64, TenantId>,
    /// How many tenants were entered: the one write that a job that refuses may leave behind.
    tenants_added: u64,
    careful_jobs: u32,
    /// See [`GROWS`].
    grows: Duration,
    tell: mpsc::UnboundedSender<Told>,
    news: Arc<Notify>,
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
    pub news: Arc<Notify>,
    pub tell: mpsc::UnboundedSender<Told>,
}

impl Writer {
    pub fn new(parts: Parts) -> Result<Self, Fault> {
        let Parts {
            db,
            keys,
            files,
            checkpoints,
            clock,
            limits,
            news,
            tell,
        } = parts;
        let mut writer = Self {
            turns: Turns::new(limits),
            is_rewrapping: false,
            next_sweep: None,
            is_sweep_stuck: false,
            db,
            keys,
            clock,
            limits,
            known: HashMap::new(),
            tenants: HashMap::new(),
            names: HashMap::new(),
            tenants_added: 0,
            careful_jobs: 0,
            grows: GROWS,
            tell,
            news,
            health: Health::new(files),
            checkpoints,
            lost: None,
            written: Written::default(),
        };
        writer.find_queues()?;
        writer.is_rewrapping = writer.has_more_to_rewrap()?;
        Ok(writer)
    }

    /// Works until nobody can ask for anything any more.
    pub fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let job = if self.is_rewrapping {
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
            if self.is_rewrapping {
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
            tracing::debug!(%error, "the log cannot be concluded");
        }
    }

    /// One commit of what waits, and then what was asked of the committed state.
    fn batch(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>) {
        let began = Instant::now();
        let mut telling = Vec::new();
        let mut claims = Vec::new();
        let mut next = Some(first);
        let mut begun = Ok(());
        let changes_before = self.db.total_changes();
        while let Some(job) = next.take() {
            match job {
                Job::Claim(most, reply) => claims.push((most, reply)),
                Job::Write(run) => {
                    if telling.is_empty() {
                        begun = self.execute("BEGIN IMMEDIATE");
                    }
                    telling.push(run(self));
                }
            }
            if telling.len() + claims.len() < MOST_JOBS && began.elapsed() < self.grows {
                next = jobs.try_recv().ok();
            }
        }
        if !telling.is_empty() {
            self.written.jobs += telling.len() as u64;
            self.written.commits += 1;
            let committed = self.commit_batch(begun, changes_before);
            // Nobody waits any more if nobody can be told.
            let _ = self.tell.send((telling, committed));
        }
        for (most, reply) in claims {
            if reply.is_closed() {
                continue;
            }
            let claimed = self.expect_files().and_then(|()| {
                let claimed = catch_unwind(AssertUnwindSafe(|| self.claim(most)));
                let claimed = claimed.unwrap_or_else(|_| Err(super::fault::damaged("a claim")));
                Ok(claimed?)
            });
            if let Err(Ok(unheard)) = reply.send(claimed) {
                // Whoever asked is gone: nobody will settle them.
                self.let_go(unheard);
            }
        }
    }

    /// Commits a batch, unless a file of the store is gone. One that goes while it is committed is found after it.
    fn commit_batch(
        &mut self,
        begun: Result<(), Fault>,
        changes_before: u64,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.expect_files() {
            self.undo_batch();
            return Err(error);
        }
        let committed = begun.and_then(|()| self.execute("COMMIT"));
        self.conclude(committed, changes_before)?;
        self.expect_files()
    }

    /// See [`Health::expect_files`].
    fn expect_files(&mut self) -> Result<(), StoreError> {
        self.health.expect_files(self.checkpoints.least_bytes())
    }

    /// Leaves nothing of a batch that was not committed.
    fn undo_batch(&mut self) {
        self.lost = None;
        // It may be gone already: SQLite ends a transaction by itself when the disk fails.
        let _ = self.execute("ROLLBACK");
        self.turns.forget_batch();
        self.known.clear();
        self.tenants.clear();
        self.names.clear();
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
                    self.news.notify_one();
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

    /// Runs a job so that it leaves nothing behind unless it succeeds.
    fn atomically<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, CommitError>,
    ) -> Ended<T> {
        if self.db.is_autocommit() {
            // SQLite ends a transaction by itself when the disk fails. A savepoint now would begin another one.
            let lost = self.lost.as_ref().map(|error| error.0.clone());
            let lost = lost.unwrap_or_else(|| "no transaction could begin".to_owned());
            return Ok(Err(StoreError(lost).into()));
        }
        let is_careful = self.careful_jobs > 0;
        if is_careful {
            self.careful_jobs -= 1;
            if let Err(fault) = self.execute("SAVEPOINT job") {
                return Ok(Err(fault.into()));
            }
        }
        let mark = self.turns.mark();
        let (changes, tenants) = (self.db.total_changes(), self.tenants_added);
        let ended = catch_unwind(AssertUnwindSafe(|| write(self)));
        let has_succeeded = matches!(ended, Ok(Ok(_)));
        if !has_succeeded {
            self.turns.back_to(mark);
        }
        let written =
            (self.db.total_changes() - changes).saturating_sub(self.tenants_added - tenants);
        let undone = match (has_succeeded, is_careful) {
            (true, false) => return ended,
            (true, true) => self.execute("RELEASE job"),
            (false, true) => {
                // What it entered is gone with it.
                self.known.clear();
                self.tenants.clear();
                self.names.clear();
                let undone = self.execute("ROLLBACK TO job");
                undone.and_then(|()| self.execute("RELEASE job"))
            }
            (false, false) if written == 0 => Ok(()),
            (false, false) => Err(super::fault::damaged("what a job wrote")),
        };
        if undone.is_err() || self.db.is_autocommit() {
            // SQLite ended the transaction, or half of a job is in it: the jobs before this one go with it. The commit
            // will fail, and all are told.
            self.careful_jobs = CAREFUL_JOBS;
            let _ = self.execute("ROLLBACK");
            self.lost = match &ended {
                Ok(Err(CommitError::Store(error))) => Some(StoreError(error.0.clone())),
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
        self.expect_files().map_err(|_| Fault::FilesGone)?;
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

    pub fn execute(&self, sql: &str) -> Result<(), Fault> {
        self.db.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    pub fn view(&self) -> View<'_> {
        View {
            db: &self.db,
            keys: &self.keys,
        }
    }

    /// Tells the worker that there may be something to claim.
    pub fn work_again(&self) {
        self.news.notify_one();
    }

    /// The tenant, which is entered if it is new.
    pub fn tenant(&mut self, id: &TenantId) -> Result<Tenant, Fault> {
        let number = match self.tenants.get(id).copied() {
            Some(known) => known,
            None => self.enter_tenant(id)?,
        };
        Ok(Tenant {
            number,
            id: id.clone(),
        })
    }

    fn enter_tenant(&mut self, id: &TenantId) -> Result<i64, Fault> {
        let number = if let Some(known) = self.view().tenant(id)? {
            known.number
        } else {
            let mut add = self.db.prepare_cached(sql::ADD_TENANT)?;
            let added = add.query_row([id.as_str()], |row| row.get(0))?;
            self.tenants_added += 1;
            added
        };
        self.tenants.insert(id.clone(), number);
        Ok(number)
    }

    /// An endpoint with its number, as the last job left it.
    pub fn endpoint(
        &mut self,
        tenant: &Tenant,
        id: EndpointId,
    ) -> Result<Option<(i64, Endpoint)>, Fault> {
        if let Some(known) = self.known.get(&(tenant.number, id)) {
            return Ok(Some(known.clone()));
        }
        let read = self.view().endpoint(tenant, id)?;
        if let Some((number, endpoint)) = &read {
            self.know(tenant, *number, endpoint.clone());
        }
        Ok(read)
    }

    /// Keeps an endpoint as the file has it.
    pub fn know(&mut self, tenant: &Tenant, number: i64, endpoint: Endpoint) {
        let key = (tenant.number, endpoint.id);
        if text_of(&endpoint.settings) > KNOWN_TEXT {
            self.known.remove(&key);
            return;
        }
        if self.known.len() >= KNOWN_ENDPOINTS {
            self.known.clear();
        }
        self.known.insert(key, (number, endpoint));
    }

    /// The tenant with this number.
    pub fn tenant_of_number(&mut self, number: i64) -> Result<Tenant, Fault> {
        if let Some(id) = self.names.get(&number) {
            let id = id.clone();
            return Ok(Tenant { number, id });
        }
        let name = self.view().row(sql::TENANT_NAME, &[&number], |row| {
            Ok(TenantId::new(row.get_ref(0)?.as_str()?))
        })?;
        let id = name.ok_or_else(|| super::fault::damaged("a tenant"))?;
        self.names.insert(number, id.clone());
        Ok(Tenant { number, id })
    }

    /// Keeps by how much the test clock is ahead, in milliseconds.
    pub fn keep_clock_advance(&self, millis: i64) -> Result<(), CommitError> {
        let kept = self.db.prepare_cached(sql::SET_CLOCK);
        kept.and_then(|mut set| set.execute([millis]))
            .map_err(Fault::from)?;
        Ok(())
    }
}

/// How many bytes of text its owner gave an endpoint.
fn text_of(settings: &Settings) -> usize {
    let headers = settings.headers.iter();
    let headers = headers.map(|header| header.name.len() + header.value.len());
    let ids = settings.agent_ids.iter().chain(&settings.workspace_ids);
    let patterns = settings.events.iter().map(size_of_val);
    settings.url.len()
        + settings.description.as_ref().map_or(0, |text| text.len())
        + headers
            .chain(ids.map(|id| id.len()))
            .chain(patterns)
            .sum::<usize>()
}

#[cfg(test)]
mod tests;
