//! Runs reads in threads beside the writer: a read sees the last commit and does not wait for one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::Gate;
use super::fault::Fault;
use super::read::Reader;
use super::{file, sql};
use crate::store::StoreError;
use crate::store::at_rest::MasterKeys;

/// How many reads run at once. They are short, and the machine has other things to do.
const THREADS: usize = 4;

/// How many reads may wait. Further callers wait before they are queued.
const WAITING: usize = 1024;

type Read = Box<dyn FnOnce(Reader<'_>) + Send>;

/// The readers of one file. Dropping it waits until they have ended and the file is closed.
pub(super) struct Readers {
    /// `None` only while the readers are dropped.
    reads: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.reads = None;
        for thread in self.threads.drain(..) {
            // The thread does not panic: the panics of reads are caught.
            let _ = thread.join();
        }
    }
}

impl Readers {
    /// Opens the connections and starts the threads.
    pub fn start(path: &Path, keys: &MasterKeys, gate: &Gate) -> Result<Self, Fault> {
        let (reads, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self {
            reads: Some(reads),
            threads: Vec::new(),
        };
        for _ in 0..THREADS {
            let db = file::connect_to_read(path)?;
            // SQLite opens the log with the first read: now, while the files exist.
            db.query_row(sql::READY, [], |_| Ok(()))?;
            let (keys, gate) = (keys.clone(), gate.clone());
            let waiting = Arc::clone(&waiting);
            let thread = thread::Builder::new()
                .name("hookturn-read".to_owned())
                .spawn(move || serve(&db, &keys, &gate, &waiting))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs `read` on a reader's thread, in one transaction: everything that it reads is of one
    /// instant.
    pub async fn read<T: Send + 'static>(
        &self,
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
        let reads = self.reads.as_ref().ok_or(StoreError::Closed)?;
        let sent = reads.send(read).await;
        sent.map_err(|_| StoreError::Closed)?;
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

/// Runs reads until there are no more. One thread at a time waits for a read and holds the lock
/// meanwhile; when it has one, it lets the next thread wait.
fn serve(db: &Connection, keys: &MasterKeys, gate: &Gate, waiting: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let Some(read) = waiting.lock().blocking_recv() else {
            return;
        };
        let _passed = gate.pass();
        read(Reader { db, keys });
    }
}
