//! `/v1/public/webhook/subscription`: creating, reading, replacing and deleting.

use serde_json::{Value, json};

use crate::support::{GLOBEX, SUBSCRIPTIONS, Server, after, fields, id, subscription};

fn path(record: &Value) -> String {
    format!("{SUBSCRIPTIONS}/{}", id(record))
}

/// The least that makes a subscription, with one field set.
fn with(name: &str, value: Value) -> Value {
    let mut body = subscription("one", true);
    body[name] = value;
    body
}

fn assert_no_null(value: &Value) {
    match value {
        Value::Null => panic!("null"),
        Value::Array(items) => items.iter().for_each(assert_no_null),
        Value::Object(members) => members.values().for_each(assert_no_null),
        _ => {}
    }
}

fn everything() -> Value {
    json!({
        "name": "Ünï ✓", "url": "http://example.com/hook", "enable_signed_webhooks": true, "active": false,
        "events": ["Call.Started", "Agent.*"], "headers": { "X-Token": "t 1", "authorization": "Basic abc" },
        "description": "all of it", "agent_ids": ["a1", "a2"], "workspace_ids": ["w1"],
    })
}

#[tokio::test]
async fn a_new_subscription_answers_what_is_set_and_its_secret_this_once() {
    let server = Server::start().await;
    let body = everything();
    let answer = server.post(SUBSCRIPTIONS).json(&body).await;
    let created = answer.expect_json(201);
    let mut names = vec![
        "active",
        "agent_ids",
        "created_at",
        "description",
        "events",
        "headers",
        "id",
        "name",
        "organization_id",
        "scope",
        "secret",
        "signing_enabled",
        "updated_at",
        "url",
        "workspace_ids",
    ];
    assert_eq!(fields(&created), names);
    let same = [
        "name",
        "url",
        "active",
        "events",
        "headers",
        "description",
        "agent_ids",
        "workspace_ids",
    ];
    for name in same {
        assert_eq!(created[name], body[name], "{name}");
    }
    assert_eq!(created["organization_id"], "acme");
    assert_eq!(created["signing_enabled"], true);
    assert_eq!(created["created_at"], after(0));
    assert_eq!(created["updated_at"], after(0));
    assert!(id(&created).len() == 24 && id(&created).bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let read = server.get(&path(&created)).await;
    assert!(!read.text().contains("whsec_"));
    let read = read.expect_json(200);
    names.retain(|name| *name != "secret");
    assert_eq!(fields(&read), names);
    for name in names {
        assert_eq!(read[name], created[name], "{name}");
    }
}

#[tokio::test]
async fn what_is_not_set_is_left_out_and_never_null() {
    let server = Server::start().await;
    let mut unset = subscription("two", false);
    for name in ["events", "agent_ids", "workspace_ids"] {
        unset[name] = json!([]);
    }
    unset["headers"] = json!({});
    for body in [subscription("one", false), unset] {
        let created = server
            .post(SUBSCRIPTIONS)
            .json(&body)
            .await
            .expect_json(201);
        let names = [
            "active",
            "created_at",
            "events",
            "id",
            "name",
            "organization_id",
            "scope",
            "signing_enabled",
            "updated_at",
            "url",
        ];
        assert_eq!(fields(&created), names);
        assert_no_null(&created);
        assert_eq!(created["active"], true, "the default");
        assert_eq!(created["events"], json!([]));
        let read = server.get(&path(&created)).await.expect_json(200);
        assert_eq!(read, created);
    }
}

#[tokio::test]
async fn the_scope_is_agent_else_workspace_else_organization() {
    let server = Server::start().await;
    for (number, agents, workspaces, scope) in [
        (1, json!([]), json!([]), "ORGANIZATION"),
        (2, json!([]), json!(["w"]), "WORKSPACE"),
        (3, json!(["a"]), json!([]), "AGENT"),
        (4, json!(["a"]), json!(["w"]), "AGENT"),
    ] {
        let mut body = subscription(&format!("number {number}"), false);
        body["agent_ids"] = agents;
        body["workspace_ids"] = workspaces;
        let created = server
            .post(SUBSCRIPTIONS)
            .json(&body)
            .await
            .expect_json(201);
        assert_eq!(created["scope"], scope);
    }
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
        let answer = server.put(&path(&record)).json(&body).await;
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
        "webhook-id",
        "Webhook-Signature",
        "X-Webhook-Signature",
        "x-webhook-anything",
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
    let twice = with("headers", json!({ "X-A": "1", "x-a": "2" }));
    let answer = server.post(SUBSCRIPTIONS).json(&twice).await;
    assert_eq!(answer.verbex_fields().len(), 1, "{answer}");
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

#[tokio::test]
async fn a_name_is_unique_among_those_that_the_tenant_gave() {
    let server = Server::start().await;
    let first = server.subscription("one", true).await;
    let second = server.subscription("two", true).await;
    let taken = |answer: crate::support::Answer| {
        answer.verbex_error(409, "CONFLICT");
    };
    taken(
        server
            .post(SUBSCRIPTIONS)
            .json(&subscription("one", false))
            .await,
    );
    taken(
        server
            .put(&path(&second))
            .json(&subscription("one", true))
            .await,
    );
    assert_eq!(server.get(&path(&second)).await.json()["name"], "two");
    // Names are compared as they are.
    server.subscription("One", true).await;
    // A subscription may keep its own name, and another tenant may use it.
    server
        .put(&path(&first))
        .json(&subscription("one", true))
        .await
        .expect_json(200);
    let other = server
        .post(SUBSCRIPTIONS)
        .key(GLOBEX)
        .json(&subscription("one", true));
    other.await.expect_json(201);
    // Renaming frees a name, and so does deleting.
    server
        .put(&path(&first))
        .json(&subscription("three", true))
        .await
        .expect_json(200);
    server
        .put(&path(&second))
        .json(&subscription("one", true))
        .await
        .expect_json(200);
    assert_eq!(server.delete(&path(&first)).await.status, 204);
    server.subscription("three", true).await;
    server.subscription("two", true).await;
}

#[tokio::test]
async fn put_replaces_everything_that_can_be_set() {
    let server = Server::start().await;
    let created = server
        .post(SUBSCRIPTIONS)
        .json(&everything())
        .await
        .expect_json(201);
    server.advance(60);
    let replaced = server
        .put(&path(&created))
        .json(&subscription("bare", true))
        .await
        .expect_json(200);
    let names = [
        "active",
        "created_at",
        "events",
        "id",
        "name",
        "organization_id",
        "scope",
        "signing_enabled",
        "updated_at",
        "url",
    ];
    assert_eq!(fields(&replaced), names);
    assert_eq!(replaced["active"], true, "back to the default");
    assert_eq!(replaced["events"], json!([]));
    assert_eq!(replaced["scope"], "ORGANIZATION");
    assert_eq!(replaced["created_at"], after(0));
    assert_eq!(replaced["updated_at"], after(60));
    assert_eq!(replaced["id"], created["id"]);
    assert_eq!(server.get(&path(&created)).await.json(), replaced);
    let again = server
        .put(&path(&created))
        .json(&everything())
        .await
        .expect_json(200);
    for (name, value) in everything().as_object().expect("an object") {
        if name != "enable_signed_webhooks" {
            assert_eq!(again[name], *value, "{name}");
        }
    }
}

#[tokio::test]
async fn what_a_read_shows_can_be_sent_back_with_put() {
    let server = Server::start().await;
    let created = server
        .post(SUBSCRIPTIONS)
        .json(&everything())
        .await
        .expect_json(201);
    let read = server.get(&path(&created)).await.expect_json(200);
    let mut body = read.clone();
    body["enable_signed_webhooks"] = read["signing_enabled"].clone();
    let replaced = server
        .put(&path(&created))
        .json(&body)
        .await
        .expect_json(200);
    assert_eq!(replaced, read);
}

#[tokio::test]
async fn delete_answers_204_once() {
    let server = Server::start().await;
    let record = server.subscription("one", true).await;
    assert_eq!(server.delete(&path(&record)).await.status, 204);
    server
        .delete(&path(&record))
        .await
        .verbex_error(404, "NOT_FOUND");
    server
        .get(&path(&record))
        .await
        .verbex_error(404, "NOT_FOUND");
    let put = server
        .put(&path(&record))
        .json(&subscription("one", true))
        .await;
    put.verbex_error(404, "NOT_FOUND");
}
