//! Maintains the file between batches: sweeps, and encrypts every value with a new first master
//! key.

use super::database::Database;
use crate::domain::Timestamp;
use crate::store::SWEEP_AT_LEAST_EVERY;
use crate::store::at_rest::sweeps::{Sweeps, Swept};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rewrap::steps::{self, Stepped};
use crate::store::sqlite::sql::offline;
use crate::store::sqlite::sweep::{self, Age, Aged, Sweep};

/// The maintenance that is left to do.
pub(super) struct Upkeep {
    /// Whether a value may be encrypted with another master key than the first.
    is_rewrapping: bool,
    sweeps: Sweeps,
    /// How far the deliveries have come of each age.
    ages: [(Age, Aged); 2],
}

impl Upkeep {
    /// Reads from the file what is left to do.
    pub fn new(database: &mut Database) -> Result<Self, Fault> {
        let reader = database.transaction();
        let ages: Option<(i64, i64)> = reader
            .reader()
            .row(offline::AGES, &[], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (overdue, waited) = ages.unwrap_or_default();
        let next = reader.now();
        let reached = |after| Aged { after, next };
        Ok(Self {
            ages: [
                (Age::Overdue, reached(overdue)),
                (Age::Waited, reached(waited)),
            ],
            is_rewrapping: steps::is_unfinished(database.transaction().reader())?,
            sweeps: Sweeps::default(),
        })
    }

    pub fn is_rewrapping(&self) -> bool {
        self.is_rewrapping
    }

    /// Sweeps: see [`Store::sweep`](crate::store::Store::sweep).
    pub fn sweep(&mut self, database: &mut Database) -> Timestamp {
        let now = database.transaction().now();
        for place in 0..self.ages.len() {
            let (age, reached) = self.ages[place];
            if reached.next > now {
                continue;
            }
            let come = |database: &mut Database| {
                sweep::come_of_age(&mut database.transaction(), age, reached.after, now)
            };
            let later = now.plus(SWEEP_AT_LEAST_EVERY);
            self.ages[place].1 = alone(database, come).unwrap_or(Aged {
                next: later,
                ..reached
            });
        }
        if self.sweeps.is_due(now) {
            // Each kind has its own commit, so that a damaged record does not keep the others from
            // being deleted.
            let swept = sweep::BY_AGE.map(|sweep| sweep_one(database, sweep, now));
            let tx = database.transaction();
            let earliest = sweep::earliest_expiry(tx.reader(), tx.limits.retention);
            let earliest = earliest.unwrap_or_default();
            self.sweeps.note_by_age(now, &swept, earliest);
        }
        let deadline = self.ages.iter().map(|(_, reached)| reached.next).min();
        self.sweeps.next(now, deadline)
    }

    /// Does one step of encrypting all values with the first master key, in a commit of its own. A
    /// failure is logged once, and the next start continues from there.
    pub fn rewrap_some(&mut self, database: &mut Database) {
        let step = |database: &mut Database| steps::step_of_server(database.transaction().reader());
        match database.alone(step) {
            Ok((stepped, log)) => {
                self.is_rewrapping = matches!(stepped, Stepped::More);
                log.write(database.first_key_id());
            }
            Err(error) => {
                self.is_rewrapping = false;
                tracing::error!(%error, "cannot encrypt all values with the first master key; the next start continues");
            }
        }
    }
}

/// Runs one kind of sweep, in a commit of its own.
fn sweep_one(database: &mut Database, sweep: Sweep, now: Timestamp) -> Swept {
    match alone(database, |database| sweep(&mut database.transaction(), now)) {
        Some(true) => Swept::Some,
        Some(false) => Swept::All,
        None => Swept::Failed,
    }
}

/// Runs a step of a sweep in a commit of its own. Returns `None` if it failed, which is logged.
fn alone<T>(
    database: &mut Database,
    step: impl FnOnce(&mut Database) -> Result<T, Fault>,
) -> Option<T> {
    match database.alone(step) {
        Ok(done) => {
            database.follow_commit();
            Some(done)
        }
        Err(error) => {
            database.transaction().turns.forget_batch();
            if error.is_passing() {
                // The cause, such as a full disk, makes requests fail, too, and they report it.
                tracing::debug!(%error, "cannot sweep the store; trying again later");
            } else {
                tracing::error!(%error, "cannot sweep the store; trying again later");
            }
            None
        }
    }
}
