//! Tests how long the log becomes while reads overlap, so that there is always a read.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use parking_lot::{Condvar, Mutex};
use rusqlite::Transaction;
use tempfile::TempDir;

use super::super::schema;
use super::*;

/// The bytes of each write, and the number of writes: 48 MB in total.
const EACH: u32 = 200_000;
const WRITES: usize = 240;

/// How long a read goes on without a write: the writer waits for it, so it must end.
const LONG: Duration = Duration::from_millis(20);

/// How many writes there were, and whether they are over.
#[derive(Default)]
struct Written(Mutex<(usize, bool)>, Condvar);

impl Written {
    fn add(&self, is_over: bool) {
        let mut written = self.0.lock();
        *written = (written.0 + 1, is_over);
        self.1.notify_all();
    }

    /// Waits for another write. Returns whether there are more to come.
    fn wait(&self) -> bool {
        let mut written = self.0.lock();
        let (before, is_over) = *written;
        if !is_over {
            let other = |written: &mut (usize, bool)| written.0 == before;
            self.1.wait_while_for(&mut written, other, LONG);
        }
        !written.1
    }
}

fn connect(path: &Path) -> Connection {
    let db = Connection::open(path).expect("a database");
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
        .expect("a log");
    db
}

fn begin_to_read(db: &Connection) -> Transaction<'_> {
    let reading = db.unchecked_transaction().expect("a read");
    let tables = "SELECT count(*) FROM sqlite_schema";
    let _: i64 = db.query_row(tables, [], |row| row.get(0)).expect("a count");
    reading
}

/// Reads until there are no more writes, each time from before a write to after it.
fn read(path: &Path, gate: &Gate, written: &Written) {
    let db = connect(path);
    loop {
        let _passed = gate.pass();
        let _reading = begin_to_read(&db);
        if !written.wait() {
            return;
        }
    }
}

/// Reads until there are no more writes, so that there is no moment without a read: each begins
/// before the last one ends.
fn read_without_end(path: &Path, written: &Written) {
    let connections = [connect(path), connect(path)];
    let mut reading = None;
    for db in connections.iter().cycle() {
        // This ends the last one.
        reading.replace(begin_to_read(db));
        if !written.wait() {
            return;
        }
    }
}

/// Returns the greatest length of the log, in bytes.
fn longest(is_gated: bool) -> u64 {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    let mut db = connect(&path);
    for part in schema::parts(&schema::blank().expect("a schema")).expect("parts") {
        // SQLite makes the tables without a statement.
        if let (kind, name, Some(sql)) = part
            && kind == "table"
            && !name.starts_with("sqlite_")
        {
            db.execute_batch(&sql).expect("a table");
        }
    }
    let gate = Gate::default();
    let mut checkpoints = is_gated.then(|| Checkpoints::new(&mut db, gate.clone()).expect("a log"));
    if !is_gated {
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
            .expect("a setting");
    }
    let written = Written::default();
    let mut longest = 0;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                if is_gated {
                    read(&path, &gate, &written);
                } else {
                    read_without_end(&path, &written);
                }
            });
        }
        for number in 1..=WRITES {
            db.execute(
                "INSERT INTO tenant (name) VALUES (CAST(zeroblob(?1) AS TEXT) || ?2)",
                (EACH, number),
            )
            .expect("a write");
            written.add(number == WRITES);
            if let Some(checkpoints) = &mut checkpoints {
                checkpoints.keep_short(&db);
            }
            let log = fs::metadata(path.with_extension("db-wal")).expect("a log");
            longest = longest.max(log.len());
        }
    });
    longest
}

#[test]
fn the_log_stays_short_while_reads_overlap() {
    let limit = u64::from(CHECKPOINT_PAGES) * 4096;
    let gated = longest(true);
    assert!(
        gated > limit / 2,
        "{gated} bytes: it was never written back late"
    );
    assert!(gated < limit + (2 << 20), "{gated} bytes");
    // Without the gate SQLite finds no moment without a read.
    let alone = longest(false);
    assert!(
        alone > limit * 2,
        "{alone} bytes: there was a moment without a read"
    );
}
