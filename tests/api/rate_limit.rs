//! The token bucket of each tenant.

use hookturn_test::{ACME, ACME_TOO, Answer, GLOBEX, SUBSCRIPTIONS, Server, patiently};

const HEADERS: [&str; 3] = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer
        .header(name)
        .unwrap_or_else(|| panic!("no {name}\n{answer}"));
    value.parse().expect("a number")
}

/// Asks until the bucket of the key's tenant is empty, and answers the refusal.
async fn empty(server: &Server, key: &str, path: &str) -> Answer {
    for _ in 0..1000 {
        let answer = server.get(path).key(key).await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("the bucket is never empty");
}

#[tokio::test]
async fn every_answer_to_a_key_says_how_full_the_bucket_is() {
    let server = Server::builder().rate_limit(50).start().await;
    let mut remaining = 101;
    for path in [
        "/webhooks/endpoints",
        "/webhooks/nothing",
        "/dev/clock",
        SUBSCRIPTIONS,
        "/v1/public",
    ] {
        let answer = server.get(path).await;
        assert_eq!(number(&answer, HEADERS[0]), 100, "twice the rate");
        let now = number(&answer, HEADERS[1]);
        assert!(now < 100, "one was taken");
        remaining = now.min(remaining);
        assert!(
            number(&answer, HEADERS[2]) > 1_700_000_000,
            "a Unix second of the wall clock"
        );
    }
    assert!(remaining <= 99);
    for answer in [
        server.get("/healthz").await,
        server.get("/webhooks/endpoints").no_key().await,
    ] {
        for name in HEADERS {
            assert_eq!(answer.header(name), None, "{answer}");
        }
    }
}

#[tokio::test]
async fn without_a_limit_there_are_no_headers_about_it() {
    let server = Server::start().await;
    let answer = server.get("/webhooks/endpoints").await;
    for name in HEADERS {
        assert_eq!(answer.header(name), None);
    }
}

#[tokio::test]
async fn an_empty_bucket_answers_429_in_the_words_of_the_path() {
    let server = Server::builder().rate_limit(1).start().await;
    for path in ["/webhooks/endpoints", "/deliveries/none", "/dev/clock"] {
        let answer = empty(&server, ACME, path).await;
        answer.problem(429, "rate-limit-exceeded", "rate_limit_exceeded");
        assert_eq!(number(&answer, "retry-after"), 1);
        assert_eq!(number(&answer, HEADERS[0]), 2);
        assert_eq!(number(&answer, HEADERS[1]), 0);
    }
    for path in [SUBSCRIPTIONS, "/v1/public/nothing"] {
        let answer = empty(&server, ACME, path).await;
        answer.verbex_error(429, "RATE_LIMITED");
        assert_eq!(number(&answer, "retry-after"), 1);
    }
}

#[tokio::test]
async fn what_is_refused_is_not_looked_at() {
    let server = Server::builder().rate_limit(1).start().await;
    empty(&server, ACME, "/webhooks/endpoints").await;
    // The key was not used either, so the same request goes on later.
    let refused = async {
        loop {
            let request = server
                .post(SUBSCRIPTIONS)
                .header("idempotency-key", "a b")
                .json_text("{");
            let answer = request.await;
            if answer.status != 429 {
                return answer.status;
            }
        }
    };
    // The bucket gets its next token after a second.
    assert_eq!(patiently(refused).await, 400);
}

#[tokio::test]
async fn tenants_have_buckets_of_their_own_and_keys_of_one_tenant_share_one() {
    let server = Server::builder().rate_limit(1).start().await;
    empty(&server, ACME, "/webhooks/endpoints").await;
    let shared = server.get("/webhooks/endpoints").key(ACME_TOO).await;
    assert!(
        shared.status == 429 || number(&shared, HEADERS[1]) == 0,
        "{shared}"
    );
    assert_eq!(
        server.get("/webhooks/endpoints").key(GLOBEX).await.status,
        200
    );
    // Who has no key has no bucket.
    for _ in 0..5 {
        assert_eq!(
            server.get("/webhooks/endpoints").key("guess").await.status,
            401
        );
    }
}

#[tokio::test]
async fn the_bucket_fills_in_real_time_whatever_the_test_clock_says() {
    let server = Server::builder().rate_limit(2).start().await;
    server.advance(365 * 86_400);
    let refused = empty(&server, ACME, "/webhooks/endpoints").await;
    let reset = number(&refused, HEADERS[2]);
    server.advance(365 * 86_400);
    for _ in 0..100_000 {
        let answer = server.get("/webhooks/endpoints").await;
        if answer.status == 200 {
            assert!(
                number(&answer, HEADERS[2]).abs_diff(reset) <= 60,
                "{answer}"
            );
            return;
        }
    }
    panic!("the bucket never fills");
}
