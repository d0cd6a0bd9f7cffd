//! What surrounds every request: its name, who may keep the answer, dead ends, and faults of the
//! server.

use std::sync::Arc;

use hookturn::store::MemoryStore;
use hookturn_test::{
    ACME, Answer, Fault, FaultyStore, INSIDE, SUBSCRIPTIONS, Server, frozen, id, subscription,
};
use reqwest::Method;
use serde_json::json;

/// A server over a store that can be broken.
async fn breakable() -> (Server, Arc<FaultyStore>) {
    let clock = frozen();
    let store = FaultyStore::sound(Arc::new(MemoryStore::new(clock.clone())));
    let server = Server::builder().clock(clock).store(store.clone());
    (server.start().await, store)
}

#[tokio::test]
async fn a_request_id_of_1_to_128_visible_characters_is_repeated() {
    let server = Server::start().await;
    let longest = "~".repeat(128);
    for own in [
        "a",
        "550e8400-e29b-41d4-a716-446655440000",
        "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~",
        &longest,
    ] {
        for path in [
            "/webhooks/endpoints",
            "/healthz",
            "/nothing",
            "/",
            "/docs/",
            SUBSCRIPTIONS,
        ] {
            let answer = server.get(path).header("x-request-id", own).await;
            assert_eq!(answer.header("x-request-id"), Some(own), "{answer}");
        }
        let refused = server
            .get("/webhooks")
            .no_key()
            .header("x-request-id", own)
            .await;
        assert_eq!(refused.header("x-request-id"), Some(own));
    }
}

#[tokio::test]
async fn any_other_request_id_is_replaced_by_a_new_one() {
    let server = Server::start().await;
    let too_long = "a".repeat(129);
    let mut seen = Vec::new();
    for own in [&b""[..], b"a b", b"\xc3\xa9", b"a\tb", too_long.as_bytes()] {
        let answer = server.get("/healthz").header("x-request-id", own).await;
        seen.push(answer.header("x-request-id").expect("an id").to_owned());
    }
    seen.push(
        server
            .get("/healthz")
            .await
            .header("x-request-id")
            .expect("an id")
            .to_owned(),
    );
    for (place, id) in seen.iter().enumerate() {
        assert!(
            id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_graphic()),
            "{id}"
        );
        assert!(!seen[..place].contains(id), "{id} twice");
    }
}

#[tokio::test]
async fn no_answer_to_a_key_may_be_kept() {
    let server = Server::start().await;
    let record = server.subscription("one", true).await;
    let path = format!("{SUBSCRIPTIONS}/{}", id(&record));
    let create = || {
        server
            .post(SUBSCRIPTIONS)
            .header("idempotency-key", "k")
            .json(&subscription("two", true))
    };
    for answer in [
        create().await,
        create().await,
        server.post(&format!("{path}/rotate/secret")).await,
        server.get(&path).await,
        server.put(&path).json(&subscription("one", false)).await,
        server.put(&path).json(&subscription("one", true)).await,
        server.get("/webhooks/endpoints").await,
        server.get("/webhooks/nothing").await,
        server.delete(&path).await,
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found_in_the_words_of_its_dialect() {
    let server = Server::start().await;
    for path in [
        "/nothing",
        "/webhooks",
        "/webhooks/",
        "/webhooks/endpoints/",
        "/webhooks/endpoints/a/b",
        "/events/x",
        "/deliveries",
        "/dev",
        "/v1",
        "/v1/publicx",
        "/problems",
        "/problems/",
        "/problems/nothing",
        "/problems/%ff",
        "/docs/nothing",
        "/docs/%ff",
        "/openapi",
        "/openapi/nothing.json",
        "/healthz/",
    ] {
        let answer = server.get(path).await;
        answer.problem(404, "not-found", "route_not_found");
    }
    for path in [
        "/v1/public",
        "/v1/public/",
        "/v1/public/webhook",
        "/v1/public/webhook/subscription/a/rotate",
    ] {
        for method in [Method::GET, Method::POST] {
            server
                .request(method, path)
                .await
                .verbex_error(404, "NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_with_those_that_the_path_has() {
    let server = Server::start().await;
    let record = server.endpoint().await;
    let endpoint = format!("/webhooks/endpoints/{}", id(&record));
    let path = format!("{SUBSCRIPTIONS}/{}", id(&record));
    for (target, allowed) in [
        ("/webhooks/endpoints", &["GET", "HEAD", "POST"][..]),
        (&endpoint, &["DELETE", "GET", "HEAD", "PATCH"]),
        (&format!("{endpoint}/secret/rotate"), &["POST"]),
        (&format!("{endpoint}/rotate-secret"), &["POST"]),
        (&format!("{endpoint}/secret/revoke-previous"), &["POST"]),
        (&format!("{endpoint}/secrets"), &["GET", "HEAD"]),
        ("/dev/clock", &["GET", "HEAD"]),
        ("/dev/clock/advance", &["POST"]),
        ("/healthz", &["GET", "HEAD"]),
        ("/readyz", &["GET", "HEAD"]),
        ("/", &["GET", "HEAD"]),
        ("/problems/internal", &["GET", "HEAD"]),
        ("/openapi/2026-03-01.json", &["GET", "HEAD"]),
        (SUBSCRIPTIONS, &["POST"]),
        (&path, &["DELETE", "GET", "HEAD", "PUT"]),
        (&format!("{path}/rotate/secret"), &["POST"]),
    ] {
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
        ] {
            if allowed.contains(&method) {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = server.request(method.clone(), target).await;
            assert_eq!(answer.status, 405, "{answer}");
            let mut told: Vec<_> = answer
                .header("allow")
                .expect("Allow")
                .split(',')
                .map(str::trim)
                .collect();
            told.sort_unstable();
            assert_eq!(told, allowed, "{answer}");
            if method == Method::HEAD {
                continue;
            }
            if target.starts_with("/v1/public") {
                answer.verbex_error(405, "METHOD_NOT_ALLOWED");
            } else {
                answer.problem(405, "method-not-allowed", "method_not_allowed");
            }
        }
    }
}

#[tokio::test]
async fn head_goes_where_get_goes_with_the_same_headers_and_no_body() {
    let server = Server::start().await;
    let endpoint = server.endpoint_path().await;
    let verbex = endpoint.replace("/webhooks/endpoints", SUBSCRIPTIONS);
    let secrets = format!("{endpoint}/secrets");
    for path in [
        "/webhooks/endpoints",
        &endpoint,
        &secrets,
        &verbex,
        "/healthz",
        "/readyz",
        "/dev/clock",
        "/nothing",
        "/webhooks/nothing",
        "/v1/public/nothing",
        "/",
        "/openapi/verbex-v1.json",
        "/webhooks/endpoints?limit=0",
    ] {
        let get = server.get(path).await;
        let head = server.request(Method::HEAD, path).await;
        assert_eq!(head.status, get.status, "{head}");
        assert!(head.body.is_empty(), "{head}");
        for name in ["content-type", "content-length", "cache-control", "allow"] {
            assert_eq!(head.header(name), get.header(name), "{name}\n{head}");
        }
    }
}

/// Requests of each kind, with what answers them when the store is broken.
async fn ask_everything(server: &Server, endpoint: &str) -> Vec<Answer> {
    let verbex = endpoint.replace("/webhooks/endpoints", SUBSCRIPTIONS);
    vec![
        server.get("/webhooks/endpoints").await,
        server
            .post("/webhooks/endpoints")
            .json(&json!({ "url": "https://example.com" }))
            .await,
        server.get(endpoint).await,
        server.patch(endpoint).json(&json!({})).await,
        server.delete(endpoint).await,
        server.post(&format!("{endpoint}/secret/rotate")).await,
        server
            .post(&format!("{endpoint}/rotate-secret"))
            .header("idempotency-key", "k")
            .await,
        server.get(&format!("{endpoint}/secrets")).await,
        server
            .post(&format!("{endpoint}/secret/revoke-previous"))
            .await,
        server.get("/readyz").await,
        server
            .post(SUBSCRIPTIONS)
            .json(&subscription("one", true))
            .await,
        server.get(&verbex).await,
        server.put(&verbex).json(&subscription("one", true)).await,
        server.delete(&verbex).await,
        server
            .post(&format!("{verbex}/rotate/secret"))
            .header("idempotency-key", "k")
            .await,
    ]
}

#[tokio::test]
async fn a_failing_or_panicking_store_is_a_500_that_says_nothing_of_the_inside() {
    let (server, store) = breakable().await;
    let endpoint = server.endpoint_path().await;
    for fault in [Fault::ErrorBefore, Fault::PanicBefore] {
        store.set(Some(fault));
        for answer in ask_everything(&server, &endpoint).await {
            if answer.target.starts_with("/v1/public") {
                answer.verbex_error(500, "INTERNAL_SERVER_ERROR");
            } else {
                answer.problem(500, "internal", "internal_error");
            }
            let said = answer.text().to_lowercase();
            for inside in [
                INSIDE,
                "disk",
                "panick",
                "store",
                ".rs",
                "backtrace",
                "whsec_",
            ] {
                assert!(!said.contains(inside), "{inside}\n{answer}");
            }
            assert!(answer.header("x-request-id").is_some());
        }
        // The process is up, whatever its store does.
        assert_eq!(server.get("/healthz").await.status, 200);
        store.set(None);
        assert_eq!(server.get("/readyz").await.status, 200);
        server.get(&endpoint).await.expect_json(200);
    }
    let id = endpoint.rsplit('/').next().expect("an id");
    assert_eq!(server.live(id).await.len(), 1, "nothing was done");
    let rotated = server
        .post(&format!("{endpoint}/secret/rotate"))
        .header("idempotency-key", "k");
    assert_eq!(rotated.await.status, 200, "a failure is not remembered");
}

#[tokio::test]
async fn a_panic_does_not_end_the_connection_that_it_came_over() {
    let (server, store) = breakable().await;
    store.set(Some(Fault::PanicBefore));
    let one =
        format!("GET /webhooks/endpoints HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {ACME}\r\n");
    // The second answer ends the connection; the first must not.
    let two = format!("{one}\r\n{one}Connection: close\r\n\r\n");
    let answer = server.raw_bytes(two.as_bytes()).await;
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 500 ").count(), 2, "{text}");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_a_408_and_the_server_goes_on() {
    let builder = Server::builder().body_timeout(std::time::Duration::from_millis(100));
    let server = builder.start().await;
    let endpoint = server.endpoint_path().await;
    let slow = format!(
        "POST {endpoint}/secret/rotate HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME}\r\n\
         Content-Length: 10\r\n\r\n{{"
    );
    let answer = server.raw(slow.as_bytes()).await;
    answer.problem(408, "request-timeout", "body_timeout");
    let id = endpoint.rsplit('/').next().expect("an id");
    assert_eq!(server.live(id).await.len(), 1);
}

#[tokio::test]
async fn odd_request_targets_are_answered_like_any_other() {
    let server = Server::start().await;
    let ask = |line: &str| {
        format!("{line} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME}\r\n\r\n").into_bytes()
    };
    // In absolute form the path is what comes after the host.
    let absolute = server
        .raw_bytes(&ask("GET http://t/webhooks/endpoints"))
        .await;
    assert!(
        absolute.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&absolute)
    );
    let absolute = server.raw_bytes(&ask("GET http://t/v1/public/x")).await;
    let text = String::from_utf8_lossy(&absolute).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 404 ") && text.contains("\"path\":\"/v1/public/x\""),
        "{text}"
    );
    for line in [
        "OPTIONS *",
        "GET //webhooks/endpoints",
        "GET /%77ebhooks/endpoints",
        "GET /webhooks/../webhooks",
    ] {
        let answer = server.raw(&ask(line)).await;
        assert_eq!(answer.status, 404, "{answer}");
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_instance_is_a_reference_to_the_path_and_never_to_another_host() {
    let server = Server::start().await;
    let ask = async |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME}\r\n\r\n"
        );
        server.raw(request.as_bytes()).await.expect_json(404)
    };
    let base = reqwest::Url::parse(&server.base).expect("a URL");
    for (path, instance) in [
        ("/webhooks/endpoints/we_1", "/webhooks/endpoints/we_1"),
        ("/webhooks/endpoints/{id}", "/webhooks/endpoints/%7Bid%7D"),
        (
            "/webhooks/endpoints/%7Bid%7D",
            "/webhooks/endpoints/%7Bid%7D",
        ),
        ("/webhooks/endpoints/%zz?x=//y", "/webhooks/endpoints/%25zz"),
        ("//evil.example/x", "/%2Fevil.example/x"),
        ("///evil.example/x", "/%2F/evil.example/x"),
        ("http://t//evil.example/x", "/%2Fevil.example/x"),
        ("/\\evil.example/x", "/%5Cevil.example/x"),
        ("/\u{e9}", "/%C3%A9"),
        ("/a:b@c|d", "/a:b@c%7Cd"),
    ] {
        let problem = ask(path).await;
        assert_eq!(problem["instance"], instance, "{path}");
        let resolved = base.join(instance).expect("a URI reference");
        assert_eq!(resolved.origin(), base.origin(), "{path}");
    }
    // Verbex v1 has the path itself.
    let error = ask("/v1/public/{id}").await;
    assert_eq!(error["path"], "/v1/public/{id}");
}
