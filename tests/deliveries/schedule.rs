//! When a delivery that failed is tried again, and what counts as failing.

use std::time::Duration;

use hookturn::clock::Clock as _;
use hookturn_test::{Reaction, Receiver, id, millis, status, text};
use serde_json::{Value, json};

use crate::stage::{Stage, attempts};

/// The waits after each failure but the last, in seconds.
const WAITS: [i64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How long a pending delivery has to wait, in milliseconds.
fn wait(stage: &Stage, delivery: &Value) -> i64 {
    millis(&delivery["next_attempt_at"]) - stage.clock.now().as_millis()
}

fn advance_to(stage: &Stage, time: i64) {
    let by = time - stage.clock.now().as_millis();
    stage.advance_millis(u64::try_from(by).expect("a time to come"));
}

#[tokio::test]
async fn a_delivery_is_tried_ten_times_at_growing_distances_and_has_failed_then() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    let mut has_jitter = false;
    for base in WAITS {
        assert_eq!(stage.step().await, 1);
        let delivery = stage.only_delivery(&endpoint).await;
        assert_eq!(delivery["status"], "pending");
        let wait = wait(&stage, &delivery);
        assert!(
            (base * 1000..=base * 1100).contains(&wait),
            "{base}: {wait}"
        );
        has_jitter |= wait > base * 1000;
        let due = millis(&delivery["next_attempt_at"]);
        advance_to(&stage, due - 1);
        assert_eq!(stage.step().await, 0, "{base}");
        advance_to(&stage, due);
    }
    assert!(has_jitter);
    assert_eq!(stage.step().await, 1);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "failed");
    assert_eq!(delivery["next_attempt_at"], Value::Null);
    assert_eq!(attempts(&delivery).len(), 10);
    for attempt in attempts(&delivery) {
        assert_eq!(attempt["status_code"], 500);
        assert_eq!(attempt["error"], Value::Null);
    }
    let times: Vec<_> = attempts(&delivery)
        .iter()
        .map(|one| millis(&one["at"]))
        .collect();
    assert!(times.is_sorted_by(|one, next| one < next));
    stage.advance(3 * 86_400);
    assert_eq!(stage.step().await, 0);
    assert_eq!(receiver.count(), 10);
}

#[tokio::test]
async fn any_2xx_is_success_and_nothing_else_is() {
    let stage = Stage::start().await;
    for (code, expected) in [
        (200, "succeeded"),
        (201, "succeeded"),
        (202, "succeeded"),
        (204, "succeeded"),
        (226, "succeeded"),
        (299, "succeeded"),
        (300, "pending"),
        (304, "pending"),
        (400, "pending"),
        (401, "pending"),
        (404, "pending"),
        (409, "pending"),
        (429, "pending"),
        (500, "pending"),
        (503, "pending"),
        (599, "pending"),
        (999, "pending"),
    ] {
        let receiver = Receiver::that(status(code)).await;
        let endpoint = stage.hook(&receiver, &[]).await;
        stage.publish("a").await;
        assert_eq!(stage.settle().await, 1, "{code}");
        let delivery = stage.only_delivery(&endpoint).await;
        assert_eq!(delivery["status"], expected, "{code}");
        assert_eq!(attempts(&delivery)[0]["status_code"], code);
        stage.remove(&endpoint).await;
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let stage = Stage::start().await;
    let elsewhere = Receiver::start().await;
    for code in [301, 302, 303, 307, 308] {
        let headers = vec![("location", elsewhere.url())];
        let receiver = Receiver::that(Reaction::Answer(code, headers)).await;
        let endpoint = stage.hook(&receiver, &[]).await;
        stage.publish("a").await;
        stage.settle().await;
        let delivery = stage.only_delivery(&endpoint).await;
        assert_eq!(delivery["status"], "pending");
        let attempt = &attempts(&delivery)[0];
        assert_eq!(attempt["status_code"], code);
        assert_eq!(attempt["error"], "redirects are not followed");
        stage.remove(&endpoint).await;
    }
    assert_eq!(elsewhere.connections(), 0);
}

async fn wait_after(retry_after: &str) -> i64 {
    let stage = Stage::start().await;
    let headers = vec![("retry-after", retry_after.to_owned())];
    let receiver = Receiver::that(Reaction::Answer(503, headers)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    stage.settle().await;
    wait(&stage, &stage.only_delivery(&endpoint).await)
}

#[tokio::test]
async fn a_longer_retry_after_in_seconds_is_honoured_up_to_a_day() {
    assert_eq!(wait_after("60").await, 60_000);
    assert_eq!(wait_after("86400").await, 86_400_000);
    for endless in ["86401", "604800", "99999999999999999999999"] {
        assert_eq!(wait_after(endless).await, 86_400_000);
    }
    for shorter_or_nonsense in ["0", "1", "soon", "-60", "60.5", ""] {
        let wait = wait_after(shorter_or_nonsense).await;
        assert!(
            (5000..=5500).contains(&wait),
            "{shorter_or_nonsense}: {wait}"
        );
    }
}

#[tokio::test]
async fn a_retry_after_that_is_a_date_is_compared_with_the_wall_clock() {
    let stage = Stage::start().await;
    let in_seconds = |seconds: u64| {
        let date = stage.clock.wall().plus(Duration::from_secs(seconds));
        let millis = u64::try_from(date.as_millis()).expect("after 1970");
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(millis))
    };
    let wait = wait_after(&in_seconds(3600)).await;
    assert!((3_500_000..=3_600_000).contains(&wait), "{wait}");
    assert_eq!(wait_after(&in_seconds(7 * 86_400)).await, 86_400_000);
    let wait = wait_after(&in_seconds(0)).await;
    assert!((5000..=5500).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_410_disables_the_endpoint_and_fails_that_delivery_and_the_others_wait() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    receiver.once(status(500));
    receiver.once(status(410));
    let endpoint = stage.hook(&receiver, &[]).await;
    let first = stage.publish("a").await;
    assert_eq!(stage.step().await, 1);
    stage.publish("a").await;
    assert_eq!(stage.step().await, 1);
    let path = format!("/webhooks/endpoints/{}", id(&endpoint));
    let read = stage.get(&path).await.expect_json(200);
    assert_eq!(read["status"], "disabled");
    assert_eq!(read["updated_at"], hookturn_test::after(0));
    let deliveries = stage.deliveries(&endpoint).await;
    assert_eq!(deliveries[0]["status"], "failed");
    assert_eq!(deliveries[0]["next_attempt_at"], Value::Null);
    assert_eq!(attempts(&deliveries[0])[0]["status_code"], 410);
    assert_eq!(deliveries[1]["status"], "pending");
    assert_eq!(deliveries[1]["event_id"], first["id"]);
    stage.advance(3600);
    assert_eq!(stage.settle().await, 0);
    assert_eq!(stage.publish("a").await["deliveries"], 0);
    stage.set_status(&endpoint, "active").await;
    assert_eq!(stage.settle().await, 1);
    let states: Vec<_> = stage.deliveries(&endpoint).await;
    let states: Vec<_> = states.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(states, [json!("failed"), json!("succeeded")]);
}

#[tokio::test]
async fn an_attempt_has_its_time_and_is_told_as_timed_out() {
    let stage = Stage::with_attempt_timeout(Duration::from_millis(300)).await;
    let receiver = Receiver::that(Reaction::Hang).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 1);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "pending");
    let attempt = &attempts(&delivery)[0];
    assert_eq!(attempt["status_code"], Value::Null);
    assert_eq!(attempt["error"], "timed out");
    assert!(attempt["duration_ms"].as_u64() >= Some(300));
    // What the server gives an attempt.
    assert_eq!(
        hookturn::delivery::sender::SenderOptions::default().attempt_timeout,
        Duration::from_secs(15)
    );
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_told_as_such() {
    let stage = Stage::start().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", gone.local_addr().expect("bound"));
    drop(gone);
    let endpoint = stage.hook_at(&url, &[]).await;
    stage.publish("a").await;
    stage.settle().await;
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(attempts(&delivery)[0]["error"], "connection refused");
    assert_eq!(delivery["status"], "pending");
}

/// A receiver that never succeeds gets one attempt at a time, so not everything that waits for it
/// can be attempted in time. Still each of its deliveries has an end, and a reason.
#[tokio::test]
async fn whatever_waits_for_a_receiver_that_never_succeeds_has_an_end() {
    const EVENTS: usize = 200;
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    for _ in 0..EVENTS {
        stage.publish("a").await;
    }
    // 84 hours, with an attempt every half hour at most once it is known to fail.
    for _ in 0..2 * 84 {
        stage.step().await;
        stage.advance(1800);
    }
    while stage.store.sweep().await.expect("a store in memory") <= stage.clock.now() {}

    let (mut reasons, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!(
            "/webhooks/endpoints/{}/deliveries?limit=100{after}",
            id(&endpoint)
        );
        let page = stage.get(&path).await.expect_json(200);
        for delivery in page["data"].as_array().expect("a list") {
            assert_eq!(delivery["status"], "failed");
            let reason = text(delivery, "failure_reason").to_owned();
            reasons.push((reason, attempts(delivery).len()));
        }
        if page["has_more"] != true {
            break;
        }
        let last = page["data"]
            .as_array()
            .expect("a list")
            .last()
            .expect("one");
        after = format!("&starting_after={}", id(last));
    }
    assert_eq!(reasons.len(), EVENTS);
    let attempted = reasons.iter().filter(|(_, attempts)| *attempts > 0);
    // Retries go first. So a few have nearly their whole schedule, instead of one attempt each.
    assert!((10..50).contains(&attempted.clone().count()), "{reasons:?}");
    assert!(
        attempted.clone().all(|(_, attempts)| *attempts >= 5),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().all(|(reason, _)| reason == "time_over"),
        "{reasons:?}"
    );
}
