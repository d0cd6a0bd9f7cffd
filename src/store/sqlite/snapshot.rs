//! Reads a file that this process does not write: as it is at one instant, without a lock, and
//! without making or changing a file.
//!
//! A server may write the file at the same time. It can do so freely, but it cannot restart its
//! write-ahead log until the reading ends.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use rusqlite::{Connection, OpenFlags};
use url::Url;

use super::fault::Fault;
use super::inspect::{self, Found};
use super::open_error::OpenError;
use super::{file, paths, schema};

/// A database in one read transaction.
pub(super) struct Snapshot {
    pub db: Connection,
    path: PathBuf,
    /// The state of the file before, if it is read as a file that nobody writes.
    still: Option<Still>,
}

/// What changes when a file is written.
#[derive(PartialEq, Eq)]
struct Still {
    length: u64,
    modified: Option<SystemTime>,
    is_logged: bool,
}

impl Still {
    fn of(real: &Path) -> io::Result<Self> {
        let file = fs::metadata(real)?;
        Ok(Self {
            length: file.len(),
            modified: file.modified().ok(),
            is_logged: is_logged(real),
        })
    }
}

/// Returns whether there is a write-ahead log or an index: the file is in use, or was when its
/// writer was killed.
fn is_logged(real: &Path) -> bool {
    let log = fs::metadata(paths::beside(real, "-wal"));
    log.is_ok_and(|log| log.len() > 0) || paths::beside(real, "-shm").exists()
}

impl Snapshot {
    /// Begins to read the file at `path`, which must be a database with this version's schema.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is wrong.
    pub fn at(path: &Path) -> Result<Self, OpenError> {
        let system = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Missing(path.to_owned()),
            _ => OpenError::System(path.to_owned(), error.to_string()),
        };
        let real = path.canonicalize().map_err(|error| {
            // If the file is missing, what is left beside it tells more.
            let left = paths::real_path(path).and_then(|real| inspect::before_opening(&real));
            match left {
                Err(left @ OpenError::OrphanedLog { .. }) => left,
                _ => system(error),
            }
        })?;
        if !fs::metadata(&real).map_err(system)?.is_file() {
            return Err(OpenError::Foreign(path.to_owned()));
        }
        let keeps_log = inspect::is_with_log(&real).map_err(system)?;
        if keeps_log {
            // A path with another name would not show the log beside the file of a server.
            paths::real_path(path)?;
        }
        match inspect::beside_a_server(&real)? {
            Found::Database => {}
            Found::Nothing => return Err(OpenError::Foreign(path.to_owned())),
            Found::Unfinished => return Err(OpenError::Unfinished(path.to_owned())),
        }
        // Beside a file that nobody writes, SQLite would make a log and its index, and leave them.
        // It does not if the file is opened as one that cannot change.
        let is_still = keeps_log && !is_logged(&real);
        let still = is_still
            .then(|| Still::of(&real))
            .transpose()
            .map_err(system)?;
        let db = connect(&real, is_still).map_err(|fault| OpenError::of(path, fault))?;
        schema::expect_known_schema(&db, path)?;
        Ok(Self {
            db,
            path: path.to_owned(),
            still,
        })
    }

    /// Returns the path of the file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the reading, and makes sure that what was read is valid.
    ///
    /// # Errors
    ///
    /// [`OpenError::Changed`] when it is not.
    pub fn end(self) -> Result<(), OpenError> {
        let Some(before) = self.still else {
            return Ok(());
        };
        let now = self.path.canonicalize().and_then(|real| Still::of(&real));
        match now {
            Ok(now) if now == before => Ok(()),
            _ => Err(OpenError::Changed(self.path)),
        }
    }
}

/// Opens the file and begins the read transaction. With `is_still` SQLite takes the file as one
/// that cannot change.
fn connect(real: &Path, is_still: bool) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let url = Url::from_file_path(real).ok().filter(|_| is_still);
    let db = match url {
        Some(mut url) => {
            url.set_query(Some("immutable=1"));
            Connection::open_with_flags(url.as_str(), flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        // The path is absolute, so SQLite does not take it for a URL.
        None => Connection::open_with_flags(real, flags)?,
    };
    db.busy_timeout(file::BUSY)?;
    file::set_up(&db)?;
    db.execute_batch("BEGIN")?;
    Ok(db)
}
