//! `/v1/public/webhook/subscription`: creating, reading, replacing and deleting.

use hookturn_test::{GLOBEX, SUBSCRIPTIONS, Server, after, fields, id, subscription};
use serde_json::{Value, json};

fn path(record: &Value) -> String {
    format!("{SUBSCRIPTIONS}/{}", id(record))
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
async fn a_name_is_unique_among_those_that_the_tenant_gave() {
    let server = Server::start().await;
    let first = server.subscription("one", true).await;
    let second = server.subscription("two", true).await;
    let taken = |answer: hookturn_test::Answer| {
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
