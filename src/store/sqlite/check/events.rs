//! Remembered answers, events, and deliveries.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Row, Rows};
use serde::Deserialize;

use super::{Checker, wrong};
use crate::domain::event::is_event_type;
use crate::domain::{DeliveryStatus, EventId};
use crate::idempotency::RETENTION;
use crate::store::seal::Kind;
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows::{self, DeliveryRow};

/// How far the clock of this machine may be behind that of the one which wrote the file.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);

const ANSWERS: &str = "SELECT number, tenant, key, expires_at, sealed FROM answer ORDER BY number";

const EVENTS: &str =
    "SELECT number, tenant, id, type, trace_id, deliveries, kept, remembered, sealed
    FROM event ORDER BY number";

const KEPT: &str = "SELECT number, kept FROM event ORDER BY number";

const DELIVERIES: &str = "SELECT delivery.number, delivery.id, delivery.endpoint, endpoint_id, event,
        delivery.status, delivery.created_at, next_attempt_at, finished_at, scheduled_at, failures, is_last_attempt,
        is_resend_wanted, attempts, delivery.tenant, endpoint.id, endpoint.tenant, event.tenant
    FROM delivery LEFT JOIN endpoint ON endpoint.number = delivery.endpoint
    LEFT JOIN event ON event.number = delivery.event ORDER BY delivery.number";

/// Any JSON object.
#[derive(Deserialize)]
struct Object {}

impl Checker<'_> {
    pub fn answers(&mut self) -> Result<(), Fault> {
        let latest = self.now.plus(RETENTION).plus(CLOCKS_DIFFER);
        self.each("answers", "answer", ANSWERS, |checker, row, name| {
            checker.summary.answers += 1;
            if row.get::<_, i64>(3)? > latest.as_millis() {
                checker.problem(&format!(
                    "{name}: it is to be remembered for more than 24 hours from now"
                ));
            }
            let key = row.get_ref(2)?.as_str()?;
            let sealed = row.get_ref(4)?.as_blob()?;
            if let Some(opened) =
                checker.open(Kind::Answer, row.get(1)?, key.as_bytes(), sealed, name)
            {
                let record = rows::record_from(&opened)?;
                if !(200..300).contains(&record.answer.status) {
                    checker.problem(&format!("{name}: it is no success, and is remembered"));
                }
            }
            Ok(())
        })
    }

    pub fn events(&mut self) -> Result<(), Fault> {
        self.each("events", "event", EVENTS, Self::event)
    }

    fn event(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        self.summary.events += 1;
        let id = row.get_ref(2)?.as_str()?;
        if id.parse::<EventId>().is_err() {
            self.problem(&format!("{name}: its id is none"));
        }
        if !is_event_type(row.get_ref(3)?.as_str()?) {
            self.problem(&format!("{name}: its type is none"));
        }
        if row.get_ref(4)?.as_blob()?.len() != 16 {
            self.problem(&format!("{name}: its trace id is none"));
        }
        let (deliveries, kept): (i64, i64) = (row.get(5)?, row.get(6)?);
        if !(0..=deliveries).contains(&kept) {
            self.problem(&format!(
                "{name}: it has more deliveries than it was published to"
            ));
        }
        if kept == 0 && !row.get::<_, bool>(7)? {
            self.problem(&format!("{name}: it has had its time, and is still there"));
        }
        let sealed = row.get_ref(8)?.as_blob()?;
        if let Some(data) = self.open(Kind::Event, row.get(1)?, id.as_bytes(), sealed, name)
            && serde_json::from_slice::<Object>(&data).is_err()
        {
            return wrong("its data");
        }
        Ok(())
    }

    pub fn deliveries(&mut self) -> Result<(), Fault> {
        let db = self.view.db;
        let mut statement = db.prepare(KEPT)?;
        let mut kept = Kept::new(statement.query([])?);
        self.each(
            "deliveries",
            "delivery",
            DELIVERIES,
            |checker, row, name| {
                checker.summary.deliveries += 1;
                let event = row.get(4)?;
                kept.count(event)?;
                checker.delivery(row, name)
            },
        )?;
        kept.finish()?;
        let mut wrong: Vec<_> = kept
            .left
            .into_iter()
            .filter(|(_, left)| *left != 0)
            .collect();
        wrong.sort_unstable();
        for (event, left) in wrong {
            let by = left.unsigned_abs();
            let than = if left > 0 { "fewer" } else { "more" };
            self.problem(&format!(
                "event {event}: {by} {than} of its deliveries are there than it counts"
            ));
        }
        Ok(())
    }

    fn delivery(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        let delivery = DeliveryRow::read(row)?;
        let tenant: i64 = row.get(14)?;
        let endpoint = row.get_ref(15)?.as_blob_or_null()?;
        let (of_endpoint, of_event): (Option<i64>, Option<i64>) = (row.get(16)?, row.get(17)?);
        let is_pending = delivery.status() == DeliveryStatus::Pending;
        let is_due = row.get::<_, Option<i64>>(7)?.is_some();
        let is_finished = row.get::<_, Option<i64>>(8)?.is_some();
        if is_pending != is_due {
            self.problem(&format!(
                "{name}: it is pending and never due, or due and not pending"
            ));
        }
        if is_pending == is_finished {
            self.problem(&format!("{name}: it is pending and finished, or neither"));
        }
        match of_event {
            None => self.problem(&format!("{name}: its event {} is missing", delivery.event)),
            Some(of_event) if of_event != tenant => {
                self.problem(&format!("{name}: its event is another tenant's"));
            }
            Some(_) => {}
        }
        match of_endpoint {
            // It was deleted: what was pending was canceled with it.
            None if is_pending => self.problem(&format!(
                "{name}: it is pending, and its endpoint {} is missing",
                delivery.endpoint
            )),
            Some(of_endpoint)
                if of_endpoint != tenant
                    || endpoint != Some(rows::endpoint_id_bytes(&delivery.endpoint_id)) =>
            {
                self.problem(&format!(
                    "{name}: its endpoint is not the one with its number"
                ));
            }
            _ => {}
        }
        if !self.tenants.contains_key(&tenant) {
            self.problem(&format!("{name}: its tenant {tenant} is missing"));
        }
        Ok(())
    }
}

/// How many deliveries of each event are still to come, by what the events count. Deliveries follow the order of their
/// events, so that few events are known at once, however many there are.
struct Kept<'a> {
    events: Rows<'a>,
    reached: i64,
    left: HashMap<i64, i64>,
}

impl<'a> Kept<'a> {
    fn new(events: Rows<'a>) -> Self {
        Self {
            events,
            reached: i64::MIN,
            left: HashMap::new(),
        }
    }

    /// Counts a delivery of an event.
    fn count(&mut self, event: i64) -> Result<(), Fault> {
        while self.reached < event && self.next()? {}
        let left = self.left.entry(event).or_default();
        *left -= 1;
        if *left == 0 {
            self.left.remove(&event);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<bool, Fault> {
        let Some(row) = self.events.next()? else {
            self.reached = i64::MAX;
            return Ok(false);
        };
        self.reached = row.get(0)?;
        let kept: i64 = row.get(1)?;
        if kept != 0 {
            *self.left.entry(self.reached).or_default() += kept;
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<(), Fault> {
        while self.reached < i64::MAX && self.next()? {}
        Ok(())
    }
}
