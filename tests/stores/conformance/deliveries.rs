//! Events and their deliveries: published once, handed out once, and nothing of them lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hookturn::clock::Clock as _;
use hookturn::domain::{
    Attempt, Delivery, DeliveryId, DeliveryStatus, EndpointId, Refusal, TenantId, Verdict,
};
use hookturn::store::{
    Audience, Change, Claimed, Claims, CommitError, Committed, Publish, Settled, Write,
};

use super::{LIMITS, OF_ONE_TENANT, Stage, creation, current, update};
use crate::support::{acme, at_once, decided, key_use, other, says, settings};

/// A failure whose retry is due 5 seconds later, the first time.
pub(super) const FAILURE: Verdict = Verdict::Failure {
    retry_after: None,
    jitter: 0.0,
};

pub(super) fn publication(id: &str, data: &str, audience: Audience) -> Write {
    Write::Publish(Publish {
        id: id.parse().expect("an id"),
        event_type: "a.b".into(),
        data: data.into(),
        trace_id: hookturn::domain::TraceId::EXAMPLE,
        audience,
        answer: Box::new(|published| {
            says(format!(
                "{} {}",
                published.event.event_type, published.deliveries
            ))
        }),
    })
}

pub(super) async fn publish(stage: &Stage, id: &str) -> Committed {
    let write = publication(id, "{}", Audience::Subscribers);
    let published = stage.store.commit(acme(), None, write).await;
    published.expect("nothing is in the way")
}

pub(super) async fn take(stage: &Stage, batch: usize) -> Claims {
    while stage.store.sweep().await.expect("the store works") <= stage.clock.now() {}
    stage.store.claim(batch).await.expect("the store works")
}

/// Ends an attempt that was begun with `claimed`, which still holds its delivery.
pub(super) async fn settle(stage: &Stage, claimed: &Claimed, verdict: Verdict) {
    let settled = try_to_settle(stage, claimed, verdict).await;
    assert_eq!(settled, Settled::Recorded);
}

/// Ends an attempt that was begun with `claimed`.
pub(super) async fn try_to_settle(stage: &Stage, claimed: &Claimed, verdict: Verdict) -> Settled {
    let attempt = Attempt {
        at: claimed.at,
        status_code: None,
        duration_ms: 1,
        error: None,
        signed_by: Box::default(),
    };
    let settled = stage.store.settle(claimed, &attempt, verdict).await;
    settled.expect("the store works")
}

pub(super) async fn listed(
    stage: &Stage,
    endpoint: EndpointId,
    status: Option<DeliveryStatus>,
) -> Vec<Delivery> {
    let page = stage
        .store
        .deliveries(acme(), endpoint, status, None, 10_000);
    page.await
        .expect("the store works")
        .expect("no cursor")
        .items
}

async fn read(stage: &Stage, tenant: &TenantId, id: DeliveryId) -> Option<Delivery> {
    let read = stage.store.delivery(tenant, id).await;
    read.expect("the store works")
}

pub(super) async fn set_active(stage: &Stage, id: EndpointId, active: bool) {
    let write = update(id, move |endpoint, _| {
        let mut changed = endpoint.clone();
        std::sync::Arc::make_mut(&mut changed.settings).active = active;
        Ok((Change::Replace(changed), says("set")))
    });
    let set = stage.store.commit(acme(), None, write).await;
    set.expect("it exists");
}

pub(super) fn resend(id: DeliveryId) -> Write {
    let decide = |delivery: &Delivery, is_in_flight: bool, now| {
        let resent = delivery.resend(now, is_in_flight);
        Ok(decided(resent, says(is_in_flight.to_string())))
    };
    Write::UpdateDelivery(id, Box::new(decide))
}

pub(super) async fn fifty_publications_of_one_event_are_one_event(stage: Stage) {
    let endpoints = [stage.create().await.id, stage.create().await.id];
    let of_task = stage.clone();
    let answers = at_once(50, move |_| {
        let stage = of_task.clone();
        async move { publish(&stage, "e1").await }
    });
    for committed in answers.await {
        assert_eq!(committed.answer, says("a.b 2"));
    }
    for endpoint in endpoints {
        assert_eq!(listed(&stage, endpoint, None).await.len(), 1);
    }
    assert_eq!(take(&stage, 100).await.claimed.len(), 2);
}

pub(super) async fn of_fifty_events_with_one_id_one_is_published(stage: Stage) {
    let endpoint = stage.create().await.id;
    let of_task = stage.clone();
    let outcomes = at_once(50, move |number| {
        let stage = of_task.clone();
        let data = format!("{{\"n\":{number}}}");
        let write = publication("e1", &data, Audience::Subscribers);
        async move { stage.store.commit(acme(), None, write).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 49));
    for refused in lost {
        assert!(matches!(refused, Err(CommitError::EventIdReused)));
    }
    assert_eq!(listed(&stage, endpoint, None).await.len(), 1);
}

pub(super) async fn an_event_is_known_again_by_what_was_written(stage: Stage) {
    let endpoint = stage.create().await.id;
    let publish = async |data| {
        let write = publication("e1", data, Audience::Subscribers);
        stage.store.commit(acme(), None, write).await
    };
    let first = r#"{"from":1000000000000000000001,"to":1000000000000000000002,"s":"\ud800"}"#;
    let again = r#"{"s":"\uD800", "to":1000000000000000000002, "from":1000000000000000000001}"#;
    let other = r#"{"from":1000000000000000000002,"to":1000000000000000000001,"s":"\ud800"}"#;
    let first = publish(first).await.expect("nothing is in the way");
    let again = publish(again).await.expect("it is the same");
    assert_eq!(again.answer, first.answer);
    let refused = publish(other).await;
    assert!(matches!(refused, Err(CommitError::EventIdReused)));
    assert_eq!(listed(&stage, endpoint, None).await.len(), 1);
}

/// Of such an event only a digest is kept.
pub(super) async fn an_event_without_subscribers_is_known_again(stage: Stage) {
    let text = "a".repeat(200_000);
    let publish = async |id: &str, data: &str| {
        let write = publication(id, data, Audience::Subscribers);
        stage.store.commit(acme(), None, write).await
    };
    for id in 0..100 {
        let data = format!(r#"{{"a":"{text}","b":{id}}}"#);
        let first = publish(&format!("e{id}"), &data).await;
        // All of their data would be more than the quota.
        assert_eq!(first.expect("there is room").answer, says("a.b 0"));
    }
    let again = format!(r#"{{ "b":7, "a":"{text}" }}"#);
    let again = publish("e7", &again).await.expect("it is the same");
    assert_eq!(again.answer, says("a.b 0"));
    let other = format!(r#"{{"a":"{text}","b":8}}"#);
    let refused = publish("e7", &other).await;
    assert!(matches!(refused, Err(CommitError::EventIdReused)));
    // It stays without deliveries, whoever subscribes later.
    let endpoint = stage.create().await.id;
    let again = format!(r#"{{"a":"{text}","b":7}}"#);
    let again = publish("e7", &again).await.expect("it is the same");
    assert_eq!(again.answer, says("a.b 0"));
    assert_eq!(listed(&stage, endpoint, None).await.len(), 0);
}

pub(super) async fn an_idempotency_key_publishes_once(stage: Stage) {
    let endpoint = stage.create().await.id;
    for round in 0..3 {
        // Each time under an id of its own, as when none is sent.
        let write = publication(&format!("e{round}"), "{}", Audience::Subscribers);
        let claim = Some(key_use("key", "publish"));
        let published = stage.store.commit(acme(), claim, write).await;
        let published = published.expect("nothing is in the way");
        assert_eq!(published.answer, says("a.b 1"));
        assert_eq!(published.replayed, round > 0);
    }
    assert_eq!(listed(&stage, endpoint, None).await.len(), 1);
}

pub(super) async fn every_delivery_is_handed_out_to_one_claimer_alone(stage: Stage) {
    for _ in 0..5 {
        stage.create().await;
    }
    for number in 0..20 {
        publish(&stage, &format!("e{number}")).await;
    }
    let of_task = stage.clone();
    let taken = at_once(8, move |_| {
        let stage = of_task.clone();
        async move {
            let mut taken = Vec::new();
            let mut idle = 0;
            // What others hold is not due for this one, and they let it go in the end.
            while idle < 200 {
                let claims = take(&stage, 3).await;
                idle = if claims.claimed.is_empty() {
                    idle + 1
                } else {
                    0
                };
                for claimed in claims.claimed {
                    tokio::task::yield_now().await;
                    settle(&stage, &claimed, Verdict::Success).await;
                    taken.push(claimed.delivery.id);
                }
                tokio::task::yield_now().await;
            }
            taken
        }
    });
    let mut taken: Vec<DeliveryId> = taken.await.into_iter().flatten().collect();
    while let Some(claimed) = take(&stage, 1).await.claimed.pop() {
        settle(&stage, &claimed, Verdict::Success).await;
        taken.push(claimed.delivery.id);
    }
    assert_eq!(taken.len(), 100);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 100);
}

pub(super) async fn a_claim_carries_the_endpoint_as_it_is_at_that_instant(stage: Stage) {
    let endpoint = stage.create().await;
    publish(&stage, "e1").await;
    let rotated = stage.rotate(endpoint.id, 60, None).await;
    let rotated = crate::support::Rotated::read(&rotated.expect("rotated").answer);
    stage.advance(Duration::from_secs(61));
    let claims = take(&stage, 1).await;
    let [claimed] = &claims.claimed[..] else {
        panic!("one: {claims:?}");
    };
    assert_eq!(claimed.tenant, *acme());
    assert_eq!(claimed.at, stage.clock.now());
    assert_eq!(claimed.endpoint, stage.endpoint(endpoint.id).await);
    assert_eq!(current(&claimed.endpoint), rotated.current);
    assert_eq!(
        super::live(&claimed.endpoint, claimed.at),
        [rotated.current]
    );
}

pub(super) async fn no_more_is_handed_out_than_there_is_room_for(stage: Stage) {
    for _ in 0..4 {
        stage.create().await;
    }
    for number in 0..10 {
        publish(&stage, &format!("e{number}")).await;
    }
    let mut held = Vec::new();
    for _ in 0..40 {
        let claims = take(&stage, 100).await;
        held.extend(claims.claimed);
        let mut of_each: BTreeMap<EndpointId, usize> = BTreeMap::new();
        for claimed in &held {
            *of_each.entry(claimed.endpoint.id).or_default() += 1;
        }
        assert!(held.len() <= LIMITS.in_flight);
        assert!(
            of_each
                .values()
                .all(|count| *count <= LIMITS.in_flight_per_endpoint)
        );
        // Everybody has one before anybody has many.
        assert!(of_each.len() == 4 || held.len() < LIMITS.in_flight / 2);
        // What has no room is not a time to wait for.
        assert!(claims.next_due.is_none_or(|at| at > stage.clock.now()));
        settle(&stage, &held.remove(0), Verdict::Success).await;
    }
    assert!(held.is_empty() && take(&stage, 1).await.claimed.is_empty());
}

pub(super) async fn failing_endpoints_get_one_attempt_each_and_half_of_the_room(stage: Stage) {
    for _ in 0..OF_ONE_TENANT {
        stage.create().await;
    }
    publish(&stage, "e1").await;
    let claims = take(&stage, 100).await;
    assert_eq!(claims.claimed.len(), OF_ONE_TENANT);
    for claimed in &claims.claimed {
        settle(&stage, claimed, FAILURE).await;
    }
    publish(&stage, "e2").await;
    let held = take(&stage, 100).await.claimed;
    assert_eq!(held.len(), LIMITS.in_flight / 2);
    let endpoints: BTreeSet<_> = held.iter().map(|claimed| claimed.endpoint.id).collect();
    assert_eq!(endpoints.len(), held.len());
    // One that is new has the other half at its disposal.
    let well = stage.create().await.id;
    publish(&stage, "e3").await;
    let claims = take(&stage, 100).await;
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(claims.claimed[0].endpoint.id, well);
    // One that is well again is no longer among the failing ones.
    settle(&stage, &held[0], Verdict::Success).await;
    let again = take(&stage, 1).await.claimed;
    assert_eq!(again.len(), 1);
}

pub(super) async fn nothing_is_handed_out_of_an_endpoint_that_is_disabled_or_deleted(stage: Stage) {
    let [off, gone] = [stage.create().await.id, stage.create().await.id];
    publish(&stage, "e1").await;
    set_active(&stage, off, false).await;
    stage.delete(gone).await.expect("it exists");
    assert!(take(&stage, 10).await.claimed.is_empty());
    let canceled = listed(&stage, gone, Some(DeliveryStatus::Canceled)).await;
    assert_eq!(canceled.len(), 1);
    assert_eq!(
        read(&stage, acme(), canceled[0].id).await.as_ref(),
        Some(&canceled[0])
    );
    publish(&stage, "e2").await;
    assert_eq!(listed(&stage, off, None).await.len(), 1);
    set_active(&stage, off, true).await;
    let claims = take(&stage, 10).await;
    assert_eq!(claims.claimed.len(), 1);
    // A receiver that is gone disables its endpoint in the step that settles.
    settle(&stage, &claims.claimed[0], Verdict::Gone).await;
    assert!(!stage.endpoint(off).await.settings.active);
    assert_eq!(publish(&stage, "e3").await.answer, says("a.b 0"));
}

pub(super) async fn what_is_forgotten_under_way_gives_its_place_back(stage: Stage) {
    for round in 0..4 {
        let ids = [
            stage.create().await.id,
            stage.create().await.id,
            stage.create().await.id,
        ];
        for number in 0..3 {
            publish(&stage, &format!("e{round}{number}")).await;
        }
        let held = take(&stage, 10).await.claimed;
        assert!(held.len() >= 3, "there is room");
        for id in ids {
            stage.delete(id).await.expect("it exists");
        }
        // Longer than what has ended is kept, and than any attempt takes, unless the clock was set.
        stage.advance(LIMITS.retention * 2);
        assert!(take(&stage, 10).await.claimed.is_empty());
        for claimed in &held {
            // Whether the attempt can still be read is not what matters here.
            let _ = try_to_settle(&stage, claimed, Verdict::Success).await;
        }
    }
}

pub(super) async fn a_change_of_a_delivery_knows_whether_it_is_under_way(stage: Stage) {
    let endpoint = stage.create().await.id;
    publish(&stage, "e1").await;
    let id = listed(&stage, endpoint, None).await[0].id;
    let commit = async |write| stage.store.commit(acme(), None, write).await;
    let resent = commit(resend(id)).await.expect("it is there");
    assert_eq!(resent.answer, says("false"));
    let claims = take(&stage, 1).await;
    let resent = commit(resend(id)).await.expect("it is there");
    assert_eq!(resent.answer, says("true"));
    assert!(take(&stage, 1).await.claimed.is_empty());
    settle(&stage, &claims.claimed[0], Verdict::Success).await;
    let claims = take(&stage, 1).await;
    assert_eq!(claims.claimed.len(), 1);
    settle(&stage, &claims.claimed[0], Verdict::Success).await;
    let before = read(&stage, acme(), id).await;

    let refusal = Write::UpdateDelivery(id, Box::new(|_, _, _| Err(Refusal::EndpointDisabled)));
    let refused = commit(refusal).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))));
    set_active(&stage, endpoint, false).await;
    let refused = commit(resend(id)).await;
    assert!(matches!(
        refused,
        Err(CommitError::Refused(Refusal::EndpointDisabled))
    ));
    stage.delete(endpoint).await.expect("it exists");
    let refused = commit(resend(id)).await;
    assert!(matches!(refused, Err(CommitError::NotFound)));
    let nobodys = hookturn::random::delivery_id(stage.clock.now()).expect("randomness");
    let refused = commit(resend(nobodys)).await;
    assert!(matches!(refused, Err(CommitError::DeliveryNotFound)));
    assert_eq!(read(&stage, acme(), id).await, before);
    assert!(take(&stage, 1).await.claimed.is_empty());
}

pub(super) async fn an_attempt_that_ends_late_settles_nothing(stage: Stage) {
    let endpoint = stage.create().await.id;
    publish(&stage, "e1").await;
    let first = take(&stage, 1).await.claimed.remove(0);
    settle(&stage, &first, FAILURE).await;
    let after_first = read(&stage, acme(), first.delivery.id).await;
    // Once more, as after a failure that came when all was written.
    let again = try_to_settle(&stage, &first, FAILURE).await;
    assert_eq!(again, Settled::HoldLost);
    assert_eq!(read(&stage, acme(), first.delivery.id).await, after_first);

    // And while the next attempt is under way.
    stage.advance(Duration::from_secs(5));
    let second = take(&stage, 1).await.claimed.remove(0);
    assert_ne!(second.hold, first.hold);
    let late = try_to_settle(&stage, &first, Verdict::Success).await;
    assert_eq!(late, Settled::HoldLost);
    assert_eq!(read(&stage, acme(), first.delivery.id).await, after_first);
    assert!(take(&stage, 1).await.claimed.is_empty(), "it is held");
    settle(&stage, &second, Verdict::Success).await;
    let ended = listed(&stage, endpoint, Some(DeliveryStatus::Succeeded)).await;
    assert_eq!(ended[0].attempts.len(), 2);
}

pub(super) async fn a_late_410_disables_nothing(stage: Stage) {
    let endpoint = stage.create().await.id;
    publish(&stage, "e1").await;
    let claimed = take(&stage, 1).await.claimed.remove(0);
    settle(&stage, &claimed, Verdict::Success).await;
    let late = try_to_settle(&stage, &claimed, Verdict::Gone).await;
    assert_eq!(late, Settled::HoldLost);
    assert!(stage.endpoint(endpoint).await.settings.active);

    // One that comes in time says nothing against the URL that the endpoint was moved to meanwhile.
    publish(&stage, "e2").await;
    let claimed = take(&stage, 1).await.claimed.remove(0);
    let moved = update(endpoint, |endpoint, _| {
        let mut moved = endpoint.clone();
        std::sync::Arc::make_mut(&mut moved.settings).url = "https://example.com/new".into();
        Ok((Change::Replace(moved), says("moved")))
    });
    let moved = stage.store.commit(acme(), None, moved).await;
    moved.expect("it exists");
    settle(&stage, &claimed, Verdict::Gone).await;
    assert!(stage.endpoint(endpoint).await.settings.active);
}

pub(super) async fn deliveries_and_event_ids_are_each_tenants_own(stage: Stage) {
    let endpoint = stage.create().await.id;
    publish(&stage, "e1").await;
    let id = listed(&stage, endpoint, None).await[0].id;
    assert_eq!(read(&stage, other(), id).await, None);
    let refused = stage.store.commit(other(), None, resend(id)).await;
    assert!(matches!(refused, Err(CommitError::DeliveryNotFound)));
    let to_theirs = publication("e2", "{}", Audience::Endpoint(endpoint));
    let refused = stage.store.commit(other(), None, to_theirs).await;
    assert!(matches!(refused, Err(CommitError::NotFound)));
    let same_id = publication("e1", "{\"other\":1}", Audience::Subscribers);
    let published = stage.store.commit(other(), None, same_id).await;
    assert_eq!(published.expect("its own").answer, says("a.b 0"));
    let page = stage.store.deliveries(other(), endpoint, None, None, 10);
    let page = page.await.expect("the store works").expect("no cursor");
    assert!(page.items.is_empty());
    let cursor = stage
        .store
        .deliveries(other(), endpoint, None, Some(id), 10);
    assert_eq!(cursor.await.expect("the store works"), None);
}

pub(super) async fn an_endpoint_that_is_deleted_once_it_is_listed_gets_no_event(stage: Stage) {
    let of_task = stage.clone();
    at_once(8, move |number| {
        let stage = of_task.clone();
        async move {
            for _ in 0..100 {
                if number % 2 == 0 {
                    let (_, write) = creation(settings(None));
                    let created = stage.store.commit(acme(), None, write).await;
                    created.expect("nothing is in the way");
                    continue;
                }
                let page = stage.store.endpoints(acme(), None, 2).await;
                let page = page.expect("the store works").expect("no cursor");
                for endpoint in page.items {
                    // Another task may have been faster.
                    let _ = stage.delete(endpoint.id).await;
                }
            }
        }
    })
    .await;
    let page = stage.store.endpoints(acme(), None, 1000).await;
    let left = page.expect("the store works").expect("no cursor").items;
    let published = publish(&stage, "e1").await;
    assert_eq!(published.answer, says(format!("a.b {}", left.len())));
}
