//! The file: who may write it, what it must be, and how connections to it are set up.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::fault::Fault;
use super::sql;
use crate::store::seal::{CannotOpen, Kind, MasterKeys, Place};

/// `HkTn`: marks a database as Hookturn's (SQLite's `application_id`).
const APPLICATION_ID: i32 = 0x486b_546e;

/// The schema that this version writes (SQLite's `user_version`), and the steps that lead to it: step `n` makes
/// schema `n + 1` of schema `n`. Only ever added to: what a released version wrote must still open.
const MIGRATIONS: &[&str] = &[sql::SCHEMA_1];

/// What is sealed under each master key, to find out whether a key of the same id is the same key.
pub(super) const PROOF: &[u8] = b"this master key opens this store";

/// How long a connection waits for a lock that another process holds for a moment, such as while it recovers the
/// write-ahead log.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// The bytes of the smallest database: a page of the smallest size.
const SMALLEST: u64 = 512;

/// Pages of the write-ahead log after which they are written back to the database: 16 MiB.
const CHECKPOINT_PAGES: u32 = 4096;

/// Why a file cannot be opened: one line, which names the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes it.
    #[error("{} is in use by another Hookturn process: stop that one, or choose another file", .0.display())]
    InUse(PathBuf),
    /// There is no such file.
    #[error("{} does not exist: check the path", .0.display())]
    Missing(PathBuf),
    /// The system does not let us.
    #[error("{} cannot be opened: {}; check that its directory exists and that this user may write there", .0.display(), .1)]
    System(PathBuf, String),
    /// It is something else.
    #[error("{} is not a database of Hookturn: choose another file", .0.display())]
    Foreign(PathBuf),
    /// The log of another file lies beside it.
    #[error("{path} is a copy, and {path}-wal beside it is left from the file that was there: delete {path}-wal and {path}-shm, and start again", path = .0.display())]
    StrayLog(PathBuf),
    /// It has other names, by each of which it would have another lock and another log.
    #[error("{} has more than one name (hard links), by which two servers could write it: remove the others, or copy it to a file of its own", .0.display())]
    Linked(PathBuf),
    /// A newer version wrote it.
    #[error("{} was written by a newer version of Hookturn (schema {found}, and this version knows {known}): start that version or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// An older version wrote it, and it is not to be changed.
    #[error("{} was written by an older version of Hookturn (schema {found}, and this version reads {known}): use that version, or have this one serve a copy of it first, which brings it up to date", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// It is written by something that was not there when the reading of it began.
    #[error("{} began to be written while it was read, by a server that was just started: try again", .0.display())]
    Changed(PathBuf),
    /// Old contents cannot be taken away, since somebody reads them.
    #[error("{} is being read by another process, such as a backup: run this again when that has ended", .0.display())]
    BeingRead(PathBuf),
    /// The disk is full.
    #[error("{} cannot be written: the disk is full; make room and start again", .0.display())]
    Full(PathBuf),
    /// The disk fails; it may also be full where SQLite does not say so.
    #[error("{} cannot be used: {}; make room if the disk is full, else look at the disk and at the system's log", .0.display(), .1)]
    Disk(PathBuf, String),
    /// Values rest under a master key that was not given.
    #[error("the master key `{id}` is missing, and values in {} rest under it: give it too, the newest first", path.display())]
    KeyMissing {
        /// The file.
        path: PathBuf,
        /// The key's id.
        id: String,
    },
    /// A key has the right id, and is another key.
    #[error("the master key `{id}` does not open {}: it is not the key that had this id; give the right one", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// The key's id.
        id: String,
    },
    /// The file is damaged, or SQLite failed otherwise.
    #[error("{} cannot be read: {}; run `hookturn check` on it, and restore a backup if it finds damage", .0.display(), .1)]
    Damaged(PathBuf, String),
}

impl OpenError {
    /// What `fault` means for the opening of `path`.
    pub(super) fn of(path: &Path, fault: Fault) -> Self {
        let path = path.to_owned();
        match fault {
            Fault::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => Self::Foreign(path),
                Some(ErrorCode::DiskFull) => Self::Full(path),
                Some(ErrorCode::SystemIoFailure) => Self::Disk(path, error.to_string()),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                    Self::System(path, error.to_string())
                }
                _ => Self::Damaged(path, error.to_string()),
            },
            Fault::NoLog => Self::System(path, fault.to_string()),
            fault => Self::Damaged(path, fault.to_string()),
        }
    }
}

/// Held by whoever writes the file: the one server, or `keys rewrap`. It is let go when the process ends, however it
/// ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, and never asked")] File);

impl Lock {
    /// Takes the lock that stands beside the database at `path`. It is a file of its own: SQLite's locks are on the
    /// database itself, and another handle on that, when closed, would drop them.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when another process has it, or it cannot be made.
    pub fn take(path: &Path) -> Result<Self, OpenError> {
        // One file has one lock, whatever links lead to it. One that is yet to be made has none.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let beside = beside(&real, "-lock");
        let fault = |error: &io::Error| OpenError::System(path.to_owned(), error.to_string());
        let file = private().open(beside).map_err(|error| fault(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(fault(&error)),
        }
    }
}

/// The file beside `path` whose name ends so.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}

/// How files that only their owner may read are opened and made.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Makes the file at `path`, if there is none, so that only its owner may read it. The files that SQLite puts beside
/// it get the same mode.
///
/// # Errors
///
/// [`OpenError`] when that cannot be done, or when what is there is too short to be a database.
pub fn create(path: &Path) -> Result<(), OpenError> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        // A pipe would be waited for.
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let opened = private().open(path).and_then(|file| file.metadata());
    match opened {
        // SQLite would take it for an empty one, and write over it.
        Ok(found) if (1..SMALLEST).contains(&found.len()) => {
            Err(OpenError::Foreign(path.to_owned()))
        }
        Ok(found) if found.nlink() > 1 => Err(OpenError::Linked(path.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Err(OpenError::Full(path.to_owned()))
        }
        Err(error) => Err(OpenError::System(path.to_owned(), error.to_string())),
    }
}

/// A connection that writes, to a file that exists. The caller holds the [`Lock`].
///
/// # Errors
///
/// [`OpenError`], before anything in the file is changed, if it is not ours or newer than this version.
pub(super) fn connect(path: &Path) -> Result<Connection, OpenError> {
    let fault = |fault: Fault| OpenError::of(path, fault);
    refuse_stray_log(path)?;
    let db = connect_as_it_is(path).map_err(fault)?;
    recognise(&db, path, MIGRATIONS.len())?;
    set_up_to_write(&db).map_err(fault)?;
    Ok(db)
}

/// Where in the header of a database it says whether it keeps a write-ahead log (SQLite's file format, section 1.3).
const WRITE_VERSION: usize = 18;

/// What it says there of one that keeps none, and of one that does.
const WITHOUT_LOG: u8 = 1;
const WITH_LOG: u8 = 2;

fn write_version(path: &Path) -> io::Result<Option<u8>> {
    let mut header = Vec::with_capacity(100);
    File::open(path)?.take(100).read_to_end(&mut header)?;
    Ok(header.get(WRITE_VERSION).copied())
}

/// Whether the database at `path` keeps a write-ahead log.
pub(super) fn is_with_log(path: &Path) -> io::Result<bool> {
    Ok(write_version(path)? == Some(WITH_LOG))
}

/// A backup keeps no log. One that lies beside it belongs to the file in whose place it was put, and SQLite would write
/// what is in there over the backup.
pub(super) fn refuse_stray_log(path: &Path) -> Result<(), OpenError> {
    let system = |error: io::Error| OpenError::System(path.to_owned(), error.to_string());
    if write_version(path).map_err(system)? != Some(WITHOUT_LOG) {
        return Ok(());
    }
    let real = path.canonicalize().map_err(system)?;
    match fs::metadata(beside(&real, "-wal")) {
        Ok(log) if log.len() > 0 => Err(OpenError::StrayLog(path.to_owned())),
        _ => Ok(()),
    }
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

/// Brings the schema to what this version writes. Each step is one transaction with the number that it leads to.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    migrate_with(db, path, MIGRATIONS)
}

fn migrate_with(db: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    let mut version = recognise(db, path, steps.len())?;
    while let Some(step) = steps.get(version) {
        let transaction = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault)?;
        transaction.execute_batch(step).map_err(fault)?;
        version += 1;
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| {
                transaction.pragma_update(
                    None,
                    "user_version",
                    i32::try_from(version).unwrap_or(i32::MAX),
                )
            })
            .and_then(|()| transaction.commit())
            .map_err(fault)?;
    }
    Ok(())
}

/// The schema of a file, if it is ours and not newer than `known`. 0 for an empty one.
pub(super) fn recognise(db: &Connection, path: &Path, known: usize) -> Result<usize, OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = pragma("application_id").map_err(fault)?;
    let version = pragma("user_version").map_err(fault)?;
    let tables: i64 = db
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(fault)?;
    let is_empty = tables == 0 && version == 0 && application == 0;
    if !is_empty && application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    if found > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(found)
}

/// The schema of a file that is only looked at: this version's, or it is told why not.
pub(super) fn expect_known_schema(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let known = MIGRATIONS.len();
    match recognise(db, path, known)? {
        0 => Err(OpenError::Foreign(path.to_owned())),
        found if found < known => Err(OpenError::Older {
            path: path.to_owned(),
            found,
            known,
        }),
        _ => Ok(()),
    }
}

/// What a file of this version's schema consists of: the type, the name and the making of everything in it.
pub(super) fn parts(db: &Connection) -> Result<Vec<Part>, Fault> {
    let sql = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name";
    let mut statement = db.prepare(sql)?;
    let parts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(parts.collect::<Result<_, _>>()?)
}

/// The type and the name of a part, and the statement that makes it, if there is one.
pub(super) type Part = (String, String, Option<String>);

/// An empty database of this version's schema, in memory.
pub(super) fn blank() -> Result<Connection, Fault> {
    let db = Connection::open_in_memory()?;
    for step in MIGRATIONS {
        db.execute_batch(step)?;
    }
    Ok(db)
}

/// Checks that every master key that values rest under was given and is the right one.
pub(super) fn prove(db: &Connection, path: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let proofs = || -> Result<Vec<(String, Vec<u8>)>, rusqlite::Error> {
        db.prepare("SELECT id, proof FROM master_key ORDER BY id")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let path = || path.to_owned();
    for (id, proof) in proofs().map_err(|error| OpenError::of(&path(), error.into()))? {
        let opened = keys.open(&proof_place(&id), &proof);
        match opened {
            Ok(proof) if *proof == PROOF => {}
            Err(CannotOpen::UnknownKey { .. }) => {
                return Err(OpenError::KeyMissing { path: path(), id });
            }
            _ => return Err(OpenError::WrongKey { path: path(), id }),
        }
    }
    Ok(())
}

pub(super) fn proof_place(id: &str) -> Place<'_> {
    Place {
        kind: Kind::Proof,
        tenant: "",
        record: id.as_bytes(),
    }
}

/// Makes the first key the one that seals. Whatever rests under another is then to be sealed anew.
pub(super) fn adopt_first_key(db: &mut Connection, keys: &MasterKeys) -> Result<(), Fault> {
    let first = keys.first_id();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before: Option<String> = transaction
        .query_row("SELECT sealing_key FROM state", [], |row| row.get(0))
        .optional()?;
    let proof = keys.seal(&proof_place(first), PROOF)?;
    transaction.execute(
        "INSERT OR IGNORE INTO master_key (id, proof) VALUES (?1, ?2)",
        (first, proof),
    )?;
    match before {
        None => {
            transaction.execute(
                "INSERT INTO state (one, clock_advance_ms, sealing_key, rewrap_stage, rewrap_after, rewrap_failed)
                 VALUES (1, 0, ?1, NULL, 0, 0)",
                [first],
            )?;
        }
        Some(before) if before != first => begin_rewrap(&transaction, first)?,
        Some(_) => {
            // What did not open the last time may be mended or deleted by now; until then the other keys are kept.
            let is_unfinished: bool = transaction.query_row(
                "SELECT rewrap_stage IS NULL AND EXISTS (SELECT 1 FROM master_key WHERE id <> ?1) FROM state",
                [first],
                |row| row.get(0),
            )?;
            if is_unfinished {
                begin_rewrap(&transaction, first)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn begin_rewrap(db: &Connection, first: &str) -> Result<(), Fault> {
    db.execute(
        "UPDATE state SET sealing_key = ?1, rewrap_stage = 0, rewrap_after = 0, rewrap_failed = 0",
        [first],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Connection {
        Connection::open_in_memory().expect("a database")
    }

    #[test]
    fn steps_are_taken_once_and_a_newer_file_is_refused() {
        let mut db = memory();
        let path = Path::new("hookturn.db");
        let first = ["CREATE TABLE a (x)"];
        let both = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
        migrate_with(&mut db, path, &first).expect("an empty file");
        migrate_with(&mut db, path, &first).expect("nothing to do");
        migrate_with(&mut db, path, &both).expect("one step");
        let refused = migrate_with(&mut db, path, &first).expect_err("newer");
        assert_eq!(
            refused.to_string(),
            "hookturn.db was written by a newer version of Hookturn (schema 2, and this version knows 1): start that \
             version or a newer one"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut db = memory();
        let path = Path::new("hookturn.db");
        let broken = [
            "CREATE TABLE a (x)",
            "CREATE TABLE b (x); CREATE TABLE a (x)",
        ];
        migrate_with(&mut db, path, &broken).expect_err("the second step fails");
        let tables: i64 = db
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(tables, 1);
        assert_eq!(recognise(&db, path, 2).expect("ours"), 1);
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let mut db = memory();
        db.execute_batch("CREATE TABLE theirs (x)")
            .expect("a table");
        let refused = migrate(&mut db, Path::new("theirs.db")).expect_err("foreign");
        assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
    }
}
