//! Handing out what is due, with all that an attempt needs as it is in that instant.
//!
//! The writer does it between two commits, so that nothing can change while it reads: what signs a delivery is what the
//! last commit left.

use std::collections::{HashMap, VecDeque};

use super::fault::{Fault, damaged};
use super::rows::DeliveryRow;
use super::sql;
use super::view::Events;
use super::writer::Writer;
use crate::domain::{Delivery, Endpoint, TenantId, Timestamp};
use crate::store::queues::Passed;
use crate::store::{Claimed, Claims};

/// How many deliveries of one endpoint are looked up at once.
const LOOK_AHEAD: usize = 8;

/// How many deliveries that cannot be read end a claim, so that the writer gets on with other things in between.
const MOST_UNREADABLE: usize = 64;

/// What one claim has read already.
#[derive(Default)]
struct Known {
    /// What waits for an endpoint, the earliest first.
    waiting: HashMap<i64, VecDeque<(Timestamp, i64)>>,
    endpoints: HashMap<i64, (TenantId, Endpoint)>,
    events: Events,
    /// How many deliveries could not be read.
    unreadable: usize,
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
            && known.unreadable < MOST_UNREADABLE
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
        claims.next_due = if is_more_to_sweep
            || claims.claimed.len() == most
            || known.unreadable == MOST_UNREADABLE
        {
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
        let mut waiting: VecDeque<_> = match waiting {
            Ok(waiting) => waiting,
            Err(fault) => return self.set_aside(endpoint, fault),
        };
        let Some((_, number)) = waiting.pop_front() else {
            self.turns.waits(endpoint, None);
            return Ok(());
        };
        let (tenant, of) = match self.claimed_endpoint(endpoint, known) {
            Ok(read) => read,
            Err(fault) => return self.set_aside(endpoint, fault),
        };
        match self.claimed_delivery(&tenant, number, known) {
            Ok(delivery) => {
                let turn = self.turns.queues.take(&endpoint);
                self.turns.hold(number, endpoint, &delivery, turn);
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
                known.unreadable += 1;
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

    /// Passes an endpoint by that cannot be read, or its turn would come again and again, and nobody else's. Where the
    /// fault may pass, it is the claim's.
    fn set_aside(&mut self, endpoint: i64, fault: Fault) -> Result<(), Fault> {
        if fault.is_passing() {
            return Err(fault);
        }
        tracing::error!(error = %fault, number = endpoint, "an endpoint cannot be read, and its deliveries wait until the next start");
        self.turns.set_aside(endpoint);
        Ok(())
    }

    fn claimed_endpoint(
        &mut self,
        number: i64,
        known: &mut Known,
    ) -> Result<(TenantId, Endpoint), Fault> {
        if let Some(known) = known.endpoints.get(&number) {
            return Ok(known.clone());
        }
        let gone = || damaged("the endpoint of a delivery");
        let tenant: Option<i64> = self
            .view()
            .row(sql::QUEUE, &[&number], |row| Ok(row.get(1)?))?;
        let tenant = self.tenant_of_number(tenant.ok_or_else(gone)?)?.id;
        let read = self.view().endpoint_of_number(&tenant, number)?;
        let read = (tenant, read.ok_or_else(gone)?);
        known.endpoints.insert(number, read.clone());
        Ok(read)
    }

    fn claimed_delivery(
        &mut self,
        tenant: &TenantId,
        number: i64,
        known: &mut Known,
    ) -> Result<Delivery, Fault> {
        let found = self
            .view()
            .row(sql::DELIVERY_OF_NUMBER, &[&number], DeliveryRow::read)?;
        let row = found.ok_or_else(|| damaged("a delivery"))?;
        self.view().delivery(tenant, row, &mut known.events)
    }
}
