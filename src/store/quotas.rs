//! Limits what one tenant keeps, so that no tenant fills the memory or the disk that all share.

use std::ops::{Add, AddAssign, Neg, SubAssign};

/// The bytes that an event counts beside its data: its row, its id and its type.
pub(super) const BYTES_OF_EVENT: i64 = 512;

/// The bytes that a delivery counts in the bytes of its event.
pub(super) const BYTES_OF_DELIVERY: i64 = 512;

/// What one tenant may keep. `None` means that there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// The most endpoints. Default: 10,000.
    pub endpoints: Option<u64>,
    /// The most deliveries that are pending. Default: 1,000,000.
    pub pending_deliveries: Option<u64>,
    /// The most bytes of events that are kept. An event counts the bytes of its data and 512, and
    /// 512 for each of its deliveries. Default: 1 GiB in memory, 10 GiB on disk.
    pub event_bytes: Option<u64>,
    /// The most idempotency keys with a recorded answer. Default: 1,000,000 in memory, 10,000,000
    /// on disk, which is more than the default rate limit allows in the 24 hours that a key is
    /// kept.
    pub idempotency_keys: Option<u64>,
}

impl Quotas {
    /// The defaults of a store in memory.
    pub const MEMORY: Self = Self {
        endpoints: Some(10_000),
        pending_deliveries: Some(1_000_000),
        event_bytes: Some(1 << 30),
        idempotency_keys: Some(1_000_000),
    };

    /// The defaults of a store on disk.
    pub const DISK: Self = Self {
        event_bytes: Some(10 << 30),
        idempotency_keys: Some(10_000_000),
        ..Self::MEMORY
    };

    /// No limits.
    pub const NONE: Self = Self {
        endpoints: None,
        pending_deliveries: None,
        event_bytes: None,
        idempotency_keys: None,
    };

    /// Refuses what would exceed a quota. What a change does not add to is not checked, so a tenant
    /// whose quota was lowered can still change and delete what it has.
    ///
    /// # Errors
    ///
    /// [`QuotaExceeded`] names the first quota that would be exceeded.
    pub(super) fn check(&self, used: Usage, more: Usage) -> Result<(), QuotaExceeded> {
        let sum = used + more;
        let checks = [
            (
                Quota::Endpoints,
                self.endpoints,
                sum.endpoints,
                more.endpoints,
            ),
            (
                Quota::PendingDeliveries,
                self.pending_deliveries,
                sum.pending_deliveries,
                more.pending_deliveries,
            ),
            (
                Quota::EventBytes,
                self.event_bytes,
                sum.event_bytes,
                more.event_bytes,
            ),
            (
                Quota::IdempotencyKeys,
                self.idempotency_keys,
                sum.idempotency_keys,
                more.idempotency_keys,
            ),
        ];
        for (quota, limit, sum, more) in checks {
            if let Some(limit) = limit
                && more > 0
                && u64::try_from(sum).is_ok_and(|sum| sum > limit)
            {
                return Err(QuotaExceeded { quota, limit });
            }
        }
        Ok(())
    }
}

/// A kind of thing that is limited for each tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// [`Quotas::endpoints`].
    Endpoints,
    /// [`Quotas::pending_deliveries`].
    PendingDeliveries,
    /// [`Quotas::event_bytes`].
    EventBytes,
    /// [`Quotas::idempotency_keys`].
    IdempotencyKeys,
}

/// A change would exceed a quota of its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quota of the tenant would be exceeded")]
pub struct QuotaExceeded {
    /// The quota.
    pub quota: Quota,
    /// Its limit.
    pub limit: u64,
}

/// What a tenant keeps, or by how much that changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub endpoints: i64,
    pub pending_deliveries: i64,
    pub event_bytes: i64,
    pub idempotency_keys: i64,
}

impl Usage {
    /// Returns what a new event adds, with data of this many bytes and this many deliveries.
    pub fn of_event(data: usize, deliveries: usize) -> Self {
        let deliveries = i64::try_from(deliveries).unwrap_or(i64::MAX / 1024);
        Self {
            pending_deliveries: deliveries,
            event_bytes: bytes_of_event(data) + deliveries * BYTES_OF_DELIVERY,
            ..Self::default()
        }
    }

    /// Returns a number of pending deliveries.
    pub fn pending(deliveries: i64) -> Self {
        Self {
            pending_deliveries: deliveries,
            ..Self::default()
        }
    }

    /// Returns a number of endpoints.
    pub fn endpoints(endpoints: i64) -> Self {
        Self {
            endpoints,
            ..Self::default()
        }
    }

    /// Returns a number of idempotency keys.
    pub fn keys(idempotency_keys: i64) -> Self {
        Self {
            idempotency_keys,
            ..Self::default()
        }
    }

    /// Returns a number of bytes.
    pub fn bytes(event_bytes: i64) -> Self {
        Self {
            event_bytes,
            ..Self::default()
        }
    }
}

/// Returns the bytes that an event counts without its deliveries.
pub(super) fn bytes_of_event(data: usize) -> i64 {
    i64::try_from(data).unwrap_or(i64::MAX / 1024) + BYTES_OF_EVENT
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            endpoints: self.endpoints + other.endpoints,
            pending_deliveries: self.pending_deliveries + other.pending_deliveries,
            event_bytes: self.event_bytes + other.event_bytes,
            idempotency_keys: self.idempotency_keys + other.idempotency_keys,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Usage {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            endpoints: -self.endpoints,
            pending_deliveries: -self.pending_deliveries,
            event_bytes: -self.event_bytes,
            idempotency_keys: -self.idempotency_keys,
        }
    }
}

impl SubAssign for Usage {
    fn sub_assign(&mut self, other: Self) {
        *self += -other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_may_be_reached_but_not_exceeded() {
        let quotas = Quotas {
            endpoints: Some(2),
            ..Quotas::NONE
        };
        let one = Usage::endpoints(1);
        assert_eq!(quotas.check(one, one), Ok(()));
        let exceeded = QuotaExceeded {
            quota: Quota::Endpoints,
            limit: 2,
        };
        assert_eq!(quotas.check(one + one, one), Err(exceeded));
        assert_eq!(Quotas::NONE.check(one + one, one), Ok(()));
    }

    #[test]
    fn what_is_not_added_to_is_not_checked() {
        let quotas = Quotas {
            endpoints: Some(0),
            event_bytes: Some(2000),
            ..Quotas::NONE
        };
        let used = Usage::endpoints(5);
        assert_eq!(quotas.check(used, Usage::of_event(100, 1)), Ok(()));
        assert_eq!(quotas.check(used, Usage::endpoints(-1)), Ok(()));
        let refused = quotas.check(used, Usage::of_event(100, 3));
        assert_eq!(refused.map_err(|error| error.quota), Err(Quota::EventBytes));
    }
}
