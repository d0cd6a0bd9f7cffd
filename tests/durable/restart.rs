//! What a restart must not change: graces, retries, remembered answers and event ids, lists, and
//! the test clock.

use hookturn_test::{
    Program, Receiver, Request, SUBSCRIPTIONS, fingerprint, list, millis, scratch, signers, status,
    text, until,
};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::api::Api;
use crate::stage::Setup;

/// Ends a server, in one of the two ways, and starts the next.
fn restart(program: Program, setup: &Setup, is_killed: bool) -> (Program, Api) {
    block_in_place(|| {
        if is_killed {
            program.kill();
        } else {
            program.stop();
        }
        let program = setup.start();
        let api = Api::of(&program);
        (program, api)
    })
}

async fn now(api: &Api) -> i64 {
    millis(&api.get("/dev/clock").await.is(200).json()["now"])
}

fn path_of(endpoint: &Value) -> String {
    format!("/webhooks/endpoints/{}", text(endpoint, "id"))
}

async fn deliveries(api: &Api, endpoint: &Value) -> Vec<Value> {
    api.all(&format!("{}/deliveries", path_of(endpoint))).await
}

/// Waits until every delivery of an endpoint has had so many attempts, and returns them.
async fn attempted(api: &Api, endpoint: &Value, attempts: usize) -> Vec<Value> {
    let mut found = Vec::new();
    until(async || {
        found = deliveries(api, endpoint).await;
        let count = |one: &Value| one["attempts"].as_array().map_or(0, Vec::len);
        !found.is_empty() && found.iter().all(|one| count(one) == attempts)
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grace_ends_when_it_was_said_to_end() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let receiver = Receiver::start().await;
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    let verbex = json!({
        "name": "v", "url": receiver.url(), "enable_signed_webhooks": true, "events": ["C.D"],
    });
    let verbex = api.post(SUBSCRIPTIONS, verbex).await.is(201).json();
    let rotate = format!("{}/secret/rotate", path_of(&hook));
    let rotated = api.post(&rotate, "").await.is(200);
    let rotate = format!("{SUBSCRIPTIONS}/{}/rotate/secret", text(&verbex, "id"));
    let of_verbex = api.post(&rotate, "").await.is(200);
    let before = [
        api.secrets(text(&hook, "id")).await,
        api.secrets(text(&verbex, "id")).await,
    ];

    let (program, api) = restart(program, &setup, true);
    let after = [
        api.secrets(text(&hook, "id")).await,
        api.secrets(text(&verbex, "id")).await,
    ];
    assert_eq!(before, after);
    let secrets = [text(&hook, "secret").to_owned(), rotated.member("secret")];
    api.publish("a.b", "within").await.is(202);
    receiver.wait_for(1).await;
    let signers = |received| signers(&received, &secrets).len();
    assert_eq!(signers(receiver.take_one()), 2);

    api.advance(3600).await;
    let (program, api) = restart(program, &setup, false);
    api.publish("a.b", "after").await.is(202);
    receiver.wait_for(2).await;
    assert_eq!(signers(receiver.take_one()), 1);
    assert_eq!(api.secrets(text(&hook, "id")).await.len(), 1);
    assert_eq!(api.secrets(text(&verbex, "id")).await.len(), 2);
    api.advance(71 * 3600).await;
    let (_program, api) = restart(program, &setup, true);
    let live = api.secrets(text(&verbex, "id")).await;
    let current = fingerprint(&of_verbex.member("secret"));
    assert_eq!(live.len(), 1);
    assert_eq!(text(&live[0], "fingerprint"), current);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_failed_is_retried_at_its_time() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let receiver = Receiver::that(status(500)).await;
    let mut program = block_in_place(|| setup.start());
    let mut api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    api.publish("a.b", "event").await.is(202);
    // The schedule: 5 s, 5 min, 30 min, 2 h after each failure, and up to a tenth more.
    for (attempts, delay) in [(1, 5), (2, 300), (3, 1800), (4, 7200)] {
        let before = attempted(&api, &hook, attempts).await;
        let at = millis(&before[0]["next_attempt_at"]);
        let failed_at = millis(&before[0]["attempts"][attempts - 1]["at"]);
        let after = at - failed_at;
        assert!(
            (delay * 1000..delay * 1101 + 2000).contains(&after),
            "{before:?}"
        );
        (program, api) = restart(program, &setup, attempts % 2 == 0);
        assert_eq!(deliveries(&api, &hook).await, before);
        let left = at - now(&api).await;
        if left > 20_000 {
            api.advance(u64::try_from(left / 1000 - 10).expect("ahead"))
                .await;
            assert_eq!(receiver.count(), attempts, "it is not due yet");
        }
        api.advance(12).await;
        receiver.wait_for(attempts + 1).await;
    }
    attempted(&api, &hook, 5).await;
    receiver.always(status(204));
    let (_program, api) = restart(program, &setup, true);
    api.advance(20_000).await;
    let done = attempted(&api, &hook, 6).await;
    assert_eq!(text(&done[0], "status"), "succeeded");
    let ids = receiver.take();
    assert!(
        ids.iter()
            .all(|received| received.header("webhook-id") == "event")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_remembered_for_a_day_and_an_event_id_for_as_long_as_deliveries() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook("http://127.0.0.1:9/", &["c.d"]).await;
    let path = format!("{}/secret/rotate", path_of(&hook));
    let request = Request::post(path, "").with_key("key");
    let first = api.ask(&request).await.is(200);
    let event = Request::post("/events", json!({ "type": "a.b", "id": "id", "data": {} }));
    let published = api.ask(&event).await.is(202);

    let (program, api) = restart(program, &setup, true);
    api.ask(&request).await.repeats(&first);
    api.advance(86_400 - 60).await;
    let (program, api) = restart(program, &setup, false);
    api.ask(&request).await.repeats(&first);
    let other = request.clone().body("{}");
    assert_eq!(
        api.ask(&other).await.is(422).member("code"),
        "idempotency_key_reused"
    );
    api.advance(60).await;
    let (program, api) = restart(program, &setup, true);
    let second = api.ask(&request).await.is(200);
    assert!(!second.is_replayed() && second.body != first.body);
    let (program, api) = restart(program, &setup, true);
    api.ask(&request).await.repeats(&second);

    assert_eq!(api.ask(&event).await.is(202).body, published.body);
    api.advance(5 * 86_400).await;
    let (program, api) = restart(program, &setup, false);
    assert_eq!(api.ask(&event).await.is(202).body, published.body);
    let other = json!({ "type": "a.b", "id": "id", "data": { "x": 1 } });
    let other = event.clone().body(other.to_string());
    assert_eq!(
        api.ask(&other).await.is(422).member("code"),
        "event_id_reused"
    );
    api.advance(2 * 86_400).await;
    let (_program, api) = restart(program, &setup, true);
    assert_ne!(api.ask(&event).await.is(202).body, published.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_test_clock_stays_ahead() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    api.advance(50_000).await;
    api.advance(50_000).await;
    let before = now(&api).await;
    let (program, api) = restart(program, &setup, true);
    let after = now(&api).await;
    assert!((before..before + 60_000).contains(&after));
    drop((program, api));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_disabled_endpoint_goes_on_waiting() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let receiver = Receiver::that(status(500)).await;
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let [hook, other] = [
        api.hook(&receiver.url(), &["a.b"]).await,
        api.hook(&receiver.url(), &["c.d"]).await,
    ];
    api.publish("a.b", "waits").await.is(202);
    api.publish("c.d", "fails").await.is(202);
    for hook in [&hook, &other] {
        attempted(&api, hook, 1).await;
        let disabled = json!({ "status": "disabled" });
        api.patch(&path_of(hook), disabled).await.is(200);
    }
    receiver.always(status(204));
    let (program, api) = restart(program, &setup, true);
    api.advance(3600).await;
    let (program, api) = restart(program, &setup, false);
    api.advance(3600).await;
    let enabled = json!({ "status": "active" });
    api.patch(&path_of(&hook), enabled).await.is(200);
    let done = attempted(&api, &hook, 2).await;
    assert_eq!(text(&done[0], "status"), "succeeded");
    assert_eq!(receiver.count(), 3, "the other one waits");

    // Seven days are enough.
    let (program, api) = restart(program, &setup, true);
    assert_eq!(
        text(&deliveries(&api, &other).await[0], "status"),
        "pending"
    );
    api.advance(7 * 86_400).await;
    until(async || {
        let listed = deliveries(&api, &other).await;
        listed
            .first()
            .is_some_and(|one| text(one, "status") == "failed")
    })
    .await;
    let (_program, api) = restart(program, &setup, true);
    assert_eq!(text(&deliveries(&api, &other).await[0], "status"), "failed");
    assert_eq!(receiver.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_go_on_where_a_page_ended() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let receiver = Receiver::start().await;
    let mut program = block_in_place(|| setup.start());
    let mut api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    for number in 0..6 {
        api.hook("http://127.0.0.1:9/", &["c.d"]).await;
        api.publish("a.b", &format!("event-{number}")).await.is(202);
    }
    receiver.wait_for(6).await;
    attempted(&api, &hook, 1).await;
    let of_hook = format!("{}/deliveries", path_of(&hook));
    for path in ["/webhooks/endpoints", of_hook.as_str()] {
        let whole = api.all(path).await;
        assert!(whole.len() >= 6);
        let mut paged: Vec<Value> = Vec::new();
        loop {
            let after = paged.last().map_or(String::new(), |last| {
                format!("&starting_after={}", text(last, "id"))
            });
            let page = api.get(&format!("{path}?limit=2{after}")).await.is(200);
            paged.extend(list(&page));
            if page.json()["has_more"] != true {
                break;
            }
            (program, api) = restart(program, &setup, paged.len().is_multiple_of(4));
        }
        assert_eq!(paged, whole);
    }
    // What is made after a restart is newer than all before it.
    let newest = api.hook("http://127.0.0.1:9/", &["c.d"]).await;
    let listed = api.all("/webhooks/endpoints").await;
    assert_eq!(text(&listed[0], "id"), text(&newest, "id"));
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_a_kill_cut_short_is_made_again() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let receiver = Receiver::that(hookturn_test::Reaction::Hang).await;
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    api.publish("a.b", "event").await.is(202);
    receiver.wait_for(1).await;
    receiver.always(status(204));
    let (_program, api) = restart(program, &setup, true);
    let done = attempted(&api, &hook, 1).await;
    assert_eq!(text(&done[0], "status"), "succeeded");
    let [first, second] = &receiver.take()[..] else {
        panic!("it came twice");
    };
    assert_eq!(first.body, second.body);
}
