//! `POST /v1/public/webhook/subscription/{id}/rotate/secret`: what it takes and what it answers.

use std::sync::Arc;

use hookturn::store::MemoryStore;
use hookturn_test::{
    ACME, Fault, FaultyStore, SUBSCRIPTIONS, Server, after, fields, frozen, id, subscription,
};
use serde_json::json;

const HOURS_72: i64 = 72 * 3600;

/// A path that rotates the secret of nothing.
const NOTHING: &str = "/v1/public/webhook/subscription/665f1c2ab8e4d90012ab34cd/rotate/secret";

fn rotate_path(id: &str) -> String {
    format!("{SUBSCRIPTIONS}/{id}/rotate/secret")
}

/// A server with one signed subscription, and the path that rotates its secret.
async fn with_subscription() -> (Server, String) {
    let server = Server::start().await;
    let record = server.subscription("one", true).await;
    let path = rotate_path(id(&record));
    (server, path)
}

#[tokio::test]
async fn the_answer_has_exactly_secret_and_previous_secret_expires_at_72_hours_ahead() {
    let server = Server::start().await;
    let record = server.subscription("one", true).await;
    let answer = server.post(&rotate_path(id(&record))).await;
    let rotated = answer.expect_json(200);
    assert_eq!(fields(&rotated), ["previous_secret_expires_at", "secret"]);
    assert_eq!(
        rotated["previous_secret_expires_at"],
        "2026-06-12T10:15:00.000Z"
    );
    assert_eq!(rotated["previous_secret_expires_at"], after(HOURS_72));
    assert_ne!(rotated["secret"], record["secret"]);
    assert_eq!(rotated["secret"].as_str().map(str::len), Some(46));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn the_replaced_secret_lives_for_72_hours_to_the_millisecond() {
    let (server, path) = with_subscription().await;
    let id = path.split('/').nth(5).expect("an id");
    server.post(&path).await.expect_json(200);
    server.advance_millis(72 * 3600 * 1000 - 1);
    assert_eq!(server.live(id).await.len(), 2);
    server.advance_millis(1);
    assert_eq!(server.live(id).await.len(), 1);
}

#[tokio::test]
async fn a_body_of_any_type_and_content_is_ignored() {
    let (server, path) = with_subscription().await;
    let mut count = 0;
    for (kind, body) in [
        ("application/json", &b"{\"expire_current_in\":0}"[..]),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("text/plain", b"hello"),
        ("application/octet-stream", b"\x00\xff"),
        ("nonsense", b"{}"),
    ] {
        let answer = server
            .post(&path)
            .header("content-type", kind)
            .body(body)
            .await;
        assert_eq!(
            answer.expect_json(200)["previous_secret_expires_at"],
            after(HOURS_72)
        );
        count += 1;
    }
    let live = server.live(path.split('/').nth(5).expect("an id")).await;
    assert_eq!(live.len(), count + 1);
}

#[tokio::test]
async fn a_body_is_no_part_of_what_an_idempotency_key_is_used_for() {
    let (server, path) = with_subscription().await;
    let rotate = |body: &str| server.post(&path).header("idempotency-key", "k").body(body);
    let first = rotate("").await;
    let second = rotate("something else").await;
    assert_eq!(first.expect_json(200), second.expect_json(200));
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
}

#[tokio::test]
async fn a_401_has_exactly_three_fields_in_the_gateways_own_words() {
    let (server, path) = with_subscription().await;
    for answer in [
        server.post(&path).no_key().await,
        server.post(&path).key("x").await,
    ] {
        let body = answer.expect_json(401);
        assert_eq!(fields(&body), ["error", "message", "traceId"]);
        assert_eq!(body["error"], "Authentication");
        assert_eq!(body["message"], "Authentication failed");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let with_token = answer
            .header("www-authenticate")
            .is_some_and(|value| value != "Bearer");
        assert_eq!(
            with_token,
            answer.header("www-authenticate") == Some("Bearer error=\"invalid_token\"")
        );
    }
}

#[tokio::test]
async fn an_id_that_is_not_the_tenants_is_not_found() {
    let server = Server::start().await;
    for id in [
        "665f1c2ab8e4d90012ab34cd",
        "we_550e8400e29b41d4a716446655440000",
        "x",
        "%ff",
        "a%2Fb",
    ] {
        for answer in [
            server.post(&rotate_path(id)).await,
            server.get(&format!("{SUBSCRIPTIONS}/{id}")).await,
            server.delete(&format!("{SUBSCRIPTIONS}/{id}")).await,
            server
                .put(&format!("{SUBSCRIPTIONS}/{id}"))
                .json(&subscription("n", true))
                .await,
        ] {
            let error = answer.verbex_error(404, "NOT_FOUND");
            let expected = ["message", "path", "status", "timestamp", "trace_id", "type"];
            assert_eq!(fields(&error), expected);
            assert_eq!(error["timestamp"], after(0));
        }
    }
}

#[tokio::test]
async fn an_unsigned_subscription_is_a_conflict() {
    let server = Server::start().await;
    let record = server.subscription("unsigned", false).await;
    let error = server.post(&rotate_path(id(&record))).await;
    let error = error.verbex_error(409, "CONFLICT");
    assert_eq!(error["details"]["reason"], "signing_not_enabled");
    let expected = [
        "details",
        "message",
        "path",
        "status",
        "timestamp",
        "trace_id",
        "type",
    ];
    assert_eq!(fields(&error), expected);
}

#[tokio::test]
async fn the_eleventh_live_secret_is_a_conflict_that_says_when_the_next_one_expires() {
    let (server, path) = with_subscription().await;
    server.post(&path).await.expect_json(200);
    server.advance(60);
    for _ in 0..8 {
        server.post(&path).await.expect_json(200);
    }
    let error = server.post(&path).await.verbex_error(409, "CONFLICT");
    assert_eq!(error["details"]["reason"], "too_many_live_secrets");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&after(HOURS_72)), "{message}");
    let id = path.split('/').nth(5).expect("an id");
    assert_eq!(server.live(id).await.len(), 10);
    server.advance(72 * 3600 - 60);
    server.post(&path).await.expect_json(200);
}

#[tokio::test]
async fn a_failing_store_is_a_500_in_this_dialects_words() {
    let clock = frozen();
    let store = FaultyStore::sound(Arc::new(MemoryStore::new(clock.clone())));
    let server = Server::builder()
        .clock(clock)
        .store(store.clone())
        .start()
        .await;
    let path = rotate_path(id(&server.subscription("one", true).await));
    for fault in [Fault::ErrorBefore, Fault::PanicBefore] {
        store.set(Some(fault));
        let answer = server.post(&path).await;
        let error = answer.verbex_error(500, "INTERNAL_SERVER_ERROR");
        let expected = ["message", "path", "status", "timestamp", "trace_id", "type"];
        assert_eq!(fields(&error), expected);
        assert_eq!(error["message"], "Internal server error");
        store.set(None);
    }
    server.post(&path).await.expect_json(200);
}

#[tokio::test]
async fn the_trace_id_is_that_of_a_valid_traceparent_and_else_a_new_one() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let server = Server::start().await;
    let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let missing = server.post(NOTHING).header("traceparent", &valid).await;
    assert_eq!(missing.verbex_error(404, "NOT_FOUND")["trace_id"], TRACE);
    let refused = server
        .post(NOTHING)
        .no_key()
        .header("traceparent", &valid)
        .await;
    assert_eq!(refused.expect_json(401)["traceId"], TRACE);
    let mut seen = vec![TRACE.to_owned()];
    let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
    for bad in [
        TRACE,
        "",
        "00-xyz",
        &zeros,
        &valid.to_uppercase(),
        &valid.replace("00-", "ff-"),
    ] {
        let error = server.post(NOTHING).header("traceparent", bad).await;
        let error = error.verbex_error(404, "NOT_FOUND");
        let trace = error["trace_id"].as_str().expect("a trace id").to_owned();
        assert!(!seen.contains(&trace), "{bad}: {trace}");
        seen.push(trace);
    }
    let two = server
        .post(NOTHING)
        .header("traceparent", &valid)
        .header("traceparent", &valid);
    assert_ne!(two.await.verbex_error(404, "NOT_FOUND")["trace_id"], TRACE);
}

#[tokio::test]
async fn put_turns_signing_on_with_a_new_secret_keeps_it_and_drops_it() {
    let server = Server::start().await;
    let record = server.subscription("one", false).await;
    assert!(record.get("secret").is_none());
    let path = format!("{SUBSCRIPTIONS}/{}", id(&record));
    let put = |signed: bool| server.put(&path).json(&subscription("one", signed));

    let on = put(true).await.expect_json(200);
    assert_eq!(on["signing_enabled"], true);
    let first = on["secret"].as_str().expect("a secret").to_owned();
    server
        .post(&rotate_path(id(&record)))
        .await
        .expect_json(200);
    let ring = server.live(id(&record)).await;
    assert_eq!(ring.len(), 2);

    let kept = put(true).await.expect_json(200);
    assert!(kept.get("secret").is_none(), "signing stayed on: {kept}");
    assert_eq!(server.live(id(&record)).await, ring);

    let off = put(false).await.expect_json(200);
    assert_eq!(off["signing_enabled"], false);
    assert!(off.get("secret").is_none());
    let error = server.post(&rotate_path(id(&record))).await;
    assert_eq!(
        error.verbex_error(409, "CONFLICT")["details"]["reason"],
        "signing_not_enabled"
    );

    let again = put(true).await.expect_json(200);
    assert_ne!(again["secret"].as_str(), Some(first.as_str()));
    assert_eq!(
        server.live(id(&record)).await.len(),
        1,
        "the old ring is gone"
    );
}

#[tokio::test]
async fn a_malformed_or_reused_idempotency_key_is_a_validation_error() {
    let (server, path) = with_subscription().await;
    for bad in ["", "a b", "\"a"] {
        let answer = server.post(&path).header("idempotency-key", bad).await;
        assert_eq!(answer.verbex_fields(), ["Idempotency-Key"]);
    }
    let two = server
        .post(&path)
        .header("idempotency-key", "a")
        .header("x-idempotency-key", "b");
    assert_eq!(two.await.verbex_fields(), ["Idempotency-Key"]);
    server
        .post(&path)
        .header("idempotency-key", "k")
        .await
        .expect_json(200);
    let other = server
        .post(SUBSCRIPTIONS)
        .header("idempotency-key", "k")
        .json(&subscription("two", true));
    assert_eq!(other.await.verbex_fields(), ["Idempotency-Key"]);
    // A query is a part of the request.
    let other = server
        .post(&format!("{path}?a=b"))
        .header("idempotency-key", "k")
        .await;
    assert_eq!(other.verbex_fields(), ["Idempotency-Key"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_late_is_refused_all_the_same() {
    let builder = Server::builder().body_timeout(std::time::Duration::from_millis(100));
    let server = builder.start().await;
    let path = rotate_path(id(&server.subscription("one", true).await));
    let answer = server.post(&path).json(&json!("x".repeat(65_536))).await;
    assert_eq!(answer.verbex_fields(), ["body"]);
    let slow = format!(
        "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME}\r\n\
         Content-Length: 10\r\n\r\n12345"
    );
    server
        .raw(slow.as_bytes())
        .await
        .verbex_error(408, "REQUEST_TIMEOUT");
}
