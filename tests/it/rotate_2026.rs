//! `POST /webhooks/endpoints/{webhook_endpoint_id}/secret/rotate`: what it takes and what it answers.

use serde_json::{Value, json};

use crate::support::{ACME_TOO, Answer, Server, after, fields, id, subscription};

/// A server with one endpoint, and the path that rotates its secret.
async fn with_endpoint() -> (Server, String) {
    let server = Server::start().await;
    let path = server.endpoint_path().await + "/secret/rotate";
    (server, path)
}

/// A path that rotates the secret of nothing.
const NOTHING: &str = "/webhooks/endpoints/we_550e8400e29b41d4a716446655440000/secret/rotate";

fn assert_grace(answer: &Answer, seconds: i64) {
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
async fn without_a_body_or_with_an_empty_one_the_grace_is_an_hour() {
    let (server, path) = with_endpoint().await;
    assert_grace(&server.post(&path).await, 3600);
    assert_grace(&server.post(&path).body("").await, 3600);
    // An empty body is no body, whatever it is called.
    let called = server
        .post(&path)
        .header("content-type", "text/plain")
        .body("");
    assert_grace(&called.await, 3600);
    assert_grace(&server.post(&path).json(&json!({})).await, 3600);
    assert_grace(&server.post(&path).json_text(" \n{\t} ").await, 3600);
}

#[tokio::test]
async fn an_integer_in_any_spelling_is_the_grace_in_seconds() {
    let (server, path) = with_endpoint().await;
    for (text, seconds) in [
        ("0", 0),
        ("-0", 0),
        ("0.0", 0),
        ("1", 1),
        ("3600.0", 3600),
        ("3.6e3", 3600),
        ("3.6E+3", 3600),
        ("36000e-1", 3600),
        ("86400", 86_400),
        ("8.64e4", 86_400),
        ("86400.000", 86_400),
    ] {
        let body = format!("{{\"expire_current_in\":{text}}}");
        assert_grace(&server.post(&path).json_text(body).await, seconds);
    }
}

#[tokio::test]
async fn what_is_no_integer_is_an_invalid_type() {
    let (server, path) = with_endpoint().await;
    for text in [
        "\"3600\"", "\"\"", "true", "false", "null", "1.5", "3600.5", "0.1", "1e-1", "15e-1", "[]",
        "[3600]", "{}", "-0.5",
    ] {
        let body = format!("{{\"expire_current_in\":{text}}}");
        let answer = server.post(&path).json_text(body).await;
        answer.one_field_error("expire_current_in", "invalid_type");
    }
    assert_eq!(
        server
            .live(path.split('/').nth(3).expect("an id"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn an_integer_outside_of_0_to_86400_is_out_of_range() {
    let (server, path) = with_endpoint().await;
    for text in [
        "86401",
        "-1",
        "-1.0",
        "1e400",
        "-1e400",
        "99999999999999999999",
        "9223372036854775808",
        "18446744073709551616",
        "4294967296",
        "86401.0",
        "1e99999999999999999999",
    ] {
        let body = format!("{{\"expire_current_in\":{text}}}");
        let answer = server.post(&path).json_text(body).await;
        answer.one_field_error("expire_current_in", "out_of_range");
    }
}

#[tokio::test]
async fn a_field_that_does_not_exist_or_comes_twice_is_an_error() {
    let (server, path) = with_endpoint().await;
    for (body, param, code) in [
        (
            r#"{"expire_curent_in":0}"#,
            "expire_curent_in",
            "unknown_field",
        ),
        (
            r#"{"Expire_current_in":0}"#,
            "Expire_current_in",
            "unknown_field",
        ),
        (r#"{"":0}"#, "", "unknown_field"),
        (
            r#"{"expire_current_in":0,"expire_current_in":0}"#,
            "expire_current_in",
            "duplicate_field",
        ),
        // The same name, written with an escape.
        (
            r#"{"expire_current_in":0,"expire_current\u005fin":60}"#,
            "expire_current_in",
            "duplicate_field",
        ),
    ] {
        let answer = server.post(&path).json_text(body).await;
        answer.one_field_error(param, code);
    }
    assert_eq!(
        server
            .live(path.split('/').nth(3).expect("an id"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn all_field_errors_are_told_together() {
    let (server, path) = with_endpoint().await;
    let body = r#"{"a":1,"expire_current_in":"x","b":null,"b":2}"#;
    let answer = server.post(&path).json_text(body).await;
    let told = answer.field_errors();
    let told: Vec<_> = told
        .iter()
        .map(|(param, code)| (&**param, &**code))
        .collect();
    let expected = [
        ("a", "unknown_field"),
        ("b", "duplicate_field"),
        ("b", "unknown_field"),
        ("expire_current_in", "invalid_type"),
    ];
    assert_eq!(told, expected);
    assert!(
        answer.json().get("param").is_none(),
        "no one param is at fault\n{answer}"
    );
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let (server, path) = with_endpoint().await;
    for body in [
        &b"{"[..],
        b"{}{}",
        b"{\"expire_current_in\":}",
        b"{\"expire_current_in\":01}",
        b"{\"expire_current_in\":+1}",
        b"{\"expire_current_in\":0,}",
        b"{'expire_current_in':0}",
        b"nul",
        b" ",
        b"\xef\xbb\xbf{}",
        b"{\"\xff\":0}",
        b"{\"expire_current_in\":NaN}",
        b"\"\\ud800",
    ] {
        let answer = server.post(&path).json_text(body).await;
        answer.problem(400, "invalid-request", "malformed_json");
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_told_apart() {
    let (server, path) = with_endpoint().await;
    for body in ["[]", "[{}]", "null", "0", "3600", "\"{}\"", "true", "1e400"] {
        let answer = server.post(&path).json_text(body).await;
        answer.problem(400, "invalid-request", "not_an_object");
    }
}

#[tokio::test]
async fn a_body_is_json_with_any_parameters_or_of_no_declared_type() {
    let (server, path) = with_endpoint().await;
    assert_grace(
        &server.post(&path).body(r#"{"expire_current_in":60}"#).await,
        60,
    );
    for good in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json ;x=y",
    ] {
        let answer = server.post(&path).header("content-type", good);
        assert_grace(&answer.body(r#"{"expire_current_in":0}"#).await, 0);
    }
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "application/jsonp",
        "json",
        "",
        "text/json; application/json",
    ] {
        // Also when the body itself is not JSON: the type is what is wrong first.
        for body in ["{}", "expire_current_in=0"] {
            let answer = server
                .post(&path)
                .header("content-type", bad)
                .body(body)
                .await;
            let problem = answer.problem(400, "invalid-request", "unsupported_content_type");
            assert_eq!(problem["param"], "Content-Type");
        }
    }
}

#[tokio::test]
async fn a_body_may_be_64_kib_and_not_a_byte_more() {
    let (server, path) = with_endpoint().await;
    let padded = |length: usize| "{}".to_owned() + &" ".repeat(length - 2);
    assert_grace(&server.post(&path).json_text(padded(65_536)).await, 3600);
    let answer = server.post(&path).json_text(padded(65_537)).await;
    answer.problem(400, "invalid-request", "body_too_large");
    // Where no length is announced, the bytes are counted as they come.
    let chunked = |length: usize| {
        let body = padded(length);
        format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME_TOO}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    assert_grace(&server.raw(chunked(65_536).as_bytes()).await, 3600);
    let answer = server.raw(chunked(65_537).as_bytes()).await;
    answer.problem(400, "invalid-request", "body_too_large");
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
