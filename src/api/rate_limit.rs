//! Limits the rate of requests: a token bucket for each tenant.
//!
//! The bucket uses the monotonic clock, never the test clock: it protects the machine, and moving
//! the test clock gives the machine no more capacity.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, StateInformationMiddleware>;

/// The token bucket of one tenant. It allows bursts of twice the rate.
pub struct RateLimit {
    limiter: Limiter,
    burst: u32,
    interval: Duration,
}

/// The state of a bucket after a request tried to take a token.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The size of the bucket, in tokens.
    pub limit: u32,
    /// The number of tokens left.
    pub remaining: u32,
    /// How long until the bucket is full again.
    pub full_in: Duration,
    /// How long until there is a token; `None` when one was taken.
    pub refused_for: Option<Duration>,
}

impl RateLimit {
    /// Creates a full bucket that gains `rate` tokens per second and holds twice as many.
    #[must_use]
    pub fn per_second(rate: NonZeroU32) -> Self {
        let burst = rate.saturating_add(rate.get());
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, MonotonicClock).with_middleware(),
            burst: burst.get(),
            interval: quota.replenish_interval(),
        }
    }

    /// Takes a token, if there is one.
    #[must_use]
    pub fn take(&self) -> Taken {
        let (remaining, refused_for) = match self.limiter.check() {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refusal) => (0, Some(refusal.wait_time_from(MonotonicClock.now()))),
        };
        Taken {
            limit: self.burst,
            remaining,
            full_in: self.interval * (self.burst - remaining.min(self.burst)),
            refused_for,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_twice_the_rate_and_then_refuses() {
        // So slow that the bucket gains no token while the test runs.
        let limit = RateLimit::per_second(NonZeroU32::MIN);
        assert_eq!((limit.take().remaining, limit.take().remaining), (1, 0));
        let refused = limit.take();
        assert!(
            refused
                .refused_for
                .is_some_and(|wait| wait <= Duration::from_secs(1))
        );
        assert_eq!((refused.limit, refused.remaining), (2, 0));
        assert_eq!(refused.full_in, Duration::from_secs(2));
    }
}
