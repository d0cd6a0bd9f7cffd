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
mod lanes;
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
use tokio::sync::{Notify, oneshot};

use self::fault::Fault;
use self::lanes::{Closed, Lanes};
use self::lock::Lock;
use self::read::{Reader, Tenant};
use self::readers::Readers;
use self::writer::{Job, Reply};
use super::repeats::{Comparisons, Digests, Tried};
use super::{Claimed, Claims, CommitError, Committed, Page, Settled, Store, StoreError, Write};
use crate::clock::Clock;
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
    Verdict,
};
use crate::idempotency::{IdempotencyKey, KeyUse, Record};

/// A [`Store`] in one file. Dropping it waits until the writes that it has accepted are written.
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    work: Arc<Notify>,
    /// Closed before the writer, so that the last connection to be closed is one that may clean up
    /// the log.
    readers: Option<Readers>,
    jobs: Arc<Lanes<Job>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    comparisons: Comparisons,
    _lock: Lock,
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer closes the file last. SQLite then writes the log back to the database, which
        // is complete without it.
        self.readers = None;
        self.jobs.close();
        if let Some(writer) = self.writer.lock().take() {
            // If the writer panicked, the log says why.
            let _ = writer.join();
        }
    }
}

impl SqliteStore {
    /// Sends a job to the writer, and waits for its answer. The job waits in the lane of `tenant`.
    /// `None` means that the program itself needs it.
    async fn ask<T>(
        &self,
        tenant: Option<&TenantId>,
        job: impl FnOnce(oneshot::Sender<T>) -> Job,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = match tenant {
            Some(tenant) => self.jobs.push(tenant, job(reply)).await,
            None => self.jobs.push_own(job(reply)),
        };
        sent.map_err(|Closed| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)
    }

    /// Does what [`ask`](Self::ask) does, for a write. A write can end with the panic of a
    /// decision.
    async fn write<T>(
        &self,
        tenant: Option<&TenantId>,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, CommitError> {
        match self.ask(tenant, job).await? {
            Ok(outcome) => outcome,
            // The panic belongs to the caller.
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Does what [`write`](Self::write) does, for a write that fails only when the store fails.
    async fn keep<T>(
        &self,
        tenant: Option<&TenantId>,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T, StoreError> {
        self.write(tenant, job).await.map_err(|error| match error {
            CommitError::Store(error) => error,
            other => StoreError::new(other),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        tenant: Option<&TenantId>,
        read: impl FnOnce(Reader<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.readers.as_ref().ok_or(StoreError::Closed)?;
        readers.read(tenant, read).await
    }

    /// Reads records of a tenant. Returns `none()` if the tenant never had a record.
    async fn read_of<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        none: impl FnOnce() -> T + Send + 'static,
        read: impl FnOnce(Reader<'_>, &Tenant) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let id = tenant.clone();
        self.read(Some(tenant), move |reader| match reader.tenant(&id)? {
            Some(tenant) => read(reader, &tenant),
            None => Ok(none()),
        })
        .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        let (key, now) = (key.clone(), self.clock.now());
        let read = move |reader: Reader<'_>, tenant: &Tenant| reader.record(tenant, &key, now);
        self.read_of(tenant, || None, read).await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        key_use: Option<KeyUse>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let (mut write, mut digests) = (write, Digests::default());
        loop {
            let key_use = key_use.clone();
            let tried = self.write(Some(tenant), |reply| Job::Commit {
                tenant: tenant.clone(),
                key_use,
                write,
                digests,
                reply,
            });
            match tried.await? {
                Tried::Done(committed) => return Ok(committed),
                Tried::NeedsDigests(needs) => {
                    let publish;
                    (publish, digests) = self.comparisons.digests(tenant, *needs).await?;
                    write = Write::Publish(publish);
                }
            }
        }
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        let read = move |reader: Reader<'_>, tenant: &Tenant| {
            Ok(reader.endpoint(tenant, id)?.map(|(_, endpoint)| endpoint))
        };
        self.read_of(tenant, || None, read).await
    }

    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError> {
        let none = move || after.is_none().then(Page::default);
        let read =
            move |reader: Reader<'_>, tenant: &Tenant| reader.endpoints(tenant, after, limit);
        self.read_of(tenant, none, read).await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let read = move |reader: Reader<'_>, tenant: &Tenant| {
            let Some(row) = reader.delivery_row(tenant, id)? else {
                return Ok(None);
            };
            let delivery = reader.delivery(row, &mut read::Heads::default())?;
            Ok(Some(delivery))
        };
        self.read_of(tenant, || None, read).await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        let none = move || after.is_none().then(Page::default);
        let read = move |reader: Reader<'_>, tenant: &Tenant| {
            reader.deliveries(tenant, endpoint, status, after, limit)
        };
        self.read_of(tenant, none, read).await
    }

    async fn claim(&self, most: usize) -> Result<Claims, StoreError> {
        self.ask(None, |reply| Job::Claim { most, reply }).await?
    }

    async fn settle(
        &self,
        claimed: &Claimed,
        attempt: &Attempt,
        verdict: Verdict,
    ) -> Result<Settled, StoreError> {
        let tenant = &claimed.tenant;
        let (claimed, attempt) = (Box::new(claimed.clone()), attempt.clone());
        self.keep(Some(tenant), |reply| Job::Settle {
            claimed,
            attempt,
            verdict,
            reply,
        })
        .await
    }

    async fn sweep(&self) -> Result<Timestamp, StoreError> {
        self.ask(None, |reply| Job::Sweep { reply }).await
    }

    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError> {
        let millis = i64::try_from(total.as_millis()).unwrap_or(i64::MAX);
        self.keep(None, |reply| Job::KeepClockAdvance { millis, reply })
            .await
    }

    fn work(&self) -> &Notify {
        &self.work
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // The writer comes first, since it knows whether the files are gone. A read fails then
        // without knowing why.
        self.keep(None, |reply| Job::Try { reply }).await?;
        self.read(None, |reader| reader.row(sql::READY, &[], |_| Ok(())))
            .await?;
        Ok(())
    }
}
