//! Makes sure that the files of a store belong together: the database, its write-ahead log (`-wal`)
//! and the log's index (`-shm`).
//!
//! SQLite does not check this. If the database is missing or empty, SQLite deletes the log, with
//! everything that was written last. If the log lies beside the wrong database, SQLite writes it
//! over that database. So this module reads the files before SQLite opens anything. It refuses
//! whatever is not a database with its own log, and changes nothing.
//!
//! The [`generation`](super::generation) of a log says which database it belongs to, and which
//! state of it. Logs of older versions have none, and are accepted without that check.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OpenFlags};
use url::Url;

use super::generation::Generation;
use super::log_index::LogIndex;
use super::open_error::OpenError;
use super::paths::beside;
use super::rollback_journal::Journal;
use super::schema::APPLICATION_ID;
use super::sql::offline;
use super::wal::{Log, word};

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no database, or an empty file, and no file beside it.
    Nothing,
    /// A database of Hookturn, with its own log if it has one.
    Database,
    /// A database of Hookturn that was about to get its first log when the process was killed.
    /// SQLite completes or undoes that.
    Unfinished,
}

/// The endings of the files that SQLite puts beside a database, and that are lost with it.
const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The first bytes of every database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The length of a database's header in bytes (SQLite's file format, section 1.3).
const HEADER: usize = 100;

/// The position in the header that says whether the database keeps a write-ahead log, and its value
/// when there is none.
const WRITE_VERSION: usize = 18;
const WITHOUT_LOG: u8 = 1;

/// The position of the bytes that SQLite locks. Their page is never written (section 1.6).
const LOCKED_BYTES: u64 = 1 << 30;

/// Reads the files of the database at `real`, which is not a link. Makes and changes nothing.
///
/// # Errors
///
/// [`OpenError`] when the files do not belong together or are not ours.
pub(super) fn before_opening(real: &Path) -> Result<Found, OpenError> {
    let system = |error: io::Error| OpenError::System(real.to_owned(), error.to_string());
    let header = match header_of(real) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        header => header.map_err(system)?,
    };
    let sides = || SIDES.map(|side| beside(real, side)).into_iter();
    if header.is_empty() {
        let left: Vec<PathBuf> = sides().filter(|side| side.exists()).collect();
        if left.is_empty() {
            return Ok(Found::Nothing);
        }
        return Err(OpenError::OrphanedLog {
            path: real.to_owned(),
            left,
        });
    }
    if header.len() < HEADER || !header.starts_with(MAGIC) {
        return Err(OpenError::Foreign(real.to_owned()));
    }
    let is_without_log = header[WRITE_VERSION] == WITHOUT_LOG;
    let pages = fs::metadata(real).map_err(system)?.len() / u64::from(page_size(&header)).max(1);
    let journal = beside(real, "-journal");
    let size = page_size(&header);
    let first_page = read_first(real, size as usize).map_err(system)?;
    match Journal::read(&journal, size, pages, &first_page).map_err(system)? {
        Journal::Nothing => {}
        Journal::Own if is_ours(&header) => return Ok(Found::Unfinished),
        _ => return Err(OpenError::StrayJournal(real.to_owned())),
    }
    // Read before the log: a commit in between is already in the log then.
    let index = LogIndex::read(&beside(real, "-shm"));
    let path = beside(real, "-wal");
    let length = match fs::metadata(&path) {
        Ok(log) => Some(log.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(system(error)),
    };
    let is_orphaned_index = length.is_none() && beside(real, "-shm").exists();
    if is_ours(&header) && is_without_log && (is_orphaned_index || length > Some(0)) {
        return Err(OpenError::StrayLog {
            path: real.to_owned(),
            left: sides().filter(|side| side.exists()).collect(),
        });
    }
    if is_ours(&header) && is_orphaned_index {
        return Err(OpenError::LostLog(real.to_owned()));
    }
    let log = match length {
        Some(1..) => Log::read(&path).map_err(system)?,
        _ => None,
    };
    if let Some(index) = index.filter(|_| length.is_some()) {
        expect_whole_log(real, log.as_ref(), &index)?;
    }
    let log = log.filter(|log| log.length() > 0);
    match &log {
        Some(log) => belongs(real, &header, log)?,
        None if is_ours(&header) => {}
        None if !is_without_log && is_empty_alone(real) => {
            return Err(OpenError::WithoutLog(real.to_owned()));
        }
        None => return Err(OpenError::Foreign(real.to_owned())),
    }
    expect_every_page(real, &header, log.as_ref())?;
    Ok(Found::Database)
}

/// Refuses a log if less of it can be read than was committed to it, unless all of it is in the
/// database already.
fn expect_whole_log(real: &Path, log: Option<&Log>, index: &LogIndex) -> Result<(), OpenError> {
    // If the salts differ, one of the two is older, as after a loss of power.
    let is_of_log = log.is_none_or(|log| log.salts == index.salts);
    let found = log.map_or(0, Log::length);
    let is_needed = index.written_back < index.length;
    if is_of_log && is_needed && found < index.length as usize {
        return Err(OpenError::LogCutShort {
            path: real.to_owned(),
            found,
            expected: index.length,
        });
    }
    Ok(())
}

/// Does the same as [`before_opening`], for files that a server may be writing at the same time.
pub(super) fn beside_a_server(real: &Path) -> Result<Found, OpenError> {
    let before = Written::of(real);
    let found = before_opening(real);
    if found.is_err() && before != Written::of(real) {
        // A file that changed while it was read belongs to a server, which has checked it.
        return Ok(Found::Database);
    }
    found
}

/// The lengths of the files and their times of modification.
#[derive(PartialEq, Eq)]
struct Written([Option<(u64, Option<SystemTime>)>; 2]);

impl Written {
    fn of(real: &Path) -> Self {
        Self(["", "-wal"].map(|side| {
            let file = fs::metadata(beside(real, side)).ok()?;
            Some((file.len(), file.modified().ok()))
        }))
    }
}

/// Returns whether the database has a log that is not empty.
pub(super) fn has_log(real: &Path) -> bool {
    fs::metadata(beside(real, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// Returns whether the database keeps a write-ahead log.
pub(super) fn is_with_log(real: &Path) -> io::Result<bool> {
    let header = header_of(real)?;
    Ok(header
        .get(WRITE_VERSION)
        .is_some_and(|version| *version != WITHOUT_LOG))
}

/// Reads the header of a database, or as much of it as there is.
fn header_of(path: &Path) -> io::Result<Vec<u8>> {
    read_first(path, HEADER)
}

/// Reads the first bytes of a file, `most` at most.
fn read_first(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    File::open(path)?
        .take(most as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns whether a database's header has our mark.
fn is_ours(header: &[u8]) -> bool {
    word(header, 68) == APPLICATION_ID.cast_unsigned()
}

/// Returns the size of a page in bytes.
fn page_size(header: &[u8]) -> u32 {
    match u32::from(header[16]) << 8 | u32::from(header[17]) {
        1 => 65_536,
        size => size,
    }
}

/// Returns whether the database has no table without its log. Only a store that an older version
/// made can have the statements that make its tables in the log.
fn is_empty_alone(real: &Path) -> bool {
    let tables = alone(real).and_then(|db| {
        db.query_row(offline::COUNT_PARTS, [], |row| row.get(0))
            .ok()
    });
    tables.is_none_or(|tables: u64| tables == 0)
}

/// Refuses a log that is not empty and not the database's own.
fn belongs(real: &Path, header: &[u8], log: &Log) -> Result<(), OpenError> {
    let system = |error: io::Error| OpenError::System(real.to_owned(), error.to_string());
    let path = beside(real, "-wal");
    let last = log.last_pages();
    let is_ours = match last.get(&1) {
        Some(at) => is_ours(&log.page_at(&path, *at).map_err(system)?),
        None => is_ours(header),
    };
    let is_database_ours = self::is_ours(header);
    if !is_database_ours {
        if is_ours && is_empty_alone(real) {
            return Ok(());
        }
        return Err(OpenError::Foreign(real.to_owned()));
    }
    let is_another = !is_ours
        || log.page_size != page_size(header)
        || is_of_another_generation(real, log).map_err(system)?;
    if is_another {
        return Err(OpenError::AnotherLog(real.to_owned()));
    }
    Ok(())
}

/// Refuses a database that is shorter than it says, unless the missing pages are in its log. They
/// are there while the log is being written back.
fn expect_every_page(real: &Path, header: &[u8], log: Option<&Log>) -> Result<(), OpenError> {
    let system = |error: io::Error| OpenError::System(real.to_owned(), error.to_string());
    let size = u64::from(page_size(header)).max(1);
    let found = fs::metadata(real).map_err(system)?.len() / size;
    let expected = match log {
        Some(log) => log.pages,
        // The header's length is valid only if the last change wrote it.
        None if word(header, 24) == word(header, 92) => word(header, 28),
        None => 0,
    };
    let in_log = log.map(Log::last_pages).unwrap_or_default();
    let never_written = LOCKED_BYTES / size + 1;
    let is_missing = (found + 1..=u64::from(expected))
        .filter(|page| *page != never_written)
        .any(|page| !u32::try_from(page).is_ok_and(|page| in_log.contains_key(&page)));
    if is_missing {
        return Err(OpenError::CutShort {
            path: real.to_owned(),
            found,
            expected,
        });
    }
    Ok(())
}

/// Returns whether the log has numbers and the database without the log has none of them.
fn is_of_another_generation(real: &Path, log: &Log) -> io::Result<bool> {
    // A database that cannot be read alone is completed by its log.
    let Some((root, database)) = numbers_of(real) else {
        return Ok(false);
    };
    let path = beside(real, "-wal");
    let mut is_first = true;
    for at in log.all_of(root) {
        let Some(of_log) = Generation::on(&log.page_at(&path, at)?) else {
            continue;
        };
        // The database is as it was before the log began, or as the log has written it back since.
        if (is_first && database.own == of_log.before) || database.own == of_log.own {
            return Ok(false);
        }
        is_first = false;
    }
    Ok(!is_first)
}

/// Returns the page that has the numbers, and the numbers in the database without its log.
fn numbers_of(real: &Path) -> Option<(u32, Generation)> {
    let db = alone(real)?;
    let root = db.query_row(offline::PAGE_OF_NUMBERS, [], |row| row.get(0));
    let root: u32 = root.ok().filter(|root| *root > 0)?;
    Some((root, Generation::of(&db).ok()?))
}

/// Opens the database without its log. Locks and makes nothing.
fn alone(real: &Path) -> Option<Connection> {
    let mut url = Url::from_file_path(real).ok()?;
    url.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(url.as_str(), flags).ok()
}
