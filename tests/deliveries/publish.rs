//! What an event goes to, and that it goes there once.

use hookturn_test::{Answer, GLOBEX, Receiver, SUBSCRIPTIONS, fields, id, status};
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn an_event_goes_to_each_endpoint_that_subscribes_to_its_type_and_to_no_other() {
    let stage = Stage::start().await;
    let cases: [(&[&str], bool); 10] = [
        (&[], true),
        (&["*"], true),
        (&["call.started"], true),
        (&["call.*"], true),
        (&["x.y", "call.*", "call.started", "*"], true),
        (&["call.started.*"], false),
        (&["call"], false),
        (&["Call.started"], false),
        (&["caller.*"], false),
        (&["call.ended", "start.*"], false),
    ];
    let mut receivers = Vec::new();
    for (patterns, wanted) in cases {
        let receiver = Receiver::start().await;
        stage.hook(&receiver, patterns).await;
        receivers.push((patterns, wanted, receiver));
    }
    let verbex = Receiver::start().await;
    stage.verbex(&verbex, true).await;
    let published = stage.publish("call.started").await;
    assert_eq!(published["deliveries"], 6);
    assert_eq!(stage.settle().await, 6);
    for (patterns, wanted, receiver) in receivers {
        assert_eq!(receiver.count(), usize::from(wanted), "{patterns:?}");
    }
    assert_eq!(verbex.take_one().json()["event"], "call.started");
}

#[tokio::test]
async fn a_disabled_endpoint_and_another_tenants_get_nothing() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let disabled = stage.hook(&receiver, &[]).await;
    stage.set_status(&disabled, "disabled").await;
    let body = json!({
        "name": "off", "url": receiver.url(), "enable_signed_webhooks": true, "active": false,
    });
    stage.post(SUBSCRIPTIONS).json(&body).await.expect_json(201);
    let body = json!({ "url": receiver.url() });
    let theirs = stage.post("/webhooks/endpoints").key(GLOBEX).json(&body);
    theirs.await.expect_json(201);
    assert_eq!(stage.publish("a.b").await["deliveries"], 0);
    assert_eq!(stage.settle().await, 0);
    // What was published while it was off does not come when it is on again.
    stage.set_status(&disabled, "active").await;
    assert_eq!(stage.settle().await, 0);
    assert_eq!(stage.publish("a.b").await["deliveries"], 1);
    stage.settle().await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn what_is_subscribed_to_follows_each_change() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &["a.b"]).await;
    let path = format!("/webhooks/endpoints/{}", id(&endpoint));
    for (events, reached) in [(json!(["c.*"]), 0), (json!([]), 1), (json!(["a.*"]), 1)] {
        let change = stage.patch(&path).json(&json!({ "events": events }));
        change.await.expect_json(200);
        assert_eq!(stage.publish("a.b").await["deliveries"], reached);
    }
    stage.remove(&endpoint).await;
    assert_eq!(stage.publish("a.b").await["deliveries"], 0);
}

#[tokio::test]
async fn an_accepted_event_is_answered_with_what_it_is() {
    let stage = Stage::start().await;
    let own = stage
        .publish_json(&json!({ "type": "a", "data": {}, "id": "A_z-9" }))
        .await;
    assert_eq!(
        own,
        json!({
            "id": "A_z-9", "type": "a", "created_at": hookturn_test::after(0), "deliveries": 0,
        })
    );
    let generated = stage.publish("a.b_c.D9").await;
    assert_eq!(
        fields(&generated),
        ["created_at", "deliveries", "id", "type"]
    );
    let digits = id(&generated).strip_prefix("evt_").expect("a prefix");
    assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(stage.publish("a.b_c.D9").await["id"], generated["id"]);
}

#[tokio::test]
async fn an_accepted_event_is_stored_before_it_is_acknowledged() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a.b").await;
    // No worker has run: the delivery is there, and due.
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "pending");
    assert_eq!(delivery["next_attempt_at"], hookturn_test::after(0));
    let claims = stage.store.claim(10).await.expect("the store works");
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(claims.claimed[0].delivery.id.to_string(), id(&delivery));
}

#[tokio::test]
async fn a_repeated_event_is_answered_again_and_not_sent_again() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    stage.hook(&receiver, &[]).await;
    let first = r#"{"type":"a.b","id":"e1","data":{"a":1,"b":[1,{"c":null}]}}"#;
    let answer = stage.post("/events").json_text(first).await;
    let accepted = answer.expect_json(202);
    stage.settle().await;
    stage.advance(1000);
    // Another endpoint since then does not get it either.
    stage.hook(&receiver, &[]).await;
    for again in [
        first,
        "{ \"data\": {\"b\" : [1,{\"c\":null}],\n\"a\":1}, \"id\":\"e1\", \"type\":\"a.b\" }",
    ] {
        let answer = stage.post("/events").json_text(again).await;
        assert_eq!(answer.expect_json(202), accepted);
        assert_eq!(stage.settle().await, 0);
    }
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn an_event_id_cannot_be_used_for_another_event() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    stage.hook(&receiver, &[]).await;
    stage
        .publish_json(&json!({ "type": "a.b", "data": { "n": 1 }, "id": "e1" }))
        .await;
    for other in [
        json!({ "type": "a.c", "data": { "n": 1 }, "id": "e1" }),
        json!({ "type": "a.b", "data": { "n": 2 }, "id": "e1" }),
        json!({ "type": "a.b", "data": { "n": "1" }, "id": "e1" }),
        json!({ "type": "a.b", "data": {}, "id": "e1" }),
        json!({ "type": "a.b", "data": { "n": 1, "m": 1 }, "id": "e1" }),
    ] {
        let answer = stage.post("/events").json(&other).await;
        answer.problem(422, "unprocessable", "event_id_reused");
    }
    assert_eq!(stage.settle().await, 1);
    // Ids are each tenant's own.
    let theirs = json!({ "type": "x", "data": {}, "id": "e1" });
    let theirs = stage.post("/events").key(GLOBEX).json(&theirs).await;
    assert_eq!(theirs.expect_json(202)["deliveries"], 0);
}

/// Publishes both under one id.
async fn publish_twice(first: &str, second: &str) -> (Answer, Answer) {
    let stage = Stage::start().await;
    let event = |data| format!(r#"{{"type":"a","id":"e1","data":{data}}}"#);
    let first = stage.post("/events").json_text(event(first)).await;
    let second = stage.post("/events").json_text(event(second)).await;
    first.expect_json(202);
    (first, second)
}

#[tokio::test]
async fn data_that_was_written_otherwise_is_another_event() {
    for (first, second) in [
        (
            r#"{"n":10000000000000000000001}"#,
            r#"{"n":10000000000000000000002}"#,
        ),
        (
            r#"{"from":1000000000000000000001,"to":1000000000000000000002}"#,
            r#"{"from":1000000000000000000002,"to":1000000000000000000001}"#,
        ),
        (
            r#"{"debit":10000000000000000.01,"credit":10000000000000000.02}"#,
            r#"{"debit":10000000000000000.02,"credit":10000000000000000.01}"#,
        ),
        (r#"{"a":"10","a":"20"}"#, r#"{"a":"99","a":"20"}"#),
        (r#"{"a":"10","a":"20"}"#, r#"{"a":"20","a":"10"}"#),
        (r#"{"a":"10","a":"20"}"#, r#"{"a":"20"}"#),
        (r#"{"a":[{"b":1,"b":2}]}"#, r#"{"a":[{"b":3,"b":2}]}"#),
        (r#"{"x":1e400}"#, r#"{"x":1e401}"#),
        (r#"{"x":1.0}"#, r#"{"x":1}"#),
        (r#"{"x":-0}"#, r#"{"x":0}"#),
        (r#"{"s":"\ud800"}"#, r#"{"s":"\udbff"}"#),
        (r#"{"s":"\ud800"}"#, r#"{"s":"\ufffd"}"#),
    ] {
        let (_, second) = publish_twice(first, second).await;
        second.problem(422, "unprocessable", "event_id_reused");
    }
}

#[tokio::test]
async fn the_same_data_written_otherwise_is_the_same_event() {
    let long = "9".repeat(310);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let cases: [(&str, &str); 8] = [
        (r#"{"x":1e400}"#, r#"{"x": 1e400}"#),
        (r#"{"s":"\ud800"}"#, r#"{ "s":"\ud800"}"#),
        (r#"{"s":"\ud800"}"#, r#"{"s":"\uD800"}"#),
        (r#"{"a":1,"b":[true,null]}"#, r#"{"b":[true, null],"a":1}"#),
        (r#"{"a":"1","b":0,"a":"2"}"#, r#"{"a":"1","a":"2","b":0}"#),
        (r#"{"A":"\u00e9\/"}"#, r#"{"\u0041":"é/"}"#),
        (
            &format!(r#"{{"n":{long},"m":-{long}}}"#),
            &format!(r#"{{"m":-{long}, "n":{long}}}"#),
        ),
        (
            &format!(r#"{{"n":{deep}}}"#),
            &format!(r#"{{"n": {deep}}}"#),
        ),
    ];
    for (first, second) in cases {
        let (first, second) = publish_twice(first, second).await;
        assert_eq!(second.expect_json(202), first.json());
    }
}

#[tokio::test]
async fn an_idempotency_key_makes_one_event_one_test_and_one_resend() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let event = json!({ "type": "a", "data": {} });
    let test = format!("/webhooks/endpoints/{}/test", id(&endpoint));
    let mut calls = 0;
    for (target, body) in [("/events", Some(event)), (test.as_str(), None)] {
        let mut answers = Vec::new();
        for is_replay in [false, true, true] {
            let mut request = stage.post(target).header("idempotency-key", target);
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.await;
            let replayed = answer.header("idempotent-replayed");
            assert_eq!(replayed, is_replay.then_some("true"));
            assert_eq!(answer.status, 202);
            answers.push(answer.body);
            calls += stage.settle().await;
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    }
    assert_eq!((calls, receiver.count()), (2, 2));

    let delivery = &stage.deliveries(&endpoint).await[0];
    let resend = format!("/deliveries/{}/resend", id(delivery));
    for _ in 0..3 {
        let answer = stage.post(&resend).header("idempotency-key", "r").await;
        assert_eq!(answer.status, 202);
        stage.settle().await;
    }
    assert_eq!(receiver.count(), 3);
    let reused = stage.post("/events").header("idempotency-key", "r");
    let reused = reused.json(&json!({ "type": "a", "data": {} })).await;
    reused.problem(422, "unprocessable", "idempotency_key_reused");
    assert_eq!(stage.settle().await, 0);
}

#[tokio::test]
async fn a_test_event_goes_to_one_endpoint_whatever_it_subscribes_to() {
    let stage = Stage::start().await;
    let (receiver, bystander) = (Receiver::start().await, Receiver::start().await);
    let endpoint = stage.hook(&receiver, &["nothing.of.the.kind"]).await;
    stage.hook(&bystander, &[]).await;
    let verbex = Receiver::start().await;
    let subscription = stage.verbex(&verbex, true).await;
    for record in [&endpoint, &subscription] {
        let test = format!("/webhooks/endpoints/{}/test", id(record));
        let sent = stage.post(&test).json(&json!({})).await.expect_json(202);
        assert_eq!(sent["event_type"], "webhook.test");
        assert_eq!(sent["status"], "pending");
        assert_eq!(sent["webhook_endpoint_id"], record["id"]);
        assert_eq!(sent, stage.only_delivery(record).await);
        assert_eq!(stage.settle().await, 1);
        let delivered = stage.delivery(id(&sent)).await;
        assert_eq!(delivered["status"], "succeeded");
    }
    let arrived = receiver.take_one();
    assert_eq!(arrived.json()["type"], "webhook.test");
    assert_eq!(verbex.take_one().json()["event"], "webhook.test");
    assert_eq!(bystander.count(), 0);

    stage.set_status(&endpoint, "disabled").await;
    let test = format!("/webhooks/endpoints/{}/test", id(&endpoint));
    let refused = stage.post(&test).await;
    refused.problem(422, "unprocessable", "endpoint_disabled");
    let unknown = "/webhooks/endpoints/we_00000000000000000000000000000000/test";
    let refused = stage.post(unknown).await;
    refused.problem(404, "not-found", "webhook_endpoint_not_found");
    let refused = stage.post(&test).json(&json!({ "type": "a" })).await;
    refused.one_field_error("type", "unknown_field");
}

#[tokio::test]
async fn each_endpoint_is_tried_for_itself() {
    let stage = Stage::start().await;
    let (bad, good) = (Receiver::that(status(500)).await, Receiver::start().await);
    let (failing, well) = (stage.hook(&bad, &[]).await, stage.hook(&good, &[]).await);
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 2);
    assert_eq!(stage.only_delivery(&failing).await["status"], "pending");
    assert_eq!(stage.only_delivery(&well).await["status"], "succeeded");
    stage.advance(6);
    assert_eq!(stage.settle().await, 1);
    assert_eq!((bad.count(), good.count()), (2, 1));
}
