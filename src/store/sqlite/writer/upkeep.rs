//! Maintains the file between batches: sweeps, and encrypts every value with a new first master
//! key.

use super::database::Database;
use crate::domain::Timestamp;
use crate::store::at_rest::sweeps::{Sweeps, Swept};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rewrap::steps::{self, Stepped};
use crate::store::sqlite::sweep::{self, Sweep};

/// The maintenance that is left to do.
pub(super) struct Upkeep {
    /// Whether a value may be encrypted with another master key than the first.
    is_rewrapping: bool,
    sweeps: Sweeps,
}

impl Upkeep {
    /// Reads from the file what is left to do.
    pub fn new(database: &mut Database) -> Result<Self, Fault> {
        Ok(Self {
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
        if database
            .transaction()
            .turns
            .first_deadline()
            .is_some_and(|at| at <= now)
        {
            let overdue = sweep_one(database, sweep::overdue, now);
            self.sweeps.note_overdue(overdue);
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
        let deadline = database.transaction().turns.first_deadline();
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
    match database.alone(|database| sweep(&mut database.transaction(), now)) {
        Ok(is_more) => {
            database.follow_commit();
            if is_more { Swept::Some } else { Swept::All }
        }
        Err(error) => {
            database.transaction().turns.forget_batch();
            if error.is_passing() {
                // The cause, such as a full disk, makes requests fail, too, and they report it.
                tracing::debug!(%error, "cannot delete expired records; trying again later");
            } else {
                tracing::error!(%error, "cannot delete expired records; trying again later");
            }
            Swept::Failed
        }
    }
}
