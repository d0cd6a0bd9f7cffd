//! Key rings of the file: which secrets sign, until when.

use std::collections::BTreeSet;

use hookturn_test::{Received, Receiver, fingerprint, millis, scratch, signers, text, until};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::MINUTE;
use super::fixture::{Fixture, Ring, Tenants};
use crate::api::Api;
use crate::stage::Setup;

/// Whether this is the delivery of a test event, in either format.
fn is_test(received: &Received) -> bool {
    let body = received.json();
    [&body["type"], &body["event"]]
        .iter()
        .any(|event| **event == "webhook.test")
}

/// Has a test event sent to an endpoint, and returns what comes.
async fn test_event(api: &Api, endpoint: &str) -> Received {
    let receiver = Receiver::start().await;
    let path = format!("/webhooks/endpoints/{endpoint}");
    let to_receiver = json!({ "url": receiver.url(), "status": "active" });
    api.patch(&path, to_receiver).await.is(200);
    api.post(&format!("{path}/test"), "").await.is(202);
    // What waited for the endpoint comes too.
    let mut found = None;
    until(async || {
        found = found.take().or(receiver.take().into_iter().find(is_test));
        found.is_some()
    })
    .await;
    found.expect("it has come")
}

/// Asserts that exactly the secrets of `ring` that are live by the test clock are listed and sign.
async fn assert_signs(tenants: &Tenants, ring: &Ring) {
    let api = tenants.of(&ring.tenant);
    let live = ring.live(tenants.now().await);
    let listed = api.secrets(&ring.endpoint).await;
    let listed: Vec<_> = listed.iter().map(|one| text(one, "fingerprint")).collect();
    let fingerprints: Vec<_> = live.iter().map(|one| fingerprint(one)).collect();
    assert_eq!(listed, fingerprints);
    let received = test_event(api, &ring.endpoint).await;
    assert_eq!(signers(&received, &live), live, "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_secret_signs_until_it_expires_and_no_longer() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let tenants = Tenants::of_program(&program);
    for ring in &fixture.rings {
        assert_signs(&tenants, ring).await;
    }
    let ends: BTreeSet<i64> = fixture.rings.iter().flat_map(Ring::ends).collect();
    assert!(ends.len() > 10, "{ends:?}");
    for end in ends {
        let ending = |ring: &&Ring| ring.ends().any(|at| at == end);
        for at in [end - 2 * MINUTE, end] {
            // Several end within one second.
            if tenants.now().await < at {
                tenants.advance_to(at).await;
            }
            for ring in fixture.rings.iter().filter(ending) {
                assert_signs(&tenants, ring).await;
            }
        }
    }
    for ring in &fixture.rings {
        assert_eq!(ring.live(tenants.now().await).len(), 1);
    }
    block_in_place(|| program.stop());
}

/// Subscriptions that are not signed stay so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_signed_is_not_signed() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let api = Tenants::of_program(&program).acme;
    for name in ["unsigned", "turned_off", "unsigned_failing"] {
        let id = fixture.id(name);
        let refused = api
            .post(&format!("/webhooks/endpoints/{id}/secret/rotate"), "")
            .await
            .is(422);
        assert_eq!(refused.member("code"), "signing_disabled");
        let received = test_event(&api, id).await;
        assert!(!received.headers.contains_key("x-webhook-signature"));
        assert!(received.headers.contains_key("x-webhook-traceid"));
    }
    block_in_place(|| program.stop());
}

/// In real time every secret has as much of its time left as it had by the test clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_test_clock_can_be_ended() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let ahead: i64 = setup
        .open()
        .query_row("SELECT clock_advance_ms FROM state", [], |row| row.get(0))
        .expect("one row");
    let settled = Setup {
        dev: false,
        end_test_clock: true,
        ..setup.clone()
    };
    let program = block_in_place(|| settled.start());
    let tenants = Tenants::of_program(&program);
    for ring in &fixture.rings {
        let listed = tenants.of(&ring.tenant).secrets(&ring.endpoint).await;
        let live = listed.iter().map(|one| text(one, "fingerprint").to_owned());
        let expected = ring.live(i64::MIN);
        let expected = expected.iter().map(|secret| fingerprint(secret));
        assert!(live.eq(expected), "{listed:?}");
        let retiring = listed.iter().filter(|one| one["expires_at"] != Value::Null);
        let ends = retiring.map(|one| millis(&one["expires_at"]) + ahead);
        assert!(ends.eq(ring.ends()), "{listed:?}");
    }
    fixture.assert_answers_as_before(&tenants).await;
    block_in_place(|| program.stop());
    setup.assert_sound();
}
