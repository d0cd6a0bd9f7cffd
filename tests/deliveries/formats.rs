//! What a delivery looks like, in both formats.

use hookturn::clock::Clock as _;
use hookturn::domain::verification::{ReceiverSecret, Rejection, verify};
use hookturn_test::{Received, Receiver, SUBSCRIPTIONS, after, fields, id, signers, status};
use reqwest::header::HeaderName;
use serde_json::{Value, json};

use crate::stage::{Stage, secret};

const AGENT: &str = concat!("Hookturn/", env!("CARGO_PKG_VERSION"));

fn header_names(arrived: &Received) -> Vec<&str> {
    let mut names: Vec<_> = arrived.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

/// How far a time in Unix seconds is from the wall clock's.
fn seconds_off(stage: &Stage, seconds: i64) -> i64 {
    (stage.clock.wall().unix_seconds() - seconds).abs()
}

#[tokio::test]
async fn a_delivery_of_2026_03_01_is_a_standard_webhook_with_seven_fields() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.advance(7);
    let event = json!({ "type": "call.started", "data": { "n": 1 }, "id": "call-1" });
    stage.publish_json(&event).await;
    stage.advance(72 * 3600);
    stage.settle().await;
    let arrived = receiver.take_one();
    assert_eq!((&*arrived.method, &*arrived.path), ("POST", "/hook"));
    assert_eq!(
        header_names(&arrived),
        [
            "accept",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
        ]
    );
    assert_eq!(arrived.header("content-type"), "application/json");
    assert_eq!(arrived.header("user-agent"), AGENT);
    assert_eq!(arrived.header("webhook-id"), "call-1");
    // The wall clock's, though the server's is years or days away from it.
    let timestamp = arrived.header("webhook-timestamp").parse();
    assert!(seconds_off(&stage, timestamp.expect("seconds")) < 60);
    assert_eq!(
        arrived.json(),
        json!({
            "id": "call-1",
            "type": "call.started",
            "api_version": "2026-03-01",
            "delivery_id": stage.only_delivery(&endpoint).await["id"],
            "created_at": after(7),
            "timestamp": after(7),
            "data": { "n": 1 },
        })
    );
    let known = [secret(&endpoint)];
    assert_eq!(signers(&arrived, &known), [&known[0]]);
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traceparent() -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-01")
}

async fn publish_traced(stage: &Stage) {
    let request = stage.post("/events").header("traceparent", traceparent());
    let event = json!({ "type": "Call.Started", "data": { "n": 1 } });
    request.json(&event).await.expect_json(202);
}

fn expect_verbex_body(body: &Value) {
    let expected = json!({
        "event": "Call.Started", "traceId": TRACE, "timestamp": after(3), "data": { "n": 1 },
    });
    assert_eq!(*body, expected);
}

#[tokio::test]
async fn a_delivery_of_verbex_has_its_headers_the_owners_and_four_fields() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let body = json!({
        "name": "n", "url": receiver.url(), "enable_signed_webhooks": true,
        "headers": { "X-Own": "a value", "Authorization": "Bearer of the receiver" },
    });
    let created = stage.post(SUBSCRIPTIONS).json(&body).await;
    let subscription = created.expect_json(201);
    stage.advance(3);
    publish_traced(&stage).await;
    stage.advance(72 * 3600);
    stage.settle().await;
    let arrived = receiver.take_one();
    assert_eq!(
        header_names(&arrived),
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-own",
            "x-webhook-event",
            "x-webhook-signature",
            "x-webhook-timestamp",
            "x-webhook-traceid",
        ]
    );
    assert_eq!(arrived.header("content-type"), "application/json");
    assert_eq!(arrived.header("user-agent"), AGENT);
    assert_eq!(arrived.header("x-own"), "a value");
    assert_eq!(arrived.header("authorization"), "Bearer of the receiver");
    assert_eq!(arrived.header("x-webhook-event"), "Call.Started");
    assert_eq!(arrived.header("x-webhook-traceid"), TRACE);
    expect_verbex_body(&arrived.json());
    let sent_at = arrived.header("x-webhook-timestamp");
    assert!(sent_at.len() == 24 && sent_at.ends_with('Z'), "{sent_at}");
    let sent_at = chrono::DateTime::parse_from_rfc3339(sent_at).expect("RFC 3339");
    assert!(seconds_off(&stage, sent_at.timestamp()) < 60);
    let header = arrived.header("x-webhook-signature");
    let t = header
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(','));
    let t = t.expect("t= and signatures").0;
    assert_eq!(sent_at.timestamp().to_string(), t);
    let known = [secret(&subscription)];
    assert_eq!(signers(&arrived, &known), [&known[0]]);
}

#[tokio::test]
async fn names_of_headers_have_the_case_of_the_documents_and_of_the_owner() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("Call.Started").await;
    stage.settle().await;
    let arrived = receiver.take_one();
    let mut names = arrived.names.clone();
    names.sort_unstable();
    let always = [
        "Accept",
        "Content-Length",
        "Content-Type",
        "Host",
        "User-Agent",
    ];
    let webhook = ["webhook-id", "webhook-signature", "webhook-timestamp"];
    assert_eq!(names, [&always[..], &webhook].concat());
    assert_eq!(arrived.header("accept"), "*/*");
    stage.remove(&endpoint).await;

    let own = ["AUTHORIZATION", "X-API-Key", "X-Own", "accept", "x_own_too"];
    let headers: serde_json::Map<_, _> = own
        .iter()
        .map(|name| ((*name).into(), json!("v")))
        .collect();
    let body = json!({
        "name": "n", "url": receiver.url(), "enable_signed_webhooks": true, "headers": headers,
    });
    let created = stage.post(SUBSCRIPTIONS).json(&body).await.expect_json(201);
    assert_eq!(created["headers"], json!(headers));
    publish_traced(&stage).await;
    stage.settle().await;
    let arrived = receiver.take_one();
    let mut names = arrived.names.clone();
    names.sort_unstable();
    let webhook = [
        "X-Webhook-Event",
        "X-Webhook-Signature",
        "X-Webhook-Timestamp",
        "X-Webhook-Traceid",
    ];
    let mut expected = [&always[1..], &webhook, &own].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(arrived.header("accept"), "v");
}

#[tokio::test]
async fn an_unsigned_subscription_gets_no_signature() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let subscription = stage.verbex(&receiver, false).await;
    stage.advance(3);
    publish_traced(&stage).await;
    stage.settle().await;
    let arrived = receiver.take_one();
    assert_eq!(
        header_names(&arrived),
        [
            "accept",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-webhook-event",
            "x-webhook-timestamp",
            "x-webhook-traceid",
        ]
    );
    expect_verbex_body(&arrived.json());
    let delivery = stage.only_delivery(&subscription).await;
    assert_eq!(delivery["attempts"][0]["signed_by"], json!([]));
}

#[tokio::test]
async fn signing_that_is_turned_on_or_off_counts_from_the_next_attempt() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let subscription = stage.verbex(&receiver, false).await;
    let path = format!("{SUBSCRIPTIONS}/{}", id(&subscription));
    stage.publish("a").await;
    let mut known = Vec::new();
    for signed in [false, true, false] {
        let body = json!({ "name": "n", "url": receiver.url(), "enable_signed_webhooks": signed });
        let put = stage.put(&path).json(&body).await.expect_json(200);
        known.extend(put["secret"].as_str().map(str::to_owned));
        stage.advance(24 * 3600);
        assert_eq!(stage.step().await, 1);
        let arrived = receiver.take_one();
        if signed {
            assert_eq!(signers(&arrived, &known), [&known[0]]);
        } else {
            assert!(!arrived.headers.contains_key("x-webhook-signature"));
        }
    }
}

#[tokio::test]
async fn a_trace_id_is_made_when_none_is_sent_and_is_the_same_on_each_retry() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    stage.verbex(&receiver, true).await;
    stage.publish("a").await;
    stage.settle().await;
    stage.advance(6);
    stage.settle().await;
    let arrived = receiver.take();
    let [first, second] = &arrived[..] else {
        panic!("two attempts: {arrived:?}");
    };
    let trace = first.header("x-webhook-traceid");
    assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(first.json()["traceId"], trace);
    assert_eq!(second.header("x-webhook-traceid"), trace);
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_retry_has_the_same_id_and_body_and_a_timestamp_of_its_own() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let published = stage.publish("a").await;
    stage.settle().await;
    let first = receiver.take_one();
    // The wall clock ticks on, whatever the server's does.
    let timestamp = |arrived: &Received| arrived.header("webhook-timestamp").to_owned();
    let begun = stage.clock.wall().unix_seconds();
    while stage.clock.wall().unix_seconds() <= begun {
        tokio::task::yield_now().await;
    }
    stage.advance(6);
    stage.settle().await;
    let second = receiver.take_one();
    for arrived in [&first, &second] {
        assert_eq!(arrived.header("webhook-id"), id(&published));
        let known = [secret(&endpoint)];
        assert_eq!(signers(arrived, &known), [&known[0]]);
    }
    assert_eq!(first.body, second.body);
    assert!(timestamp(&first) < timestamp(&second));
    assert_eq!(fields(&first.json()).len(), 7);
}

/// What the hints of a verification know of the order of names is what is sent.
#[tokio::test]
async fn a_delivery_whose_names_were_sorted_is_found_out() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let hook = stage.hook(&receiver, &[]).await;
    let subscription = stage.verbex(&receiver, true).await;
    stage.publish("a.b").await;
    stage.settle().await;
    let known = [&hook, &subscription].map(|created| ReceiverSecret::new(&secret(created)));
    let arrived = receiver.take();
    assert_eq!(arrived.len(), 2);
    for arrived in arrived {
        let headers: Vec<(&str, &[u8])> = arrived
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let hints = |body: &[u8]| {
            let report = verify(&headers, body, &known, stage.clock.wall(), None);
            let mut failures = report.failures.into_iter();
            failures.next().map(|failure| match failure {
                // The length is another when the space is.
                Rejection::NoMatch { hints } => hints.last().cloned(),
                other => panic!("{other}"),
            })
        };
        assert_eq!(hints(&arrived.body), None);
        let mut sorted = arrived.json();
        sorted.sort_all_objects();
        for (body, expected) in [
            (sorted.to_string(), "with other order of names ("),
            (
                serde_json::to_string_pretty(&sorted).expect("JSON"),
                "with other space and order of names (",
            ),
        ] {
            let hint = hints(body.as_bytes()).flatten().expect("a hint");
            assert!(hint.to_string().contains(expected), "{hint}");
        }
    }
}
