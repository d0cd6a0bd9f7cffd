//! Reads a rollback journal (`-journal`) beside a database. SQLite plays one back into the database
//! without asking whose it is.
//!
//! A store has no journal. There is one only while a backup, which has no write-ahead log, becomes
//! a store that has one. That journal holds the first page of the database, and no other journal is
//! accepted.

use std::path::Path;
use std::{fs, io};

use super::wal::word;

/// The first bytes of a journal (<https://www.sqlite.org/fileformat2.html#the_rollback_journal>).
const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The bytes around the page in a record: its number and its checksum.
const AROUND: usize = 8;

/// What a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Journal {
    /// There is none, or an empty one.
    Nothing,
    /// It belongs to the database: it has the first page as it was.
    Own,
    /// It does not, as far as can be told.
    Other,
}

impl Journal {
    /// Reads the journal at `path`. Its database has `pages` pages of `page_size` bytes, and
    /// `first_page` is the first one now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(path: &Path, page_size: u32, pages: u64, first_page: &[u8]) -> io::Result<Self> {
        let length = match fs::metadata(path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(error),
        };
        if length == 0 {
            return Ok(Self::Nothing);
        }
        // A longer journal has more than one page.
        if length > 1 << 20 {
            return Ok(Self::Other);
        }
        let bytes = fs::read(path)?;
        // A journal that was not completely written yet begins with zeros, and is not played back.
        if bytes.first() == Some(&0) {
            return Ok(Self::Nothing);
        }
        let sector = word(&bytes, 20) as usize;
        let size = page_size as usize;
        let is_own = bytes.starts_with(&MAGIC)
            && word(&bytes, 24) == page_size
            && u64::from(word(&bytes, 16)) == pages
            && bytes.len() <= sector.saturating_add(size + AROUND)
            // Nothing is played back from a journal without a page.
            && (bytes.len() <= sector
                || (word(&bytes, sector) == 1
                    && bytes
                        .get(sector + 4..sector + 4 + size)
                        .is_some_and(|before| is_same(before, first_page))));
        Ok(if is_own { Self::Own } else { Self::Other })
    }
}

/// Returns whether two first pages differ at most in what changes when a database gets its first
/// log: the versions of the format and the counters of changes (SQLite's file format, section 1.3).
fn is_same(before: &[u8], now: &[u8]) -> bool {
    let may_change = |place: usize| matches!(place, 18 | 19 | 24..28 | 92..100);
    before.len() == now.len()
        && before
            .iter()
            .zip(now)
            .enumerate()
            .all(|(place, (before, now))| before == now || may_change(place))
}
