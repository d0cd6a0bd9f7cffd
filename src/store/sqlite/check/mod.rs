//! `hookturn check`: checks whether everything in a file is as this program writes it.
//!
//! It checks every record and reports every problem. Each problem is one line that names the record
//! by its number and contains no data of it. The file is read in one transaction (`Snapshot`),
//! beside a server that goes on writing.
//!
//! The order is: the file itself, its schema and its state; then every row of every table, whether
//! its value can be decrypted, whether its columns agree with the encrypted values, and whether the
//! tables agree with each other.

mod endpoints;
mod events;
mod unfinished;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use rusqlite::Row;
use zeroize::Zeroizing;

use super::fault::{Fault, damaged};
use super::open_error::OpenError;
use super::progress::Progress;
use super::read::Reader;
use super::schema::{self, Part};
use super::snapshot::Snapshot;
use super::sql::offline::{self, check as sql};
use crate::clock::Clock;
use crate::domain::{TenantId, Timestamp};
use crate::store::at_rest::check::{self as rules, Problems};
use crate::store::at_rest::codec::Damaged;
use crate::store::at_rest::master_keys::Disproof;
use crate::store::at_rest::{Kind, MasterKeys, Place, key_id};

/// What was checked, and how many problems were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Problems that were reported.
    pub problems: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Key rings: endpoints that are signed.
    pub key_rings: u64,
    /// Entries of the index that finds the subscribers of an event.
    pub subscriptions: u64,
    /// Recorded answers.
    pub answers: u64,
    /// Events.
    pub events: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// How far the test clock is ahead.
    pub clock_ahead: Duration,
    /// How many values were decrypted with the master key of each id.
    pub sealed: BTreeMap<String, u64>,
}

/// Checks everything in the file at `path`, and reports each problem to `progress`. Which secrets
/// are live is decided by `clock`, advanced by the file's own test clock.
///
/// # Errors
///
/// [`OpenError`] when the file cannot be checked: it does not exist, it belongs to another program
/// or version, or a master key is missing.
pub fn check(
    path: &Path,
    keys: &MasterKeys,
    clock: &dyn Clock,
    progress: &mut dyn Progress,
) -> Result<Summary, OpenError> {
    let snapshot = match Snapshot::at(path) {
        Err(error @ OpenError::Damaged(..)) => {
            progress.found(&format!("the file: {error}"));
            return Ok(Summary {
                problems: 1,
                ..Summary::default()
            });
        }
        snapshot => snapshot?,
    };
    let mut checker = Checker {
        reader: Reader {
            db: &snapshot.db,
            keys,
        },
        now: clock.now(),
        tenants: HashMap::new(),
        proven: HashSet::new(),
        only_key: None,
        subscriptions_found: 0,
        unmade: HashMap::new(),
        unmade_of_tenant: HashMap::new(),
        progress,
        summary: Summary::default(),
    };
    checker.part("the file", Checker::integrity);
    checker.part("the schema", Checker::schema);
    checker.master_keys(path)?;
    checker.part("the state", Checker::state);
    checker.part("tenants", Checker::tenants);
    checker.part("endpoints", Checker::endpoints);
    checker.part("subscriptions", Checker::subscriptions);
    checker.part("answers", Checker::answers);
    checker.part("events", Checker::events);
    checker.part("unfinished work", Checker::unfinished);
    checker.part("deliveries", Checker::deliveries);
    checker.part("usage", Checker::usages);
    let summary = checker.summary;
    snapshot.end()?;
    Ok(summary)
}

/// Checks one file.
struct Checker<'a> {
    reader: Reader<'a>,
    /// The time of the file.
    now: Timestamp,
    tenants: HashMap<i64, TenantId>,
    /// The ids of the master keys that the file names.
    proven: HashSet<String>,
    /// The id of the master key that all values are encrypted with, unless a rewrap is in progress.
    only_key: Option<String>,
    /// How many subscriptions of endpoints are in the index.
    subscriptions_found: u64,
    /// How many deliveries are still to be made of each event, and for each tenant.
    unmade: HashMap<i64, i64>,
    unmade_of_tenant: HashMap<i64, i64>,
    progress: &'a mut dyn Progress,
    summary: Summary,
}

impl Checker<'_> {
    fn problem(&mut self, line: &str) {
        self.summary.problems += 1;
        // SQLite's own messages have several lines.
        let line: Vec<_> = line.lines().map(str::trim).collect();
        self.progress.found(&line.join(" "));
    }

    /// Reports the problems that a rule found in a record.
    fn problems(&mut self, name: &str, found: Problems) {
        for problem in found {
            self.problem(&format!("{name}: {problem}"));
        }
    }

    /// Runs a part of the check. If it cannot go on, that is a problem, and the next part follows.
    fn part(&mut self, name: &'static str, look: impl FnOnce(&mut Self) -> Result<(), Fault>) {
        self.progress.begin(name, None);
        if let Err(fault) = look(self) {
            self.problem(&format!(
                "{name}: cannot be read to the end: {}",
                words(&fault)
            ));
        }
    }

    /// Checks each row of a statement, whose first column is the row's number. A row that cannot be
    /// read is a problem, and the next row follows.
    fn each(
        &mut self,
        part: &'static str,
        name: &str,
        sql: &str,
        mut look: impl FnMut(&mut Self, &Row<'_>, &str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let db = self.reader.db;
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let name = format!("{name} {number}");
            if last.is_none() {
                self.progress
                    .begin(part, self.greatest(name_of_table(&name)));
            }
            last = Some(number);
            if let Err(fault) = look(self, row, &name) {
                self.problem(&format!("{name}: {}", words(&fault)));
            }
            self.progress.reach(number.unsigned_abs());
        }
        Ok(())
    }

    /// Returns the greatest number in a table, which shows how much there is to do.
    fn greatest(&self, table: &str) -> Option<u64> {
        let sql = sql::greatest(table);
        let greatest: Option<i64> = self.reader.db.query_row(&sql, [], |row| row.get(0)).ok()?;
        greatest.map(i64::unsigned_abs)
    }

    fn integrity(&mut self) -> Result<(), Fault> {
        let db = self.reader.db;
        let mut statement = db.prepare(sql::INTEGRITY)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let found = row.get_ref(0)?.as_str()?;
            if found != "ok" {
                self.problem(&format!("the file: {found}"));
            }
        }
        Ok(())
    }

    /// Checks that no index or table of the schema was dropped, changed or added.
    fn schema(&mut self) -> Result<(), Fault> {
        let expected = schema::parts(&schema::blank()?)?;
        let found = schema::parts(self.reader.db)?;
        let is_among = |part: &Part, others: &[Part]| others.contains(part);
        for part in expected.iter().filter(|part| !is_among(part, &found)) {
            let (kind, name, _) = part;
            self.problem(&format!(
                "the schema: the {kind} {name} is missing or different"
            ));
        }
        for part in found.iter().filter(|part| !is_among(part, &expected)) {
            let (kind, name, _) = part;
            if !expected.iter().any(|(_, known, _)| known == name) {
                // Anybody may have chosen the name.
                let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                self.problem(&format!(
                    "the schema: the {kind} {name} does not belong there"
                ));
            }
        }
        Ok(())
    }

    /// Checks that the given master keys are those that the file names.
    fn master_keys(&mut self, path: &Path) -> Result<(), OpenError> {
        let proofs: Result<Vec<(String, Vec<u8>)>, Fault> =
            self.reader
                .rows(offline::PROOFS, &[], |row| Ok((row.get(0)?, row.get(1)?)));
        let proofs = match proofs {
            Ok(proofs) => proofs,
            Err(fault) => {
                self.problem(&format!("the master keys: {}", words(&fault)));
                return Ok(());
            }
        };
        for (id, proof) in proofs {
            match self.reader.keys.check_proof(&id, &proof) {
                Ok(()) => {}
                Err(Disproof::KeyMissing) if !self.is_given(&id) => {
                    let path = path.to_owned();
                    return Err(OpenError::KeyMissing { path, id });
                }
                // Either the key is another one, or its proof is damaged. If the proof is damaged,
                // the key decrypts other values.
                _ if self.opens_something(&id) => {
                    self.problem(&format!("the master keys: the proof of {id} is damaged"));
                }
                _ => {
                    let path = path.to_owned();
                    return Err(OpenError::WrongKey { path, id });
                }
            }
            self.proven.insert(id);
        }
        Ok(())
    }

    fn is_given(&self, id: &str) -> bool {
        self.reader.keys.ids().any(|given| given == id)
    }

    fn opens_something(&self, id: &str) -> bool {
        let opened = self.reader.rows(sql::SETTINGS, &[], |row| {
            let sealed = row.get_ref(0)?.as_blob()?;
            if key_id(sealed) != Some(id) {
                return Ok(false);
            }
            let place = Place {
                kind: Kind::Settings,
                tenant: row.get_ref(2)?.as_str()?,
                record: row.get_ref(1)?.as_blob()?,
            };
            Ok(self.reader.keys.open(&place, sealed).is_ok())
        });
        opened.is_ok_and(|opened| opened.contains(&true))
    }

    fn state(&mut self) -> Result<(), Fault> {
        type State = (i64, String, Option<i64>, i64);
        let state: Option<State> = self.reader.row(offline::STATE, &[], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        let Some((advance, sealing_key, stage, failed)) = state else {
            self.problem("the state: its row is missing");
            return Ok(());
        };
        match u64::try_from(advance) {
            Ok(advance) => {
                self.summary.clock_ahead = Duration::from_millis(advance);
                self.now = self.now.plus(self.summary.clock_ahead);
            }
            Err(_) => self.problem("the state: the advance of the test clock is negative"),
        }
        if !self.proven.contains(&sealing_key) {
            self.problem("the state: the file does not name the master key that encrypts");
        }
        if stage.is_none() && failed == 0 {
            self.only_key = Some(sealing_key);
        }
        Ok(())
    }

    fn tenants(&mut self) -> Result<(), Fault> {
        self.each("tenants", "tenant", sql::TENANTS, |checker, row, _| {
            let name = TenantId::new(row.get_ref(1)?.as_str()?);
            checker.tenants.insert(row.get(0)?, name);
            Ok(())
        })
    }

    /// Opens a value again. If it cannot be opened, that was reported already.
    fn peek(
        &self,
        kind: Kind,
        tenant: i64,
        record: &[u8],
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let place = Place {
            kind,
            tenant: self.tenants.get(&tenant)?.as_str(),
            record,
        };
        self.reader.keys.open(&place, sealed).ok()
    }

    /// Opens a value. It is a problem if that fails, or if the value is encrypted with a key that
    /// is not expected.
    fn open(
        &mut self,
        kind: Kind,
        tenant: i64,
        record: &[u8],
        sealed: &[u8],
        name: &str,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let what = match kind {
            Kind::KeyRing => "key ring",
            Kind::Settings => "settings",
            Kind::Answer => "answer",
            Kind::Event => "data",
            Kind::Proof => "proof",
        };
        let Some(id) = self.tenants.get(&tenant) else {
            self.problem(&format!("{name}: its tenant {tenant} is missing"));
            return None;
        };
        let place = Place {
            kind,
            tenant: id.as_str(),
            record,
        };
        let opened = match self.reader.keys.open(&place, sealed) {
            Ok(opened) => opened,
            Err(error) => {
                self.problem(&format!("{name}: {what}: {error}"));
                return None;
            }
        };
        let key = key_id(sealed).unwrap_or_default();
        match self.summary.sealed.get_mut(key) {
            Some(count) => *count += 1,
            None => {
                self.summary.sealed.insert(key.to_owned(), 1);
            }
        }
        let found = rules::master_key(key, &self.proven, self.only_key.as_deref());
        self.problems(&format!("{name}: {what}"), found);
        Some(opened)
    }
}

/// Returns the table of a row, from the name of the row.
fn name_of_table(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Says what is wrong with a row, without the advice to run `hookturn check`.
fn words(fault: &Fault) -> String {
    match fault {
        Fault::Damaged(Damaged(what)) => format!("{what} cannot be read"),
        fault => fault.to_string(),
    }
}

/// Fails for a value that this program would not write.
fn wrong<T>(what: &'static str) -> Result<T, Fault> {
    Err(damaged(what))
}

#[cfg(test)]
mod tests;
