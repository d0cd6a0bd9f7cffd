//! When deliveries are attempted again, and when they have failed.

use std::time::Duration;

use hookturn::clock::Clock as _;
use hookturn::domain::delivery::WAIT_WHILE_DISABLED;
use hookturn::domain::retry::LONGEST;
use hookturn::domain::{DeliveryStatus, FailureReason, Verdict};

use super::Stage;
use super::deliveries::{FAILURE, listed, publish, resend, set_active, settle, take};
use crate::support::acme;

pub(super) async fn what_failed_is_due_again_when_its_settling_says(stage: Stage) {
    let endpoint = stage.create().await.id;
    publish(&stage, "e1").await;
    let claims = take(&stage, 1).await;
    assert!(take(&stage, 1).await.claimed.is_empty());
    settle(&stage, &claims.claimed[0], FAILURE).await;
    let due = stage.clock.now().plus(Duration::from_secs(5));
    let pending = listed(&stage, endpoint, Some(DeliveryStatus::Pending)).await;
    assert_eq!(pending[0].next_attempt_at, Some(due));
    assert_eq!(pending[0].attempts.len(), 1);
    let claims = take(&stage, 1).await;
    assert_eq!((claims.claimed.len(), claims.next_due), (0, Some(due)));
    stage.advance(Duration::from_millis(4999));
    assert!(take(&stage, 1).await.claimed.is_empty());
    stage.advance(Duration::from_millis(1));
    let claims = take(&stage, 1).await;
    assert_eq!(claims.claimed[0].delivery, pending[0]);
    settle(&stage, &claims.claimed[0], Verdict::Success).await;
    let ended = listed(&stage, endpoint, Some(DeliveryStatus::Succeeded)).await;
    assert_eq!(ended[0].attempts.len(), 2);
    assert_eq!(ended[0].next_attempt_at, None);
}

pub(super) async fn a_sweep_fails_what_waited_too_long_and_says_when_the_next_is_due(stage: Stage) {
    let endpoint = stage.create().await.id;
    publish(&stage, "e1").await;
    set_active(&stage, endpoint, false).await;
    let deadline = stage.clock.now().plus(WAIT_WHILE_DISABLED);
    let sweep = async || stage.store.sweep().await.expect("the store works");
    let now = stage.clock.now();
    let next = sweep().await;
    assert!(next > now && next <= now.plus(Duration::from_secs(60)));

    let second = Duration::from_secs(1);
    stage.advance(WAIT_WHILE_DISABLED.saturating_sub(second));
    let mut next = sweep().await;
    while next <= stage.clock.now() {
        next = sweep().await;
    }
    assert_eq!(next, deadline);
    let pending = listed(&stage, endpoint, Some(DeliveryStatus::Pending)).await;
    assert_eq!(pending.len(), 1);
    stage.advance(second);
    sweep().await;
    let failed = listed(&stage, endpoint, Some(DeliveryStatus::Failed)).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].finished_at, Some(deadline));
    let reason = failed[0].failure_reason;
    assert_eq!(reason, Some(FailureReason::EndpointDisabled));
}

pub(super) async fn what_waited_long_for_a_disabled_endpoint_is_attempted_once(stage: Stage) {
    let endpoint = stage.create().await.id;
    for event in ["e1", "e2"] {
        publish(&stage, event).await;
    }
    set_active(&stage, endpoint, false).await;
    stage.advance(LONGEST + Duration::from_secs(3600));
    assert!(take(&stage, 10).await.claimed.is_empty());
    set_active(&stage, endpoint, true).await;
    let claimed = take(&stage, 10).await.claimed;
    assert_eq!(claimed.len(), 2);
    settle(&stage, &claimed[0], Verdict::Success).await;
    settle(&stage, &claimed[1], FAILURE).await;
    let succeeded = listed(&stage, endpoint, Some(DeliveryStatus::Succeeded)).await;
    assert_eq!(succeeded.len(), 1);
    let failed = listed(&stage, endpoint, Some(DeliveryStatus::Failed)).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].failure_reason, Some(FailureReason::TimeOver));
    assert_eq!(failed[0].attempts.len(), 1);
}

pub(super) async fn an_attempt_that_was_not_made_is_made_again_and_leaves_no_trace(stage: Stage) {
    let endpoint = stage.create().await.id;
    for event in 0..3 {
        publish(&stage, &format!("e{event}")).await;
    }
    let claimed = take(&stage, 2).await.claimed;
    for claimed in &claimed {
        settle(&stage, claimed, Verdict::NotMade).await;
    }
    for delivery in listed(&stage, endpoint, None).await {
        assert_eq!(delivery.status, DeliveryStatus::Pending);
        assert_eq!((delivery.attempts.len(), delivery.failures), (0, 0));
    }
    // The endpoint is not taken for one that fails, which would get one attempt at a time.
    assert_eq!(take(&stage, 10).await.claimed.len(), 1);
    stage.advance(Duration::from_millis(999));
    assert_eq!(take(&stage, 10).await.claimed.len(), 0);
    stage.advance(Duration::from_millis(1));
    let again = take(&stage, 10).await.claimed;
    assert_eq!(again.len(), 2);
    settle(&stage, &again[0], Verdict::Success).await;
    let delivered = listed(&stage, endpoint, Some(DeliveryStatus::Succeeded)).await;
    assert_eq!(delivered[0].attempts.len(), 1);

    // An attempt that takes until the time is over is the end, made or not.
    stage.advance(LONGEST);
    while stage.store.sweep().await.expect("the store works") <= stage.clock.now() {}
    settle(&stage, &again[1], Verdict::NotMade).await;
    let failed = listed(&stage, endpoint, Some(DeliveryStatus::Failed)).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].failure_reason, Some(FailureReason::TimeOver));
    assert_eq!(failed[0].attempts.len(), 0);
}

/// Of a receiver that gets one attempt at a time.
pub(super) async fn retries_go_before_first_attempts_and_all_ends_in_time(stage: Stage) {
    let endpoint = stage.create().await.id;
    for event in 0..10 {
        publish(&stage, &format!("e{event}")).await;
    }
    let mut attempted = Vec::new();
    for claimed in take(&stage, 1).await.claimed {
        settle(&stage, &claimed, FAILURE).await;
        attempted.push(claimed.delivery.event.id.as_str().to_owned());
    }
    // Its retry is due after 5 seconds, and then goes before those that were never attempted.
    for _ in 0..3 {
        let claimed = take(&stage, 10).await.claimed;
        assert_eq!(claimed.len(), 1);
        stage.advance(Duration::from_secs(5));
        settle(&stage, &claimed[0], FAILURE).await;
        attempted.push(claimed[0].delivery.event.id.as_str().to_owned());
    }
    assert_eq!(attempted, ["e0", "e1", "e0", "e1"]);
    // Ten deliveries, two of which were attempted, have failed when their time is over.
    stage.advance(LONGEST);
    assert_eq!(take(&stage, 10).await.claimed.len(), 0);
    let failed = listed(&stage, endpoint, Some(DeliveryStatus::Failed)).await;
    assert_eq!(failed.len(), 10);
    for delivery in failed {
        assert_eq!(delivery.failure_reason, Some(FailureReason::TimeOver));
    }
}

pub(super) async fn a_delivery_whose_time_is_over_under_way_is_decided_by_its_attempt(
    stage: Stage,
) {
    let endpoint = stage.create().await.id;
    for event in ["e1", "e2"] {
        publish(&stage, event).await;
    }
    let claimed = take(&stage, 2).await.claimed;
    stage.advance(LONGEST);
    take(&stage, 2).await;
    let pending = listed(&stage, endpoint, Some(DeliveryStatus::Pending)).await;
    assert_eq!(pending.len(), 2);
    settle(&stage, &claimed[0], Verdict::Success).await;
    settle(&stage, &claimed[1], FAILURE).await;
    let mut ended = listed(&stage, endpoint, None).await;
    ended.sort_by(|a, b| a.event.id.as_str().cmp(b.event.id.as_str()));
    assert_eq!(ended[0].status, DeliveryStatus::Succeeded);
    assert_eq!(ended[1].failure_reason, Some(FailureReason::TimeOver));
    // A resend begins anew.
    let resent = stage.store.commit(acme(), None, resend(ended[1].id)).await;
    resent.expect("it exists");
    let claimed = take(&stage, 1).await.claimed;
    assert_eq!(claimed[0].delivery.failure_reason, None);
    settle(&stage, &claimed[0], FAILURE).await;
    let failed = listed(&stage, endpoint, Some(DeliveryStatus::Failed)).await;
    assert_eq!(
        failed[0].failure_reason,
        Some(FailureReason::AttemptsExhausted)
    );
}
