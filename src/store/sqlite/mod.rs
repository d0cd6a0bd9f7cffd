//! The store in one file on this machine: SQLite, with everything that callers told us sealed.
//!
//! - **One writer.** A thread gathers what waits into one transaction and answers when it is on the disk
//!   (`writer`). Another process that would write is refused (`lock`).
//! - **Readers beside it** (`readers`): a read sees the last commit and waits for none.
//! - **Whose turn it is** is in memory (`turns`), and found again in the file at the start.
//! - **Sealed at rest** ([`seal`](super::seal)): a stolen file shows ids, names, types of events and times. A new first
//!   master key is brought to every record in the background (`rewrap`).
//!
//! Reading order: `sql` (the tables and every statement), `file`, `writer`, then what it runs: `endpoints`,
//! `events`, `claim`, `sweep`, `rewrap`.

pub mod backup;
pub mod check;
mod checkpoint;
mod claim;
mod end_test_clock;
mod endpoints;
mod events;
mod fault;
mod file;
mod generation;
mod key_proof;
mod lock;
mod log_index;
mod look;
mod mount;
mod open_error;
mod partial;
mod readers;
pub mod rewrap;
mod rollback_journal;
mod rows;
mod schema;
mod sql;
mod sweep;
mod together;
mod turns;
mod view;
mod wal;
mod watch;
mod writer;

use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use self::checkpoint::{Checkpoints, Gate};
use self::fault::Fault;
use self::lock::{Files, Lock};
use self::readers::Readers;
use self::view::View;
use self::writer::{Job, Told, Writer};
use super::seal::MasterKeys;
use super::{
    Claims, CommitError, Committed, DeliveryLimits, Page, ReceiverState, Settle, Store, StoreError,
    Write,
};
use crate::clock::Clock;
use crate::domain::{
    Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
};
use crate::idempotency::{Claim, IdempotencyKey, Record};

pub use open_error::OpenError;
pub use watch::Watch;

/// How many writes may wait for the writer; who comes then waits before it gets in line.
const WAITING: usize = 1024;

/// A [`Store`] in one file. Dropping it waits until what it was asked to write is written.
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    work: Arc<Notify>,
    /// Closed before the writer, so that the last connection to be closed is one that may tidy up the log.
    readers: Option<Readers>,
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Lock,
}

/// A file that was opened, and is not served yet.
pub struct Opening {
    path: PathBuf,
    keys: MasterKeys,
    db: rusqlite::Connection,
    lock: Lock,
    clock_advance: Duration,
}

impl Opening {
    /// Opens the file at `path`, or makes it: takes its lock, brings its schema to this version's, and checks that
    /// `keys` open it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is in the way, and how to mend it.
    pub fn new(path: &Path, keys: MasterKeys) -> Result<Self, OpenError> {
        let (lock, db, is_new) = file::open(path, &keys)?;
        if is_new {
            tracing::info!(path = %path.display(), "a new, empty store was made");
        }
        let fault = |fault| OpenError::of(path, fault);
        let millis: i64 = db
            .query_row(sql::READY, [], |row| row.get(0))
            .map_err(|error| fault(error.into()))?;
        Ok(Self {
            path: path.to_owned(),
            keys,
            db,
            lock,
            clock_advance: Duration::from_millis(millis.unsigned_abs()),
        })
    }

    /// As [`new`](Self::new), of a file that is there.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] when it is not, and nothing is made.
    pub fn existing(path: &Path, keys: MasterKeys) -> Result<Self, OpenError> {
        if std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // Where it is missing, what is left beside it says more.
            let left = file::real_path(path).and_then(|real| together::inspect(&real));
            return Err(match left {
                Err(error @ OpenError::OrphanedLog { .. }) => error,
                _ => OpenError::Missing(path.to_owned()),
            });
        }
        Self::new(path, keys)
    }

    /// By how much the test clock was ahead when the store was last used.
    #[must_use]
    pub fn clock_advance(&self) -> Duration {
        self.clock_advance
    }

    /// Refuses a store whose test clock is ahead: without that clock it would go back in time, and what has ended would
    /// go on.
    ///
    /// # Errors
    ///
    /// [`OpenError::TestClock`] says what to do.
    pub fn expect_real_time(&self) -> Result<(), OpenError> {
        if self.clock_advance.is_zero() {
            return Ok(());
        }
        Err(OpenError::TestClock {
            path: self.path.clone(),
            ahead: self.clock_advance,
        })
    }

    /// Brings the store from its test clock back to the real time `now`: what is left of a grace, of the time that an
    /// answer is remembered and of the time until an attempt stays the same.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when a record cannot be read or the file cannot be written; then nothing has changed.
    pub fn end_test_clock(&mut self, now: Timestamp) -> Result<(), OpenError> {
        if self.clock_advance.is_zero() {
            tracing::info!("the test clock is not ahead: --end-test-clock can be left out");
        } else {
            let ended = end_test_clock::end_test_clock(&mut self.db, &self.keys, now);
            ended.map_err(|fault| OpenError::of(&self.path, fault))?;
            let seconds = self.clock_advance.as_secs_f64();
            tracing::info!(
                seconds,
                "the test clock is ended: all times ahead were moved back by so much"
            );
            self.clock_advance = Duration::ZERO;
        }
        Ok(())
    }

    /// Starts the threads. The store tells the time by `clock` from here on.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the file cannot be read.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn serve(
        self,
        clock: Arc<dyn Clock>,
        limits: DeliveryLimits,
    ) -> Result<SqliteStore, OpenError> {
        let path = self.path;
        let fault = |fault: Fault| OpenError::of(&path, fault);
        let work = Arc::new(Notify::new());
        let (tell, told) = mpsc::unbounded_channel();
        let gate = Gate::default();
        let readers = Readers::start(&path, &self.keys, &gate).map_err(fault)?;
        let mut db = self.db;
        let checkpoints = Checkpoints::new(&mut db, gate).map_err(fault)?;
        let files = Files::new(&path, &self.lock);
        let writer = Writer::new(writer::Parts {
            db,
            keys: self.keys,
            files: files.map_err(|error| fault(error.into()))?,
            checkpoints,
            clock: Arc::clone(&clock),
            limits,
            news: Arc::clone(&work),
            tell,
        });
        let writer = writer.map_err(fault)?;
        tokio::spawn(answer(told));
        let (jobs, waiting) = mpsc::channel(WAITING);
        let thread = thread::Builder::new()
            .name("hookturn-write".to_owned())
            .spawn(move || writer.work(waiting))
            .map_err(|error| OpenError::System(path.clone(), error.to_string()))?;
        Ok(SqliteStore {
            clock,
            work,
            readers: Some(readers),
            jobs: Some(jobs),
            writer: Mutex::new(Some(thread)),
            _lock: self.lock,
        })
    }
}

/// Tells the callers of each batch. Done by a task of the runtime, which puts theirs in its own queue: the writer would
/// have to wake them from outside, one by one, before it could go on.
async fn answer(mut told: mpsc::UnboundedReceiver<Told>) {
    while let Some((callers, committed)) = told.recv().await {
        for tell in callers {
            tell(committed.as_ref().copied());
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer closes the file last: then SQLite writes the log back to the database, which is whole by itself.
        self.readers = None;
        self.jobs = None;
        if let Some(writer) = self.writer.lock().take() {
            // It panicked, if at all, where it logged why.
            let _ = writer.join();
        }
    }
}

impl SqliteStore {
    async fn send(&self, job: Job) -> Result<(), StoreError> {
        let gone = || StoreError("the writer has stopped".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_| gone())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError("the readers have stopped".to_owned());
        self.readers.as_ref().ok_or_else(gone)?.read(read).await
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Writer) -> Result<T, CommitError> + Send + 'static,
    ) -> Result<T, CommitError> {
        let (job, answer) = Job::new(write);
        self.send(job).await?;
        match answer.await {
            Ok(Ok(outcome)) => outcome,
            // A panic of the decision is its caller's.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(StoreError("the writer has stopped".to_owned()).into()),
        }
    }

    /// As [`write`](Self::write), for what can fail only with the store.
    async fn keep<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Writer) -> Result<T, CommitError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write(write).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            other => StoreError(other.to_string()),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        let (tenant, key) = (tenant.clone(), key.clone());
        let now = self.clock.now();
        self.read(move |view| match view.tenant(&tenant)? {
            Some(tenant) => view.record(&tenant, &key, now),
            None => Ok(None),
        })
        .await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        claim: Option<Claim>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let tenant = tenant.clone();
        self.write(move |writer| writer.commit(&tenant, claim, write))
            .await
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |view| {
            let Some(tenant) = view.tenant(&tenant)? else {
                return Ok(None);
            };
            Ok(view.endpoint(&tenant, id)?.map(|(_, endpoint)| endpoint))
        })
        .await
    }

    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |view| match view.tenant(&tenant)? {
            Some(tenant) => view.endpoints(&tenant, after, limit),
            None => Ok(after.is_none().then(Page::default)),
        })
        .await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |view| {
            let Some(tenant) = view.tenant(&tenant)? else {
                return Ok(None);
            };
            let Some(row) = view.delivery_row(&tenant, id)? else {
                return Ok(None);
            };
            let delivery = view.delivery(&tenant.id, row, &mut view::Events::default())?;
            Ok(Some(delivery))
        })
        .await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |view| match view.tenant(&tenant)? {
            Some(tenant) => view.deliveries(&tenant, endpoint, status, after, limit),
            None => Ok(after.is_none().then(Page::default)),
        })
        .await
    }

    async fn claim(&self, batch: usize) -> Result<Claims, StoreError> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.send(Job::Claim(batch, reply)).await?;
        let gone = |_| StoreError("the writer has stopped".to_owned());
        answer.await.map_err(gone)?
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: ReceiverState,
    ) -> Result<(), StoreError> {
        let tenant = tenant.clone();
        self.keep(move |writer| writer.settle(&tenant, id, settle, &receiver))
            .await
    }

    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError> {
        let millis = i64::try_from(total.as_millis()).unwrap_or(i64::MAX);
        self.keep(move |writer| writer.keep_clock_advance(millis))
            .await
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // First, since the writer knows whether the files are gone, which a read fails by without knowing why.
        self.keep(Writer::try_to_write).await?;
        self.read(|view| view.row(sql::READY, &[], |_| Ok(())))
            .await?;
        Ok(())
    }
}
