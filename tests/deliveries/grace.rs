//! A rotation as a receiver sees it: which secrets sign each delivery, and in which order (I2, I3,
//! I9).

use hookturn_test::{Receiver, SUBSCRIPTIONS, fingerprint, id, signers, status};
use serde_json::{Value, json};

use crate::stage::{Stage, attempts, secret};

/// Publishes an event and asserts that `wanted` sign its delivery, in this order, by the signatures
/// and by the record of the attempt.
async fn expect_signers(stage: &Stage, receiver: &Receiver, endpoint: &Value, wanted: &[&String]) {
    let known: Vec<String> = wanted.iter().map(|secret| (*secret).clone()).collect();
    stage.publish("a.b").await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(signers(&receiver.take_one(), &known), wanted);
    let newest = &stage.deliveries(endpoint).await[0];
    let names: Vec<_> = wanted.iter().map(|secret| fingerprint(secret)).collect();
    assert_eq!(attempts(newest)[0]["signed_by"], json!(names));
}

async fn rotate_by_verbex(stage: &Stage, subscription: &Value) -> String {
    let path = format!("{SUBSCRIPTIONS}/{}/rotate/secret", id(subscription));
    let rotated = stage.post(&path).await.expect_json(200);
    rotated["secret"].as_str().expect("a secret").to_owned()
}

#[tokio::test]
async fn both_secrets_sign_until_the_millisecond_at_which_the_grace_ends() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let old = secret(&endpoint);
    expect_signers(&stage, &receiver, &endpoint, &[&old]).await;
    let new = stage.rotate(&endpoint, 3600).await;
    expect_signers(&stage, &receiver, &endpoint, &[&new, &old]).await;
    stage.advance_millis(3_599_999);
    expect_signers(&stage, &receiver, &endpoint, &[&new, &old]).await;
    stage.advance_millis(1);
    expect_signers(&stage, &receiver, &endpoint, &[&new]).await;
}

#[tokio::test]
async fn both_secrets_of_a_subscription_sign_for_72_hours() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let subscription = stage.verbex(&receiver, true).await;
    let old = secret(&subscription);
    expect_signers(&stage, &receiver, &subscription, &[&old]).await;
    let new = rotate_by_verbex(&stage, &subscription).await;
    expect_signers(&stage, &receiver, &subscription, &[&new, &old]).await;
    stage.advance_millis(72 * 3_600_000 - 1);
    expect_signers(&stage, &receiver, &subscription, &[&new, &old]).await;
    stage.advance_millis(1);
    expect_signers(&stage, &receiver, &subscription, &[&new]).await;
}

#[tokio::test]
async fn a_grace_of_zero_ends_the_old_secret_at_once_and_spares_those_before_it() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let first = secret(&endpoint);
    // This one is replaced, and gone at once.
    stage.rotate(&endpoint, 100).await;
    let third = stage.rotate(&endpoint, 0).await;
    expect_signers(&stage, &receiver, &endpoint, &[&third, &first]).await;
}

#[tokio::test]
async fn several_rotations_sign_newest_first_and_each_ends_in_its_own_time() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let one = secret(&endpoint);
    let two = stage.rotate(&endpoint, 100).await;
    let three = stage.rotate(&endpoint, 10).await;
    // The route decides the grace, the format does not.
    let four = rotate_by_verbex(&stage, &endpoint).await;
    expect_signers(&stage, &receiver, &endpoint, &[&four, &three, &two, &one]).await;
    stage.advance(10);
    expect_signers(&stage, &receiver, &endpoint, &[&four, &three, &one]).await;
    stage.advance(90);
    expect_signers(&stage, &receiver, &endpoint, &[&four, &three]).await;
    stage.advance(72 * 3600 - 100);
    expect_signers(&stage, &receiver, &endpoint, &[&four]).await;
}

#[tokio::test]
async fn revoking_ends_all_retiring_secrets_at_once() {
    let stage = Stage::start().await;
    for is_verbex in [false, true] {
        let receiver = Receiver::start().await;
        let endpoint = if is_verbex {
            stage.verbex(&receiver, true).await
        } else {
            stage.hook(&receiver, &[]).await
        };
        let one = secret(&endpoint);
        let two = stage.rotate(&endpoint, 1000).await;
        let three = stage.rotate(&endpoint, 1000).await;
        expect_signers(&stage, &receiver, &endpoint, &[&three, &two, &one]).await;
        let path = format!(
            "/webhooks/endpoints/{}/secret/revoke-previous",
            id(&endpoint)
        );
        stage.post(&path).await.expect_json(200);
        expect_signers(&stage, &receiver, &endpoint, &[&three]).await;
        stage.remove(&endpoint).await;
    }
}

#[tokio::test]
async fn ten_live_secrets_sign_one_delivery() {
    let stage = Stage::start().await;
    for is_verbex in [false, true] {
        let receiver = Receiver::start().await;
        let endpoint = if is_verbex {
            stage.verbex(&receiver, true).await
        } else {
            stage.hook(&receiver, &[]).await
        };
        let mut live = vec![secret(&endpoint)];
        for _ in 0..9 {
            live.insert(0, stage.rotate(&endpoint, 1000).await);
        }
        let wanted: Vec<&String> = live.iter().collect();
        expect_signers(&stage, &receiver, &endpoint, &wanted).await;
        stage.remove(&endpoint).await;
    }
}

#[tokio::test]
async fn each_attempt_is_signed_with_what_is_live_when_it_is_made() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(500)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let old = secret(&endpoint);
    stage.publish("a").await;
    stage.settle().await;
    // Rotated between two attempts of one delivery, and the grace ends before the third.
    let new = stage.rotate(&endpoint, 60).await;
    stage.advance(6);
    stage.settle().await;
    stage.advance(400);
    receiver.always(status(200));
    stage.settle().await;
    let known = [old.clone(), new.clone()];
    let arrived = receiver.take();
    let signed: Vec<_> = arrived.iter().map(|one| signers(one, &known)).collect();
    assert_eq!(signed, [vec![&old], vec![&new, &old], vec![&new]]);
    let delivery = stage.only_delivery(&endpoint).await;
    let named: Vec<_> = attempts(&delivery)
        .iter()
        .map(|attempt| attempt["signed_by"].clone())
        .collect();
    let (old, new) = (fingerprint(&old), fingerprint(&new));
    assert_eq!(named, [json!([old]), json!([new, old]), json!([new])]);
    assert_eq!(delivery["status"], "succeeded");
}

#[tokio::test]
async fn an_event_that_waited_through_a_rotation_is_signed_by_the_new_secret() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    let new = stage.rotate(&endpoint, 0).await;
    stage.settle().await;
    let known = [secret(&endpoint), new.clone()];
    assert_eq!(signers(&receiver.take_one(), &known), [&new]);
}
