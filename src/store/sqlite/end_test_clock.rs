//! Moves a store from its test clock back to real time.
//!
//! A deadline that was set by a clock that is ahead is too far away in real time: a secret that
//! expires in an hour by the test clock could stay live for a hundred years. So every deadline is
//! moved back by as much as the clock was ahead, and what is over by the test clock stays over.
//! What has happened in the future is moved to now.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::{Fault, damaged};
use super::read::Reader;
use super::sql;
use super::sql::offline::{self, clock};
use crate::domain::key_ring::{Current, Retiring};
use crate::domain::{Attempt, Endpoint, KeyRing, TenantId, Timestamp};
use crate::store::at_rest::fields::Fields;
use crate::store::at_rest::{MasterKeys, codec};

/// How times are moved.
#[derive(Clone, Copy, Debug)]
struct Shift {
    /// Real time, in milliseconds.
    now: i64,
    /// How far the test clock is ahead, in milliseconds.
    ahead: i64,
}

impl Shift {
    /// Moves the time of something that has happened.
    fn past(self, at: Timestamp) -> Timestamp {
        Timestamp::from_millis(at.as_millis().min(self.now))
    }

    /// Moves the time of something that will happen.
    fn deadline(self, at: Timestamp) -> Timestamp {
        let at = at.as_millis();
        Timestamp::from_millis(if at > self.now.saturating_add(self.ahead) {
            at - self.ahead
        } else {
            at.min(self.now)
        })
    }

    fn endpoint(self, endpoint: Endpoint) -> Endpoint {
        Endpoint {
            created_at: self.past(endpoint.created_at),
            updated_at: self.past(endpoint.updated_at),
            key_ring: endpoint.key_ring.map(|ring| self.key_ring(&ring)),
            ..endpoint
        }
    }

    fn key_ring(self, ring: &KeyRing) -> KeyRing {
        let current = Current {
            secret: ring.current().secret.clone(),
            created_at: self.past(ring.current().created_at),
        };
        let retiring = ring.retiring().iter().map(|retiring| Retiring {
            secret: retiring.secret.clone(),
            created_at: self.past(retiring.created_at),
            expires_at: self.deadline(retiring.expires_at),
        });
        KeyRing::from_parts(current, retiring.collect())
    }

    fn attempt(self, attempt: Attempt) -> Attempt {
        Attempt {
            at: self.past(attempt.at),
            ..attempt
        }
    }
}

/// Moves every time in the database, in one transaction, so that it can be served with a clock that
/// says `now`.
///
/// # Errors
///
/// [`Fault`], also when a record cannot be read. Nothing has changed then.
pub(super) fn end_test_clock(
    db: &mut Connection,
    keys: &MasterKeys,
    now: Timestamp,
) -> Result<(), Fault> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let shift = Shift {
        now: now.as_millis(),
        ahead: transaction.query_row(sql::READY, [], |row| row.get(0))?,
    };
    endpoints(&transaction, keys, shift)?;
    // A delivery shows when its event was created, so that time is changed only where it is in the
    // future.
    transaction.execute(clock::SET_EVENTS, [shift.now])?;
    transaction.execute(clock::SET_DELETIONS, [shift.now])?;
    transaction.execute(clock::SET_ANSWERS, (shift.now, shift.ahead))?;
    deliveries(&transaction, shift)?;
    transaction.execute(clock::STOP, [])?;
    transaction.commit()?;
    Ok(())
}

/// Moves the times of all endpoints and key rings.
fn endpoints(db: &Connection, keys: &MasterKeys, shift: Shift) -> Result<(), Fault> {
    let reader = Reader { db, keys };
    let mut numbers = db.prepare(clock::ENDPOINTS)?;
    let mut numbers = numbers.query([])?;
    while let Some(row) = numbers.next()? {
        let number: i64 = row.get(0)?;
        let tenant: Option<String> = row.get(1)?;
        let tenant = TenantId::new(&tenant.ok_or_else(|| damaged("the tenant of an endpoint"))?);
        let endpoint = reader.endpoint_of_number(&tenant, number)?;
        let endpoint = endpoint.ok_or_else(|| damaged("an endpoint"))?;
        let changed = shift.endpoint(endpoint.clone());
        if changed == endpoint {
            continue;
        }
        let fields = Fields::of(&tenant, keys);
        db.prepare_cached(offline::SET_SETTINGS)?
            .execute((number, fields.seal_settings(&changed)?))?;
        if let Some(ring) = &changed.key_ring {
            db.prepare_cached(sql::SET_KEY_RING)?
                .execute((number, fields.seal_key_ring(&changed.id, ring)?))?;
        }
    }
    Ok(())
}

/// Moves the times of all deliveries and their attempts.
fn deliveries(db: &Connection, shift: Shift) -> Result<(), Fault> {
    let mut all = db.prepare(clock::DELIVERIES)?;
    let mut all = all.query([])?;
    while let Some(row) = all.next()? {
        let number: i64 = row.get(0)?;
        let time = |column| -> Result<Option<Timestamp>, Fault> {
            let millis: Option<i64> = row.get(column)?;
            Ok(millis.map(Timestamp::from_millis))
        };
        let past = |at: Option<Timestamp>| at.map(|at| shift.past(at).as_millis());
        let deadline = |at: Option<Timestamp>| at.map(|at| shift.deadline(at).as_millis());
        let attempts = codec::attempts_from(row.get_ref(5)?.as_str()?)?;
        let attempts: Vec<_> = attempts
            .into_iter()
            .map(|attempt| shift.attempt(attempt))
            .collect();
        let changed = (
            number,
            past(time(1)?),
            deadline(time(2)?),
            past(time(3)?),
            deadline(time(4)?),
            codec::attempts_to_text(&attempts)?,
            past(time(6)?),
        );
        db.prepare_cached(clock::SET_DELIVERY)?.execute(changed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The time that is left of a deadline stays the same in real time, and nothing that is
        /// over comes back.
        #[test]
        fn as_much_is_left_of_a_deadline_as_before(now in 0_i64..1 << 45, ahead in 1_i64..1 << 42, left: i32) {
            let shift = Shift { now, ahead };
            let left = i64::from(left);
            let after = shift.deadline(Timestamp::from_millis(now + ahead + left)).as_millis() - now;
            if left > 0 {
                prop_assert_eq!(after, left);
            } else {
                prop_assert!(after <= 0);
            }
        }

        #[test]
        fn what_happened_is_not_in_the_future(now in 0_i64..1 << 45, ahead in 1_i64..1 << 42, at in 0_i64..1 << 46) {
            let shift = Shift { now, ahead };
            let at = Timestamp::from_millis(at);
            let after = shift.past(at);
            prop_assert!(after.as_millis() <= now && after <= at);
            // What expired was made before that.
            prop_assert!(shift.past(at) <= shift.deadline(at) || shift.deadline(at).as_millis() <= now);
        }
    }
}
