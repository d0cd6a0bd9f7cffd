//! What happens to an endpoint while a delivery to it is under way: the receiver holds its answer
//! until then.

use std::sync::Arc;

use hookturn_test::{Reaction, Receiver, fingerprint, id, patiently, signers, status};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::stage::{Stage, attempts, secret};

/// A delivery that is under way.
struct UnderWay {
    stage: Stage,
    receiver: Receiver,
    endpoint: Value,
    release: Arc<Semaphore>,
    step: JoinHandle<usize>,
}

impl UnderWay {
    /// The receiver will answer with this status.
    async fn start(code: u16) -> Self {
        let stage = Stage::start().await;
        let release = Arc::new(Semaphore::new(0));
        let receiver = Receiver::start().await;
        receiver.once(Reaction::Held(Arc::clone(&release), code));
        let endpoint = stage.hook(&receiver, &[]).await;
        stage.publish("a").await;
        let worker = stage.worker.clone();
        let step = tokio::spawn(async move { worker.step().await.expect("a store") });
        receiver.wait_for(1).await;
        Self {
            stage,
            receiver,
            endpoint,
            release,
            step,
        }
    }

    /// Lets the receiver answer, and waits until the attempt is recorded.
    async fn release(self) -> (Stage, Receiver, Value) {
        self.release.add_permits(1);
        let made = patiently(self.step).await.expect("no panic");
        assert_eq!(made, 1);
        (self.stage, self.receiver, self.endpoint)
    }
}

#[tokio::test]
async fn a_delivery_under_way_is_pending_and_is_not_made_twice() {
    let under_way = UnderWay::start(200).await;
    let stage = &under_way.stage;
    let delivery = stage.only_delivery(&under_way.endpoint).await;
    assert_eq!(delivery["status"], "pending");
    assert_eq!(attempts(&delivery).len(), 0);
    stage.advance(30 * 86_400);
    assert_eq!(stage.step().await, 0);
    let (stage, receiver, endpoint) = under_way.release().await;
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "succeeded");
    // It started when it was claimed.
    assert_eq!(attempts(&delivery)[0]["at"], hookturn_test::after(0));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_rotation_under_way_counts_from_the_next_attempt() {
    let under_way = UnderWay::start(500).await;
    let old = secret(&under_way.endpoint);
    let new = under_way.stage.rotate(&under_way.endpoint, 0).await;
    let (stage, receiver, endpoint) = under_way.release().await;
    stage.advance(6);
    assert_eq!(stage.settle().await, 1);
    let known = [old.clone(), new.clone()];
    let arrived = receiver.take();
    let signed: Vec<_> = arrived.iter().map(|one| signers(one, &known)).collect();
    assert_eq!(signed, [[&old], [&new]]);
    let delivery = stage.only_delivery(&endpoint).await;
    let named = |place: usize| attempts(&delivery)[place]["signed_by"].clone();
    assert_eq!(named(0), json!([fingerprint(&old)]));
    assert_eq!(named(1), json!([fingerprint(&new)]));
}

#[tokio::test]
async fn a_success_of_an_endpoint_that_was_disabled_meanwhile_counts() {
    let under_way = UnderWay::start(200).await;
    let stage = &under_way.stage;
    stage.set_status(&under_way.endpoint, "disabled").await;
    let (stage, _, endpoint) = under_way.release().await;
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
}

#[tokio::test]
async fn a_failure_of_an_endpoint_that_was_disabled_meanwhile_waits_until_it_is_active() {
    let under_way = UnderWay::start(500).await;
    let stage = &under_way.stage;
    stage.set_status(&under_way.endpoint, "disabled").await;
    let (stage, receiver, endpoint) = under_way.release().await;
    stage.advance(3600);
    assert_eq!(stage.settle().await, 0);
    stage.set_status(&endpoint, "active").await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(receiver.count(), 2);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "succeeded");
    assert_eq!(attempts(&delivery).len(), 2);
}

#[tokio::test]
async fn a_delivery_that_is_canceled_under_way_stays_canceled_with_its_attempt() {
    for code in [200, 500, 410] {
        let under_way = UnderWay::start(code).await;
        let stage = &under_way.stage;
        let delivery = stage.only_delivery(&under_way.endpoint).await;
        stage.remove(&under_way.endpoint).await;
        assert_eq!(stage.delivery(id(&delivery)).await["status"], "canceled");
        let (stage, receiver, _) = under_way.release().await;
        let delivery = stage.delivery(id(&delivery)).await;
        assert_eq!(delivery["status"], "canceled");
        assert_eq!(attempts(&delivery)[0]["status_code"], code);
        stage.advance(3600);
        assert_eq!(stage.settle().await, 0);
        assert_eq!(receiver.count(), 1);
        stage.advance(8 * 86_400);
        stage.settle().await;
        let path = format!("/deliveries/{}", id(&delivery));
        let gone = stage.get(&path).await;
        gone.problem(404, "not-found", "delivery_not_found");
    }
}

#[tokio::test]
async fn a_resend_under_way_is_one_more_attempt_after_it() {
    for code in [200, 500] {
        let under_way = UnderWay::start(code).await;
        let stage = &under_way.stage;
        let delivery = stage.only_delivery(&under_way.endpoint).await;
        for _ in 0..2 {
            assert_eq!(stage.resend(&delivery).await["status"], "pending");
        }
        assert_eq!(stage.step().await, 0);
        let (stage, receiver, endpoint) = under_way.release().await;
        let delivery = stage.only_delivery(&endpoint).await;
        assert_eq!(delivery["status"], "pending");
        assert_eq!(stage.step().await, 1);
        assert_eq!(stage.step().await, 0);
        assert_eq!(receiver.count(), 2);
        let delivery = stage.only_delivery(&endpoint).await;
        assert_eq!(delivery["status"], "succeeded");
    }
}

#[tokio::test]
async fn a_410_fails_a_delivery_though_a_resend_was_asked_for_meanwhile() {
    let under_way = UnderWay::start(410).await;
    let stage = &under_way.stage;
    let delivery = stage.only_delivery(&under_way.endpoint).await;
    stage.resend(&delivery).await;
    let (stage, receiver, endpoint) = under_way.release().await;
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "failed");
    stage.set_status(&endpoint, "active").await;
    assert_eq!(stage.settle().await, 0);
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_new_url_counts_from_the_next_attempt() {
    let under_way = UnderWay::start(500).await;
    let elsewhere = Receiver::that(status(200)).await;
    let path = format!("/webhooks/endpoints/{}", id(&under_way.endpoint));
    let change = under_way.stage.patch(&path);
    let change = change.json(&json!({ "url": elsewhere.url() }));
    change.await.expect_json(200);
    let (stage, receiver, _) = under_way.release().await;
    stage.advance(6);
    assert_eq!(stage.settle().await, 1);
    assert_eq!((receiver.count(), elsewhere.count()), (1, 1));
}

#[tokio::test]
async fn a_410_of_the_old_url_does_not_disable_an_endpoint_that_was_moved_meanwhile() {
    let under_way = UnderWay::start(410).await;
    let elsewhere = Receiver::start().await;
    let path = format!("/webhooks/endpoints/{}", id(&under_way.endpoint));
    let patch = under_way.stage.patch(&path);
    let patch = patch.json(&json!({ "url": elsewhere.url() }));
    patch.await.expect_json(200);
    let (stage, _, endpoint) = under_way.release().await;
    assert_eq!(
        stage.get(&path).await.expect_json(200)["status"],
        "active",
        "the owner had mended it"
    );
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "failed");
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(elsewhere.count(), 1);
}
