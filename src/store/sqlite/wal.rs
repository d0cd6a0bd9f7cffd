//! Reads a write-ahead log without SQLite, which would change it. The log beside a database may
//! belong to another one, and SQLite deletes or applies a log without asking.
//!
//! The format is SQLite's (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>): a
//! header, then frames, each with a header and a page of the database. A frame is valid if it has
//! the salts of the log and its checksum, which continues that of the frame before, is right. Only
//! the frames up to the last one that ends a transaction count.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

/// The length of the log's header in bytes.
const HEADER: usize = 32;

/// The length of a frame's header in bytes.
const FRAME_HEADER: usize = 24;

/// The first word of a log. Its last bit is the byte order of the checksums.
const MAGIC: u32 = 0x377f_0682;

/// The valid sizes of a page, in bytes.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// What is committed in a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// Identify the log: its header and each of its frames have them, and no other log of the
    /// database does.
    pub salts: [u8; 8],
    /// In bytes.
    pub page_size: u32,
    /// The number of pages that the database has after the last transaction.
    pub pages: u32,
    /// The page number and the position in the log of each frame's page, in the order in which they
    /// were written.
    frames: Vec<(u32, u64)>,
}

impl Log {
    /// Reads the log at `path`. Returns `None` when there is none, or its header is not valid.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Self::of(BufReader::with_capacity(1 << 18, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a log from its bytes.
    pub fn of(mut bytes: impl Read) -> io::Result<Option<Self>> {
        let mut header = [0; HEADER];
        if !fill(&mut bytes, &mut header)? {
            return Ok(None);
        }
        let magic = word(&header, 0);
        let page_size = word(&header, 8);
        let is_page_size = page_size.is_power_of_two() && PAGE_SIZES.contains(&page_size);
        let mut checksum = Checksum::new(magic & 1 == 1);
        checksum.add(&header[..24]);
        if magic & !1 != MAGIC || !is_page_size || !checksum.is(&header[24..]) {
            return Ok(None);
        }
        let mut log = Self {
            page_size,
            ..Self::default()
        };
        log.salts.copy_from_slice(&header[16..24]);
        let mut committed = 0;
        let mut frame = vec![0; FRAME_HEADER + page_size as usize];
        let mut at = HEADER as u64;
        while fill(&mut bytes, &mut frame)? {
            let (header, page) = frame.split_at(FRAME_HEADER);
            checksum.add(&header[..8]);
            checksum.add(page);
            let number = word(header, 0);
            if number == 0 || header[8..16] != log.salts || !checksum.is(&header[16..]) {
                break;
            }
            log.frames.push((number, at + FRAME_HEADER as u64));
            // Not 0 in the last frame of a transaction.
            let pages = word(header, 4);
            if pages > 0 {
                log.pages = pages;
                committed = log.frames.len();
            }
            at += frame.len() as u64;
        }
        log.frames.truncate(committed);
        Ok(Some(log))
    }

    /// Returns how many pages complete transactions have written.
    pub fn length(&self) -> usize {
        self.frames.len()
    }

    /// Returns the position of each page as the last transaction left it.
    pub fn last_pages(&self) -> HashMap<u32, u64> {
        self.frames.iter().copied().collect()
    }

    /// Returns the positions of a page, one for each transaction that wrote it, the oldest first.
    pub fn all_of(&self, page: u32) -> impl Iterator<Item = u64> {
        let frames = self.frames.iter();
        frames.filter_map(move |(number, at)| (*number == page).then_some(*at))
    }

    /// Reads the page at this position of the log at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn page_at(&self, path: &Path, at: u64) -> io::Result<Vec<u8>> {
        read_at(path, at, self.page_size as usize)
    }
}

/// Reads `length` bytes of a file from a position on.
pub(super) fn read_at(path: &Path, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Fills `buffer`. Returns false when too few bytes are left for that.
fn fill(bytes: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match bytes.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the number in the four bytes at a position, as big-endian: only the words of the
/// checksums may have another order.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    four.map_or(0, |four| u32::from_be_bytes(*four))
}

/// The running checksum of a log.
struct Checksum {
    is_big_endian: bool,
    sums: [u32; 2],
}

impl Checksum {
    fn new(is_big_endian: bool) -> Self {
        Self {
            is_big_endian,
            sums: [0; 2],
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.sums;
        let read = if self.is_big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        for pair in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
            first = first.wrapping_add(read(pair[0])).wrapping_add(second);
            second = second.wrapping_add(read(pair[1])).wrapping_add(first);
        }
        self.sums = [first, second];
    }

    fn is(&self, found: &[u8]) -> bool {
        self.sums == [word(found, 0), word(found, 4)]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::*;

    /// A database with a log of three transactions, as SQLite wrote it, and the length of the log
    /// after each.
    struct Written {
        _folder: TempDir,
        _db: Connection,
        log: Vec<u8>,
        lengths: Vec<usize>,
    }

    fn written() -> Written {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("a.db");
        let db = Connection::open(&path).expect("a database");
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0")
            .expect("a log");
        let log = || fs::read(folder.path().join("a.db-wal")).expect("a log");
        let lengths = [
            "CREATE TABLE a (x)",
            "INSERT INTO a VALUES (zeroblob(9000))",
            "DELETE FROM a",
        ]
        .map(|sql| {
            db.execute_batch(sql).expect("sound");
            log().len()
        });
        Written {
            log: log(),
            lengths: lengths.to_vec(),
            _folder: folder,
            _db: db,
        }
    }

    #[test]
    fn a_log_of_sqlite_is_read_to_its_end() {
        let written = written();
        let log = Log::of(&*written.log).expect("readable").expect("a log");
        assert_eq!(log.page_size, 4096);
        assert_eq!(log.frames.len(), written.log.len() / (4096 + FRAME_HEADER));
        assert_eq!(log.pages, 4);
        let first = log.all_of(1).next().expect("the schema was written");
        let first = usize::try_from(first).expect("small");
        assert!(written.log[first..].starts_with(b"SQLite format 3\0"));
    }

    proptest! {
        #[test]
        fn of_a_log_that_was_cut_whole_transactions_are_left(cut in 0_usize..60_000) {
            let written = written();
            let cut = cut.min(written.log.len());
            let log = Log::of(&written.log[..cut]).expect("readable");
            let frames = log.map_or(0, |log| log.frames.len());
            let whole = written.lengths.iter().rfind(|length| **length <= cut);
            prop_assert_eq!(frames, whole.map_or(0, |length| length / (4096 + FRAME_HEADER)));
        }

        #[test]
        fn of_a_log_that_was_garbled_what_stood_before_is_left(at in 0_usize..20_000, bits in 1_u8..) {
            let mut written = written();
            let at = at % written.log.len();
            written.log[at] ^= bits;
            let log = Log::of(&*written.log).expect("readable");
            let frames = log.map_or(0, |log| log.frames.len());
            let sound = written.lengths.iter().rfind(|length| **length <= at);
            prop_assert_eq!(frames, sound.map_or(0, |length| length / (4096 + FRAME_HEADER)));
        }

        #[test]
        fn whatever_bytes_there_are_nothing_breaks(bytes: Vec<u8>) {
            prop_assert_eq!(Log::of(&*bytes).expect("readable"), None);
        }
    }
}
