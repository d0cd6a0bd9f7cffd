//! Reads the rows of deliveries.

use std::sync::Arc;

use rusqlite::Row;
use uuid::Uuid;

use super::fault::{Fault, damaged};
use crate::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, EndpointId, EventHead, FailureReason, Timestamp,
};
use crate::store::at_rest::codec::{
    STATUSES, attempts_from, endpoint_id_from, failure_reason_from,
};

/// A row of a delivery, before its event is read.
pub(super) struct DeliveryRow {
    pub number: i64,
    pub endpoint: i64,
    pub endpoint_id: EndpointId,
    pub event: i64,
    /// Whether the row says that it is pending.
    pub was_pending: bool,
    id: DeliveryId,
    status: DeliveryStatus,
    created_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    scheduled_at: Option<Timestamp>,
    failures: u32,
    is_last_attempt: bool,
    is_resend_wanted: bool,
    attempts: Vec<Attempt>,
    first_due_at: Timestamp,
    failure_reason: Option<FailureReason>,
}

impl DeliveryRow {
    /// Reads the columns of `DELIVERY`, `DELIVERY_OF_NUMBER` and `DELIVERIES`.
    pub fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
        let uuid = Uuid::from_slice(row.get_ref(1)?.as_blob()?);
        let status = usize::try_from(row.get::<_, i64>(5)?).ok();
        let status = *status
            .and_then(|status| STATUSES.get(status))
            .ok_or_else(|| damaged("delivery status"))?;
        let created_at = Timestamp::from_millis(row.get(6)?);
        Ok(Self {
            number: row.get(0)?,
            id: uuid.map_err(|_| damaged("delivery id"))?.into(),
            endpoint: row.get(2)?,
            endpoint_id: endpoint_id_from(row.get_ref(3)?.as_blob()?)?,
            event: row.get(4)?,
            was_pending: status == DeliveryStatus::Pending,
            status,
            created_at,
            next_attempt_at: time(row.get(7)?),
            finished_at: time(row.get(8)?),
            scheduled_at: time(row.get(9)?),
            failures: row.get(10)?,
            is_last_attempt: row.get(11)?,
            is_resend_wanted: row.get(12)?,
            attempts: attempts_from(row.get_ref(13)?.as_str()?)?,
            first_due_at: time(row.get(15)?).unwrap_or(created_at),
            failure_reason: failure_reason_from(row.get(16)?)?,
        })
    }

    /// Shows a pending delivery as canceled, since its endpoint was deleted at this time.
    pub fn cancel(&mut self, at: Timestamp) {
        if self.status == DeliveryStatus::Pending {
            self.status = DeliveryStatus::Canceled;
            self.next_attempt_at = None;
            self.scheduled_at = None;
            self.finished_at = Some(at);
        }
    }

    /// Returns the status of the delivery.
    pub fn status(&self) -> DeliveryStatus {
        self.status
    }

    /// Returns the delivery, with its event.
    pub fn with(self, event: Arc<EventHead>) -> Delivery {
        Delivery {
            id: self.id,
            endpoint_id: self.endpoint_id,
            event,
            status: self.status,
            created_at: self.created_at,
            next_attempt_at: self.next_attempt_at,
            finished_at: self.finished_at,
            attempts: self.attempts,
            failures: self.failures,
            scheduled_at: self.scheduled_at,
            is_last_attempt: self.is_last_attempt,
            is_resend_wanted: self.is_resend_wanted,
            first_due_at: self.first_due_at,
            failure_reason: self.failure_reason,
        }
    }
}
