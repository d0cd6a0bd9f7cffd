//! A store that was served by the test clock, and is to be served in real time.

use hookturn::clock::{Clock as _, SystemClock};
use hookturn_test::{Answer, Receiver, Request, millis, scratch, status, text, until};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::api::Api;
use crate::stage::Setup;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn rotation(hook: &Value, grace: u64) -> Request {
    let path = format!("/webhooks/endpoints/{}/secret/rotate", text(hook, "id"));
    Request::post(path, json!({ "expire_current_in": grace }))
}

fn wall() -> i64 {
    SystemClock.now().as_millis()
}

/// For how long each retiring secret is still live, in milliseconds.
fn left(secrets: &[Value]) -> Vec<i64> {
    let retiring = secrets.iter().skip(1);
    retiring
        .map(|secret| millis(&secret["expires_at"]) - wall())
        .collect()
}

fn assert_about(left: &[i64], expected: &[i64]) {
    assert_eq!(left.len(), expected.len(), "{left:?}");
    for (left, expected) in left.iter().zip(expected) {
        // The test takes time too.
        assert!((expected - 5 * MINUTE..=*expected).contains(left), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_brought_from_its_test_clock_to_real_time_only_on_request() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let receiver = Receiver::that(status(500)).await;
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let expired = api.hook("http://127.0.0.1:9/", &[]).await;
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    api.ask(&rotation(&expired, 600)).await.is(200);
    api.ask(&rotation(&hook, 86_400)).await.is(200);
    api.advance(23 * 3600).await;
    let keyed = rotation(&hook, 7200).with_key("key");
    let first: Answer = api.ask(&keyed).await.is(200);
    let new = api.hook("http://127.0.0.1:9/", &["x.y"]).await;
    api.publish("a.b", "event").await.is(202);
    let deliveries = format!("/webhooks/endpoints/{}/deliveries", text(&hook, "id"));
    until(async || {
        let listed = api.all(&deliveries).await;
        listed[0]["attempts"][0].is_object()
    })
    .await;
    block_in_place(|| program.stop());

    let off = Setup {
        dev: false,
        ..setup.clone()
    };
    for _ in 0..2 {
        let line = off.refused();
        for part in ["82800 s ahead", "--dev", "--end-test-clock", "--store"] {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
    }
    let (code, said) = setup.check();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the test clock is 82800 s ahead"), "{said}");
    let both = Setup {
        end_test_clock: true,
        ..setup.clone()
    };
    assert!(both.refused().contains("give one of the two"));
    // With the test clock it goes on.
    let program = block_in_place(|| setup.start());
    assert_eq!(Api::of(&program).secrets(text(&hook, "id")).await.len(), 3);
    block_in_place(|| program.stop());

    let settled = Setup {
        end_test_clock: true,
        ..off.clone()
    };
    let mut program = block_in_place(|| settled.start());
    for is_again in [false, true] {
        if is_again {
            block_in_place(|| program.kill());
            let (code, said) = off.check();
            assert_eq!(code, Some(0), "{said}");
            assert!(!said.contains("test clock"), "{said}");
            program = block_in_place(|| off.start());
        }
        let api = Api::of(&program);
        let secrets = api.secrets(text(&hook, "id")).await;
        assert_about(&left(&secrets), &[2 * HOUR, HOUR]);
        assert_eq!(api.secrets(text(&expired, "id")).await.len(), 1);
        api.ask(&keyed).await.repeats(&first);
        let path = format!("/webhooks/endpoints/{}", text(&new, "id"));
        let read = api.get(&path).await.is(200).json();
        assert!(millis(&read["created_at"]) <= wall());
        let delivery = api.all(&deliveries).await.remove(0);
        assert!(millis(&delivery["created_at"]) <= wall());
        assert!(millis(&delivery["attempts"][0]["at"]) <= wall());
        if !delivery["next_attempt_at"].is_null() {
            assert!(millis(&delivery["next_attempt_at"]) <= wall() + 6 * MINUTE);
        }
    }
    block_in_place(|| program.stop());
    off.assert_sound();
}
