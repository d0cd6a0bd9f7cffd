//! Does the steps of a rewrap, each within the caller's transaction.

use std::time::{Duration, Instant};

use crate::store::at_rest::rewrap::{self, Reached, STAGES, SealedRow, Step};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::read::Reader;
use crate::store::sqlite::sql::offline;

/// How long a step may take before it ends with what it has done. Other writes wait for it.
const LONG: Duration = Duration::from_millis(2);

/// The result of a rewrap.
pub(in crate::store::sqlite) struct End {
    /// How many values could not be decrypted.
    pub failed: u64,
    /// The ids of the other master keys, which no value is encrypted with any more.
    pub old: Vec<String>,
}

/// Returns the progress. `None` when there is nothing to do.
pub(in crate::store::sqlite) fn reached(reader: Reader<'_>) -> Result<Option<Reached>, Fault> {
    let found = reader.row(offline::REWRAP_PROGRESS, &[], |row| {
        let stage: Option<i64> = row.get(0)?;
        let (after, failed) = (row.get(1)?, row.get(2)?);
        let stage = stage.and_then(|stage| usize::try_from(stage).ok());
        Ok(stage.map(|stage| Reached {
            stage,
            after,
            failed,
        }))
    })?;
    Ok(found.flatten())
}

/// The result of one step.
pub(in crate::store::sqlite) enum Did {
    /// There was nothing to do.
    Nothing,
    /// Every record has been seen. The caller calls [`end`] next.
    All,
    /// Some records were done.
    Some(Step),
}

/// Does one step, within the caller's transaction.
pub(in crate::store::sqlite) fn step(reader: Reader<'_>) -> Result<Did, Fault> {
    let Some(reached) = reached(reader)? else {
        return Ok(Did::Nothing);
    };
    let (Some(stage), Some(sql)) = (
        STAGES.get(reached.stage),
        offline::REWRAP.get(reached.stage),
    ) else {
        return Ok(Did::All);
    };
    let began = Instant::now();
    let (rows, is_end) = read(reader, sql, reached.after)?;
    let is_long = || began.elapsed() > LONG;
    let step = rewrap::step(reader.keys, stage, reached, &rows, is_end, is_long)?;
    for (number, value) in &step.resealed {
        reader
            .db
            .prepare_cached(sql.write)?
            .execute((number, value))?;
    }
    let Reached {
        stage,
        after,
        failed,
    } = step.reached;
    reader
        .db
        .prepare_cached(offline::SET_REWRAP_PROGRESS)?
        .execute((stage, after, failed))?;
    Ok(Did::Some(step))
}

/// Reads the rows of one step, and returns whether the table ends with them.
fn read(
    reader: Reader<'_>,
    sql: &offline::Rewrap,
    after: i64,
) -> Result<(Vec<SealedRow>, bool), Fault> {
    let mut statement = reader.db.prepare_cached(sql.read)?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::with_capacity(rewrap::MOST);
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let value: Vec<u8> = row.get(1)?;
        bytes += value.len();
        found.push(SealedRow {
            number: row.get(0)?,
            value,
            tenant: row.get(2)?,
            record: row.get(3)?,
        });
        if found.len() == rewrap::MOST || bytes >= rewrap::ENOUGH {
            return Ok((found, false));
        }
    }
    Ok((found, true))
}

/// Ends a rewrap that has seen every record, within the caller's transaction. The file forgets the
/// other keys, unless a value could not be decrypted.
pub(in crate::store::sqlite) fn end(reader: Reader<'_>) -> Result<End, Fault> {
    let failed = reached(reader)?.map_or(0, |reached| reached.failed.unsigned_abs());
    reader.db.execute(offline::END_REWRAP, [])?;
    if failed > 0 {
        return Ok(End {
            failed,
            old: Vec::new(),
        });
    }
    let first = reader.keys.first_id();
    let old = reader.rows(offline::OTHER_KEYS, &[&first], |row| Ok(row.get(0)?))?;
    reader.db.execute(offline::FORGET_OTHER_KEYS, [first])?;
    Ok(End { failed, old })
}

/// Whether a server's step has left something to do.
pub(in crate::store::sqlite) enum Stepped {
    /// There may be more to do.
    More,
    /// There is nothing left to do.
    Done,
}

/// Returns whether there may be something left to do.
pub(in crate::store::sqlite) fn is_unfinished(reader: Reader<'_>) -> Result<bool, Fault> {
    Ok(reached(reader)?.is_some())
}

/// Does one step of a server, within the caller's transaction. Returns what to
/// [log](StepLog::write) once it is committed.
pub(in crate::store::sqlite) fn step_of_server(
    reader: Reader<'_>,
) -> Result<(Stepped, StepLog), Fault> {
    Ok(match step(reader)? {
        Did::Nothing => (Stepped::Done, StepLog::default()),
        Did::All => {
            let end = Some(end(reader)?);
            let log = StepLog {
                end,
                ..StepLog::default()
            };
            (Stepped::Done, log)
        }
        Did::Some(Step { unopened, .. }) => {
            let log = StepLog {
                unopened,
                ..StepLog::default()
            };
            (Stepped::More, log)
        }
    })
}

/// What to log about a step.
#[derive(Default)]
pub(in crate::store::sqlite) struct StepLog {
    unopened: Vec<String>,
    end: Option<End>,
}

impl StepLog {
    /// Logs it. `first` is the id of the first master key.
    pub fn write(self, first: &str) {
        for unopened in self.unopened {
            tracing::error!("cannot encrypt a value with the first master key: {unopened}");
        }
        if let Some(end) = self.end {
            end.log(first);
        }
    }
}

impl End {
    fn log(&self, first: &str) {
        if self.failed > 0 {
            tracing::error!(
                failed = self.failed,
                "cannot decrypt some values; keep the old master keys and run `hookturn check`"
            );
        } else if !self.old.is_empty() {
            tracing::info!(
                sealed_under = first,
                may_be_dropped = self.old.join(", "),
                "all records are encrypted with the first master key; the others can be removed when no backup needs them"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::sqlite::schema;

    /// A table that is missing in the list would stay encrypted with its old key for ever.
    #[test]
    fn every_table_with_sealed_values_is_gone_through() {
        let db = schema::blank().expect("a database");
        let sql = "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table' AND c.type = 'BLOB' AND c.name = 'sealed'";
        let mut statement = db.prepare(sql).expect("sound");
        let tables: BTreeSet<String> = statement
            .query_map([], |row| row.get(0))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("names");
        let written: BTreeSet<_> = offline::REWRAP
            .iter()
            .filter_map(|sql| sql.write.split(' ').nth(1).map(str::to_owned))
            .collect();
        assert_eq!(tables, written);
    }
}
