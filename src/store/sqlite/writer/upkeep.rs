//! Maintains the file between batches: sweeps, and encrypts every value with a new first master
//! key.

use super::super::fault::Fault;
use super::super::read::Reader;
use super::super::rewrap::{self, Stepped};
use super::super::sweep::{self, Sweep};
use super::Writer;
use crate::domain::Timestamp;
use crate::store::at_rest::sweeps::{Sweeps, Swept};

/// The maintenance that is left to do.
pub(super) struct Upkeep {
    /// Whether a value may be encrypted with another master key than the first.
    is_rewrapping: bool,
    sweeps: Sweeps,
}

impl Upkeep {
    /// Reads from the file what is left to do.
    pub fn new(reader: Reader<'_>) -> Result<Self, Fault> {
        Ok(Self {
            is_rewrapping: rewrap::is_unfinished(reader)?,
            sweeps: Sweeps::default(),
        })
    }

    pub fn is_rewrapping(&self) -> bool {
        self.is_rewrapping
    }
}

impl Writer {
    /// Sweeps: see [`Store::sweep`](crate::store::Store::sweep).
    pub(super) fn sweep(&mut self) -> Timestamp {
        let now = self.clock.now();
        let is_overdue = |writer: &Self| {
            writer
                .turns
                .deadlines
                .first()
                .is_some_and(|(at, _)| *at <= now)
        };
        if is_overdue(self) {
            let overdue = self.sweep_one(sweep::overdue, now);
            self.upkeep.sweeps.note_overdue(overdue);
        }
        if self.upkeep.sweeps.is_due(now) {
            // Each kind has its own commit, so that a damaged record does not keep the others from
            // being deleted.
            let swept = sweep::BY_AGE.map(|sweep| self.sweep_one(sweep, now));
            let reader = Reader {
                db: &self.db,
                keys: &self.keys,
            };
            let earliest = sweep::earliest_expiry(reader, self.limits.retention);
            let earliest = earliest.unwrap_or_default();
            self.upkeep.sweeps.note_by_age(now, &swept, earliest);
        }
        let deadline = self.turns.deadlines.first().map(|(at, _)| *at);
        self.upkeep.sweeps.next(now, deadline)
    }

    /// Runs one kind of sweep, in a commit of its own.
    fn sweep_one(&mut self, sweep: Sweep, now: Timestamp) -> Swept {
        match self.alone(|writer| sweep(&mut writer.transaction(), now)) {
            Ok(is_more) => {
                if self.follow_commit() {
                    self.work.notify_one();
                }
                if is_more { Swept::Some } else { Swept::All }
            }
            Err(error) => {
                self.turns.forget_batch();
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

    /// Does one step of encrypting all values with the first master key, in a commit of its own. A
    /// failure is logged once, and the next start continues from there.
    pub(super) fn rewrap_some(&mut self) {
        let stepped = self.alone(|writer| rewrap::step_of_server(writer.transaction().reader()));
        match stepped {
            Ok((stepped, tidings)) => {
                self.upkeep.is_rewrapping = matches!(stepped, Stepped::More);
                tidings.tell(self.keys.first_id());
            }
            Err(error) => {
                self.upkeep.is_rewrapping = false;
                tracing::error!(%error, "cannot encrypt all values with the first master key; the next start continues");
            }
        }
    }
}
