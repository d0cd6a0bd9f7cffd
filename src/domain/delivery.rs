//! Deliveries, and pure functions from each of their states to the next.
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

use super::event::EventHead;
use super::id::{DeliveryId, EndpointId};
use super::retry;
use super::secret::Fingerprint;
use super::time::Timestamp;

/// How many attempts of a delivery are kept, the newest. The schedule makes ten; there are more
/// only when a caller resends the delivery.
pub const MAX_ATTEMPTS_KEPT: usize = 100;

/// How long a pending delivery waits for a disabled endpoint before it fails: 7 days after its
/// first due time.
pub const WAIT_WHILE_DISABLED: Duration = Duration::from_secs(7 * 86_400);

/// How long after an attempt that could not be made the next one is due.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The status of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// An attempt is due later or under way.
    Pending,
    /// The receiver answered with 2xx.
    Succeeded,
    /// The last attempt failed, and no further one is made.
    Failed,
    /// The endpoint was deleted before the delivery succeeded or failed.
    Canceled,
}

/// Why a delivery has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The last attempt failed.
    AttemptsExhausted,
    /// The receiver answered 410.
    EndpointGone,
    /// It did not succeed within [`retry::LONGEST`].
    TimeOver,
    /// Its endpoint was disabled for too long.
    EndpointDisabled,
}

impl FailureReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [
        Self::AttemptsExhausted,
        Self::EndpointGone,
        Self::TimeOver,
        Self::EndpointDisabled,
    ];
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it started.
    pub at: Timestamp,
    /// The status with which the receiver answered, if it did.
    pub status_code: Option<u16>,
    /// How long it took in real time, in milliseconds.
    pub duration_ms: u64,
    /// Why there was no answer, or what was wrong with the answer.
    pub error: Option<Box<str>>,
    /// The secrets that signed it, in the order of the signatures.
    pub signed_by: Box<[Fingerprint]>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// 2xx.
    Success,
    /// 410: the receiver is gone permanently.
    Gone,
    /// Nothing was sent, since this server had no file descriptor or memory for it. It says nothing
    /// about the receiver, so it is no attempt.
    NotMade,
    /// Anything else.
    Failure {
        /// The wait that the receiver asked for.
        retry_after: Option<Duration>,
        /// From 0 to 1; see [`retry::wait`].
        jitter: f64,
    },
}

impl Verdict {
    /// Returns the verdict on an attempt that was answered with `status`, or not at all.
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

/// The delivery of one event to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// The endpoint that receives it.
    pub endpoint_id: EndpointId,
    /// The event that it carries, without its data.
    pub event: Arc<EventHead>,
    /// Its status.
    pub status: DeliveryStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When the next attempt is due; `None` unless pending.
    pub next_attempt_at: Option<Timestamp>,
    /// When it finished; `None` while pending.
    pub finished_at: Option<Timestamp>,
    /// Why it failed; `None` unless it failed, and for one that failed before reasons were kept.
    pub failure_reason: Option<FailureReason>,
    /// When its first attempt was due. A resend of a finished delivery begins anew.
    pub first_due_at: Timestamp,
    /// The attempts so far, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many scheduled attempts have failed so far.
    pub failures: u32,
    /// When the next scheduled attempt is due, while a resend comes before it.
    pub scheduled_at: Option<Timestamp>,
    /// Whether a failure of the next attempt is final. It is so when the delivery was resent after
    /// it finished.
    pub is_last_attempt: bool,
    /// Whether a resend was asked for while an attempt was under way.
    pub is_resend_wanted: bool,
}

impl Delivery {
    /// Makes a delivery whose first attempt is due at once.
    #[must_use]
    pub fn new(
        id: DeliveryId,
        endpoint_id: EndpointId,
        event: Arc<EventHead>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            endpoint_id,
            event,
            status: DeliveryStatus::Pending,
            created_at: now,
            next_attempt_at: Some(now),
            finished_at: None,
            failure_reason: None,
            first_due_at: now,
            attempts: Vec::new(),
            failures: 0,
            scheduled_at: None,
            is_last_attempt: false,
            is_resend_wanted: false,
        }
    }

    /// Makes one more attempt due now.
    ///
    /// A pending delivery keeps its place on the schedule. A finished delivery gets only this
    /// attempt. While an attempt is under way (`in_flight`), the new one follows it.
    #[must_use]
    pub fn resend(&self, now: Timestamp, in_flight: bool) -> Self {
        let mut resent = self.clone();
        if in_flight {
            resent.is_resend_wanted = true;
        } else {
            if self.status != DeliveryStatus::Pending {
                resent.is_last_attempt = true;
                resent.first_due_at = now;
            }
            // Frequent resends must not use up the schedule. A scheduled attempt that is due
            // already is the one that is made now.
            let scheduled = self.next_attempt_at.filter(|at| *at > now);
            resent.scheduled_at = self.scheduled_at.or(scheduled);
            resent.status = DeliveryStatus::Pending;
            resent.next_attempt_at = Some(now);
            resent.finished_at = None;
            resent.failure_reason = None;
        }
        resent
    }

    /// Returns the delivery after `attempt` ended at `now`.
    #[must_use]
    pub fn settle(&self, attempt: Attempt, verdict: Verdict, now: Timestamp) -> Self {
        let mut settled = self.clone();
        if verdict == Verdict::NotMade {
            if settled.status == DeliveryStatus::Pending {
                if self.is_over(now) && !self.is_last_attempt {
                    settled = settled.fail(FailureReason::TimeOver, now);
                } else {
                    settled.next_attempt_at = Some(now.plus(AGAIN_AFTER));
                }
            }
            return settled.let_go(now);
        }
        if settled.attempts.len() >= MAX_ATTEMPTS_KEPT {
            settled.attempts.remove(0);
        }
        // Nearly all deliveries have one attempt, and a vector would make room for four.
        settled.attempts.reserve_exact(1);
        settled.attempts.push(attempt);
        if self.status != DeliveryStatus::Pending {
            // It was canceled while the attempt was under way. It stays canceled, with the attempt
            // recorded.
            return settled;
        }
        let ended = match verdict {
            Verdict::Success => Some(None),
            Verdict::Gone => {
                // The endpoint is disabled now, and nothing is resent to a disabled endpoint.
                settled.is_resend_wanted = false;
                Some(Some(FailureReason::EndpointGone))
            }
            Verdict::Failure { .. } if self.is_last_attempt => {
                Some(Some(FailureReason::AttemptsExhausted))
            }
            Verdict::Failure { .. } if self.is_over(now) => Some(Some(FailureReason::TimeOver)),
            // It was returned above.
            Verdict::NotMade => None,
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
                    None => Some(Some(FailureReason::AttemptsExhausted)),
                }
            }
        };
        settled = match ended {
            Some(None) => settled.end(DeliveryStatus::Succeeded, now),
            Some(Some(reason)) => settled.fail(reason, now),
            None => settled,
        };
        settled.let_go(now)
    }

    /// Whether the time is over in which attempts are made by themselves.
    fn is_over(&self, now: Timestamp) -> bool {
        self.first_due_at.plus(retry::LONGEST) <= now
    }

    /// Returns the delivery after its attempt is no longer under way. A resend that was asked for
    /// meanwhile is due now.
    #[must_use]
    pub fn let_go(mut self, now: Timestamp) -> Self {
        if std::mem::take(&mut self.is_resend_wanted) {
            return self.resend(now, false);
        }
        self
    }

    /// Finishes the delivery as failed.
    #[must_use]
    pub fn fail(self, reason: FailureReason, now: Timestamp) -> Self {
        Self {
            failure_reason: Some(reason),
            ..self.end(DeliveryStatus::Failed, now)
        }
    }

    /// Returns why a pending delivery has failed at `now`, if its time is over.
    ///
    /// A delivery of a disabled endpoint may wait for [`WAIT_WHILE_DISABLED`], which is longer. One
    /// that has waited so long has failed, whether its endpoint is active again or not.
    #[must_use]
    pub fn overdue(
        first_due_at: Timestamp,
        is_active: bool,
        now: Timestamp,
    ) -> Option<FailureReason> {
        let may_wait = if is_active {
            retry::LONGEST
        } else {
            WAIT_WHILE_DISABLED
        };
        (first_due_at.plus(may_wait) <= now).then_some(if is_active {
            FailureReason::TimeOver
        } else {
            FailureReason::EndpointDisabled
        })
    }

    /// Finishes the delivery with `status`.
    #[must_use]
    pub fn end(mut self, status: DeliveryStatus, now: Timestamp) -> Self {
        self.status = status;
        self.next_attempt_at = None;
        self.scheduled_at = None;
        self.finished_at = Some(now);
        self
    }
}
