//! Recognises the schema of a file, and brings it to this version's.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;
use super::open_error::OpenError;
use super::sql::{self, offline};

/// `HkTn`: marks a database as one of Hookturn (SQLite's `application_id`).
pub(super) const APPLICATION_ID: i32 = 0x486b_546e;

/// The steps to the schema that this version writes (SQLite's `user_version`): step `n` makes
/// schema `n + 1` of schema `n`. Steps are only ever added, since a file of every released version
/// must open.
const MIGRATIONS: &[&[&str]] = &[
    &[sql::SCHEMA_1],
    &[sql::SCHEMA_2_TENANTS, sql::SCHEMA_2_DELIVERIES],
];

/// Brings the schema to the one that this version writes. Each step and its number are one
/// transaction.
pub(super) fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    migrate_with(db, path, MIGRATIONS)
}

fn migrate_with(db: &mut Connection, path: &Path, steps: &[&[&str]]) -> Result<(), OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    let mut version = recognise(db, path, steps.len())?;
    while let Some(step) = steps.get(version) {
        let transaction = db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fault)?;
        for part in *step {
            transaction.execute_batch(part).map_err(fault)?;
        }
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

/// Returns the schema of a file, if the file is ours and its schema is not newer than `known`.
/// Returns 0 for an empty file.
fn recognise(db: &Connection, path: &Path, known: usize) -> Result<usize, OpenError> {
    let fault = |error: rusqlite::Error| OpenError::of(path, error.into());
    let pragma = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = pragma("application_id").map_err(fault)?;
    let version = pragma("user_version").map_err(fault)?;
    let tables: i64 = db
        .query_row(offline::COUNT_PARTS, [], |row| row.get(0))
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

/// Refuses a file that is not ours, or newer than this version.
pub(super) fn recognise_known(db: &Connection, path: &Path) -> Result<(), OpenError> {
    match recognise(db, path, MIGRATIONS.len())? {
        0 => Err(OpenError::Foreign(path.to_owned())),
        _ => Ok(()),
    }
}

/// Refuses a file that is only read, unless it has this version's schema.
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

/// Returns the parts of a file's schema.
pub(super) fn parts(db: &Connection) -> Result<Vec<Part>, Fault> {
    let mut statement = db.prepare(offline::PARTS)?;
    let parts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(parts.collect::<Result<_, _>>()?)
}

/// The type and the name of a part, and the statement that makes it, if there is one.
pub(super) type Part = (String, String, Option<String>);

/// Makes an empty database with this version's schema, in memory.
pub(super) fn blank() -> Result<Connection, Fault> {
    let db = Connection::open_in_memory()?;
    for part in MIGRATIONS.iter().copied().flatten() {
        db.execute_batch(part)?;
    }
    Ok(db)
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
        let first: [&[_]; 1] = [&["CREATE TABLE a (x)"]];
        let both: [&[_]; 2] = [&["CREATE TABLE a (x)"], &["CREATE TABLE b (x)"]];
        migrate_with(&mut db, path, &first).expect("an empty file");
        migrate_with(&mut db, path, &first).expect("nothing to do");
        migrate_with(&mut db, path, &both).expect("one step");
        let refused = migrate_with(&mut db, path, &first).expect_err("newer");
        assert_eq!(
            refused.to_string(),
            "hookturn.db was written by a newer version of Hookturn (schema 2; this version knows 1): use that version \
             or a newer one"
        );
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut db = memory();
        let path = Path::new("hookturn.db");
        let broken: [&[_]; 2] = [
            &["CREATE TABLE a (x)"],
            &["CREATE TABLE b (x)", "CREATE TABLE a (x)"],
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
