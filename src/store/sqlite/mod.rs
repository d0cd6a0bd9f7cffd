//! Stores everything in one SQLite file on this machine, with all that callers sent encrypted.
//!
//! - **One writer.** A thread gathers the waiting writes into one transaction, and answers when it
//!   is on the disk (`writer`). Another process that wants to write is refused (`lock`).
//! - **Readers beside it** (`readers`). A read sees the last commit and does not wait for one.
//! - **The order of attempts** is in memory (`turns`), and is read from the file again at the
//!   start.
//! - **Encryption at rest** ([`seal`](super::at_rest::seal)). A stolen file shows ids, names, types
//!   of events and times. Every record is encrypted with a new first master key in the background
//!   (`rewrap`).
//!
//! Read the modules in this order: `sql` (the tables and every statement), `opening`, `writer`,
//! then what it runs: `commit`, `endpoints`, `events`, `claim`, `sweep`, `rewrap`.

pub mod backup;
mod cache;
pub mod check;
mod checkpoint;
mod claim;
mod commit;
mod deletions;
mod end_test_clock;
mod endpoints;
mod events;
mod fan_out;
mod fault;
mod file;
mod generation;
mod inspect;
mod key_proof;
mod lock;
mod log_index;
mod mount;
mod open_error;
mod opening;
mod partial;
mod paths;
mod progress;
mod queue;
mod read;
mod readers;
pub mod rewrap;
mod rollback_journal;
mod rows;
mod schema;
mod snapshot;
mod sql;
mod sweep;
mod transaction;
mod turns;
mod usage;
mod wal;
mod writer;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
pub use open_error::OpenError;
pub use opening::Opening;
use parking_lot::Mutex;
pub use progress::Progress;
use tokio::sync::{Notify, mpsc, oneshot};

use self::fault::Fault;
use self::lock::Lock;
use self::read::Reader;
use self::readers::Readers;
use self::writer::{Job, Reply};
use super::{Claimed, Claims, CommitError, Committed, Page, Settled, Store, StoreError, Write};
use crate::clock::Clock;
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
    Verdict,
};
use crate::idempotency::{IdempotencyKey, KeyUse, Record};

/// How many writes may wait for the writer. Further callers wait before they are queued.
const WAITING: usize = 1024;

/// A [`Store`] in one file. Dropping it waits until the writes that it has accepted are written.
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    work: Arc<Notify>,
    /// Closed before the writer, so that the last connection to be closed is one that may clean up
    /// the log.
    readers: Option<Readers>,
    /// `None` only while the store is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Lock,
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer closes the file last. SQLite then writes the log back to the database, which
        // is complete without it.
        self.readers = None;
        self.jobs = None;
        if let Some(writer) = self.writer.lock().take() {
            // If the writer panicked, the log says why.
            let _ = writer.join();
        }
    }
}

impl SqliteStore {
    /// Sends a job to the writer, and waits for its answer.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let sent = jobs.send(job(reply)).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Does what [`ask`](Self::ask) does, for a write. A write can end with the panic of a
    /// decision.
    async fn write<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, CommitError> {
        match self.ask(job).await? {
            Ok(outcome) => outcome,
            // The panic belongs to the caller.
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Does what [`write`](Self::write) does, for a write that fails only when the store fails.
    async fn keep<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        self.write(job).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            other => StoreError::new(other),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(Reader<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.readers.as_ref().ok_or(StoreError::Closed)?;
        readers.read(read).await
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
        self.read(move |reader| match reader.tenant(&tenant)? {
            Some(tenant) => reader.record(&tenant, &key, now),
            None => Ok(None),
        })
        .await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        key_use: Option<KeyUse>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let tenant = tenant.clone();
        self.write(|reply| Job::Commit {
            tenant,
            key_use,
            write,
            reply,
        })
        .await
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |reader| {
            let Some(tenant) = reader.tenant(&tenant)? else {
                return Ok(None);
            };
            Ok(reader.endpoint(&tenant, id)?.map(|(_, endpoint)| endpoint))
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
        self.read(move |reader| match reader.tenant(&tenant)? {
            Some(tenant) => reader.endpoints(&tenant, after, limit),
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
        self.read(move |reader| {
            let Some(tenant) = reader.tenant(&tenant)? else {
                return Ok(None);
            };
            let Some(row) = reader.delivery_row(&tenant, id)? else {
                return Ok(None);
            };
            let delivery = reader.delivery(&tenant.id, row, &mut read::Events::default())?;
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
        self.read(move |reader| match reader.tenant(&tenant)? {
            Some(tenant) => reader.deliveries(&tenant, endpoint, status, after, limit),
            None => Ok(after.is_none().then(Page::default)),
        })
        .await
    }

    async fn claim(&self, most: usize) -> Result<Claims, StoreError> {
        self.ask(|reply| Job::Claim { most, reply }).await?
    }

    async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<Settled, StoreError> {
        let (claimed, attempt) = (Box::new(claimed.clone()), attempt.clone());
        self.keep(|reply| Job::Settle {
            claimed,
            attempt,
            verdict,
            reply,
        })
        .await
    }

    async fn sweep(&self) -> Result<Timestamp, StoreError> {
        self.ask(|reply| Job::Sweep { reply }).await
    }

    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError> {
        let millis = i64::try_from(total.as_millis()).unwrap_or(i64::MAX);
        self.keep(|reply| Job::KeepClockAdvance { millis, reply })
            .await
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // The writer comes first, since it knows whether the files are gone. A read fails then
        // without knowing why.
        self.keep(|reply| Job::Try { reply }).await?;
        self.read(|reader| reader.row(sql::READY, &[], |_| Ok(())))
            .await?;
        Ok(())
    }
}
