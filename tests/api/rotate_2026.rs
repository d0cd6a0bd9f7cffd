//! `POST /webhooks/endpoints/{webhook_endpoint_id}/secret/rotate`: what it takes and what it
//! answers.

use hookturn_test::{Answer, Server, after, fields, id, subscription};
use serde_json::{Value, json};

/// A server with one endpoint, and the path that rotates its secret.
pub async fn with_endpoint() -> (Server, String) {
    let server = Server::start().await;
    let path = server.endpoint_path().await + "/secret/rotate";
    (server, path)
}

/// A path that rotates the secret of nothing.
const NOTHING: &str = "/webhooks/endpoints/we_550e8400e29b41d4a716446655440000/secret/rotate";

/// Asserts that a rotation was answered, with this grace.
pub fn assert_grace(answer: &Answer, seconds: i64) {
    let body = answer.expect_json(200);
    assert_eq!(
        body["previous_secret_expires_at"],
        after(seconds),
        "{answer}"
    );
}

#[tokio::test]
async fn the_answer_has_exactly_id_secret_and_previous_secret_expires_at() {
    let server = Server::start().await;
    let created = server.endpoint().await;
    let path = format!("/webhooks/endpoints/{}/secret/rotate", id(&created));
    let answer = server.post(&path).await;
    let rotated = answer.expect_json(200);
    assert_eq!(
        fields(&rotated),
        ["id", "previous_secret_expires_at", "secret"]
    );
    assert_eq!(rotated["id"], created["id"]);
    assert_eq!(
        rotated["previous_secret_expires_at"],
        "2026-06-09T11:15:00.000Z"
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let secret = rotated["secret"].as_str().expect("a secret");
    assert_eq!(secret.len(), "whsec_".len() + 40);
    assert!(secret.starts_with("whsec_") && !secret.contains('='));
    assert_ne!(rotated["secret"], created["secret"]);
}

#[tokio::test]
async fn the_path_of_the_published_clients_is_the_same_operation() {
    let server = Server::start().await;
    let endpoint = server.endpoint_path().await;
    let alias = format!("{endpoint}/rotate-secret");
    assert_grace(&server.post(&alias).await, 3600);
    let answer = server
        .post(&alias)
        .json(&json!({ "expire_current_in": 60 }));
    assert_grace(&answer.await, 60);
    let answer = server
        .post(&alias)
        .json(&json!({ "expire_current_in": "60" }));
    answer
        .await
        .one_field_error("expire_current_in", "invalid_type");
    let id = endpoint.rsplit('/').next().expect("an id");
    assert_eq!(server.live(id).await.len(), 3);
    let missing = NOTHING.replace("/secret/rotate", "/rotate-secret");
    let answer = server.post(&missing).await;
    answer.problem(404, "not-found", "webhook_endpoint_not_found");
}

#[tokio::test]
async fn syntax_comes_before_fields_and_fields_before_the_look_up() {
    let server = Server::start().await;
    let answer = server
        .post(NOTHING)
        .json_text(r#"{"expire_current_in":"x","#)
        .await;
    answer.problem(400, "invalid-request", "malformed_json");
    let answer = server
        .post(NOTHING)
        .header("content-type", "text/plain")
        .body("{}");
    answer
        .await
        .problem(400, "invalid-request", "unsupported_content_type");
    let answer = server
        .post(NOTHING)
        .header("idempotency-key", "a b")
        .json_text("{");
    answer
        .await
        .problem(400, "invalid-request", "invalid_idempotency_key");
    let answer = server
        .post(NOTHING)
        .json(&json!({ "expire_current_in": "x" }));
    answer
        .await
        .one_field_error("expire_current_in", "invalid_type");
    let answer = server
        .post(NOTHING)
        .json(&json!({ "expire_current_in": 1 }));
    answer
        .await
        .problem(404, "not-found", "webhook_endpoint_not_found");
}

#[tokio::test]
async fn an_id_that_is_not_the_tenants_is_not_found_whatever_its_bytes() {
    let server = Server::start().await;
    let long = "a".repeat(4000);
    for id in [
        "we_550e8400e29b41d4a716446655440000",
        "we_550E8400E29B41D4A716446655440000",
        "we_",
        "we_550e8400-e29b-41d4-a716-446655440000",
        "665f1c2ab8e4d90012ab34cd",
        "x",
        "%00",
        "%ff",
        "%F0%9F%92%A9",
        "a%2Fb",
        "..%2F..",
        "%E2%80%AE",
        "'%20OR%201=1",
        "null",
        "-1",
        &long,
    ] {
        let path = format!("/webhooks/endpoints/{id}");
        for answer in [
            server.post(&format!("{path}/secret/rotate")).await,
            server.post(&format!("{path}/rotate-secret")).await,
            server.post(&format!("{path}/secret/revoke-previous")).await,
            server.get(&format!("{path}/secrets")).await,
            server.get(&path).await,
            server.patch(&path).json(&json!({})).await,
            server.delete(&path).await,
        ] {
            answer.problem(404, "not-found", "webhook_endpoint_not_found");
        }
    }
}

#[tokio::test]
async fn an_endpoint_without_signing_is_unprocessable() {
    let server = Server::start().await;
    let record = server.subscription("unsigned", false).await;
    let path = format!("/webhooks/endpoints/{}", id(&record));
    for answer in [
        server.post(&format!("{path}/secret/rotate")).await,
        server
            .post(&format!("{path}/rotate-secret"))
            .json(&json!({ "expire_current_in": 0 }))
            .await,
        server.post(&format!("{path}/secret/revoke-previous")).await,
        server.get(&format!("{path}/secrets")).await,
    ] {
        let problem = answer.problem(422, "unprocessable", "signing_disabled");
        assert!(problem.get("errors").is_none());
    }
}

#[tokio::test]
async fn the_tenth_retiring_secret_is_refused_until_the_next_one_expires_and_grace_0_never_is() {
    let (server, path) = with_endpoint().await;
    let rotate = |seconds: u32| {
        let request = server.post(&path);
        request.json(&json!({ "expire_current_in": seconds }))
    };
    // The first one expires first, though others were made later and with a longer grace.
    rotate(600).await.expect_json(200);
    for _ in 0..8 {
        rotate(86_400).await.expect_json(200);
    }
    let id = path.split('/').nth(3).expect("an id").to_owned();
    assert_eq!(server.live(&id).await.len(), 10);
    for seconds in [1, 86_400] {
        let problem = rotate(seconds)
            .await
            .problem(422, "unprocessable", "too_many_live_secrets");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(&after(600)), "{detail}");
    }
    let before = server.live(&id).await;
    assert_grace(&rotate(0).await, 0);
    let now = server.live(&id).await;
    assert_eq!(
        now[1..],
        before[1..],
        "grace 0 touches no other retiring secret"
    );
    assert_ne!(now[0], before[0]);
    // One millisecond before the first one expires there is still no room; then there is.
    server.advance_millis(599_999);
    rotate(1)
        .await
        .problem(422, "unprocessable", "too_many_live_secrets");
    server.advance_millis(1);
    assert_grace(&rotate(1).await, 601);
    assert_eq!(server.live(&id).await.len(), 10);
}

#[tokio::test]
async fn a_disabled_endpoint_can_be_rotated() {
    let server = Server::start().await;
    let endpoint = server.endpoint_path().await;
    let disable = server
        .patch(&endpoint)
        .json(&json!({ "status": "disabled" }));
    disable.await.expect_json(200);
    assert_grace(
        &server.post(&format!("{endpoint}/secret/rotate")).await,
        3600,
    );
    let read = server.get(&endpoint).await.expect_json(200);
    assert_eq!(read["status"], "disabled");
    let mut off = subscription("off", true);
    off["active"] = Value::Bool(false);
    let made = server
        .post("/v1/public/webhook/subscription")
        .json(&off)
        .await
        .expect_json(201);
    let path = format!(
        "/v1/public/webhook/subscription/{}/rotate/secret",
        id(&made)
    );
    server.post(&path).await.expect_json(200);
}

#[tokio::test]
async fn a_malformed_idempotency_key_is_a_bad_request() {
    let (server, path) = with_endpoint().await;
    let long = "k".repeat(256);
    for name in ["idempotency-key", "x-idempotency-key"] {
        for bad in [
            &b""[..],
            b"a b",
            b"\"a b\"",
            b"\"",
            b"\"a",
            b"\"\"",
            b"\xc3\xa9",
            b"a\tb",
            long.as_bytes(),
        ] {
            let problem = server.post(&path).header(name, bad).await;
            let problem = problem.problem(400, "invalid-request", "invalid_idempotency_key");
            assert_eq!(problem["param"], "Idempotency-Key");
        }
    }
    let two = server
        .post(&path)
        .header("idempotency-key", "a")
        .header("x-idempotency-key", "b");
    two.await
        .problem(400, "invalid-request", "invalid_idempotency_key");
    let repeated = server
        .post(&path)
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    repeated
        .await
        .problem(400, "invalid-request", "invalid_idempotency_key");
    assert_eq!(
        server
            .live(path.split('/').nth(3).expect("an id"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn an_idempotency_key_that_was_used_for_another_request_is_unprocessable() {
    let (server, path) = with_endpoint().await;
    let rotate = |body: &str| {
        server
            .post(&path)
            .header("idempotency-key", "k")
            .json_text(body)
    };
    let first = rotate(r#"{"expire_current_in":60}"#).await;
    first.expect_json(200);
    for other in [
        r#"{"expire_current_in":61}"#,
        r#"{"expire_current_in":60 }"#,
        "{",
        "",
    ] {
        let problem = rotate(other)
            .await
            .problem(422, "unprocessable", "idempotency_key_reused");
        assert_eq!(problem["param"], "Idempotency-Key");
    }
    let again = rotate(r#"{"expire_current_in":60}"#).await;
    assert_eq!(again.body, first.body, "what was refused disturbed nothing");
}
