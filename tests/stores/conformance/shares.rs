//! What one tenant does is done in small steps, and is limited.

use std::collections::BTreeSet;
use std::time::Duration;

use hookturn::clock::Clock as _;
use hookturn::domain::retry::LONGEST;
use hookturn::domain::{DeliveryStatus, EndpointId, TenantId, Verdict};
use hookturn::store::{Audience, Claims, CommitError, Quota, QuotaExceeded};

use super::deliveries::{
    FAILURE, listed as deliveries, publication, publish, set_active, settle, take,
};
use super::{LIMITS, OF_ONE_TENANT, Stage, creation, update};
use crate::support::{acme, key_use, other, says, settings};

/// More endpoints than get their deliveries with the event.
const MANY: usize = 150;

async fn create_many(stage: &Stage, count: usize) -> Vec<EndpointId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(stage.create().await.id);
    }
    ids
}

/// The events of an endpoint's deliveries with this status.
async fn listed(
    stage: &Stage,
    endpoint: EndpointId,
    status: Option<DeliveryStatus>,
) -> BTreeSet<String> {
    let listed = deliveries(stage, endpoint, status).await;
    let events = listed.iter().map(|delivery| delivery.event.id.as_str());
    events.map(str::to_owned).collect()
}

/// Makes all attempts that are due, successfully. Returns their endpoints in order.
async fn deliver_all(stage: &Stage) -> Vec<EndpointId> {
    let mut attempted = Vec::new();
    loop {
        let Claims { claimed, next_due } = take(stage, 64).await;
        for claimed in &claimed {
            settle(stage, claimed, Verdict::Success).await;
            attempted.push(claimed.endpoint.id);
        }
        if claimed.is_empty() && next_due.is_none_or(|at| at > stage.clock.now()) {
            return attempted;
        }
    }
}

pub(super) async fn an_event_for_many_endpoints_reaches_each_of_them_once(stage: Stage) {
    let ids = create_many(&stage, MANY).await;
    for event in ["e1", "e2"] {
        let published = publish(&stage, event).await;
        assert_eq!(published.answer, says(format!("a.b {MANY}")));
    }
    let again = publish(&stage, "e1").await;
    assert_eq!(again.answer, says(format!("a.b {MANY}")));
    let mut attempted = deliver_all(&stage).await;
    attempted.sort_unstable();
    let mut twice: Vec<_> = ids.iter().chain(&ids).copied().collect();
    twice.sort_unstable();
    assert_eq!(attempted, twice);
    for id in ids {
        let events: BTreeSet<_> = listed(&stage, id, Some(DeliveryStatus::Succeeded)).await;
        assert_eq!(events, BTreeSet::from(["e1".to_owned(), "e2".to_owned()]));
    }
}

pub(super) async fn who_gets_an_event_is_decided_when_it_is_published(stage: Stage) {
    let ids = create_many(&stage, MANY).await;
    publish(&stage, "e1").await;
    let later = stage.create().await.id;
    let (deleted, disabled, unsubscribed) = (ids[MANY - 1], ids[MANY - 2], ids[MANY - 3]);
    stage.delete(deleted).await.expect("it exists");
    set_active(&stage, disabled, false).await;
    let write = update(unsubscribed, |endpoint, _| {
        let mut changed = endpoint.clone();
        let settings = std::sync::Arc::make_mut(&mut changed.settings);
        settings.events = Box::new(["other".parse().expect("a pattern")]);
        Ok((hookturn::store::Change::Replace(changed), says("set")))
    });
    let set = stage.store.commit(acme(), None, write).await;
    set.expect("it exists");

    let attempted: BTreeSet<_> = deliver_all(&stage).await.into_iter().collect();
    assert_eq!(attempted.len(), MANY - 2);
    assert!(attempted.contains(&unsubscribed));
    for missed in [later, deleted, disabled] {
        assert!(!attempted.contains(&missed));
    }
    // The next event goes to those who subscribe now.
    let published = publish(&stage, "e2").await;
    assert_eq!(published.answer, says(format!("a.b {}", MANY - 2)));
    set_active(&stage, disabled, true).await;
    let attempted = deliver_all(&stage).await;
    let of_disabled = attempted.iter().filter(|id| **id == disabled).count();
    assert_eq!((attempted.len(), of_disabled), (MANY - 2 + 1, 1));
}

pub(super) async fn an_event_for_many_endpoints_leaves_room_for_other_tenants(stage: Stage) {
    create_many(&stage, MANY).await;
    let theirs = stage.create_for(other(), None).await.expect("created").id;
    for event in 0..10 {
        publish(&stage, &format!("e{event}")).await;
    }
    let write = publication("e1", "{}", Audience::Endpoint(theirs));
    let published = stage.store.commit(other(), None, write).await;
    published.expect("nothing is in the way");
    // Their event is attempted although 1,500 deliveries were to be made before.
    for _ in 0..3 {
        for claimed in take(&stage, 4).await.claimed {
            settle(&stage, &claimed, Verdict::Success).await;
            if claimed.tenant == *other() {
                return;
            }
        }
    }
    panic!("the other tenant waits");
}

pub(super) async fn a_tenant_with_slow_receivers_leaves_room_for_other_tenants(stage: Stage) {
    create_many(&stage, 3 * LIMITS.in_flight).await;
    publish(&stage, "e1").await;
    // None of these ends.
    let slow = take(&stage, 100).await.claimed;
    assert_eq!(slow.len(), OF_ONE_TENANT);
    let theirs = stage.create_for(other(), None).await.expect("created").id;
    for event in 0..3 {
        stage.advance(Duration::from_secs(2));
        let id = format!("e{event}");
        let write = publication(&id, "{}", Audience::Endpoint(theirs));
        let published = stage.store.commit(other(), None, write).await;
        published.expect("nothing is in the way");
        let claimed = take(&stage, 100).await.claimed;
        assert_eq!((claimed.len(), &claimed[0].tenant), (1, other()));
        settle(&stage, &claimed[0], Verdict::Success).await;
    }
}

pub(super) async fn a_deletion_cancels_whatever_is_pending_from_that_instant(stage: Stage) {
    let id = stage.create().await.id;
    for event in 0..MANY {
        publish(&stage, &format!("e{event}")).await;
    }
    let under_way = take(&stage, 1).await.claimed.pop().expect("it is due");
    let deleted_at = stage.clock.now();
    stage.delete(id).await.expect("it exists");
    stage.advance(Duration::from_millis(5));
    for round in 0..5 {
        let canceled =
            stage
                .store
                .deliveries(acme(), id, Some(DeliveryStatus::Canceled), None, MANY);
        let canceled = canceled.await.expect("the store works").expect("no cursor");
        assert_eq!(
            (canceled.items.len(), canceled.has_more),
            (MANY, false),
            "{round}"
        );
        for delivery in &canceled.items {
            assert_eq!(delivery.finished_at, Some(deleted_at));
            assert_eq!(delivery.next_attempt_at, None);
            let alone = stage.store.delivery(acme(), delivery.id).await;
            assert_eq!(alone.expect("the store works").as_ref(), Some(delivery));
        }
        let pending = listed(&stage, id, Some(DeliveryStatus::Pending)).await;
        assert_eq!(pending, BTreeSet::new());
        let claims = take(&stage, 10).await;
        assert!(claims.claimed.is_empty());
    }
    // An attempt that was under way is recorded, and the delivery stays canceled.
    settle(&stage, &under_way, Verdict::Success).await;
    let read = stage.store.delivery(acme(), under_way.delivery.id).await;
    let read = read.expect("the store works").expect("it is kept");
    assert_eq!(read.status, DeliveryStatus::Canceled);
    assert_eq!(read.attempts.len(), 1);
}

pub(super) async fn an_event_for_many_endpoints_does_not_make_a_failing_one_healthy(stage: Stage) {
    let ids = create_many(&stage, MANY).await;
    let attempt_all = async || {
        let mut of_failing = Vec::new();
        loop {
            let Claims { claimed, next_due } = take(&stage, 64).await;
            let is_over = claimed.is_empty() && next_due.is_none_or(|at| at > stage.clock.now());
            for claimed in claimed {
                if claimed.endpoint.id == ids[0] {
                    of_failing.push(claimed);
                } else {
                    settle(&stage, &claimed, Verdict::Success).await;
                }
            }
            if is_over {
                return of_failing;
            }
        }
    };
    publish(&stage, "e0").await;
    for failed in attempt_all().await {
        settle(&stage, &failed, FAILURE).await;
    }
    for event in 1..4 {
        publish(&stage, &format!("e{event}")).await;
    }
    // It gets one attempt at a time until one succeeds.
    assert_eq!(attempt_all().await.len(), 1);
}

pub(super) async fn what_is_deleted_is_canceled_however_old_it_is(stage: Stage) {
    let id = stage.create().await.id;
    for event in 0..MANY {
        publish(&stage, &format!("e{event}")).await;
    }
    stage.delete(id).await.expect("it exists");
    // They would have failed by now, and none is canceled yet.
    stage.advance(LONGEST + Duration::from_secs(3600));
    for _ in 0..5 {
        while stage.store.sweep().await.expect("the store works") <= stage.clock.now() {}
        let failed = listed(&stage, id, Some(DeliveryStatus::Failed)).await;
        assert_eq!(failed, BTreeSet::new());
        let canceled = listed(&stage, id, Some(DeliveryStatus::Canceled)).await;
        assert_eq!(canceled.len(), MANY);
        take(&stage, 10).await;
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, CommitError>) -> QuotaExceeded {
    match result {
        Err(CommitError::QuotaExceeded(exceeded)) => exceeded,
        other => panic!("not refused: {other:?}"),
    }
}

pub(super) async fn a_tenant_has_at_most_as_many_endpoints_as_its_quota(stage: Stage) {
    let limit = LIMITS.quotas.endpoints.expect("a quota");
    let ids = create_many(&stage, usize::try_from(limit).expect("small")).await;
    let one_more = async |tenant: &TenantId| {
        let (_, write) = creation(settings(None));
        stage.store.commit(tenant, None, write).await
    };
    let exceeded = QuotaExceeded {
        quota: Quota::Endpoints,
        limit,
    };
    assert_eq!(refused(one_more(acme()).await), exceeded);
    one_more(other()).await.expect("another tenant's quota");
    stage.delete(ids[0]).await.expect("it exists");
    one_more(acme()).await.expect("there is room");
    assert_eq!(refused(one_more(acme()).await), exceeded);
}

pub(super) async fn pending_deliveries_count_from_their_event_to_their_end(stage: Stage) {
    let limit = LIMITS.quotas.pending_deliveries.expect("a quota");
    let limit = usize::try_from(limit).expect("small");
    let ids = create_many(&stage, MANY).await;
    let publish = async |id: String| {
        let write = publication(&id, "{}", Audience::Subscribers);
        stage.store.commit(acme(), None, write).await
    };
    for event in 0..limit / MANY {
        publish(format!("e{event}")).await.expect("there is room");
    }
    assert_eq!(
        refused(publish("more".to_owned()).await).quota,
        Quota::PendingDeliveries
    );
    // A repetition adds nothing.
    publish("e0".to_owned())
        .await
        .expect("it is the first again");
    assert_eq!(deliver_all(&stage).await.len(), limit / MANY * MANY);
    publish("more".to_owned())
        .await
        .expect("there is room again");
    // What is canceled does not count either, whether it was made or not.
    for event in 1..limit / MANY {
        publish(format!("f{event}")).await.expect("there is room");
    }
    assert_eq!(
        refused(publish("g".to_owned()).await).quota,
        Quota::PendingDeliveries
    );
    for id in ids {
        stage.delete(id).await.expect("it exists");
    }
    assert_eq!(deliver_all(&stage).await, []);
    create_many(&stage, MANY).await;
    for event in 0..limit / MANY {
        publish(format!("h{event}")).await.expect("there is room");
    }
}

pub(super) async fn bytes_of_events_count_until_they_are_forgotten(stage: Stage) {
    let limit = LIMITS.quotas.event_bytes.expect("a quota");
    let data = format!(r#"{{"a":"{}"}}"#, "a".repeat(100_000));
    let id = stage.create().await.id;
    let publish = async |id: String| {
        let write = publication(&id, &data, Audience::Subscribers);
        stage.store.commit(acme(), None, write).await
    };
    let room = limit / (u64::try_from(data.len()).expect("small") + 1024);
    for event in 0..room {
        publish(format!("e{event}")).await.expect("there is room");
    }
    assert_eq!(
        refused(publish("more".to_owned()).await).quota,
        Quota::EventBytes
    );
    deliver_all(&stage).await;
    assert_eq!(
        refused(publish("more".to_owned()).await).quota,
        Quota::EventBytes
    );
    stage.advance(LIMITS.retention + Duration::from_secs(3600));
    take(&stage, 1).await;
    assert_eq!(listed(&stage, id, None).await, BTreeSet::new());
    for event in 0..room {
        publish(format!("f{event}")).await.expect("there is room");
    }
    assert_eq!(
        refused(publish("more".to_owned()).await).quota,
        Quota::EventBytes
    );
}

pub(super) async fn a_tenant_has_at_most_as_many_keys_as_its_quota(stage: Stage) {
    let limit = LIMITS.quotas.idempotency_keys.expect("a quota");
    let id = stage.create().await.id;
    let rotate = async |key: String| {
        let keep = update(id, |_, _| Ok((hookturn::store::Change::Keep, says("kept"))));
        stage
            .store
            .commit(acme(), Some(key_use(&key, "keep")), keep)
            .await
    };
    for key in 0..limit {
        rotate(format!("k{key}")).await.expect("there is room");
    }
    assert_eq!(
        refused(rotate("more".to_owned()).await).quota,
        Quota::IdempotencyKeys
    );
    let replay = rotate("k0".to_owned()).await.expect("it is known");
    assert!(replay.replayed);
    stage.advance(hookturn::idempotency::RETENTION);
    // An expired key may be used again, and counts no more once it is swept.
    rotate("k0".to_owned()).await.expect("it has expired");
    while stage.store.sweep().await.expect("the store works") <= stage.clock.now() {}
    for key in 1..limit {
        rotate(format!("l{key}")).await.expect("there is room");
    }
    assert_eq!(
        refused(rotate("more".to_owned()).await).quota,
        Quota::IdempotencyKeys
    );
}
