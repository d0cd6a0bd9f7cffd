//! Deliveries of endpoints that are disabled or deleted, and for how long what has ended is kept.

use hookturn_test::{Receiver, SUBSCRIPTIONS, id, signers, status};
use serde_json::{Value, json};

use crate::stage::{Stage, attempts, secret};

const DAY: u64 = 86_400;

#[tokio::test]
async fn deliveries_of_a_disabled_endpoint_wait_and_go_on_when_it_is_active_again() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let published = stage.publish("a").await;
    stage.set_status(&endpoint, "disabled").await;
    // A disabled endpoint can be rotated.
    let new = stage.rotate(&endpoint, DAY).await;
    stage.advance(7 * DAY - 1);
    assert_eq!(stage.settle().await, 0);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "pending");
    stage.set_status(&endpoint, "active").await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
    let arrived = receiver.take_one();
    assert_eq!(arrived.header("webhook-id"), id(&published));
    let known = [secret(&endpoint), new.clone()];
    assert_eq!(signers(&arrived, &known), [&new]);
}

#[tokio::test]
async fn deliveries_of_an_inactive_subscription_wait_and_go_on_too() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let subscription = stage.verbex(&receiver, true).await;
    let path = format!("{SUBSCRIPTIONS}/{}", id(&subscription));
    stage.publish("a").await;
    for active in [false, true] {
        let body = json!({
            "name": "n", "url": receiver.url(), "enable_signed_webhooks": true, "active": active,
        });
        stage.put(&path).json(&body).await.expect_json(200);
        assert_eq!(stage.settle().await, usize::from(active));
    }
    let known = [secret(&subscription)];
    assert_eq!(signers(&receiver.take_one(), &known), [&known[0]]);
}

#[tokio::test]
async fn after_7_days_a_delivery_of_a_disabled_endpoint_has_failed() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    stage.set_status(&endpoint, "disabled").await;
    stage.advance(7 * DAY);
    assert_eq!(stage.settle().await, 0);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "failed");
    assert_eq!(delivery["next_attempt_at"], Value::Null);
    assert_eq!(delivery["failure_reason"], "endpoint_disabled");
    stage.set_status(&endpoint, "active").await;
    assert_eq!(stage.settle().await, 0);
    assert_eq!(receiver.count(), 0);
    // It can still be asked for.
    stage.resend(&delivery).await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_delivery_that_is_late_for_want_of_a_worker_is_made_for_84_hours() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    stage.advance(84 * 3600 - 1);
    assert_eq!(stage.settle().await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
    let event = stage.publish("a").await;
    stage.advance(84 * 3600);
    assert_eq!(stage.settle().await, 0);
    let deliveries = stage.deliveries(&endpoint).await;
    assert_eq!(deliveries[0]["event_id"], event["id"]);
    assert_eq!(deliveries[0]["status"], "failed");
    assert_eq!(deliveries[0]["failure_reason"], "time_over");
    assert_eq!(attempts(&deliveries[0]).len(), 0);
}

#[tokio::test]
async fn deliveries_of_a_deleted_endpoint_are_canceled_and_can_be_read_by_their_ids() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    stage.settle().await;
    receiver.always(status(200));
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 1);
    let deliveries = stage.deliveries(&endpoint).await;
    stage.remove(&endpoint).await;
    stage.advance(DAY);
    assert_eq!(stage.settle().await, 0);

    let canceled = stage.delivery(id(&deliveries[1])).await;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(canceled["next_attempt_at"], Value::Null);
    assert_eq!(canceled["webhook_endpoint_id"], endpoint["id"]);
    assert_eq!(attempts(&canceled).len(), 1);
    // What had ended before stays as it was.
    assert_eq!(stage.delivery(id(&deliveries[0])).await, deliveries[0]);
    let list = format!("/webhooks/endpoints/{}/deliveries", id(&endpoint));
    let list = stage.get(&list).await;
    list.problem(404, "not-found", "webhook_endpoint_not_found");
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn what_has_ended_is_kept_for_7_days_and_event_ids_can_be_used_again_then() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let event = json!({ "type": "a", "data": {}, "id": "e1" });
    let other = json!({ "type": "b", "data": {}, "id": "e1" });
    stage.publish_json(&event).await;
    stage.advance(60);
    stage.settle().await;
    let first = stage.only_delivery(&endpoint).await;
    let path = format!("/deliveries/{}", id(&first));

    stage.advance(7 * DAY - 61);
    stage.settle().await;
    let reused = stage.post("/events").json(&other).await;
    reused.problem(422, "unprocessable", "event_id_reused");
    // The event's time is over; the delivery ended a minute later, and has that minute more.
    stage.advance(1);
    stage.publish_json(&other).await;
    assert_eq!(stage.settle().await, 1);
    stage.get(&path).await.expect_json(200);
    stage.advance(60);
    stage.settle().await;
    let gone = stage.get(&path).await;
    gone.problem(404, "not-found", "delivery_not_found");
    let left = stage.only_delivery(&endpoint).await;
    assert_eq!(left["event_type"], "b");
    // The sweep of the first event spared the id's second use.
    let reused = stage.post("/events").json(&event).await;
    reused.problem(422, "unprocessable", "event_id_reused");
}
