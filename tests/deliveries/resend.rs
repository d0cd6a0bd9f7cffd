//! One more attempt of the same delivery, now.

use hookturn_test::{Receiver, id, signers, status};
use serde_json::{Value, json};

use crate::stage::{Stage, attempts, secret};

async fn delivered(code: u16) -> (Stage, Receiver, Value, Value) {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(code)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    stage.settle().await;
    let delivery = stage.only_delivery(&endpoint).await;
    (stage, receiver, endpoint, delivery)
}

#[tokio::test]
async fn a_resent_success_is_sent_again_with_the_same_id_and_todays_secrets() {
    let (stage, receiver, endpoint, delivery) = delivered(200).await;
    assert_eq!(delivery["status"], "succeeded");
    let new = stage.rotate(&endpoint, 0).await;
    stage.advance(60);
    let resent = stage.resend(&delivery).await;
    assert_eq!(resent["id"], delivery["id"]);
    assert_eq!(resent["status"], "pending");
    assert_eq!(resent["next_attempt_at"], hookturn_test::after(60));
    assert_eq!(stage.settle().await, 1);
    let arrived = receiver.take();
    assert_eq!(arrived[0].body, arrived[1].body);
    assert_eq!(
        arrived[0].header("webhook-id"),
        arrived[1].header("webhook-id")
    );
    let known = [secret(&endpoint), new.clone()];
    assert_eq!(signers(&arrived[1], &known), [&new]);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "succeeded");
    assert_eq!(attempts(&delivery).len(), 2);
}

#[tokio::test]
async fn a_resent_delivery_that_had_ended_gets_one_attempt_and_no_retries() {
    let (stage, receiver, endpoint, delivery) = delivered(200).await;
    receiver.always(status(500));
    for round in 2..5 {
        stage.resend(&delivery).await;
        assert_eq!(stage.settle().await, 1);
        let delivery = stage.only_delivery(&endpoint).await;
        assert_eq!(delivery["status"], "failed");
        assert_eq!(delivery["next_attempt_at"], Value::Null);
        assert_eq!(attempts(&delivery).len(), round);
    }
    stage.advance(30 * 3600);
    assert_eq!(stage.settle().await, 0);
    receiver.always(status(204));
    stage.resend(&delivery).await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
}

#[tokio::test]
async fn a_resent_pending_delivery_is_tried_now_and_goes_on_with_its_retries() {
    let (stage, receiver, endpoint, delivery) = delivered(500).await;
    assert_eq!(delivery["status"], "pending");
    stage.resend(&delivery).await;
    assert_eq!(stage.settle().await, 1);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "pending");
    assert_eq!(attempts(&delivery).len(), 2);
    // Asked for twice before it is made, it is still one.
    stage.resend(&delivery).await;
    stage.resend(&delivery).await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(receiver.count(), 3);
    receiver.always(status(200));
    stage.advance(40 * 60);
    assert_eq!(stage.settle().await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
}

#[tokio::test]
async fn resending_a_pending_delivery_often_does_not_use_its_schedule_up() {
    let (stage, receiver, endpoint, delivery) = delivered(500).await;
    for _ in 0..20 {
        stage.resend(&delivery).await;
        assert_eq!(stage.settle().await, 1);
        let after = stage.only_delivery(&endpoint).await;
        assert_eq!(after["status"], "pending");
        assert_eq!(after["next_attempt_at"], delivery["next_attempt_at"]);
    }
    receiver.always(status(200));
    stage.advance(6);
    assert_eq!(stage.settle().await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
}

#[tokio::test]
async fn nothing_is_resent_to_an_endpoint_that_is_disabled_or_deleted() {
    let (stage, receiver, endpoint, delivery) = delivered(200).await;
    let resend = format!("/deliveries/{}/resend", id(&delivery));
    stage.set_status(&endpoint, "disabled").await;
    let refused = stage.post(&resend).await;
    refused.problem(422, "unprocessable", "endpoint_disabled");
    assert_eq!(stage.delivery(id(&delivery)).await, delivery);
    stage.set_status(&endpoint, "active").await;
    stage.publish("a").await;
    let pending = stage.deliveries(&endpoint).await.remove(0);
    stage.remove(&endpoint).await;
    for one in [&delivery, &pending] {
        let resend = format!("/deliveries/{}/resend", id(one));
        let refused = stage.post(&resend).await;
        refused.problem(404, "not-found", "webhook_endpoint_not_found");
    }
    assert_eq!(stage.delivery(id(&pending)).await["status"], "canceled");
    assert_eq!(stage.settle().await, 0);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn an_unknown_delivery_cannot_be_resent() {
    let stage = Stage::start().await;
    for unknown in ["dlv_00000000000000000000000000000000", "x", "dlv_"] {
        let refused = stage.post(&format!("/deliveries/{unknown}/resend")).await;
        refused.problem(404, "not-found", "delivery_not_found");
    }
    let (stage, _, _, delivery) = delivered(200).await;
    let resend = format!("/deliveries/{}/resend", id(&delivery));
    let refused = stage.post(&resend).json(&json!({ "now": true })).await;
    refused.one_field_error("now", "unknown_field");
    stage.post(&resend).json(&json!({})).await.expect_json(202);
}

#[tokio::test]
async fn the_newest_hundred_attempts_are_kept() {
    let (stage, receiver, endpoint, delivery) = delivered(200).await;
    for _ in 0..100 {
        stage.advance(1);
        stage.resend(&delivery).await;
        stage.settle().await;
    }
    assert_eq!(receiver.count(), 101);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(attempts(&delivery).len(), 100);
    assert_eq!(attempts(&delivery)[0]["at"], hookturn_test::after(1));
    assert_eq!(attempts(&delivery)[99]["at"], hookturn_test::after(100));
}
