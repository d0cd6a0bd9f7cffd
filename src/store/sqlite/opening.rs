//! Opens a file, and makes sure that it can be served.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::checkpoint::{Checkpoints, Gate};
use super::fault::Fault;
use super::lanes::{Lanes, OnlyWorker};
use super::lock::{Files, Lock};
use super::open_error::OpenError;
use super::readers::Readers;
use super::writer::{self, AnsweredBatch, Job, Writer};
use super::{SqliteStore, end_test_clock, file, inspect, paths, sql};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::store::StoreLimits;
use crate::store::at_rest::MasterKeys;
use crate::store::repeats::Comparisons;

/// A file that is open but not served yet.
pub struct Opening {
    pub(super) path: PathBuf,
    pub(super) keys: MasterKeys,
    pub(super) db: rusqlite::Connection,
    pub(super) lock: Lock,
    clock_advance: Duration,
}

impl Opening {
    /// Opens the file at `path`, or makes it: takes its lock, brings its schema to this version's,
    /// and checks that `keys` decrypt it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is wrong and how to fix it.
    pub fn new(path: &Path, keys: MasterKeys) -> Result<Self, OpenError> {
        let (lock, db, is_new) = file::open(path, &keys)?;
        if is_new {
            tracing::info!(path = %path.display(), "made a new, empty store");
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

    /// Opens a file that exists, as [`new`](Self::new) does.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] when it does not exist. Nothing is made then.
    pub fn existing(path: &Path, keys: MasterKeys) -> Result<Self, OpenError> {
        if std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            // If the file is missing, what is left beside it tells more.
            let left = paths::real_path(path).and_then(|real| inspect::before_opening(&real));
            return Err(match left {
                Err(error @ OpenError::OrphanedLog { .. }) => error,
                _ => OpenError::Missing(path.to_owned()),
            });
        }
        Self::new(path, keys)
    }

    /// Returns how far the test clock was ahead when the store was last used.
    #[must_use]
    pub fn clock_advance(&self) -> Duration {
        self.clock_advance
    }

    /// Refuses a store whose test clock is ahead. Without that clock its time would go back, and
    /// secrets that have expired would be live again.
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

    /// Moves the store from its test clock back to the real time `now`. The time that is left of
    /// each grace period, recorded answer and scheduled attempt stays the same.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when a record cannot be read or the file cannot be written. Nothing has
    /// changed then.
    pub fn end_test_clock(&mut self, now: Timestamp) -> Result<(), OpenError> {
        if self.clock_advance.is_zero() {
            tracing::info!("test clock is not ahead; --end-test-clock is not needed");
        } else {
            let ended = end_test_clock::end_test_clock(&mut self.db, &self.keys, now);
            ended.map_err(|fault| OpenError::of(&self.path, fault))?;
            let seconds = self.clock_advance.as_secs_f64();
            tracing::info!(
                seconds,
                "ended the test clock; all later times were moved back by as much as it was ahead"
            );
            self.clock_advance = Duration::ZERO;
        }
        Ok(())
    }

    /// Starts the threads. From here on the store reads the time from `clock`.
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
        limits: StoreLimits,
    ) -> Result<SqliteStore, OpenError> {
        let path = self.path;
        let fault = |fault: Fault| OpenError::of(&path, fault);
        let work = Arc::new(Notify::new());
        let (answers, answered) = mpsc::unbounded_channel();
        let gate = Gate::default();
        let readers = Readers::start(&path, &self.keys, &gate).map_err(fault)?;
        let mut db = self.db;
        let checkpoints = Checkpoints::new(&mut db, gate).map_err(fault)?;
        let files = Files::new(&path, &self.lock);
        let parts = writer::Parts {
            db,
            keys: self.keys,
            files: files.map_err(|error| fault(error.into()))?,
            checkpoints,
            clock: Arc::clone(&clock),
            limits,
            work: Arc::clone(&work),
        };
        let writer = Writer::new(parts, answers).map_err(fault)?;
        tokio::spawn(answer(answered));
        let jobs: Arc<Lanes<Job>> = Arc::default();
        let worker = OnlyWorker(Arc::clone(&jobs));
        let thread = thread::Builder::new()
            .name("hookturn-write".to_owned())
            .spawn(move || writer.work(&worker.0))
            .map_err(|error| OpenError::System(path.clone(), error.to_string()))?;
        Ok(SqliteStore {
            clock,
            work,
            readers: Some(readers),
            jobs,
            writer: Mutex::new(Some(thread)),
            comparisons: Comparisons::default(),
            _lock: self.lock,
        })
    }
}

/// Answers the callers of each batch.
///
/// This is a task of the runtime, which puts the tasks of the callers into its own queue. The
/// writer would have to wake them from outside, one by one, before its next batch.
async fn answer(mut answered: mpsc::UnboundedReceiver<AnsweredBatch>) {
    while let Some((answers, committed)) = answered.recv().await {
        for answer in answers {
            answer.send(committed.as_ref().copied());
        }
    }
}
