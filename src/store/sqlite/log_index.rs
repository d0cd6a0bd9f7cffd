//! Reads the index of a log (`-shm`), which says how much was committed to the log.
//!
//! After a kill the index still exists and knows the length of the log. If the log is shorter, or
//! less of it can be read, something that was answered is lost. After a loss of power the index may
//! be older than the log. Then it says less, and never more, since a commit is on the disk before
//! it is in the index.
//!
//! The format is SQLite's (<https://www.sqlite.org/walformat.html#the_wal_index_file_format>), in
//! the byte order of the machine.

use std::path::Path;

use super::wal;

/// The version of the format.
const VERSION: u32 = 3_007_000;

/// The length of the header in bytes. The index begins with two copies of it, which differ while it
/// is being changed.
const HEADER: usize = 48;

/// How much of a log was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogIndex {
    /// The salts of the log.
    pub salts: [u8; 8],
    /// The committed length of the log, in pages.
    pub length: u32,
    /// How many of these pages were written back to the database.
    pub written_back: u32,
}

impl LogIndex {
    /// Reads the index at `path`. Returns `None` when there is none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        Self::of(&wal::read_at(path, 0, 2 * HEADER + 4).ok()?)
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER)?;
        let (again, rest) = rest.split_at_checked(HEADER)?;
        let is_initialised = header[12] == 1;
        if header != again || number(header, 0)? != VERSION || !is_initialised {
            return None;
        }
        Some(Self {
            salts: *header.get(32..)?.first_chunk()?,
            length: number(header, 16)?,
            written_back: number(rest, 0)?,
        })
    }
}

/// Returns the number in the four bytes at a position, in the byte order of the machine.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::wal::Log;
    use super::*;

    #[test]
    fn the_index_of_sqlite_says_how_long_its_log_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |side: &str| folder.path().join(format!("a.db{side}"));
        let db = Connection::open(path("")).expect("a database");
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE a (x)")
            .expect("a log");
        for is_written_back in [false, true] {
            if is_written_back {
                db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                    .expect("written back");
            }
            let log = Log::read(&path("-wal")).expect("readable").expect("a log");
            let index = LogIndex::read(&path("-shm")).expect("an index");
            assert_eq!(index.salts, log.salts);
            assert_eq!(index.length as usize, log.length());
            assert_eq!(index.written_back > 0, is_written_back);
        }
        for bytes in [&[][..], &[1; 99], &[0; 100], &[7; 200]] {
            assert_eq!(LogIndex::of(bytes), None);
        }
    }
}
