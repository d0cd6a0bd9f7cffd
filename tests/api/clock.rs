//! `/dev`: the test clock, and what ends when it moves.

use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::TestClock;
use hookturn::store::MemoryStore;
use hookturn_test::{Fault, FaultyStore, Server, after, frozen, id};
use serde_json::json;

/// A server over a store that can be broken, and that tells what it was given to keep.
async fn keeping() -> (Server, Arc<FaultyStore>) {
    let clock = frozen();
    let store = FaultyStore::sound(Arc::new(MemoryStore::new(clock.clone())));
    let server = Server::builder().clock(clock).store(store.clone());
    (server.start().await, store)
}

#[tokio::test]
async fn the_clock_tells_its_time_and_is_advanced_by_seconds() {
    let server = Server::start().await;
    let now = server.get("/dev/clock").await.expect_json(200);
    assert_eq!(now, json!({ "now": after(0) }));
    for (seconds, total) in [
        (json!(90), 90),
        (json!(0), 90),
        (json!(10.0), 100),
        (json!(259_200), 259_300),
    ] {
        let answer = server
            .post("/dev/clock/advance")
            .json(&json!({ "seconds": seconds }))
            .await;
        assert_eq!(answer.expect_json(200), json!({ "now": after(total) }));
        let read = server.get("/dev/clock").await.expect_json(200);
        assert_eq!(read["now"], after(total));
    }
}

#[tokio::test]
async fn an_advance_is_a_whole_number_of_seconds_and_never_back() {
    let server = Server::start().await;
    for (seconds, code) in [
        (json!(-1), "out_of_range"),
        (json!(3_162_240_001_u64), "out_of_range"),
        (json!(1.5), "invalid_type"),
        (json!("60"), "invalid_type"),
        (json!(null), "invalid_type"),
    ] {
        let answer = server
            .post("/dev/clock/advance")
            .json(&json!({ "seconds": seconds }))
            .await;
        answer.one_field_error("seconds", code);
    }
    for nothing in ["", "{}"] {
        let answer = server.post("/dev/clock/advance").json_text(nothing).await;
        answer.one_field_error("seconds", "missing_field");
    }
    let answer = server
        .post("/dev/clock/advance")
        .json(&json!({ "seconds": 1, "minutes": 1 }))
        .await;
    answer.one_field_error("minutes", "unknown_field");
    let answer = server.post("/dev/clock/advance").json_text("{").await;
    answer.problem(400, "invalid-request", "malformed_json");
    // All advances together are bounded.
    let most = json!({ "seconds": 3_162_240_000_u64 });
    server
        .post("/dev/clock/advance")
        .json(&most)
        .await
        .expect_json(200);
    let more = server
        .post("/dev/clock/advance")
        .json(&json!({ "seconds": 1 }))
        .await;
    more.one_field_error("seconds", "out_of_range");
}

#[tokio::test]
async fn the_clock_moves_only_when_the_store_keeps_by_how_much() {
    let (server, store) = keeping().await;
    let advance = async |seconds: u64| {
        let body = json!({ "seconds": seconds });
        server.post("/dev/clock/advance").json(&body).await
    };
    assert_eq!(advance(100).await.expect_json(200)["now"], after(100));
    for fault in [Fault::ErrorBefore, Fault::PanicBefore] {
        store.set(Some(fault));
        let failed = advance(3600).await;
        failed.problem(500, "internal", "internal_error");
        let read = server.get("/dev/clock").await.expect_json(200);
        assert_eq!(read["now"], after(100));
    }
    // One that goes too far is no affair of the store's.
    let too_far = advance(3_162_240_000).await;
    too_far.one_field_error("seconds", "out_of_range");
    store.set(None);
    assert_eq!(advance(20).await.expect_json(200)["now"], after(120));
    // The whole of it each time, so that a store need not add.
    assert_eq!(store.kept(), [100, 120].map(Duration::from_secs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn advances_that_come_at_once_add_up() {
    let (server, store) = keeping().await;
    let body = json!({ "seconds": 1 });
    let advances = (0..50).map(|_| async {
        let advanced = server.post("/dev/clock/advance").json(&body).await;
        let now = advanced.expect_json(200)["now"].clone();
        now.as_str().expect("a time").to_owned()
    });
    let mut seen = futures_util::future::join_all(advances).await;
    seen.sort();
    let each: Vec<String> = (1..=50).map(after).collect();
    assert_eq!(seen, each);
    let kept: Vec<Duration> = (1..=50).map(Duration::from_secs).collect();
    assert_eq!(store.kept(), kept, "and what is kept never goes back");
}

#[tokio::test]
async fn the_test_clock_of_a_server_runs() {
    let clock = Arc::new(TestClock::running());
    let server = Server::builder().clock(clock).start().await;
    let read = async || {
        let now = server.get("/dev/clock").await.expect_json(200);
        now["now"].as_str().expect("a time").to_owned()
    };
    let first = read().await;
    let advanced = server
        .post("/dev/clock/advance")
        .json(&json!({ "seconds": 72 * 3600 }));
    advanced.await.expect_json(200);
    let second = read().await;
    assert!(first[..10] < second[..10], "{first} {second}");
    // It does not stand where it was moved to.
    for _ in 0..100_000 {
        if read().await > second {
            return;
        }
    }
    panic!("the clock stands");
}

#[tokio::test]
async fn a_grace_ends_when_the_clock_is_moved_past_it() {
    let server = Server::start().await;
    let record = server.endpoint().await;
    let verbex = format!(
        "/v1/public/webhook/subscription/{}/rotate/secret",
        id(&record)
    );
    server.post(&verbex).await.expect_json(200);
    let advance = async |seconds: u64| {
        let body = json!({ "seconds": seconds });
        server
            .post("/dev/clock/advance")
            .json(&body)
            .await
            .expect_json(200);
        server.live(id(&record)).await.len()
    };
    assert_eq!(advance(72 * 3600 - 1).await, 2);
    assert_eq!(advance(1).await, 1);
}

#[tokio::test]
async fn a_remembered_answer_ends_24_hours_after_it_was_given() {
    let server = Server::start().await;
    let record = server.endpoint().await;
    let path = format!("/webhooks/endpoints/{}/secret/rotate", id(&record));
    let rotate = || server.post(&path).header("idempotency-key", "k");
    let first = rotate().await;
    server.advance_millis(24 * 3600 * 1000 - 1);
    let again = rotate().await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
    server.advance_millis(1);
    let fresh = rotate().await;
    assert_eq!(fresh.header("idempotent-replayed"), None);
    assert_ne!(fresh.json()["secret"], first.json()["secret"]);
    assert_eq!(
        fresh.json()["previous_secret_expires_at"],
        after(24 * 3600 + 3600)
    );
}

#[tokio::test]
async fn without_dev_there_is_no_clock_to_move() {
    let server = Server::builder().without_dev().start().await;
    for answer in [
        server.get("/dev/clock").await,
        server
            .post("/dev/clock/advance")
            .json(&json!({ "seconds": 1 }))
            .await,
        server.get("/dev").await,
    ] {
        answer.problem(404, "not-found", "route_not_found");
    }
    let refused = server.get("/dev/clock").no_key().await;
    refused.problem(401, "authentication-failed", "missing_token");
}
