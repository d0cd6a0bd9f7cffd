//! What a client that retries sees of a store that fails: one change, one answer (I5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{EndpointId, Timestamp};
use hookturn::service::Service;
use hookturn::store::{Committed, MemoryStore, Store};
use hookturn_test::{Answer, Call, Fault, FaultyStore, START, SUBSCRIPTIONS, patiently};
use reqwest::Method;

use crate::http::{ENDPOINT, TestServer, answer, subscription_body, with_key};
use crate::support::{Rotated, acme, at_once, caller, key_use};

/// Those that a request survives.
const FAULTS: [Fault; 4] = [
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::PanicBefore,
    Fault::PanicAfter,
];

/// The service on an empty store behind faults, and the endpoint of [`acme`] in it.
async fn faulty_service(
    plan: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
) -> (Service, EndpointId, Arc<dyn Store>) {
    let clock: Arc<dyn Clock> = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let past_the_faults = Service::new(Arc::clone(&inner), Arc::clone(&clock));
    let created = past_the_faults.create_endpoint(
        caller(acme(), None),
        hookturn::domain::Format::Verbex,
        crate::support::settings(None),
        true,
        |endpoint, _| crate::support::says(endpoint.id.to_string()),
    );
    let body = created.await.expect("nothing is in the way").answer.body;
    let id = std::str::from_utf8(&body).expect("an id").parse();
    let store = FaultyStore::new(Arc::clone(&inner), plan);
    (Service::new(store, clock), id.expect("an id"), inner)
}

/// Rotates with one key until there is an answer, as a client does that is told 500 or nothing.
async fn rotate_until_answered(service: &Service, id: EndpointId) -> Committed {
    for _ in 0..100 {
        let service = service.clone();
        let attempt = tokio::spawn(async move {
            let caller = caller(acme(), Some(key_use("key", "rotate")));
            let grace = Duration::from_secs(60);
            service.rotate(caller, id, grace, Rotated::render).await
        });
        if let Ok(Ok(committed)) = patiently(attempt).await {
            return committed;
        }
    }
    panic!("a hundred attempts, and no answer");
}

async fn assert_rotated_once(inner: &dyn Store, id: EndpointId, answer: &Committed) {
    let endpoint = inner.endpoint(acme(), id).await.expect("it works");
    let key_ring = endpoint.and_then(|endpoint| endpoint.key_ring);
    let key_ring = key_ring.expect("a signed endpoint");
    let live: Vec<_> = key_ring.live(Timestamp::from_millis(START)).collect();
    assert_eq!(live.len(), 2, "one rotation");
    let answered = Rotated::read(&answer.answer);
    assert_eq!(answered.current, live[0].secret.fingerprint().to_string());
    assert_eq!(answered.previous, live[1].secret.fingerprint().to_string());
}

#[tokio::test]
async fn a_rotation_that_is_retried_after_a_fault_happens_once() {
    for fault in FAULTS {
        for faults in 1..4 {
            let plan = move |call: Call| (call.number < faults).then_some(fault);
            let (service, id, inner) = faulty_service(plan).await;
            let first = rotate_until_answered(&service, id).await;
            // A fault after the commit hid an answer that was there.
            let was_done = matches!(fault, Fault::ErrorAfter | Fault::PanicAfter);
            assert_eq!(first.replayed, was_done, "{fault:?}");
            assert_rotated_once(&*inner, id, &first).await;
            let again = rotate_until_answered(&service, id).await;
            assert_eq!((again.answer, again.replayed), (first.answer, true));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_clients_that_retry_amid_faults_get_one_answer() {
    // Two of three calls fail, in all ways in turn.
    let plan = |Call { number, .. }| (number % 3 != 2).then(|| FAULTS[number / 3 % FAULTS.len()]);
    let (service, id, inner) = faulty_service(plan).await;
    let answers = at_once(32, |_| {
        let service = service.clone();
        async move { rotate_until_answered(&service, id).await }
    });
    let answers = answers.await;
    for answer in &answers {
        assert_eq!(answer.answer, answers[0].answer);
    }
    assert_rotated_once(&*inner, id, &answers[0]).await;
}

/// A change to make through the API, and what must be true of it in the end.
struct Case {
    name: &'static str,
    method: Method,
    path: String,
    body: String,
}

async fn cases(server: &TestServer) -> Vec<Case> {
    let endpoint = server.endpoint().await;
    let signed = server.subscription("signed", true).await;
    let unsigned = server.subscription("unsigned", false).await;
    let case = |name, method, path, body: &str| Case {
        name,
        method,
        path,
        body: body.to_owned(),
    };
    let (post, put) = (Method::POST, Method::PUT);
    vec![
        case(
            "rotation",
            post.clone(),
            format!("{endpoint}/secret/rotate"),
            "",
        ),
        case(
            "Verbex rotation",
            post.clone(),
            format!("{signed}/rotate/secret"),
            "",
        ),
        case(
            "creation",
            post.clone(),
            "/webhooks/endpoints".to_owned(),
            ENDPOINT,
        ),
        case(
            "Verbex creation",
            post,
            SUBSCRIPTIONS.to_owned(),
            &subscription_body("new", true),
        ),
        case(
            "turning signing on",
            put,
            unsigned,
            &subscription_body("signed now", true),
        ),
    ]
}

/// Makes the change until it succeeds, and says how many attempts failed.
async fn until_answered(server: &TestServer, case: &Case) -> (Answer, usize) {
    for failed in 0..5 {
        let request = server.request(case.method.clone(), &case.path);
        let answered = with_key(request.body(case.body.clone()), "key").await;
        if answered.status < 300 {
            return (answered, failed);
        }
        assert_eq!(answered.status, 500, "{}", case.name);
        let body = String::from_utf8_lossy(&answered.body);
        assert!(!body.contains("whsec"), "a 500 says nothing: {body}");
        assert!(!body.contains("inject"), "a 500 says nothing: {body}");
    }
    panic!("five attempts, and no answer: {}", case.name);
}

#[tokio::test]
async fn whichever_call_of_a_request_fails_retrying_makes_one_change_with_one_answer() {
    // For each case, the calls of one request that can fail.
    let mut covered = [0; 5];
    for (number, covered) in covered.iter_mut().enumerate() {
        for fault in FAULTS {
            for call in 0.. {
                // Set up first; the faults count from there.
                let armed = Arc::new(AtomicUsize::new(usize::MAX));
                let offset = Arc::clone(&armed);
                let server = TestServer::start_over(|inner| {
                    let plan = move |Call { number, .. }| {
                        let since = number.checked_sub(offset.load(Ordering::SeqCst))?;
                        (since == call).then_some(fault)
                    };
                    FaultyStore::new(inner, plan)
                })
                .await;
                let cases = cases(&server).await;
                let case = &cases[number];
                let list = server.store.endpoints(acme(), None, 100).await;
                let before = list.expect("it works").expect("no cursor").items.len();
                // Each of the three that were made took one call.
                armed.store(3, Ordering::SeqCst);

                let (first, failed) = until_answered(&server, case).await;
                armed.store(usize::MAX, Ordering::SeqCst);
                let name = format!("{}, {fault:?} in call {call}", case.name);
                let request = server.request(case.method.clone(), &case.path);
                let again = with_key(request.body(case.body.clone()), "key").await;
                assert_eq!(again.body, first.body, "{name}");

                let list = server.store.endpoints(acme(), None, 100).await;
                let list = list.expect("it works").expect("no cursor").items;
                let creates = case.name.ends_with("creation");
                assert_eq!(list.len(), before + usize::from(creates), "{name}");
                let secret = first.member("secret");
                let now = Timestamp::from_millis(START);
                let rings = list
                    .iter()
                    .filter_map(|endpoint| endpoint.key_ring.as_ref());
                let changed = rings
                    .filter(|ring| *ring.current().secret.expose() == secret)
                    .map(|ring| ring.live(now).count());
                let live = 1 + usize::from(case.name.ends_with("rotation"));
                assert_eq!(changed.collect::<Vec<_>>(), [live], "{name}");

                server.stop().await;
                if failed == 0 {
                    // It lies past the calls of this request.
                    break;
                }
                *covered = call + 1;
            }
        }
    }
    assert_eq!(covered, [2; 5], "the look-up of the key and the commit");
}

#[tokio::test]
async fn a_failing_store_is_a_500_that_says_nothing_on_every_route() {
    for fault in [Fault::ErrorBefore, Fault::PanicAfter] {
        let server = TestServer::start_over(|inner| {
            let store = FaultyStore::sound(inner);
            store.set(Some(fault));
            store
        })
        .await;
        let id = "we_550e8400e29b41d4a716446655440000";
        let endpoint = format!("/webhooks/endpoints/{id}");
        let subscription = format!("{SUBSCRIPTIONS}/{id}");
        let delivery = "/deliveries/dlv_550e8400e29b41d4a716446655440000";
        let input = subscription_body("name", true);
        let requests = [
            server.get("/webhooks/endpoints"),
            server.post("/webhooks/endpoints").body(ENDPOINT),
            server.get(&endpoint),
            server.request(Method::PATCH, &endpoint),
            server.request(Method::DELETE, &endpoint),
            server.get(&format!("{endpoint}/secrets")),
            server.post(&format!("{endpoint}/secret/rotate")),
            server.post(&format!("{endpoint}/secret/revoke-previous")),
            server.post(SUBSCRIPTIONS).body(input.clone()),
            server.get(&subscription),
            server.put(&subscription).body(input),
            server.request(Method::DELETE, &subscription),
            server.post(&format!("{subscription}/rotate/secret")),
            server.post("/events").body(r#"{"type":"a","data":{}}"#),
            server.post(&format!("{endpoint}/test")),
            server.get(&format!("{endpoint}/deliveries")),
            server.get(delivery),
            server.post(&format!("{delivery}/resend")),
            server.post("/dev/clock/advance").body(r#"{"seconds":1}"#),
            server.get("/readyz"),
        ];
        for request in requests {
            let answered = answer(request).await.is(500);
            let body = String::from_utf8_lossy(&answered.body);
            for said in ["whsec", "inject", "panic", ".rs"] {
                assert!(!body.contains(said), "{body}");
            }
        }
        server.stop().await;
    }
}
