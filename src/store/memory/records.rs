//! Keeps the recorded answers of one shard.

use std::collections::{HashMap, VecDeque};

use crate::domain::{TenantId, Timestamp};
use crate::idempotency::{IdempotencyKey, RETENTION, Record};

/// How many expired records a commit with a key deletes at most: more than the one that it adds, so
/// that the sweep keeps up, and few enough that no commit is delayed.
pub(super) const SWEPT_PER_COMMIT: usize = 4;

/// How many expired records one sweep deletes at most in each shard.
pub(super) const SWEPT_AT_ONCE: usize = 16;

pub(super) type RecordKey = (TenantId, IdempotencyKey);

#[derive(Default)]
pub(super) struct Records {
    by_key: HashMap<RecordKey, (Timestamp, Record)>,
    /// In the order of their commits, which is also the order of their expiry.
    by_expiry: VecDeque<(Timestamp, RecordKey)>,
}

impl Records {
    pub fn live(&self, key: &RecordKey, now: Timestamp) -> Option<&Record> {
        let (expires_at, record) = self.by_key.get(key)?;
        (now < *expires_at).then_some(record)
    }

    /// Deletes at most `most` expired records. Calls `forgotten` with the tenant of each key that
    /// is forgotten. Returns whether there are more.
    pub fn sweep(
        &mut self,
        now: Timestamp,
        most: usize,
        mut forgotten: impl FnMut(&TenantId),
    ) -> bool {
        for _ in 0..most {
            match self.by_expiry.front() {
                Some((expiry, _)) if *expiry <= now => {}
                _ => return false,
            }
            if let Some((expiry, key)) = self.by_expiry.pop_front() {
                // The key may have been used again since then. Its new record expires later, and
                // stays.
                let of_record = self.by_key.get(&key).map(|(of_record, _)| *of_record);
                if of_record == Some(expiry) {
                    self.by_key.remove(&key);
                    forgotten(&key.0);
                }
            }
        }
        true
    }

    /// Returns whether there is a record for a key, expired or not.
    pub fn has(&self, key: &RecordKey) -> bool {
        self.by_key.contains_key(key)
    }

    pub fn remember(&mut self, key: RecordKey, now: Timestamp, record: Record) {
        let expires_at = now.plus(RETENTION);
        self.by_expiry.push_back((expires_at, key.clone()));
        self.by_key.insert(key, (expires_at, record));
    }
}
