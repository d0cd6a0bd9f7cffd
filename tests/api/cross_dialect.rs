//! One store, two dialects: a record made by one is read, rotated, changed and deleted by the
//! other.

use hookturn_test::{SUBSCRIPTIONS, Server, after, id, subscription};
use serde_json::json;

fn paths(id: &str) -> (String, String) {
    (
        format!("/webhooks/endpoints/{id}"),
        format!("{SUBSCRIPTIONS}/{id}"),
    )
}

#[tokio::test]
async fn an_endpoint_is_a_subscription_named_by_its_description_or_its_id() {
    let server = Server::start().await;
    let body =
        json!({ "url": "https://example.com/a", "events": ["call.*"], "description": "the first" });
    let named = server
        .post("/webhooks/endpoints")
        .json(&body)
        .await
        .expect_json(201);
    let read = server.get(&paths(id(&named)).1).await.expect_json(200);
    let expected = json!({
        "id": id(&named), "organization_id": "acme", "scope": "ORGANIZATION", "name": "the first",
        "description": "the first", "url": "https://example.com/a", "events": ["call.*"], "active": true,
        "signing_enabled": true, "created_at": after(0), "updated_at": after(0),
    });
    assert_eq!(read, expected);
    let unnamed = server.endpoint().await;
    let read = server.get(&paths(id(&unnamed)).1).await.expect_json(200);
    assert_eq!(read["name"], unnamed["id"]);
    assert!(read.get("description").is_none());
}

#[tokio::test]
async fn a_name_that_is_only_shown_is_nobodys() {
    let server = Server::start().await;
    let body = json!({ "url": "https://example.com", "description": "same" });
    for _ in 0..2 {
        server
            .post("/webhooks/endpoints")
            .json(&body)
            .await
            .expect_json(201);
    }
    server.subscription("same", true).await;
    let answer = server
        .post("/webhooks/endpoints")
        .json(&body)
        .await
        .expect_json(201);
    // Given through PUT it is a name, and must be free.
    let (_, path) = paths(id(&answer));
    let error = server.put(&path).json(&subscription("same", true)).await;
    error.verbex_error(409, "CONFLICT");
    let renamed = server
        .put(&path)
        .json(&subscription("another", true))
        .await
        .expect_json(200);
    assert_eq!(renamed["name"], "another");
    let taken = server
        .post(SUBSCRIPTIONS)
        .json(&subscription("another", true))
        .await;
    taken.verbex_error(409, "CONFLICT");
}

#[tokio::test]
async fn a_subscription_is_an_endpoint() {
    let server = Server::start().await;
    let mut body = subscription("one", true);
    body["active"] = json!(false);
    body["description"] = json!("told");
    body["events"] = json!(["Call.Started"]);
    body["headers"] = json!({ "X-Token": "hunter2" });
    let made = server
        .post(SUBSCRIPTIONS)
        .json(&body)
        .await
        .expect_json(201);
    let answer = server.get(&paths(id(&made)).0).await;
    assert!(
        !answer.text().contains("hunter2"),
        "headers are read back by their own dialect only"
    );
    let expected = json!({
        "id": id(&made), "url": "https://example.com/hook", "events": ["Call.Started"], "description": "told",
        "status": "disabled", "created_at": after(0), "updated_at": after(0),
    });
    assert_eq!(answer.expect_json(200), expected);
}

#[tokio::test]
async fn active_is_status() {
    let server = Server::start().await;
    let record = server.subscription("one", true).await;
    let (endpoint, path) = paths(id(&record));
    for (status, active) in [("disabled", false), ("active", true)] {
        server
            .patch(&endpoint)
            .json(&json!({ "status": status }))
            .await
            .expect_json(200);
        assert_eq!(server.get(&path).await.json()["active"], active);
    }
    for (status, active) in [("disabled", false), ("active", true)] {
        let mut body = subscription("one", true);
        body["active"] = json!(active);
        server.put(&path).json(&body).await.expect_json(200);
        assert_eq!(server.get(&endpoint).await.json()["status"], status);
    }
}

#[tokio::test]
async fn the_route_decides_the_grace() {
    let server = Server::start().await;
    for record in [
        server.endpoint().await,
        server.subscription("one", true).await,
    ] {
        let (endpoint, path) = paths(id(&record));
        let hour = server
            .post(&format!("{endpoint}/secret/rotate"))
            .await
            .expect_json(200);
        assert_eq!(hour["previous_secret_expires_at"], after(3600));
        assert_eq!(hour["id"], record["id"]);
        let days = server
            .post(&format!("{path}/rotate/secret"))
            .await
            .expect_json(200);
        assert_eq!(days["previous_secret_expires_at"], after(72 * 3600));
        let ring = server.live(id(&record)).await;
        let expiries: Vec<_> = ring
            .iter()
            .map(|secret| secret["expires_at"].clone())
            .collect();
        assert_eq!(
            expiries,
            [json!(null), json!(after(72 * 3600)), json!(after(3600))]
        );
    }
}

#[tokio::test]
async fn both_dialects_count_the_same_ten_secrets() {
    let server = Server::start().await;
    let record = server.endpoint().await;
    let (endpoint, path) = paths(id(&record));
    for _ in 0..5 {
        server
            .post(&format!("{path}/rotate/secret"))
            .await
            .expect_json(200);
    }
    for _ in 0..4 {
        server
            .post(&format!("{endpoint}/secret/rotate"))
            .await
            .expect_json(200);
    }
    // The next to expire is the one that retired for an hour, though it is not the oldest.
    let error = server.post(&format!("{path}/rotate/secret")).await;
    let error = error.verbex_error(409, "CONFLICT");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains(&after(3600))),
        "{error}"
    );
    let problem = server.post(&format!("{endpoint}/rotate-secret")).await;
    problem.problem(422, "unprocessable", "too_many_live_secrets");
    server
        .post(&format!("{endpoint}/secret/revoke-previous"))
        .await
        .expect_json(200);
    server
        .post(&format!("{path}/rotate/secret"))
        .await
        .expect_json(200);
}

#[tokio::test]
async fn patch_leaves_what_only_the_other_dialect_knows() {
    let server = Server::start().await;
    let mut body = subscription("one", true);
    body["headers"] = json!({ "X-Token": "kept" });
    body["agent_ids"] = json!(["a1"]);
    body["description"] = json!("goes");
    let made = server
        .post(SUBSCRIPTIONS)
        .json(&body)
        .await
        .expect_json(201);
    let (endpoint, path) = paths(id(&made));
    server.advance(5);
    let changes = json!({ "url": "https://example.com/new", "description": null });
    server
        .patch(&endpoint)
        .json(&changes)
        .await
        .expect_json(200);
    let mut expected = made.clone();
    let members = expected.as_object_mut().expect("an object");
    members.remove("secret");
    members.remove("description");
    members.insert("url".to_owned(), json!("https://example.com/new"));
    members.insert("updated_at".to_owned(), json!(after(5)));
    assert_eq!(server.get(&path).await.json(), expected);
}

#[tokio::test]
async fn signing_that_put_drops_is_gone_for_both() {
    let server = Server::start().await;
    let record = server.endpoint().await;
    let (endpoint, path) = paths(id(&record));
    server
        .put(&path)
        .json(&subscription("now unsigned", false))
        .await
        .expect_json(200);
    let problem = server.post(&format!("{endpoint}/secret/rotate")).await;
    problem.problem(422, "unprocessable", "signing_disabled");
    let error = server.post(&format!("{path}/rotate/secret")).await;
    assert_eq!(
        error.verbex_error(409, "CONFLICT")["details"]["reason"],
        "signing_not_enabled"
    );
    let on = server
        .put(&path)
        .json(&subscription("signed again", true))
        .await
        .expect_json(200);
    assert_ne!(on["secret"], record["secret"]);
    server
        .post(&format!("{endpoint}/secret/rotate"))
        .await
        .expect_json(200);
}

#[tokio::test]
async fn what_one_dialect_deletes_is_gone_for_the_other_and_its_name_is_free() {
    let server = Server::start().await;
    let endpoint = server.endpoint().await;
    let subscription = server.subscription("one", true).await;
    assert_eq!(server.delete(&paths(id(&endpoint)).1).await.status, 204);
    assert_eq!(server.delete(&paths(id(&subscription)).0).await.status, 204);
    for record in [&endpoint, &subscription] {
        let (one, other) = paths(id(record));
        server
            .get(&one)
            .await
            .problem(404, "not-found", "webhook_endpoint_not_found");
        server.get(&other).await.verbex_error(404, "NOT_FOUND");
    }
    server.subscription("one", true).await;
}

#[tokio::test]
async fn an_idempotency_key_is_one_key_in_both_dialects() {
    let server = Server::start().await;
    let record = server.endpoint().await;
    let (endpoint, path) = paths(id(&record));
    let one = server
        .post(&format!("{endpoint}/secret/rotate"))
        .header("idempotency-key", "k");
    one.await.expect_json(200);
    let other = server
        .post(&format!("{path}/rotate/secret"))
        .header("idempotency-key", "k");
    assert_eq!(other.await.verbex_fields(), ["Idempotency-Key"]);
    let alias = server
        .post(&format!("{endpoint}/rotate-secret"))
        .header("idempotency-key", "k");
    alias
        .await
        .problem(422, "unprocessable", "idempotency_key_reused");
    assert_eq!(server.live(id(&record)).await.len(), 2);
}
