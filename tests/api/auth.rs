//! Bearer keys: who gets a 401, and what it says.

use std::time::Duration;

use hookturn_test::{ACME, ACME_TOO, Answer, GLOBEX, SUBSCRIPTIONS, Server, fields, id};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Paths under each prefix that needs a key: some that exist, and some that do not.
const PROTECTED: [&str; 13] = [
    "/webhooks",
    "/webhooks/endpoints",
    "/webhooks/endpoints/we_550e8400e29b41d4a716446655440000/secret/rotate",
    "/webhooks/%ff",
    "/events",
    "/events/nothing",
    "/deliveries",
    "/deliveries/nothing",
    "/dev",
    "/dev/clock",
    "/v1/public",
    "/v1/public/webhook/subscription",
    "/v1/public/nothing",
];

fn assert_refused(answer: &Answer, with_token: bool) {
    let challenge = if with_token {
        "Bearer error=\"invalid_token\""
    } else {
        "Bearer"
    };
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some(challenge),
        "{answer}"
    );
    if answer.method == "HEAD" {
        return;
    }
    if answer.target.starts_with("/v1/public") {
        let body = answer.json();
        assert_eq!(fields(&body), ["error", "message", "traceId"]);
        assert_eq!(body["error"], "Authentication");
        assert_eq!(body["message"], "Authentication failed");
    } else {
        let code = if with_token {
            "invalid_token"
        } else {
            "missing_token"
        };
        answer.problem(401, "authentication-failed", code);
    }
}

#[tokio::test]
async fn without_a_key_every_path_and_method_under_the_five_prefixes_answers_401() {
    let server = Server::start().await;
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
    ];
    for path in PROTECTED {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_refused(&server.request(method.clone(), path).no_key().await, false);
            assert_refused(&server.request(method, path).key("guess").await, true);
        }
    }
}

#[tokio::test]
async fn a_401_comes_before_what_is_wrong_with_the_request_itself() {
    let server = Server::start().await;
    let path = server.endpoint_path().await + "/secret/rotate";
    let broken = || {
        server
            .post(&path)
            .no_key()
            .json_text("{")
            .header("idempotency-key", "a b")
    };
    assert_refused(&broken().await, false);
    assert_refused(&broken().key("guess").await, true);
    let huge = server
        .post(SUBSCRIPTIONS)
        .no_key()
        .json_text(vec![b' '; 70_000]);
    assert_refused(&huge.await, false);
}

#[tokio::test]
async fn an_unauthenticated_caller_learns_nothing_from_an_answer() {
    let server = Server::start().await;
    let existing = server.endpoint_path().await;
    let missing = "/webhooks/endpoints/we_550e8400e29b41d4a716446655440000";
    let answers = [
        server.get(&existing).no_key().await,
        server.get(missing).no_key().await,
        server.get("/webhooks/nothing/at/all").no_key().await,
    ];
    let names = |answer: &Answer| -> Vec<String> {
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    };
    for answer in &answers {
        let mut body = answer.json();
        body["instance"] = json!("");
        let mut first = answers[0].json();
        first["instance"] = json!("");
        assert_eq!(body, first);
        assert_eq!(names(answer), names(&answers[0]));
    }
}

#[tokio::test]
async fn the_scheme_is_case_insensitive_and_spaces_around_the_token_do_not_count() {
    let server = Server::start().await;
    for value in ["bearer", "BEARER", "bEaReR", "Bearer  "] {
        let answer = server
            .get("/webhooks/endpoints")
            .no_key()
            .header("authorization", format!("{value} {ACME}"));
        assert_eq!(answer.await.status, 200, "{value}");
    }
}

#[tokio::test]
async fn a_header_without_a_bearer_token_is_a_missing_token() {
    let server = Server::start().await;
    for value in [
        "Basic YWNtZTprZXk=",
        "Bearer",
        "Bearer ",
        ACME,
        "",
        "Token x",
        "Bearerx y",
    ] {
        for path in ["/webhooks/endpoints", SUBSCRIPTIONS] {
            let answer = server.post(path).no_key().header("authorization", value);
            assert_refused(&answer.await, false);
        }
    }
}

#[tokio::test]
async fn a_token_that_is_no_key_is_invalid_however_close_it_is() {
    let server = Server::start().await;
    let close = [
        format!("{ACME}x"),
        ACME[..ACME.len() - 1].to_owned(),
        ACME.to_uppercase(),
        format!("{ACME},{ACME}"),
        format!("{ACME} {ACME}"),
    ];
    for token in &close {
        assert_refused(&server.get("/webhooks/endpoints").key(token).await, true);
    }
    let latin = server.get("/webhooks/endpoints").no_key();
    let latin = latin.header("authorization", b"Bearer \xe9\xff");
    assert_refused(&latin.await, true);
}

#[tokio::test]
async fn two_authorization_headers_are_refused_even_when_both_are_right() {
    let server = Server::start().await;
    let answer = server
        .get("/webhooks/endpoints")
        .key(ACME)
        .header("authorization", format!("Bearer {ACME_TOO}"));
    assert_refused(&answer.await, true);
}

#[tokio::test]
async fn all_keys_of_a_tenant_reach_the_same_records() {
    let server = Server::start().await;
    let path = server.endpoint_path().await;
    let read = server.get(&path).key(ACME_TOO).await.expect_json(200);
    assert!(path.ends_with(id(&read)));
    let foreign = server.get(&path).key(GLOBEX).await;
    foreign.problem(404, "not-found", "webhook_endpoint_not_found");
}

#[tokio::test]
async fn pages_and_health_need_no_key_and_mind_none() {
    let server = Server::start().await;
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/docs/",
        "/openapi/verbex-v1.json",
        "/problems/internal",
    ] {
        assert_eq!(server.get(path).no_key().await.status, 200, "{path}");
        assert_eq!(server.get(path).key("guess").await.status, 200, "{path}");
    }
    // A prefix ends at a slash.
    let answer = server.get("/webhooksx").no_key().await;
    answer.problem(404, "not-found", "route_not_found");
}

#[tokio::test]
async fn who_is_refused_while_still_sending_gets_the_answer_and_not_a_reset() {
    let server = Server::start().await;
    let key = format!("authorization: Bearer {ACME}\r\n");
    for (path, key, status) in [
        ("/webhooks/endpoints", "", "401"),
        ("/v1/public/webhook/subscription", "", "401"),
        ("/webhooks/none", key.as_str(), "404"),
        ("/none", "", "404"),
    ] {
        // Less than is discarded, more than a socket takes in at once.
        let body = vec![b' '; 900 * 1024];
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{key}content-length: {}\r\n\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(server.address).await.expect("connected");
        socket.write_all(head.as_bytes()).await.expect("sent");
        // A server that refused by the head alone would have closed by the time the body comes.
        let early = timeout(Duration::from_millis(200), socket.readable()).await;
        assert!(early.is_err(), "an answer before the body");
        socket.write_all(&body).await.expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("read");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}
