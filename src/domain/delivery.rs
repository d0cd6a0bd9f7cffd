//! Deliveries and what becomes of them: pure functions from one state to the next.
//!
//! ```text
//!               success ───────────────▶ succeeded
//!              ╱                          │
//!  ──▶ pending ── no more attempts, 410 ─▶ failed ──┐
//!       ▲  ╲                                         │
//!       │   endpoint deleted ────────────▶ canceled  │
//!       └──────────── resend ────────────────────────┘ (also from succeeded)
//! ```

use std::sync::Arc;
use std::time::Duration;

use super::event::Event;
use super::id::{DeliveryId, EndpointId};
use super::retry;
use super::secret::Fingerprint;
use super::time::Timestamp;

/// How many attempts of one delivery are remembered: the newest. The schedule makes ten; only a
/// caller who resends again and again makes more.
pub const MAX_ATTEMPTS_KEPT: usize = 100;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// There is an attempt to come, or one under way.
    Pending,
    /// The receiver answered 2xx.
    Succeeded,
    /// There is no attempt to come.
    Failed,
    /// The endpoint was deleted first.
    Canceled,
}

/// One attempt, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it started.
    pub at: Timestamp,
    /// What the receiver answered, if it did.
    pub status_code: Option<u16>,
    /// How long it took, in milliseconds of real time.
    pub duration_ms: u64,
    /// Why there was no answer, or what was wrong with it.
    pub error: Option<Box<str>>,
    /// The secrets that signed it, in the order of the signatures.
    pub signed_by: Box<[Fingerprint]>,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// 2xx.
    Success,
    /// 410: the receiver is gone for good.
    Gone,
    /// Anything else.
    Failure {
        /// What the receiver asked for.
        retry_after: Option<Duration>,
        /// From 0 to 1; see [`retry::wait`].
        jitter: f64,
    },
}

impl Verdict {
    /// The verdict on an attempt that was answered with `status`, or not at all.
    #[must_use]
    pub fn of(status: Option<u16>, retry_after: Option<Duration>, jitter: f64) -> Self {
        match status {
            Some(200..=299) => Self::Success,
            Some(410) => Self::Gone,
            _ => Self::Failure {
                retry_after,
                jitter,
            },
        }
    }
}

/// An event on its way to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// What it carries.
    pub event: Arc<Event>,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the next attempt is due; `None` unless pending.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended; `None` while pending.
    pub finished_at: Option<Timestamp>,
    /// The attempts so far, oldest first.
    pub attempts: Vec<Attempt>,
    /// Failures on the schedule so far.
    pub failures: u32,
    /// When the next attempt on the schedule is due, while one more comes before it that was asked
    /// for.
    pub scheduled_at: Option<Timestamp>,
    /// Whether a failure of the next attempt is final: it was resent after it had ended.
    pub is_last_attempt: bool,
    /// Whether one more attempt was asked for while one was under way.
    pub is_resend_wanted: bool,
}

impl Delivery {
    /// A delivery whose first attempt is due at once.
    #[must_use]
    pub fn new(id: DeliveryId, endpoint_id: EndpointId, event: Arc<Event>, now: Timestamp) -> Self {
        Self {
            id,
            endpoint_id,
            event,
            status: DeliveryStatus::Pending,
            created_at: now,
            next_attempt_at: Some(now),
            finished_at: None,
            attempts: Vec::new(),
            failures: 0,
            scheduled_at: None,
            is_last_attempt: false,
            is_resend_wanted: false,
        }
    }

    /// One more attempt, now. A pending delivery keeps its place on the schedule; for one that has
    /// ended it is the last. While an attempt is under way (`in_flight`), the next follows it.
    #[must_use]
    pub fn resend(&self, now: Timestamp, in_flight: bool) -> Self {
        let mut resent = self.clone();
        if in_flight {
            resent.is_resend_wanted = true;
        } else {
            resent.is_last_attempt |= self.status != DeliveryStatus::Pending;
            // Whoever asks often must not use the schedule up. One that is due is not one more.
            let scheduled = self.next_attempt_at.filter(|at| *at > now);
            resent.scheduled_at = self.scheduled_at.or(scheduled);
            resent.status = DeliveryStatus::Pending;
            resent.next_attempt_at = Some(now);
            resent.finished_at = None;
        }
        resent
    }

    /// What becomes of it after `attempt` ended at `now`.
    #[must_use]
    pub fn settle(&self, attempt: Attempt, verdict: Verdict, now: Timestamp) -> Self {
        let mut settled = self.clone();
        if settled.attempts.len() >= MAX_ATTEMPTS_KEPT {
            settled.attempts.remove(0);
        }
        settled.attempts.push(attempt);
        if self.status != DeliveryStatus::Pending {
            // Canceled while the attempt was under way: that stays, and the attempt can be read.
            return settled;
        }
        let ended = match verdict {
            Verdict::Success => Some(DeliveryStatus::Succeeded),
            Verdict::Gone => {
                // The endpoint is disabled now, and nothing is resent to such a one.
                settled.is_resend_wanted = false;
                Some(DeliveryStatus::Failed)
            }
            Verdict::Failure { .. } if self.is_last_attempt => Some(DeliveryStatus::Failed),
            Verdict::Failure {
                retry_after,
                jitter,
            } => {
                settled.next_attempt_at = if let Some(at) = settled.scheduled_at.take() {
                    let asked = retry_after.unwrap_or_default().min(retry::MAX_RETRY_AFTER);
                    Some(at.max(now.plus(asked)))
                } else {
                    settled.failures += 1;
                    retry::wait(settled.failures, jitter, retry_after).map(|wait| now.plus(wait))
                };
                match settled.next_attempt_at {
                    Some(_) => None,
                    None => Some(DeliveryStatus::Failed),
                }
            }
        };
        if let Some(status) = ended {
            settled = settled.end(status, now);
        }
        settled.let_go(now)
    }

    /// What becomes of it when no attempt is under way any more: one that was asked for meanwhile
    /// is due.
    #[must_use]
    pub fn let_go(mut self, now: Timestamp) -> Self {
        if std::mem::take(&mut self.is_resend_wanted) {
            return self.resend(now, false);
        }
        self
    }

    /// The end of it.
    #[must_use]
    pub fn end(mut self, status: DeliveryStatus, now: Timestamp) -> Self {
        self.status = status;
        self.next_attempt_at = None;
        self.scheduled_at = None;
        self.finished_at = Some(now);
        self
    }
}
