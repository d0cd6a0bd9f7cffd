//! One key, one change, one answer, as clients see it (I5).

use std::time::Duration;

use hookturn::domain::Timestamp;
use hookturn_test::{ACME, GLOBEX, RequestBuilder, START, SUBSCRIPTIONS};
use reqwest::Method;

use crate::http::{ENDPOINT, TestServer, answer, subscription_body, with_key};
use crate::support::at_once;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const DAY_BUT_A_SECOND: Duration = Duration::from_secs(86_399);

/// One request for each `POST`, `PUT` and `PATCH` that there is, each of which succeeds.
async fn all_changes(server: &TestServer) -> Vec<(Method, String, String)> {
    let endpoint = server.endpoint().await;
    let signed = server.subscription("signed", true).await;
    let unsigned = server.subscription("unsigned", false).await;
    let change =
        |method: &Method, path: String, body: &str| (method.clone(), path, body.to_owned());
    let (post, put) = (&Method::POST, &Method::PUT);
    vec![
        change(post, "/webhooks/endpoints".to_owned(), ENDPOINT),
        change(&Method::PATCH, endpoint.clone(), r#"{"status":"disabled"}"#),
        change(
            post,
            format!("{endpoint}/secret/rotate"),
            r#"{"expire_current_in":60}"#,
        ),
        change(post, format!("{endpoint}/rotate-secret"), ""),
        change(post, format!("{endpoint}/secret/revoke-previous"), ""),
        change(
            post,
            SUBSCRIPTIONS.to_owned(),
            &subscription_body("new", true),
        ),
        change(put, unsigned, &subscription_body("signed now", true)),
        change(post, format!("{signed}/rotate/secret"), ""),
    ]
}

#[tokio::test]
async fn every_change_is_replayed_to_the_byte() {
    let server = TestServer::start().await;
    for (number, (method, path, body)) in all_changes(&server).await.into_iter().enumerate() {
        let send = async || {
            let request = server.request(method.clone(), &path).body(body.clone());
            with_key(request, &format!("key-{number}")).await
        };
        let first = send().await;
        assert!((200..300).contains(&first.status), "{method} {path}");
        assert!(!first.is_replayed(), "{method} {path}");
        assert_eq!(first.headers["cache-control"], "no-store");
        for _ in 0..2 {
            send().await.repeats(&first);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_each_request_is_done() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let rotate = || server.post(&format!("{path}/secret/rotate"));
    let secrets = [answer(rotate()).await, answer(rotate()).await];
    assert!(secrets.iter().all(|answered| !answered.is_replayed()));
    assert_ne!(secrets[0].member("secret"), secrets[1].member("secret"));
    assert_eq!(server.rotations(&path).await, 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_at_once_with_one_key_are_one_rotation_with_one_answer() {
    let server = TestServer::start().await;
    let endpoint = server.endpoint().await;
    let subscription = server.subscription("name", true).await;
    for (path, rotation) in [
        (&endpoint, format!("{endpoint}/secret/rotate")),
        (&subscription, format!("{subscription}/rotate/secret")),
    ] {
        let answers = at_once(64, |_| {
            let request = server.post(&rotation);
            let key = rotation.clone();
            async move { with_key(request, &key).await.is(200) }
        });
        let answers = answers.await;
        let fresh = answers.iter().filter(|answered| !answered.is_replayed());
        assert_eq!(fresh.count(), 1);
        assert!(answers.iter().all(|other| other.body == answers[0].body));
        assert_eq!(server.rotations(path).await, 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn bare_and_quoted_and_in_either_header_a_key_is_the_same() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let rotate = || server.post(&format!("{path}/secret/rotate"));
    let first = with_key(rotate(), "a-key").await.is(200);
    let same: [RequestBuilder; 6] = [
        rotate().header("Idempotency-Key", "\"a-key\""),
        rotate().header("X-Idempotency-Key", "a-key"),
        rotate().header("X-Idempotency-Key", "\"a-key\""),
        rotate()
            .header("Idempotency-Key", "a-key")
            .header("X-Idempotency-Key", "\"a-key\""),
        rotate()
            .header("Idempotency-Key", "\"a-key\"")
            .header("Idempotency-Key", "a-key"),
        rotate().header("IDEMPOTENCY-KEY", "a-key"),
    ];
    for request in same {
        answer(request).await.repeats(&first);
    }
    let another = with_key(rotate(), "A-key").await.is(200);
    assert!(!another.is_replayed(), "letters of another case differ");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_key_or_two_keys_is_a_400_and_changes_nothing() {
    let server = TestServer::start().await;
    let endpoint = server.endpoint().await;
    let subscription = server.subscription("name", true).await;
    let too_long = "k".repeat(256);
    let bad: [&[(&str, &str)]; 8] = [
        &[("Idempotency-Key", "one"), ("X-Idempotency-Key", "two")],
        &[("Idempotency-Key", "one"), ("Idempotency-Key", "two")],
        &[("Idempotency-Key", "")],
        &[("Idempotency-Key", "a key")],
        &[("X-Idempotency-Key", "\"a key\"")],
        &[("Idempotency-Key", "\"unfinished")],
        &[("Idempotency-Key", &too_long)],
        &[("Idempotency-Key", "one"), ("X-Idempotency-Key", "\"")],
    ];
    let with = |request: RequestBuilder, headers: &[(&str, &str)]| {
        let headers = headers.iter();
        headers.fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    };
    for headers in bad {
        let request = server.post(&format!("{endpoint}/secret/rotate"));
        let problem = answer(with(request, headers)).await.is(400);
        assert_eq!(problem.member("code"), "invalid_idempotency_key");
        let request = server.post(&format!("{subscription}/rotate/secret"));
        let error = answer(with(request, headers)).await.is(400).json();
        assert!(error["details"]["fields"]["Idempotency-Key"].is_string());
    }
    for path in [&endpoint, &subscription] {
        assert_eq!(server.rotations(path).await, 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_is_refused_and_the_first_answer_stays() {
    let server = TestServer::start().await;
    let endpoint = server.endpoint().await;
    let subscription = server.subscription("name", true).await;
    let rotation = format!("{endpoint}/secret/rotate");
    let send = async |method: Method, path: &str, body: &str| {
        let request = server.request(method, path).body(body.to_owned());
        with_key(request, "key").await
    };
    let body = r#"{"expire_current_in":60}"#;
    let first = send(Method::POST, &rotation, body).await.is(200);

    let (post, patch) = (Method::POST, Method::PATCH);
    let others = [
        (
            post.clone(),
            rotation.as_str(),
            r#"{"expire_current_in":61}"#,
        ),
        // The same value in other bytes, and even what is not sound at all.
        (post.clone(), &rotation, r#"{"expire_current_in": 60}"#),
        (post.clone(), &rotation, "not JSON"),
        (post.clone(), &rotation, ""),
        (post.clone(), &format!("{rotation}?a=b"), body),
        (post.clone(), &format!("{endpoint}/rotate-secret"), body),
        (post.clone(), "/webhooks/endpoints", ENDPOINT),
        (patch, &endpoint, "{}"),
    ];
    for (method, path, body) in others {
        let problem = send(method, path, body).await.is(422);
        assert_eq!(problem.member("code"), "idempotency_key_reused", "{path}");
    }
    for (method, path, body) in [
        (post.clone(), &format!("{subscription}/rotate/secret"), ""),
        (Method::PUT, &subscription, &subscription_body("new", true)),
    ] {
        let error = send(method, path, body).await.is(400).json();
        assert_eq!(error["type"], "VALIDATION_ERROR");
        assert!(error["details"]["fields"]["Idempotency-Key"].is_string());
    }

    send(Method::POST, &rotation, body).await.repeats(&first);
    assert_eq!(server.rotations(&endpoint).await, 1);
    assert_eq!(server.rotations(&subscription).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_404_and_a_422_leave_the_key_free_for_any_request() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let nobodys = "/webhooks/endpoints/we_00000000000000000000000000000000/secret/rotate";
    with_key(server.post(nobodys), "key").await.is(404);
    let rotation = format!("{path}/secret/rotate");
    let rotate = |body: &'static str| server.post(&rotation).body(body);
    let out_of_range = r#"{"expire_current_in":-1}"#;
    with_key(rotate(out_of_range), "key").await.is(422);
    with_key(rotate("not JSON"), "key").await.is(400);
    let done = with_key(rotate(""), "key").await.is(200);
    assert!(!done.is_replayed());
    with_key(rotate(""), "key").await.repeats(&done);
    server.stop().await;
}

#[tokio::test]
async fn what_was_refused_for_the_state_of_things_can_be_retried_when_that_has_changed() {
    let server = TestServer::start().await;

    let path = server.endpoint().await;
    let rotate = || server.post(&format!("{path}/secret/rotate"));
    for _ in 0..9 {
        answer(rotate()).await.is(200);
    }
    let refused = with_key(rotate(), "cap").await.is(422);
    assert_eq!(refused.member("code"), "too_many_live_secrets");
    server.advance_clock(Duration::from_secs(3600)).await;
    let done = with_key(rotate(), "cap").await.is(200);
    assert!(!done.is_replayed());

    let holder = server.subscription("name", true).await;
    let body = subscription_body("name", true);
    let create = || server.post(SUBSCRIPTIONS).body(body.clone());
    with_key(create(), "name").await.is(409);
    server.delete(&holder).await;
    let done = with_key(create(), "name").await.is(201);
    with_key(create(), "name").await.repeats(&done);

    let unsigned = server.subscription("unsigned", false).await;
    let rotate = || server.post(&format!("{unsigned}/rotate/secret"));
    with_key(rotate(), "unsigned").await.is(409);
    let signed = subscription_body("signed", true);
    answer(server.put(&unsigned).body(signed)).await.is(200);
    with_key(rotate(), "unsigned").await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn the_body_of_a_verbex_rotation_is_no_part_of_the_request() {
    let server = TestServer::start().await;
    let path = server.subscription("name", true).await;
    let rotate = || server.post(&format!("{path}/rotate/secret"));
    let first = with_key(rotate(), "key").await.is(200);
    for (content_type, body) in [
        ("application/json", "{}"),
        ("application/json", "not JSON"),
        ("text/plain", "a text"),
    ] {
        let request = rotate().header("Content-Type", content_type).body(body);
        with_key(request, "key").await.repeats(&first);
    }
    assert_eq!(server.rotations(&path).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_is_remembered_for_24_hours_by_the_servers_clock() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let rotate = || server.post(&format!("{path}/secret/rotate"));
    let first = with_key(rotate(), "key").await.is(200);
    server.advance_clock(DAY_BUT_A_SECOND).await;
    with_key(rotate(), "key").await.repeats(&first);
    server.advance_clock(SECOND).await;
    let second = with_key(rotate(), "key").await.is(200);
    assert!(!second.is_replayed());
    assert_ne!(second.member("secret"), first.member("secret"));
    let expires_at = Timestamp::from_millis(START).plus(DAY + Duration::from_secs(3600));
    let told = second.member("previous_secret_expires_at");
    assert_eq!(told, expires_at.to_string());
    server.stop().await;
}

#[tokio::test]
async fn an_answer_is_replayed_after_its_endpoint_was_deleted() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let rotate = || server.post(&format!("{path}/secret/rotate"));
    let first = with_key(rotate(), "key").await.is(200);
    server.delete(&path).await;
    with_key(rotate(), "key").await.repeats(&first);
    with_key(rotate(), "another").await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn a_key_tells_nobody_else_anything() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let rotate = |token: &str| server.post(&format!("{path}/secret/rotate")).key(token);
    let first = with_key(rotate(ACME), "key").await.is(200);
    for (token, status) in [(GLOBEX, 404), ("not-a-key", 401)] {
        let refused = with_key(rotate(token), "key").await.is(status);
        assert!(!refused.is_replayed());
        assert_ne!(refused.body, first.body);
    }
    server.stop().await;
}
