//! Writes events and deliveries, and the results of attempts.

use super::fan_out::{self, Recipients};
use super::fault::Fault;
use super::read::{Heads, Tenant};
use super::transaction::Transaction;
use super::{endpoints, sql};
use crate::domain::data_digest::DataDigest;
use crate::domain::{
    Action, Attempt, Delivery, DeliveryId, DeliveryStatus, EndpointId, Event, Refusal, Timestamp,
    Verdict,
};
use crate::store::at_rest::codec;
use crate::store::at_rest::fields::Fields;
use crate::store::claims::Receiver;
use crate::store::fan_out::FanOut;
use crate::store::quotas::{Usage, bytes_of_event};
use crate::store::repeats::{Digests, KeptEvent, NeedsDigests};
use crate::store::writes::Written;
use crate::store::{Audience, Claimed, CommitError, Publish, Settled, UpdateDelivery};

/// Stores an event with its deliveries, unless it was published before. If there are many, they are
/// made later. Writes nothing if it needs digests.
pub(super) fn publish(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    publish: Publish,
    digests: &Digests,
) -> Result<Result<Written, Box<NeedsDigests>>, CommitError> {
    let recipients = match publish.audience {
        Audience::Subscribers => fan_out::subscribers(tx, tenant, &publish.event_type)?,
        Audience::Endpoint(id) => Recipients::Few(vec![(active_endpoint(tx, tenant, id)?, id)]),
    };
    let now = tx.now();
    if let Some(first) = published(tx, tenant, &publish, now)? {
        return digests.answer_again(publish, first, now);
    }
    let (publish, digest) = match digests.of_new(publish, recipients.len()) {
        Ok(known) => known,
        Err(needs) => return Ok(Err(needs)),
    };
    let data = digest.map_or(publish.data.len(), |_| 0);
    let usage = Usage::of_event(data, recipients.len());
    tx.usages.check(tenant.number, &tx.limits.quotas, usage)?;
    let few: &[_] = match &recipients {
        Recipients::Few(endpoints) => endpoints,
        Recipients::Many(..) => &[],
    };
    let endpoints = few.iter().map(|(_, id)| *id);
    let (fan_out, render) = FanOut::new(publish, endpoints, now).map_err(Fault::from)?;
    let answer = render(&fan_out.published(recipients.len()));
    let event = insert_event(tx, tenant, &fan_out.event, recipients.len(), digest)?;
    tx.usages.change(tenant.number, usage);
    tx.cache.keep_event(event, &fan_out.event);
    for (endpoint, delivery) in few.iter().zip(&fan_out.deliveries) {
        fan_out::insert_delivery(tx, tenant, *endpoint, event, (delivery.id, now))?;
        tx.turns.touch((tenant.number, endpoint.0));
    }
    if let Recipients::Many(audience, members) = recipients {
        let event_type = &fan_out.event.head.event_type;
        fan_out::make_later(tx, tenant, event_type, (event, now), (audience, members))?;
    }
    Ok(Ok(Written {
        at: now,
        action: Some(Action::EventPublished),
        answer,
    }))
}

/// Returns the event that was published with the same id, if its retention has not ended.
fn published(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    publish: &Publish,
    now: Timestamp,
) -> Result<Option<(KeptEvent, usize)>, Fault> {
    let since = now.minus(tx.limits.retention).as_millis();
    let number: Option<i64> = tx.reader().row(
        sql::PUBLISHED,
        &[&tenant.number, &publish.id.as_str(), &since],
        |row| Ok(row.get(0)?),
    )?;
    match number {
        Some(number) => tx.reader().kept(&tenant.id, number),
        None => Ok(None),
    }
}

/// Returns the number of an endpoint, if it exists and is active.
fn active_endpoint(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    id: EndpointId,
) -> Result<i64, CommitError> {
    let id = codec::endpoint_id_bytes(&id);
    let found: Option<(i64, bool)> =
        tx.reader()
            .row(sql::ENDPOINT_NUMBER, &[&tenant.number, &id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
    match found {
        Some((number, true)) => Ok(number),
        Some((_, false)) => Err(Refusal::EndpointDisabled.into()),
        None => Err(CommitError::NotFound),
    }
}

/// Stores an event, or only the digest of its data.
fn insert_event(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    event: &Event,
    deliveries: usize,
    digest: Option<DataDigest>,
) -> Result<i64, Fault> {
    let fields = Fields::of(&tenant.id, tx.keys);
    let head = &event.head;
    let (sealed, data) = match digest {
        Some(digest) => (fields.seal_digest(&head.id, digest)?, 0),
        None => (fields.seal_data(&head.id, &event.data)?, event.data.len()),
    };
    tx.db.prepare_cached(sql::ADD_EVENT)?.execute((
        tenant.number,
        head.id.as_str(),
        &head.event_type,
        head.trace_id.bits().to_be_bytes(),
        head.created_at.as_millis(),
        deliveries,
        sealed,
        bytes_of_event(data),
    ))?;
    Ok(tx.db.last_insert_rowid())
}

fn set_delivery(tx: &Transaction<'_>, number: i64, delivery: &Delivery) -> Result<(), Fault> {
    let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    tx.db.prepare_cached(sql::SET_DELIVERY)?.execute((
        number,
        codec::status_to_number(delivery.status),
        millis(delivery.next_attempt_at),
        millis(delivery.finished_at),
        millis(delivery.scheduled_at),
        delivery.failures,
        delivery.is_last_attempt,
        delivery.is_resend_wanted,
        codec::attempts_to_text(&delivery.attempts)?,
        delivery.first_due_at.as_millis(),
        delivery.failure_reason.map(codec::failure_reason_to_number),
    ))?;
    Ok(())
}

/// Changes a delivery for its tenant.
pub(super) fn update_delivery(
    tx: &mut Transaction<'_>,
    tenant: &Tenant,
    id: DeliveryId,
    decide: &UpdateDelivery,
) -> Result<Written, CommitError> {
    let found = tx.reader().delivery_row(tenant, id)?;
    let row = found.ok_or(CommitError::DeliveryNotFound)?;
    let (number, endpoint, was_pending) = (row.number, row.endpoint, row.was_pending);
    let delivery = tx.reader().delivery(row, &mut Heads::default())?;
    active_endpoint(tx, tenant, delivery.endpoint_id)?;
    let now = tx.now();
    let is_in_flight = tx.turns.held(number).is_some();
    let decided = decide(&delivery, is_in_flight, now)?;
    set_delivery(tx, number, &decided.write)?;
    note_pending(tx, tenant, was_pending, &decided.write);
    tx.turns.note_change(number);
    tx.turns.may_retry.insert((tenant.number, endpoint));
    tx.turns.touch((tenant.number, endpoint));
    Ok(Written {
        at: now,
        action: decided.action,
        answer: decided.answer,
    })
}

/// Settles a claimed delivery: see [`Store::settle`](crate::store::Store::settle).
pub(super) fn settle(
    tx: &mut Transaction<'_>,
    claimed: &Claimed,
    attempt: &Attempt,
    verdict: Verdict,
) -> Result<Settled, CommitError> {
    let id = claimed.delivery.id;
    let Some((number, endpoint)) = tx.turns.holds(id, claimed.hold) else {
        return Ok(Settled::HoldLost);
    };
    let tenant = tx.tenant(&claimed.tenant)?;
    let now = tx.now();
    let Some((current, was_pending)) = claimed_delivery(tx, &tenant, number, claimed)? else {
        // The delivery was deleted by age, so there is nothing to settle. Its slot is still
        // released.
        let ended = Receiver::after(claimed, (attempt, verdict), None, now).ended;
        tx.turns.ended(number, endpoint, ended);
        return Ok(Settled::HoldLost);
    };
    let settled = current.settle(attempt.clone(), verdict, now);
    let found = match verdict {
        Verdict::Gone => tx.endpoint(&tenant, claimed.endpoint.id)?,
        _ => None,
    };
    let current = found.as_ref().map(|(_, endpoint)| endpoint);
    let receiver = Receiver::after(claimed, (attempt, verdict), current, now);
    if let (Some(before), Some(disabled)) = (current, receiver.disabled) {
        endpoints::replace(tx, &tenant, endpoint.1, before, disabled)?;
    }
    set_delivery(tx, number, &settled)?;
    note_pending(tx, &tenant, was_pending, &settled);
    if settled.status == DeliveryStatus::Pending {
        tx.turns.may_retry.insert(endpoint);
    }
    tx.turns.ended(number, endpoint, receiver.ended);
    Ok(Settled::Recorded)
}

/// Counts a delivery that is no longer pending, or is again.
fn note_pending(tx: &mut Transaction<'_>, tenant: &Tenant, was_pending: bool, delivery: &Delivery) {
    let is_pending = delivery.status == DeliveryStatus::Pending;
    let more = i64::from(is_pending) - i64::from(was_pending);
    tx.usages.change(tenant.number, Usage::pending(more));
}

/// Returns a claimed delivery as it is now, and whether its row says that it is pending. The row is
/// read only if something may have changed it since the claim.
fn claimed_delivery(
    tx: &Transaction<'_>,
    tenant: &Tenant,
    number: i64,
    claimed: &Claimed,
) -> Result<Option<(Delivery, bool)>, Fault> {
    if tx.turns.is_as_claimed(number) {
        return Ok(Some((claimed.delivery.clone(), true)));
    }
    let Some(row) = tx.reader().delivery_row(tenant, claimed.delivery.id)? else {
        return Ok(None);
    };
    let was_pending = row.was_pending;
    let delivery = tx.reader().delivery(row, &mut Heads::default())?;
    Ok(Some((delivery, was_pending)))
}

/// Stores how far the test clock is ahead, in milliseconds.
pub(super) fn keep_clock_advance(tx: &Transaction<'_>, millis: i64) -> Result<(), Fault> {
    tx.db.prepare_cached(sql::SET_CLOCK)?.execute([millis])?;
    Ok(())
}
