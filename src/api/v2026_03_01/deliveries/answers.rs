//! Answers about deliveries.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{self, Fingerprint, Timestamp};

/// The delivery of an event to one endpoint.
#[derive(Serialize, ToSchema)]
pub struct Delivery {
    /// Its id.
    #[schema(value_type = String, pattern = "^dlv_[0-9a-f]{32}$", example = "dlv_550e8400e29b41d4a716446655440000")]
    id: domain::DeliveryId,
    /// The event that it carries.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "call-c_1-started")]
    event_id: domain::EventId,
    /// The type of that event.
    #[schema(value_type = String, example = "call.started")]
    event_type: Box<str>,
    /// The endpoint that it goes to.
    #[schema(value_type = String, pattern = "^(we_[0-9a-f]{32}|[0-9a-f]{24})$", example = "we_550e8400e29b41d4a716446655440000")]
    webhook_endpoint_id: domain::EndpointId,
    /// The state of the delivery.
    status: DeliveryStatus,
    /// When it was created.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:20:00.000Z")]
    created_at: Timestamp,
    /// When the next attempt is due; null when no attempt will follow.
    #[schema(value_type = Option<String>, required, format = DateTime, example = json!(null))]
    next_attempt_at: Option<Timestamp>,
    /// Why it has failed; null unless it has, and for one that failed before reasons were kept.
    #[schema(required, example = json!(null))]
    failure_reason: Option<FailureReason>,
    /// The newest hundred attempts, oldest first.
    #[schema(max_items = 100)]
    attempts: Vec<Attempt>,
}

/// The state of a delivery.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// An attempt is due, or one is under way.
    Pending,
    /// The receiver answered 2xx.
    Succeeded,
    /// It was not delivered, and no attempt will follow.
    Failed,
    /// The endpoint was deleted first.
    Canceled,
}

impl From<domain::DeliveryStatus> for DeliveryStatus {
    fn from(status: domain::DeliveryStatus) -> Self {
        match status {
            domain::DeliveryStatus::Pending => Self::Pending,
            domain::DeliveryStatus::Succeeded => Self::Succeeded,
            domain::DeliveryStatus::Failed => Self::Failed,
            domain::DeliveryStatus::Canceled => Self::Canceled,
        }
    }
}

impl From<DeliveryStatus> for domain::DeliveryStatus {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Pending => Self::Pending,
            DeliveryStatus::Succeeded => Self::Succeeded,
            DeliveryStatus::Failed => Self::Failed,
            DeliveryStatus::Canceled => Self::Canceled,
        }
    }
}

/// Why a delivery has failed.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// Its last attempt failed.
    AttemptsExhausted,
    /// The receiver answered 410, which disabled the endpoint.
    EndpointGone,
    /// It had not succeeded 84 hours after it was due for the first time, attempted or not. A
    /// delivery that waited longer for a disabled endpoint was attempted once more.
    TimeOver,
    /// Its endpoint was disabled until 7 days after it was due for the first time.
    EndpointDisabled,
}

impl From<domain::FailureReason> for FailureReason {
    fn from(reason: domain::FailureReason) -> Self {
        match reason {
            domain::FailureReason::AttemptsExhausted => Self::AttemptsExhausted,
            domain::FailureReason::EndpointGone => Self::EndpointGone,
            domain::FailureReason::TimeOver => Self::TimeOver,
            domain::FailureReason::EndpointDisabled => Self::EndpointDisabled,
        }
    }
}

/// One attempt of a delivery.
#[derive(Serialize, ToSchema)]
pub struct Attempt {
    /// When it started.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:20:00.000Z")]
    at: Timestamp,
    /// The status that the receiver answered; null when it did not answer.
    #[schema(required, minimum = 100, maximum = 999, example = 200)]
    status_code: Option<u16>,
    /// How long it took.
    #[schema(minimum = 0, example = 12)]
    duration_ms: u64,
    /// What went wrong, if it was not only the status; else null.
    #[schema(value_type = Option<String>, required, example = json!(null))]
    error: Option<Box<str>>,
    /// The fingerprints of the secrets that signed it, in the order of the signatures.
    #[schema(value_type = Vec<String>, max_items = 10, example = json!(["sha256:057e571ddc1299cb", "sha256:f55a534ea58c06f1"]))]
    signed_by: Box<[Fingerprint]>,
}

impl From<&domain::Delivery> for Delivery {
    fn from(delivery: &domain::Delivery) -> Self {
        let attempts = delivery.attempts.iter().map(|attempt| Attempt {
            at: attempt.at,
            status_code: attempt.status_code,
            duration_ms: attempt.duration_ms,
            error: attempt.error.clone(),
            signed_by: attempt.signed_by.clone(),
        });
        Self {
            id: delivery.id,
            event_id: delivery.event.id.clone(),
            event_type: delivery.event.event_type.clone(),
            webhook_endpoint_id: delivery.endpoint_id,
            status: delivery.status.into(),
            created_at: delivery.created_at,
            next_attempt_at: delivery.next_attempt_at,
            failure_reason: delivery.failure_reason.map(FailureReason::from),
            attempts: attempts.collect(),
        }
    }
}

/// A page of deliveries, newest first.
#[derive(Serialize, ToSchema)]
pub struct DeliveryList {
    /// Always `list`.
    #[schema(value_type = String, pattern = "^list$", example = "list")]
    object: &'static str,
    /// The deliveries of this page.
    data: Vec<Delivery>,
    /// Whether older ones follow: to get them, set `starting_after` to the last id of this page. A
    /// page has fewer than `limit` entries when they are long.
    #[schema(example = false)]
    has_more: bool,
}

impl DeliveryList {
    /// Creates a page of these deliveries; `has_more` says whether older ones follow.
    pub fn new(deliveries: &[domain::Delivery], has_more: bool) -> Self {
        Self {
            object: "list",
            data: deliveries.iter().map(Delivery::from).collect(),
            has_more,
        }
    }
}
