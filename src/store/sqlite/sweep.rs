//! Taking away what has had its time, a little at a time, so that no commit waits for it.

use std::time::Duration;

use super::fault::Fault;
use super::rows;
use super::sql;
use super::writer::Writer;
use crate::domain::{DeliveryStatus, Timestamp};
use crate::store::DeliveryLimits;

/// The most records of one kind that one step takes away. With all kinds in it and their commits a step took 1.8 ms in
/// the median, in an unoptimised build.
const MOST: usize = 64;

/// How long what has had its time may lie, when nothing else is to be swept: what is gone by the clock is never
/// shown, so this only gathers work.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// How long the store goes without looking.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

impl Writer {
    /// One step. Returns whether there is more to do right now.
    pub fn sweep(&mut self, now: Timestamp) -> bool {
        let is_overdue = self
            .turns
            .deadlines
            .first()
            .is_some_and(|(at, _)| *at <= now);
        // Also when the clock has gone back behind the last step.
        let is_time = self
            .next_sweep
            .is_none_or(|at| at <= now || at > now.plus(AT_LEAST_EVERY));
        if !is_overdue && !is_time {
            return false;
        }
        // Each by itself: a record that is damaged must not keep the others from being swept.
        let (failed, is_stuck) = self.sweep_one(|writer| writer.fail_overdue(now));
        self.is_sweep_stuck = is_stuck;
        let mut is_more = failed;
        let mut has_failed = is_stuck;
        if is_time {
            for sweep in [
                Self::sweep_answers,
                Self::sweep_deliveries,
                Self::sweep_events,
            ] {
                let (is_more_of_it, failed) = self.sweep_one(|writer| sweep(writer, now));
                is_more |= is_more_of_it;
                has_failed |= failed;
            }
        }
        self.next_sweep = Some(if is_more {
            now
        } else {
            let latest = now.plus(AT_LEAST_EVERY);
            let earliest = self.earliest_expiry().unwrap_or_default();
            // What failed is not tried at once again.
            let earliest = earliest.filter(|_| !has_failed).unwrap_or(latest);
            earliest.clamp(now.plus(AT_MOST_EVERY), latest)
        });
        is_more
    }

    /// One kind of sweep, in a commit of its own. Returns whether there is more to do right now, and whether it failed.
    fn sweep_one(&mut self, sweep: impl FnOnce(&mut Self) -> Result<bool, Fault>) -> (bool, bool) {
        match self.alone(sweep) {
            Ok(is_more) => {
                self.follow_commit();
                (is_more, false)
            }
            Err(error) => {
                self.turns.forget_batch();
                if error.is_passing() {
                    // Whatever is in the way, such as a full disk, is in the way of requests too, which tell of it.
                    tracing::debug!(%error, "nothing can be swept");
                } else {
                    tracing::error!(%error, "what has had its time cannot be swept");
                }
                (false, true)
            }
        }
    }

    fn earliest_expiry(&self) -> Result<Option<Timestamp>, Fault> {
        let first = |sql: &str, plus: Duration| -> Result<Option<Timestamp>, Fault> {
            let at: Option<Option<i64>> = self.view().row(sql, &[], |row| Ok(row.get(0)?))?;
            Ok(at.flatten().map(|at| Timestamp::from_millis(at).plus(plus)))
        };
        let retention = self.limits.retention;
        let all = [
            first(sql::FIRST_ANSWER_EXPIRY, Duration::ZERO)?,
            first(sql::FIRST_FINISHED, retention)?,
            first(sql::FIRST_EVENT_AGE, retention)?,
        ];
        Ok(all.into_iter().flatten().min())
    }

    fn sweep_answers(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let mut sweep = self.db.prepare_cached(sql::SWEEP_ANSWERS)?;
        Ok(sweep.execute((now.as_millis(), MOST))? == MOST)
    }

    fn sweep_deliveries(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let until = now.minus(self.limits.retention).as_millis();
        let old: Vec<(i64, i64)> =
            self.view()
                .rows(sql::OLD_DELIVERIES, &[&until, &most()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
        for (number, event) in &old {
            self.db
                .prepare_cached(sql::DELETE_DELIVERY)?
                .execute([number])?;
            let left: Option<(i64, bool)> =
                self.view().row(sql::LET_GO_OF_EVENT, &[event], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            if let Some((..=0, false)) = left {
                self.db
                    .prepare_cached(sql::DELETE_EVENT)?
                    .execute([event])?;
            }
        }
        Ok(old.len() == MOST)
    }

    fn sweep_events(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let until = now.minus(self.limits.retention).as_millis();
        let old: Vec<(i64, i64)> =
            self.view()
                .rows(sql::OLD_EVENTS, &[&until, &most()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
        for (number, kept) in &old {
            let sql = if *kept > 0 {
                sql::FORGET_EVENT_ID
            } else {
                sql::DELETE_EVENT
            };
            self.db.prepare_cached(sql)?.execute([number])?;
        }
        Ok(old.len() == MOST)
    }

    /// Fails what has waited long enough for an endpoint that is disabled: some of one endpoint's.
    fn fail_overdue(&mut self, now: Timestamp) -> Result<bool, Fault> {
        let first = self.turns.deadlines.first().copied();
        let Some((_, endpoint)) = first.filter(|(at, _)| *at <= now) else {
            return Ok(false);
        };
        for (at, number) in self.waiting(endpoint, MOST)? {
            if at.plus(DeliveryLimits::WAIT_WHILE_DISABLED) <= now {
                // As `Delivery::end` has it, without the event, which nobody needs for that.
                let status = rows::status_to_number(DeliveryStatus::Failed);
                let mut end = self.db.prepare_cached(sql::END_DELIVERY)?;
                end.execute((number, status, now.as_millis()))?;
            }
        }
        // What comes next of this endpoint has a deadline of its own, which is looked up after the commit.
        self.turns.touch(endpoint);
        Ok(true)
    }
}

fn most() -> i64 {
    i64::try_from(MOST).unwrap_or(i64::MAX)
}
