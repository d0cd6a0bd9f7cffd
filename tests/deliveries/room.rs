//! The worker by itself, with little room: nobody's deliveries wait for another's receiver.

use std::time::Duration;

use hookturn::store::StoreLimits;
use hookturn_test::{PATIENCE, Reaction, Receiver, patiently, status};
use serde_json::{Value, json};

use crate::stage::{Stage, attempts};

/// Longer than a test waits for anything: what hangs, hangs.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn room(in_flight: usize, in_flight_per_endpoint: usize) -> StoreLimits {
    StoreLimits {
        in_flight,
        in_flight_per_endpoint,
        ..StoreLimits::default()
    }
}

/// Waits until the one delivery of an endpoint has so many attempts.
async fn wait_for_attempts(stage: &Stage, endpoint: &Value, count: usize) -> Value {
    patiently(async {
        loop {
            let delivery = stage.only_delivery(endpoint).await;
            if attempts(&delivery).len() >= count {
                return delivery;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_delay_another() {
    let stage = Stage::with(StoreLimits::default(), FOR_EVER).await;
    let (dead, well) = (
        Receiver::that(Reaction::Hang).await,
        Receiver::start().await,
    );
    stage.hook(&dead, &["dead"]).await;
    stage.hook(&well, &["well"]).await;
    for _ in 0..300 {
        stage.publish("dead").await;
    }
    let running = stage.run();
    let most = StoreLimits::default().in_flight_per_endpoint;
    dead.wait_for(most).await;
    for count in 1..=50 {
        stage.publish("well").await;
        well.wait_for(count).await;
    }
    assert_eq!(dead.count(), most);
    drop(running);
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_use_up_little_room_either() {
    let stage = Stage::with(room(4, 4), FOR_EVER).await;
    let (dead, well) = (
        Receiver::that(Reaction::Hang).await,
        Receiver::start().await,
    );
    stage.hook(&dead, &["dead"]).await;
    stage.hook(&well, &["well"]).await;
    for _ in 0..20 {
        stage.publish("dead").await;
    }
    let running = stage.run();
    dead.wait_for(2).await;
    for count in 1..=50 {
        stage.publish("well").await;
        well.wait_for(count).await;
    }
    assert_eq!(dead.count(), 2);
    drop(running);
}

#[tokio::test]
async fn receivers_that_fail_again_and_again_leave_half_of_the_room_to_others() {
    let stage = Stage::with(room(4, 4), FOR_EVER).await;
    // Eight receivers that fail once, so that it is known of them, and hang from then on.
    let mut dead = Vec::new();
    for _ in 0..8 {
        let receiver = Receiver::that(Reaction::Hang).await;
        receiver.once(status(500));
        stage.hook(&receiver, &["dead"]).await;
        dead.push(receiver);
    }
    let well = Receiver::start().await;
    stage.hook(&well, &["well"]).await;
    stage.publish("dead").await;
    let running = stage.run();
    for receiver in &dead {
        receiver.wait_for(1).await;
    }
    // Their answers have come; what they were must be recorded before the retries are due.
    stage.publish("well").await;
    well.wait_for(1).await;
    stage.advance(60);
    patiently(async {
        while dead.iter().map(Receiver::count).sum::<usize>() < 8 + 2 {
            stage.advance(0);
            tokio::task::yield_now().await;
        }
    })
    .await;
    for count in 2..=30 {
        stage.publish("well").await;
        well.wait_for(count).await;
    }
    let tried: usize = dead.iter().map(Receiver::count).sum();
    assert_eq!(tried, 8 + 2);
    drop(running);
}

#[tokio::test]
async fn a_failing_receiver_gets_one_attempt_at_a_time_until_it_is_well() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    assert_eq!(stage.step().await, 1);
    for _ in 0..5 {
        stage.publish("a").await;
    }
    assert_eq!(stage.step().await, 1);
    assert_eq!(stage.step().await, 1);
    receiver.always(status(200));
    assert_eq!(stage.step().await, 1);
    assert_eq!(stage.step().await, 2);
    assert_eq!(stage.step().await, 0);
}

#[tokio::test]
async fn a_retry_is_made_in_time_though_all_else_hangs() {
    let stage = Stage::with(room(4, 4), FOR_EVER).await;
    let (dead, flaky) = (
        Receiver::that(Reaction::Hang).await,
        Receiver::start().await,
    );
    stage.hook(&dead, &["dead"]).await;
    flaky.once(status(500));
    let retried = stage.hook(&flaky, &["flaky"]).await;
    let running = stage.run();
    stage.publish("flaky").await;
    wait_for_attempts(&stage, &retried, 1).await;
    for _ in 0..10 {
        stage.publish("dead").await;
    }
    dead.wait_for(2).await;
    // What is due for want of room is in the past; the worker must not wait for that alone.
    stage.advance(6);
    flaky.wait_for(2).await;
    let delivery = wait_for_attempts(&stage, &retried, 2).await;
    assert_eq!(delivery["status"], "succeeded");
    drop(running);
}

#[tokio::test]
async fn the_worker_is_woken_by_each_thing_that_makes_a_delivery_due() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let running = stage.run();
    stage.publish("a").await;
    let delivery = wait_for_attempts(&stage, &endpoint, 1).await;
    stage.resend(&delivery).await;
    wait_for_attempts(&stage, &endpoint, 2).await;
    stage.advance(331);
    wait_for_attempts(&stage, &endpoint, 3).await;
    stage.set_status(&endpoint, "disabled").await;
    stage.advance(3600);
    receiver.always(status(200));
    stage.set_status(&endpoint, "active").await;
    let delivery = wait_for_attempts(&stage, &endpoint, 4).await;
    assert_eq!(delivery["status"], "succeeded");
    running.stop().await;
}

#[tokio::test]
async fn what_is_under_way_when_the_worker_stops_is_finished_and_nothing_more_begun() {
    let stage = Stage::start().await;
    let release = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let receiver = Receiver::that(Reaction::Held(release.clone(), 200)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let running = stage.run();
    stage.publish("a").await;
    receiver.wait_for(1).await;
    let stopped = tokio::spawn(running.stop());
    // The worker has to see that it shall stop before there is more to do.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    stage.publish("a").await;
    release.add_permits(10);
    patiently(stopped).await.expect("it stops");
    let states: Vec<_> = stage.deliveries(&endpoint).await;
    let states: Vec<_> = states.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(states, [json!("pending"), json!("succeeded")]);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn hundreds_of_events_all_arrive_once() {
    let stage = Stage::with(room(16, 8), PATIENCE).await;
    let receivers = [Receiver::start().await, Receiver::start().await];
    for receiver in &receivers {
        stage.hook(receiver, &[]).await;
    }
    let running = stage.run();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let published = stage.publish("a").await;
        ids.insert(published["id"].as_str().expect("an id").to_owned());
    }
    for receiver in &receivers {
        receiver.wait_for(200).await;
    }
    running.stop().await;
    for receiver in &receivers {
        let received = receiver.take();
        assert_eq!(received.len(), 200);
        let came: std::collections::BTreeSet<_> = received
            .iter()
            .map(|one| one.header("webhook-id").to_owned())
            .collect();
        assert_eq!(came, ids);
    }
}
