//! Handing out what is due, with all that an attempt needs as it is in that instant.
//!
//! The writer does it between two commits, so that nothing can change while it reads: what signs a delivery is what the
//! last commit left.

use std::collections::{HashMap, VecDeque};

use super::fault::{Fault, damaged};
use super::sql;
use super::view::Events;
use super::writer::Writer;
use crate::domain::{Delivery, Endpoint, TenantId, Timestamp};
use crate::store::queues::Passed;
use crate::store::{Claimed, Claims};

/// How many deliveries of one endpoint are looked up at once.
const LOOK_AHEAD: usize = 8;

/// What one claim has read already.
#[derive(Default)]
struct Known {
    /// What waits for an endpoint, the earliest first.
    waiting: HashMap<i64, VecDeque<(Timestamp, i64)>>,
    endpoints: HashMap<i64, Endpoint>,
    events: Events,
}

impl Writer {
    /// See [`Store::claim`](crate::store::Store::claim).
    pub fn claim(&mut self, most: usize) -> Result<Claims, Fault> {
        let now = self.clock.now();
        let is_more_to_sweep = self.sweep(now);
        let mut claims = Claims::default();
        let mut known = Known::default();
        let mut passed = Passed::default();
        while claims.claimed.len() < most
            && let Some(endpoint) = self.turns.queues.next(now, &mut passed)
        {
            let room = most - claims.claimed.len();
            if let Err(error) = self.take(endpoint, room, &mut known, &mut claims) {
                if claims.claimed.is_empty() {
                    return Err(error);
                }
                // What was taken by then is held, so its attempts are made; the next claim tells of the fault.
                claims.next_due = Some(now);
                return Ok(claims);
            }
        }
        claims.next_due = if is_more_to_sweep || claims.claimed.len() == most {
            Some(now)
        } else {
            let deadline = self.turns.deadlines.first().map(|(at, _)| *at);
            let deadline = deadline.filter(|_| !self.is_sweep_stuck);
            let due = self.turns.queues.next_due(now);
            [due, deadline, self.next_sweep].into_iter().flatten().min()
        };
        Ok(claims)
    }

    /// Hands out the first delivery of an endpoint whose turn it is.
    fn take(
        &mut self,
        endpoint: i64,
        most: usize,
        known: &mut Known,
        claims: &mut Claims,
    ) -> Result<(), Fault> {
        let waiting = match known.waiting.remove(&endpoint) {
            Some(waiting) if !waiting.is_empty() => Ok(waiting),
            // One more than is taken, to know what comes next. Few at a time: most claims find room for one or two.
            _ => self
                .waiting(endpoint, most.min(LOOK_AHEAD) + 1)
                .map(Into::into),
        };
        let mut waiting: VecDeque<_> = waiting.inspect_err(|fault| {
            if !fault.is_passing() {
                // Or its turn would come again and again, and nobody else's.
                self.turns.waits(endpoint, None);
            }
        })?;
        let Some((_, number)) = waiting.pop_front() else {
            self.turns.waits(endpoint, None);
            return Ok(());
        };
        match self.read_claimed(number, endpoint, known) {
            Ok((tenant, delivery, of)) => {
                let turn = self.turns.queues.take(&endpoint);
                self.turns
                    .hold(number, endpoint, delivery.event.clone(), turn);
                claims.claimed.push(Claimed {
                    tenant,
                    delivery,
                    endpoint: of,
                    at: self.clock.now(),
                });
            }
            Err(fault) if fault.is_passing() => return Err(fault),
            Err(error) => {
                tracing::error!(%error, number, "a delivery cannot be read, and waits until the next start");
                self.turns.unreadable.insert(number);
            }
        }
        let next = match waiting.front() {
            Some(next) => Some(*next),
            None => self.waiting(endpoint, 1)?.pop(),
        };
        self.turns.waits(endpoint, next);
        known.waiting.insert(endpoint, waiting);
        Ok(())
    }

    fn read_claimed(
        &mut self,
        number: i64,
        endpoint: i64,
        known: &mut Known,
    ) -> Result<(TenantId, Delivery, Endpoint), Fault> {
        let found = self
            .view()
            .row(sql::DELIVERY_OF_NUMBER, &[&number], |row| {
                Ok((super::rows::DeliveryRow::read(row)?, row.get(14)?))
            })?;
        let (row, tenant) = found.ok_or_else(|| damaged("a delivery"))?;
        let tenant = self.tenant_of_number(tenant)?.id;
        let endpoint = if let Some(known) = known.endpoints.get(&endpoint) {
            known.clone()
        } else {
            let read = self.view().endpoint_of_number(&tenant, endpoint)?;
            let read = read.ok_or_else(|| damaged("the endpoint of a delivery"))?;
            known.endpoints.insert(row.endpoint, read.clone());
            read
        };
        let delivery = self.view().delivery(&tenant, row, &mut known.events)?;
        Ok((tenant, delivery, endpoint))
    }
}
