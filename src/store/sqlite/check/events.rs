//! Checks recorded answers, events and deliveries.

use std::collections::HashMap;

use rusqlite::{Row, Rows};

use super::{Checker, wrong};
use crate::domain::{DeliveryStatus, Timestamp};
use crate::store::at_rest::{Kind, check as rules, codec};
use crate::store::sqlite::fault::Fault;
use crate::store::sqlite::rows::DeliveryRow;
use crate::store::sqlite::sql::offline::check as sql;

impl Checker<'_> {
    pub fn answers(&mut self) -> Result<(), Fault> {
        self.each("answers", "answer", sql::ANSWERS, |checker, row, name| {
            checker.summary.answers += 1;
            let expires_at = Timestamp::from_millis(row.get(3)?);
            checker.problems(name, rules::answer_expiry(expires_at, checker.now));
            let key = row.get_ref(2)?.as_str()?;
            let sealed = row.get_ref(4)?.as_blob()?;
            if let Some(opened) =
                checker.open(Kind::Answer, row.get(1)?, key.as_bytes(), sealed, name)
            {
                checker.problems(name, rules::answer(&codec::record_from(&opened)?));
            }
            Ok(())
        })
    }

    pub fn events(&mut self) -> Result<(), Fault> {
        self.each("events", "event", sql::EVENTS, Self::event)
    }

    fn event(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        self.summary.events += 1;
        let id = row.get_ref(2)?.as_str()?;
        let columns = rules::EventColumns {
            id,
            event_type: row.get_ref(3)?.as_str()?,
            trace_id: row.get_ref(4)?.as_blob()?,
            deliveries: row.get(5)?,
            kept: row.get(6)?,
            remembered: row.get(7)?,
        };
        self.problems(name, rules::event(&columns));
        let sealed = row.get_ref(8)?.as_blob()?;
        if let Some(data) = self.open(Kind::Event, row.get(1)?, id.as_bytes(), sealed, name)
            && !rules::is_event_data(&data)
        {
            return wrong("its data");
        }
        Ok(())
    }

    pub fn deliveries(&mut self) -> Result<(), Fault> {
        let db = self.reader.db;
        let mut statement = db.prepare(sql::KEPT)?;
        let unmade = std::mem::take(&mut self.unmade);
        let mut kept = Kept::new(statement.query([])?, unmade);
        self.each(
            "deliveries",
            "delivery",
            sql::DELIVERIES,
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
                "event {event}: it has {than} deliveries than it counts, by {by}"
            ));
        }
        Ok(())
    }

    fn delivery(&mut self, row: &Row<'_>, name: &str) -> Result<(), Fault> {
        let delivery = DeliveryRow::read(row)?;
        let tenant: i64 = row.get(14)?;
        let endpoint = row.get_ref(17)?.as_blob_or_null()?;
        let facts = rules::DeliveryFacts {
            is_pending: delivery.status() == DeliveryStatus::Pending,
            is_due: row.get::<_, Option<i64>>(7)?.is_some(),
            is_finished: row.get::<_, Option<i64>>(8)?.is_some(),
            tenant,
            has_tenant: self.tenants.contains_key(&tenant),
            event: (delivery.event, row.get(19)?),
            endpoint: (delivery.endpoint, row.get(18)?),
            is_deleted: row.get::<_, Option<i64>>(20)? == Some(tenant),
            is_endpoints_id: endpoint == Some(codec::endpoint_id_bytes(&delivery.endpoint_id)),
        };
        self.problems(name, rules::delivery(&facts));
        Ok(())
    }
}

/// Counts how many deliveries of each event are still to come, by what the events say. Deliveries
/// have the order of their events, so few events are in memory at once, however many there are.
struct Kept<'a> {
    events: Rows<'a>,
    reached: i64,
    left: HashMap<i64, i64>,
    /// How many deliveries are still to be made. The events count them already.
    unmade: HashMap<i64, i64>,
}

impl<'a> Kept<'a> {
    fn new(events: Rows<'a>, unmade: HashMap<i64, i64>) -> Self {
        Self {
            events,
            reached: i64::MIN,
            left: HashMap::new(),
            unmade,
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
        let unmade = self.unmade.get(&self.reached).copied();
        let kept = row.get::<_, i64>(1)? - unmade.unwrap_or_default();
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
