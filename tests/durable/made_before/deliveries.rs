//! Deliveries of the file: what they carry, and how they go on.

use std::collections::BTreeMap;

use hookturn_test::{
    Reaction, Receiver, SUBSCRIPTIONS, millis, millis_of, scratch, status, text, until,
};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::MINUTE;
use super::fixture::{Fixture, Message, Tenants};
use crate::api::Api;

/// The waits after the first failures, in milliseconds.
const SCHEDULE: [i64; 6] = [
    5000,
    5 * MINUTE,
    30 * MINUTE,
    120 * MINUTE,
    300 * MINUTE,
    600 * MINUTE,
];

/// Has the deliveries of an endpoint come to a receiver that does this.
async fn receive(api: &Api, endpoint: &str, reaction: Reaction) -> Receiver {
    let receiver = Receiver::that(reaction).await;
    let to_receiver = json!({ "url": receiver.url(), "status": "active" });
    let path = format!("/webhooks/endpoints/{endpoint}");
    api.patch(&path, to_receiver).await.is(200);
    receiver
}

/// The newest delivery of an endpoint.
async fn newest(api: &Api, endpoint: &str) -> Value {
    let path = format!("/webhooks/endpoints/{endpoint}/deliveries");
    api.all(&path).await.remove(0)
}

fn attempts(delivery: &Value) -> &[Value] {
    delivery["attempts"].as_array().expect("attempts")
}

/// Waits until the newest delivery of an endpoint has had so many attempts, and returns it.
async fn attempted(api: &Api, endpoint: &str, count: usize) -> Value {
    let mut found = Value::Null;
    until(async || {
        found = newest(api, endpoint).await;
        attempts(&found).len() >= count
    })
    .await;
    assert_eq!(attempts(&found).len(), count, "{found}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_carries_what_it_carried() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let tenants = Tenants::of_program(&program);
    let mut of_endpoints: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in &fixture.messages {
        let of_endpoint = of_endpoints.entry(&message.endpoint).or_default();
        of_endpoint.push(message);
    }
    for (endpoint, messages) in of_endpoints {
        let api = tenants.of(&messages[0].tenant);
        let receiver = receive(api, endpoint, status(204)).await;
        for message in &messages {
            let resend = format!("/deliveries/{}/resend", message.delivery);
            api.post(&resend, "").await.is(202);
        }
        let mut received = Vec::new();
        until(async || {
            received.extend(receiver.take());
            let has_come = |message: &&Message| {
                let mut bodies = received.iter().map(|one| &one.body);
                bodies.any(|body| body == message.body.as_bytes())
            };
            messages.iter().all(has_come)
        })
        .await;
        if endpoint == fixture.id("full") {
            let path = format!("{SUBSCRIPTIONS}/{endpoint}");
            let subscription = api.get(&path).await.is(200).json();
            let own = subscription["headers"].as_object().expect("headers");
            assert!(own.len() > 3);
            for (name, value) in own {
                assert_eq!(*value, received[0].header(name));
                assert!(received[0].names.contains(name), "{received:?}");
            }
        }
    }
    block_in_place(|| program.stop());
    setup.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_one_keeps_its_place_on_the_schedule() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let tenants = Tenants::of_program(&program);
    let api = &tenants.acme;
    let mut waiting = Vec::new();
    for name in ["slow", "failing", "refused", "verbex_failing", "later"] {
        let endpoint = fixture.id(name);
        let receiver = receive(api, endpoint, status(500)).await;
        let before = newest(api, endpoint).await;
        waiting.push((
            millis(&before["next_attempt_at"]),
            endpoint,
            receiver,
            before,
        ));
    }
    waiting.sort_by_key(|(due, ..)| *due);
    for (due, endpoint, receiver, before) in waiting {
        let failures = attempts(&before).len();
        if tenants.now().await < due - MINUTE {
            tenants.advance_to(due - MINUTE).await;
            assert_eq!(newest(api, endpoint).await, before);
        }
        if tenants.now().await < due {
            tenants.advance_to(due).await;
        }
        receiver.wait_for(1).await;
        let after = attempted(api, endpoint, failures + 1).await;
        let next = millis(&after["next_attempt_at"]);
        let wait = next - millis(&attempts(&after)[failures]["at"]);
        let expected = SCHEDULE[failures];
        let longest = expected + expected / 10 + MINUTE;
        assert!(
            (expected..=longest).contains(&wait),
            "{wait} after {before}"
        );
        assert_eq!(attempts(&after)[..failures], *attempts(&before));
    }
    block_in_place(|| program.stop());
}

/// The server that made the file was killed while it made attempts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_cut_short_goes_on_as_it_would_have() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let api = Tenants::of_program(&program).acme;

    // It was to be resent after that attempt.
    let endpoint = fixture.id("cut_wanted");
    let receiver = receive(&api, endpoint, status(204)).await;
    receiver.wait_for(2).await;
    let ended = attempted(&api, endpoint, 2).await;
    assert_eq!(text(&ended, "status"), "succeeded");

    // It was resent after it had ended, so this attempt is its last.
    let endpoint = fixture.id("cut_last");
    let receiver = receive(&api, endpoint, status(500)).await;
    receiver.wait_for(1).await;
    let ended = attempted(&api, endpoint, 2).await;
    assert_eq!(text(&ended, "status"), "failed");

    // It was resent ahead of the schedule, which it goes on with.
    let endpoint = fixture.id("cut_scheduled");
    let receiver = receive(&api, endpoint, status(500)).await;
    receiver.wait_for(1).await;
    let waiting = attempted(&api, endpoint, 2).await;
    assert_eq!(text(&waiting, "status"), "pending");
    let next = millis(&waiting["next_attempt_at"]);
    assert_eq!(next, millis_of(&fixture.scheduled_at));
    block_in_place(|| program.stop());
    setup.assert_sound();
}
