//! Deliveries on their way from the store to an attempt and back: claimed, and settled.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Delivery, Endpoint, TenantId, Timestamp, Verdict};

/// How deliveries are held and handed out.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryLimits {
    /// For how long finished deliveries and the ids of events are kept. Default: 7 days.
    pub retention: Duration,
    /// How many attempts may be under way at once. Default: 1024.
    pub in_flight: usize,
    /// How many of them may go to one endpoint. Default: 32. One whose last attempt failed gets one,
    /// all such endpoints together at most half of the room (but one attempt at least), and while more
    /// than half of the room is taken nobody gets a second before all have a first, so that receivers
    /// which are slow or dead do not delay the others.
    pub in_flight_per_endpoint: usize,
}

impl DeliveryLimits {
    /// How long a pending delivery waits for a disabled endpoint before it fails: 7 days.
    pub const WAIT_WHILE_DISABLED: Duration = Duration::from_secs(7 * 86_400);
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(7 * 86_400),
            in_flight: 1024,
            in_flight_per_endpoint: 32,
        }
    }
}

/// A delivery that is due, held by whoever claimed it, with all that an attempt needs **as it was when
/// it was claimed**: nothing that signs it comes from anywhere else.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Whose it is.
    pub tenant: TenantId,
    /// The delivery.
    pub delivery: Delivery,
    /// Its endpoint, with the key ring.
    pub endpoint: Endpoint,
    /// When it was claimed: the start of the attempt.
    pub at: Timestamp,
    /// Which claim this is.
    pub hold: Hold,
}

/// Names one claim of a delivery, so that only who holds it settles it: an attempt that ends late, after its delivery
/// was settled or handed out again, writes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold(u64);

impl Hold {
    /// The next one after `self`.
    #[must_use]
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// The attempt is written, and the delivery is held no more.
    Recorded,
    /// Nothing was written: this claim no longer holds the delivery. It was settled before (by a call that failed after
    /// its commit, say), or the delivery is gone.
    HoldLost,
}

/// What a settlement does to the endpoint of its delivery.
pub(super) struct Receiver {
    /// Whether the attempt failed: the endpoint then gets one attempt at a time.
    pub has_failed: bool,
    /// The endpoint from now on, when its receiver is gone.
    pub disabled: Option<Endpoint>,
}

impl Receiver {
    /// What `verdict` on the attempt of `claimed` means for its endpoint, which is `current` now. A receiver that is gone
    /// has its endpoint disabled, unless that was moved to another URL meanwhile: nothing is known against the new one.
    pub fn after(
        claimed: &Claimed,
        verdict: Verdict,
        current: Option<&Endpoint>,
        now: Timestamp,
    ) -> Self {
        let attempted = &claimed.endpoint.settings;
        let is_at_that_url = |endpoint: &&Endpoint| {
            Arc::ptr_eq(&endpoint.settings, attempted) || endpoint.settings.url == attempted.url
        };
        Self {
            has_failed: verdict != Verdict::Success,
            disabled: current
                .filter(|_| verdict == Verdict::Gone)
                .filter(is_at_that_url)
                .map(|endpoint| endpoint.disabled(now)),
        }
    }
}

/// What a claim found.
#[derive(Debug, Default)]
pub struct Claims {
    /// The deliveries that were claimed.
    pub claimed: Vec<Claimed>,
    /// When there will be something to do next, as far as is known. It is past only if there is more to
    /// do right now. What is due but has no room does not count: it gets room when an attempt ends.
    pub next_due: Option<Timestamp>,
}
