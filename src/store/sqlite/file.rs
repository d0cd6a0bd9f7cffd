//! The file of a store: how it is made, and how connections to it are set up.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::generation;
use super::inspect::{self, Found};
use super::key_proof;
use super::lock::Lock;
use super::open_error::OpenError;
use super::partial::Partial;
use super::paths::real_path;
use super::schema;
use crate::store::at_rest::MasterKeys;

/// How long a connection waits for a lock that another process holds for a moment, such as while it recovers the
/// write-ahead log.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Pages of the write-ahead log after which they are written back to the database: 16 MiB.
pub(super) const CHECKPOINT_PAGES: u32 = 4096;

/// Makes the database at `real`, where there is no file or an empty one. It gets its name when it is whole and on the
/// disk: whatever has the name has its tables, and proves its master key.
fn make(real: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let system = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => OpenError::Full(real.to_owned()),
        _ => OpenError::System(real.to_owned(), error.to_string()),
    };
    let partial = Partial::beside(real).map_err(system)?;
    fill(partial.path(), real, keys)?;
    let synced = File::open(partial.path()).and_then(|file| file.sync_all());
    synced.map_err(system)?;
    // One that has been put there meanwhile stays.
    let is_empty = fs::metadata(real).is_ok_and(|found| found.len() == 0);
    let named = if is_empty {
        partial.replace(real)
    } else {
        partial.name(real)
    };
    named.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => OpenError::InUse(real.to_owned()),
        _ => system(error),
    })
}

/// Makes an empty file a database without records. Errors name `real`, whose name it will get.
fn fill(partial: &Path, real: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let fault = |fault: Fault| OpenError::of(real, fault);
    let mut db = connect_as_it_is(partial).map_err(fault)?;
    // Without a log: what is written back from one when it is closed may fail without a word.
    schema::migrate(&mut db, real)?;
    key_proof::adopt_first_key(&mut db, keys).map_err(fault)?;
    // So that the first log is already known from the log of another store.
    generation::begin(&db).map_err(fault)?;
    db.close().map_err(|(_, error)| fault(error.into()))
}

/// Opens the database at `path`, or makes it when there is none: takes its lock, and makes sure that its files belong
/// together, that its schema is this version's and that `keys` open it. Says whether it was made.
///
/// # Errors
///
/// [`OpenError`]; then the database and its log are as they were.
pub(super) fn open(path: &Path, keys: &MasterKeys) -> Result<(Lock, Connection, bool), OpenError> {
    let real = real_path(path)?;
    let fault = |fault: Fault| OpenError::of(&real, fault);
    let mut lock = Lock::take(&real)?;
    let is_new = inspect::before_opening(&real)? == Found::Nothing;
    if is_new {
        make(&real, keys)?;
    }
    lock.take_database(&real)?;
    let mut db = connect_as_it_is(&real).map_err(fault)?;
    // A connection that is closed would write the log back, also to what is not ours.
    let keep_log = |db: &Connection, keep| {
        let set = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
        set.map_err(|error| fault(error.into()))
    };
    keep_log(&db, inspect::has_log(&real))?;
    schema::recognise_known(&db, &real)?;
    key_proof::prove(&db, &real, keys)?;
    keep_log(&db, false)?;
    set_up_to_write(&db).map_err(fault)?;
    schema::migrate(&mut db, &real)?;
    key_proof::adopt_first_key(&mut db, keys).map_err(fault)?;
    Ok((lock, db, is_new))
}

fn connect_as_it_is(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(128);
    set_up(&db)?;
    Ok(db)
}

fn set_up_to_write(db: &Connection) -> Result<(), Fault> {
    // What is committed is on the disk, also after a loss of power: each commit is one fsync of the write-ahead log.
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::NoLog);
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // A log that a long read made large is cut to this again, in bytes.
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // What is deleted or replaced is overwritten, where that takes no further write.
    db.pragma_update(None, "secure_delete", "FAST")?;
    set_cache(db)
}

/// How much of the database the connection that writes keeps in memory: 64 MiB.
pub(super) fn set_cache(db: &Connection) -> Result<(), Fault> {
    // In KiB, when negative.
    db.pragma_update(None, "cache_size", -65_536)?;
    Ok(())
}

/// A connection that reads, beside one that writes.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, Fault> {
    // The log's index must be written also by those who read.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update(None, "query_only", true)?;
    set_up(&db)?;
    Ok(db)
}

/// What holds for every connection. A file may come from anywhere: what it says is read as data alone. And a statement
/// runs as it was first planned, whatever its parameters: the plans are tested.
pub(super) fn set_up(db: &Connection) -> Result<(), Fault> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}
