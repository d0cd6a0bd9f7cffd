//! Identifies which database a log belongs to, and which state of it.
//!
//! SQLite restarts its log each time all of it is in the database. The first commit of each log
//! writes a random number, and beside it the number of the log before ([`begin`]). So the database
//! without its log has the number of the log before, or, as soon as something was written back, the
//! number of the log itself. If it has any other number, the log belongs to another store or to
//! another copy.
//!
//! The numbers are in the table in which SQLite counts (`sqlite_sequence`), under names that no
//! table has. So they need no schema of their own, and versions that do not know them keep them.

use rusqlite::{Connection, OptionalExtension as _};

use super::fault::Fault;
use super::sql;
use crate::random;

/// The name of the log's number.
pub(super) const OWN: &str = "log";

/// The name of the number of the log before.
pub(super) const BEFORE: &str = "was";

/// The first byte of a page of a table that has no pages below it.
const LEAF_OF_TABLE: u8 = 0x0d;

/// The length of the header of such a page. The positions of its records follow.
const PAGE_HEADER: usize = 8;

/// The number of a log and that of the log before. 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generation {
    pub own: i64,
    pub before: i64,
}

impl Generation {
    /// Reads the numbers in a database. They are 0 if it has no such table.
    pub fn of(db: &Connection) -> rusqlite::Result<Self> {
        let number = |name: &str| {
            let found = db.query_row(sql::NUMBER_OF_LOG, [name], |row| row.get(0));
            found.optional().map(Option::unwrap_or_default)
        };
        Ok(Self {
            own: number(OWN)?,
            before: number(BEFORE)?,
        })
    }

    /// Reads the numbers on a page of a log. Returns `None` when it does not have them.
    pub fn on(page: &[u8]) -> Option<Self> {
        if page.first() != Some(&LEAF_OF_TABLE) {
            return None;
        }
        let records = usize::from(short(page, 3)?);
        let mut found = Self::default();
        for record in 0..records {
            let at = short(page, PAGE_HEADER + 2 * record)?;
            match record_at(page, usize::from(at)) {
                Some((name, number)) if name == OWN.as_bytes() => found.own = number,
                Some((name, number)) if name == BEFORE.as_bytes() => found.before = number,
                _ => {}
            }
        }
        (found.own != 0).then_some(found)
    }
}

/// Writes a new number. This must be the first commit of a log.
pub(super) fn begin(db: &Connection) -> Result<(), Fault> {
    let transaction = db.unchecked_transaction()?;
    let before = Generation::of(&transaction)?;
    transaction.execute(sql::FORGET_NUMBER_OF_LOG, [OWN])?;
    transaction.execute(sql::FORGET_NUMBER_OF_LOG, [BEFORE])?;
    transaction.execute(sql::SET_NUMBER_OF_LOG, (OWN, random::number()?))?;
    transaction.execute(sql::SET_NUMBER_OF_LOG, (BEFORE, before.own))?;
    transaction.commit()?;
    Ok(())
}

/// Returns the number in the two bytes at a position, as big-endian.
fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*two))
}

/// Reads a number of 1 to 9 bytes, and returns it with the position after it (SQLite's file format,
/// section 1.6).
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for place in 0..9 {
        let byte = *bytes.get(at + place)?;
        if place == 8 {
            return Some((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, at + place + 1));
        }
    }
    None
}

/// Reads the text and the number of the record of two columns at a position (section 2.1).
fn record_at(page: &[u8], at: usize) -> Option<(&[u8], i64)> {
    let (_length, at) = varint(page, at)?;
    let (_row, start) = varint(page, at)?;
    let (header, at) = varint(page, start)?;
    let (text, at) = varint(page, at)?;
    let (number, _) = varint(page, at)?;
    if text < 13 || text.is_multiple_of(2) {
        return None;
    }
    let length = usize::try_from((text - 13) / 2).ok()?;
    let body = start.checked_add(usize::try_from(header).ok()?)?;
    let end = body.checked_add(length)?;
    let name = page.get(body..end)?;
    let bytes = match number {
        1..=4 => usize::try_from(number).ok()?,
        5 => 6,
        6 => 8,
        8 => return Some((name, 0)),
        9 => return Some((name, 1)),
        _ => return None,
    };
    let bytes = page.get(end..end.checked_add(bytes)?)?;
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let begin = if negative { -1 } else { 0 };
    let number = bytes
        .iter()
        .fold(begin, |number, byte| number << 8 | i64::from(*byte));
    Some((name, number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::schema;
    use super::*;

    /// Returns the page of the table, as SQLite writes it.
    fn page(db: &Connection) -> Vec<u8> {
        let root = db.query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_sequence'",
            [],
            |row| row.get::<_, usize>(0),
        );
        let root = root.expect("a page");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.db");
        db.backup(rusqlite::MAIN_DB, &file, None::<fn(_)>)
            .expect("a copy");
        let bytes = std::fs::read(&file).expect("a file");
        bytes[(root - 1) * 4096..root * 4096].to_vec()
    }

    #[test]
    fn each_log_has_another_number_and_knows_that_of_the_one_before() {
        let db = schema::blank().expect("a database");
        assert_eq!(Generation::of(&db), Ok(Generation::default()));
        assert_eq!(Generation::on(&page(&db)), None);
        let mut before = 0;
        for round in 0..5 {
            begin(&db).expect("a commit");
            let found = Generation::of(&db).expect("numbers");
            assert!(found.own != before && found.own != 0);
            assert_eq!(found.before, before);
            assert_eq!(Generation::on(&page(&db)), Some(found));
            before = found.own;
            // Other counts are on the page, too.
            db.execute(
                "INSERT INTO event (number, tenant, id, type, trace_id, created_at, deliveries, kept, remembered, sealed)
                 VALUES (?1, 1, 'a', 'b', x'', 1, 1, 1, 1, x'')",
                [round * 1000 + 1],
            )
            .expect("a row");
        }
    }

    /// `keys rewrap` rewrites the database, and a log of that moment has pages of before and after.
    #[test]
    fn the_numbers_stay_on_their_page_when_the_database_is_rewritten() {
        let db = schema::blank().expect("a database");
        begin(&db).expect("a commit");
        let before = Generation::on(&page(&db)).expect("numbers");
        let root = || {
            let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_sequence'";
            db.query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let place = root();
        db.execute_batch("VACUUM").expect("it is rewritten");
        assert_eq!(root(), place);
        assert_eq!(Generation::on(&page(&db)), Some(before));
    }

    proptest! {
        #[test]
        fn whatever_number_there_is_it_is_read(own: i64, before: i64) {
            prop_assume!(own != 0);
            let db = schema::blank().expect("a database");
            for (name, number) in [(OWN, own), (BEFORE, before)] {
                db.execute(sql::SET_NUMBER_OF_LOG, (name, number)).expect("a row");
            }
            prop_assert_eq!(Generation::on(&page(&db)), Some(Generation { own, before }));
        }

        #[test]
        fn whatever_is_on_a_page_nothing_breaks(mut page in prop::collection::vec(any::<u8>(), 0..600)) {
            if let Some(first) = page.first_mut() {
                *first = LEAF_OF_TABLE;
            }
            let _ = Generation::on(&page);
        }
    }
}
