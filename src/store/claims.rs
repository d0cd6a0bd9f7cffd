//! Defines claimed deliveries and their settlement.

use std::sync::Arc;
use std::time::Duration;

use super::queues::AttemptEnd;
use super::quotas::Quotas;
use crate::domain::{Attempt, Delivery, Endpoint, Event, TenantId, Timestamp, Verdict};

/// Limits what a store keeps, and how many attempts run at once.
///
/// The attempts of one tenant, or of slow and dead receivers, do not delay the others:
///
/// - The tenant with the fewest attempts in flight goes first, and each gets at most seven eighths
///   of `in_flight`.
/// - An endpoint whose last attempt failed gets one attempt at a time.
/// - Such attempts, and those that take a second or more, are slow. While they use half of
///   `in_flight`, no further one begins, except that failing endpoints may always have an eighth.
/// - While half of `in_flight` or more is used, no endpoint gets a second attempt.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// How long finished deliveries and the ids of events are kept. Default: 7 days.
    pub retention: Duration,
    /// The most attempts in flight at once. Default: 1024.
    pub in_flight: usize,
    /// The most attempts in flight to one endpoint. Default: 32.
    pub in_flight_per_endpoint: usize,
    /// What each tenant may keep. Default: [`Quotas::MEMORY`].
    pub quotas: Quotas,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(7 * 86_400),
            in_flight: 1024,
            in_flight_per_endpoint: 32,
            quotas: Quotas::MEMORY,
        }
    }
}

/// A due delivery, held by the worker that claimed it.
///
/// It has all that an attempt needs **as it was at the time of the claim**: what signs the delivery
/// comes from nowhere else.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The tenant of the delivery.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery: Delivery,
    /// The event of the delivery, with its data.
    pub event: Arc<Event>,
    /// The endpoint of the delivery, with its key ring.
    pub endpoint: Endpoint,
    /// When the delivery was claimed: the start of the attempt.
    pub at: Timestamp,
    /// Identifies this claim.
    pub hold: Hold,
}

/// Identifies one claim of a delivery, so that only its holder can settle it.
///
/// An attempt that ends late, after its delivery was settled or claimed again, writes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold(u64);

impl Hold {
    /// Returns the id of the next claim.
    #[must_use]
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The result of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// The attempt is written, and the delivery is no longer held.
    Recorded,
    /// Nothing was written, because this claim no longer holds the delivery. It was settled before
    /// (for example by a call that failed after its commit), or it was deleted.
    HoldLost,
}

/// What a settlement changes about the endpoint.
pub(super) struct Receiver {
    /// How the attempt ended, if it was made. If it failed, the endpoint gets one attempt at a
    /// time.
    pub ended: Option<AttemptEnd>,
    /// The disabled endpoint to write, when its receiver is gone.
    pub disabled: Option<Endpoint>,
}

impl Receiver {
    /// Computes what `attempt` of `claimed`, with this verdict, means for the endpoint, which is
    /// `current` now.
    ///
    /// An endpoint whose receiver is gone is disabled, unless its URL has changed meanwhile:
    /// nothing is known about the receiver at the new URL.
    pub fn after(
        claimed: &Claimed,
        (attempt, verdict): (&Attempt, Verdict),
        current: Option<&Endpoint>,
        now: Timestamp,
    ) -> Self {
        let attempted = &claimed.endpoint.settings;
        let is_at_that_url = |endpoint: &&Endpoint| {
            Arc::ptr_eq(&endpoint.settings, attempted) || endpoint.settings.url == attempted.url
        };
        Self {
            ended: AttemptEnd::of(attempt, verdict),
            disabled: current
                .filter(|_| verdict == Verdict::Gone)
                .filter(is_at_that_url)
                .map(|endpoint| endpoint.disabled(now)),
        }
    }
}

/// The result of a claim.
#[derive(Debug, Default)]
pub struct Claims {
    /// The claimed deliveries.
    pub claimed: Vec<Claimed>,
    /// When a delivery is due next, as far as is known. It is in the past only if there is more to
    /// claim right now. Deliveries that are due but have no capacity do not count: they get it when
    /// an attempt ends.
    pub next_due: Option<Timestamp>,
}
