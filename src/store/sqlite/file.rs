//! Makes the file of a store, and sets up the connections to it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::Fault;
use super::inspect::{self, Found};
use super::lock::Lock;
use super::open_error::OpenError;
use super::partial::Partial;
use super::paths::real_path;
use super::{generation, key_proof, schema};
use crate::store::at_rest::MasterKeys;

/// How long a connection waits for a lock that another process holds for a moment, for example
/// while it recovers the write-ahead log.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// How many pages the write-ahead log may have before it is written back to the database: 16 MiB.
pub(super) const CHECKPOINT_PAGES: u32 = 4096;

/// Makes the database at `real`, where there is no file or an empty one. The file gets its name
/// when it is complete and on the disk, so a file with that name always has its tables and the
/// proof of its master key.
fn make(real: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let system = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => OpenError::Full(real.to_owned()),
        _ => OpenError::System(real.to_owned(), error.to_string()),
    };
    let partial = Partial::beside(real).map_err(system)?;
    fill(partial.path(), real, keys)?;
    let synced = File::open(partial.path()).and_then(|file| file.sync_all());
    synced.map_err(system)?;
    // A file that was put there meanwhile stays.
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

/// Makes an empty file a database without records. Errors name `real`, the name that the file will
/// get.
fn fill(partial: &Path, real: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let fault = |fault: Fault| OpenError::of(real, fault);
    let mut db = connect_as_it_is(partial).map_err(fault)?;
    // Without a log: when a connection is closed, writing its log back may fail without an error.
    schema::migrate(&mut db, real)?;
    key_proof::adopt_first_key(&mut db, keys).map_err(fault)?;
    // So that even the first log can be told from the log of another store.
    generation::begin(&db).map_err(fault)?;
    db.close().map_err(|(_, error)| fault(error.into()))
}

/// Opens the database at `path`, or makes it when there is none. Takes its lock, and makes sure
/// that its files belong together, that its schema is this version's and that `keys` decrypt it.
/// Also returns whether it was made.
///
/// # Errors
/// [`OpenError`]. The database and its log are unchanged then.
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
    // Closing a connection would write the log back, even into a database that is not ours.
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

/// Opens a connection that writes, without changing how the file is written.
fn connect_as_it_is(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(128);
    set_up(&db)?;
    Ok(db)
}

/// Makes the file keep a write-ahead log, and sets how it is written.
fn set_up_to_write(db: &Connection) -> Result<(), Fault> {
    // A commit is on the disk, even after a loss of power: each one is one fsync of the write-ahead
    // log.
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::NoLog);
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // A log that became large during a long read is cut to this length again, in bytes.
    db.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // Deleted and replaced contents are overwritten where that takes no further write.
    db.pragma_update(None, "secure_delete", "FAST")?;
    set_cache(db)
}

/// Sets how much of the database the writing connection keeps in memory: 64 MiB.
pub(super) fn set_cache(db: &Connection) -> Result<(), Fault> {
    // A negative value is in KiB.
    db.pragma_update(None, "cache_size", -65_536)?;
    Ok(())
}

/// Opens a connection that reads while another one writes.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection, Fault> {
    // Readers must write the log's index, too.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update(None, "query_only", true)?;
    set_up(&db)?;
    Ok(db)
}

/// Sets up any connection. A file may come from anywhere, so nothing in it is run as code. A
/// statement keeps its first plan whatever its parameters, since the plans are tested.
pub(super) fn set_up(db: &Connection) -> Result<(), Fault> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}
