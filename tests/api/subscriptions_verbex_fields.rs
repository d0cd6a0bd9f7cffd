//! The fields of a subscription, and what is wrong with them.

use hookturn_test::{SUBSCRIPTIONS, Server, id, subscription};
use serde_json::{Value, json};

/// The least that makes a subscription, with one field set.
fn with(name: &str, value: Value) -> Value {
    let mut body = subscription("one", true);
    body[name] = value;
    body
}

#[tokio::test]
async fn each_field_has_its_rules() {
    let server = Server::start().await;
    let many: Vec<_> = (0..101).map(|number| format!("A.a{number}")).collect();
    for (name, value, told) in [
        ("name", json!(""), "name"),
        ("name", json!(" \t "), "name"),
        ("name", json!(null), "name"),
        ("name", json!(1), "name"),
        ("name", json!("n".repeat(256)), "name"),
        ("url", json!("example.com"), "url"),
        ("url", json!("ftp://example.com"), "url"),
        ("url", json!("https://u:p@example.com"), "url"),
        ("url", json!("https://example.com/#x"), "url"),
        ("url", json!("https://example.com/\n"), "url"),
        (
            "url",
            json!(format!("https://example.com/{}", "a".repeat(2029))),
            "url",
        ),
        ("url", json!(null), "url"),
        ("active", json!("true"), "active"),
        ("active", json!(null), "active"),
        ("active", json!(1), "active"),
        (
            "enable_signed_webhooks",
            json!("true"),
            "enable_signed_webhooks",
        ),
        (
            "enable_signed_webhooks",
            json!(null),
            "enable_signed_webhooks",
        ),
        ("events", json!("Call.Started"), "events"),
        ("events", json!(null), "events"),
        ("events", json!(["Call"]), "events[0]"),
        (
            "events",
            json!(["Call.Started", "Call started"]),
            "events[1]",
        ),
        ("events", json!([7]), "events[0]"),
        ("events", json!(many), "events"),
        ("description", json!("d".repeat(1501)), "description"),
        ("description", json!(null), "description"),
        ("agent_ids", json!([""]), "agent_ids[0]"),
        ("agent_ids", json!("a"), "agent_ids"),
        ("workspace_ids", json!([1]), "workspace_ids[0]"),
        ("colour", json!("red"), "colour"),
        ("secret", json!("whsec_x"), "secret"),
        // A read shows these, but nobody sets them.
        ("organization_id", json!("globex"), "organization_id"),
        ("signing_enabled", json!(true), "signing_enabled"),
    ] {
        let answer = server.post(SUBSCRIPTIONS).json(&with(name, value)).await;
        assert_eq!(answer.verbex_fields(), [told], "{answer}");
    }
    // None of them took the name.
    server.subscription("one", true).await;
}

#[tokio::test]
async fn name_url_and_enable_signed_webhooks_are_required() {
    let server = Server::start().await;
    for missing in ["name", "url", "enable_signed_webhooks"] {
        let mut body = subscription("one", true);
        body.as_object_mut().expect("an object").remove(missing);
        let answer = server.post(SUBSCRIPTIONS).json(&body).await;
        assert_eq!(answer.verbex_fields(), [missing]);
        let record = server.subscription(missing, true).await;
        let answer = server
            .put(&format!("{SUBSCRIPTIONS}/{}", id(&record)))
            .json(&body)
            .await;
        assert_eq!(answer.verbex_fields(), [missing], "also for PUT");
    }
    for nothing in ["", "{}"] {
        let answer = server.post(SUBSCRIPTIONS).json_text(nothing).await;
        assert_eq!(
            answer.verbex_fields(),
            ["enable_signed_webhooks", "name", "url"]
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_told_as_such() {
    let server = Server::start().await;
    for body in ["{", "[]", "null", "\"x\""] {
        let answer = server.post(SUBSCRIPTIONS).json_text(body).await;
        assert_eq!(answer.verbex_fields(), ["body"]);
    }
    let answer = server
        .post(SUBSCRIPTIONS)
        .header("content-type", "text/plain")
        .body("{}")
        .await;
    assert_eq!(answer.verbex_fields(), ["Content-Type"]);
    let twice =
        r#"{"name":"a","name":"b","url":"https://example.com","enable_signed_webhooks":true}"#;
    assert_eq!(
        server
            .post(SUBSCRIPTIONS)
            .json_text(twice)
            .await
            .verbex_fields(),
        ["name"]
    );
    let large = server
        .post(SUBSCRIPTIONS)
        .json_text(" ".repeat(65_537))
        .await;
    assert_eq!(large.verbex_fields(), ["body"]);
}

#[tokio::test]
async fn events_are_service_event_or_everything_and_keep_their_case() {
    let server = Server::start().await;
    for (number, events) in [
        json!(["Call.Started", "call.started", "CALL.STARTED"]),
        json!(["*"]),
        json!([]),
        json!(["Call.*", "Agent_2.Sub.Event"]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = subscription(&number.to_string(), false);
        body["events"] = events.clone();
        let created = server
            .post(SUBSCRIPTIONS)
            .json(&body)
            .await
            .expect_json(201);
        assert_eq!(created["events"], events);
    }
}

#[tokio::test]
async fn headers_that_frame_or_sign_a_delivery_cannot_be_chosen() {
    let server = Server::start().await;
    for name in [
        "Host",
        "host",
        "Content-Type",
        "content-length",
        "Content-X",
        "Connection",
        "TRANSFER-ENCODING",
        "User-Agent",
        "Expect",
        "HTTP2-Settings",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "webhook-id",
        "Webhook-Signature",
        "X-Webhook-Signature",
        "x-webhook-anything",
        "X_Webhook_Signature",
        "x_webhook-anything",
        "webhook_id",
        "Content_Length",
        "Transfer_Encoding",
        "User.Agent",
        "not a name",
        "",
        "a:b",
        "ä",
    ] {
        let answer = server
            .post(SUBSCRIPTIONS)
            .json(&with("headers", json!({ name: "v" })))
            .await;
        assert_eq!(
            answer.verbex_fields(),
            [format!("headers.{name}")],
            "{answer}"
        );
    }
    for value in [
        json!("a\r\nb"),
        json!("\u{0}"),
        json!("ä"),
        json!(" a"),
        json!(1),
        json!(null),
    ] {
        let answer = server
            .post(SUBSCRIPTIONS)
            .json(&with("headers", json!({ "X-A": value })))
            .await;
        assert_eq!(answer.verbex_fields(), ["headers.X-A"], "{answer}");
    }
    for (one, other) in [("X-A", "x-a"), ("X-A", "X_A"), ("x_a", "X-A")] {
        let twice = with("headers", json!({ one: "1", other: "2" }));
        let answer = server.post(SUBSCRIPTIONS).json(&twice).await;
        assert_eq!(answer.verbex_fields().len(), 1, "{answer}");
    }
    let answer = server
        .post(SUBSCRIPTIONS)
        .json(&with("headers", json!([])))
        .await;
    assert_eq!(answer.verbex_fields(), ["headers"]);
}

#[tokio::test]
async fn a_refusal_never_repeats_a_headers_value() {
    let server = Server::start().await;
    let body = with("headers", json!({ "Host": "hunter2", "X-A": "hunter2\n" }));
    let answer = server.post(SUBSCRIPTIONS).json(&body).await;
    assert_eq!(answer.verbex_fields(), ["headers.Host", "headers.X-A"]);
    assert!(!answer.text().contains("hunter2"), "{answer}");
}

#[tokio::test]
async fn all_faults_are_told_together() {
    let server = Server::start().await;
    let body =
        json!({ "name": " ", "url": 1, "events": ["x"], "headers": { "Host": "x" }, "colour": 1 });
    let answer = server.post(SUBSCRIPTIONS).json(&body).await;
    let expected = [
        "colour",
        "enable_signed_webhooks",
        "events[0]",
        "headers.Host",
        "name",
        "url",
    ];
    assert_eq!(answer.verbex_fields(), expected);
    assert_eq!(answer.json()["message"], "Validation failed");
}
