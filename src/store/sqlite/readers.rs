//! Runs reads in threads beside the writer: a read sees the last commit and does not wait for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::checkpoint::Gate;
use super::fault::Fault;
use super::lanes::{Closed, Lanes};
use super::read::Reader;
use super::{file, sql};
use crate::domain::TenantId;
use crate::store::StoreError;
use crate::store::at_rest::MasterKeys;

/// How many reads run at once. They are short, and the machine has other things to do.
const THREADS: usize = 4;

type Read = Box<dyn FnOnce(Reader<'_>) + Send>;

/// The readers of one file. Dropping it waits until they have ended and the file is closed.
pub(super) struct Readers {
    reads: Arc<Lanes<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.reads.close();
        for thread in self.threads.drain(..) {
            // The thread does not panic: the panics of reads are caught.
            let _ = thread.join();
        }
    }
}

impl Readers {
    /// Opens the connections and starts the threads.
    pub fn start(path: &Path, keys: &MasterKeys, gate: &Gate) -> Result<Self, Fault> {
        let reads: Arc<Lanes<Read>> = Arc::default();
        let mut readers = Self {
            reads: Arc::clone(&reads),
            threads: Vec::new(),
        };
        for _ in 0..THREADS {
            let db = file::connect_to_read(path)?;
            // SQLite opens the log with the first read: now, while the files exist.
            db.query_row(sql::READY, [], |_| Ok(()))?;
            let (keys, gate) = (keys.clone(), gate.clone());
            let reads = Arc::clone(&reads);
            let thread = thread::Builder::new()
                .name("hookturn-read".to_owned())
                .spawn(move || serve(&db, &keys, &gate, &reads))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `read` on a reader's thread, in one transaction: everything that it reads is of one
    /// instant. Waits in the lane of `tenant`. `None` means that the program itself needs it.
    pub async fn read<T: Send + 'static>(
        &self,
        tenant: Option<&TenantId>,
        read: impl FnOnce(Reader<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |reader| {
            if reply.is_closed() {
                return;
            }
            let read = AssertUnwindSafe(|| in_transaction(reader, read));
            let outcome = catch_unwind(read).unwrap_or(Err(Fault::Panicked));
            // If the answer cannot be sent, nobody waits for it any more.
            let _ = reply.send(outcome);
        });
        let sent = match tenant {
            Some(tenant) => self.reads.push(tenant, read).await,
            None => self.reads.push_own(read),
        };
        sent.map_err(|Closed| StoreError::Closed)?;
        Ok(answer.await.map_err(|_| StoreError::Closed)??)
    }
}

/// Runs `read` in one transaction.
fn in_transaction<T>(
    reader: Reader<'_>,
    read: impl FnOnce(Reader<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let transaction = reader.db.unchecked_transaction()?;
    let outcome = read(reader)?;
    transaction.finish()?;
    Ok(outcome)
}

/// Runs reads until there are no more.
fn serve(db: &Connection, keys: &MasterKeys, gate: &Gate, reads: &Lanes<Read>) {
    while let Some(read) = reads.next() {
        let _passed = gate.pass();
        read(Reader { db, keys });
    }
}
