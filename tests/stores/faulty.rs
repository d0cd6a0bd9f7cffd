//! A store that fails on demand, and what a client that retries sees of it: one change, one answer (I5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{
    Delivery, DeliveryId, DeliveryStatus, Endpoint, EndpointId, TenantId, Timestamp,
};
use hookturn::idempotency::{Claim, IdempotencyKey, Record};
use hookturn::service::Service;
use hookturn::store::{
    Claims, CommitError, Committed, MemoryStore, Page, ReceiverState, Settle, Store, StoreError,
    Write,
};
use parking_lot::Mutex;
use reqwest::Method;
use tokio::sync::{Notify, Semaphore};

use crate::http::{
    Answered, ENDPOINT, SUBSCRIPTIONS, TestServer, answer, subscription_body, with_key,
};
use crate::support::{Rotated, START, acme, at_once, caller, claim, patiently};

/// What goes wrong with a call: before it is passed on, or when it is done already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    ErrorBefore,
    ErrorAfter,
    PanicBefore,
    PanicAfter,
    /// The call does not return before it is told to go on.
    HangBefore,
    HangAfter,
}

const FAULTS: [Fault; 4] = [
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::PanicBefore,
    Fault::PanicAfter,
];

/// What faults say: nothing of this may reach a client.
const INJECTED: &str = "whsec_injected+into+a+fault+of+the+store/000000";

/// A store that passes calls on to another, and fails those that `plan` says.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    calls: AtomicUsize,
    plan: Box<dyn Fn(usize) -> Option<Fault> + Send + Sync>,
    /// A permit for each call that began to hang.
    pub hanging: Semaphore,
    /// A permit for each such call that was dropped, or went on.
    pub dropped: Semaphore,
    /// A call that hangs goes on with a permit of these.
    pub go_on: Semaphore,
    /// The last advance of the test clock that it was given to keep.
    pub kept: Mutex<Duration>,
}

impl FaultyStore {
    /// `plan` maps the number of a call, from 0 on, to its fault.
    pub fn new(
        inner: Arc<dyn Store>,
        plan: impl Fn(usize) -> Option<Fault> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: AtomicUsize::new(0),
            plan: Box::new(plan),
            hanging: Semaphore::new(0),
            dropped: Semaphore::new(0),
            go_on: Semaphore::new(0),
            kept: Mutex::default(),
        })
    }

    async fn around<T, E: From<StoreError>>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let fault = (self.plan)(self.calls.fetch_add(1, Ordering::SeqCst));
        match fault {
            Some(Fault::ErrorBefore) => return Err(StoreError(INJECTED.to_owned()).into()),
            Some(Fault::PanicBefore) => panic!("{INJECTED}"),
            Some(Fault::HangBefore) => self.hang().await,
            _ => {}
        }
        let outcome = call.await;
        match fault {
            Some(Fault::ErrorAfter) => Err(StoreError(INJECTED.to_owned()).into()),
            Some(Fault::PanicAfter) => panic!("{INJECTED}"),
            Some(Fault::HangAfter) => {
                self.hang().await;
                outcome
            }
            _ => outcome,
        }
    }

    async fn hang(&self) {
        struct Note<'a>(&'a Semaphore);
        impl Drop for Note<'_> {
            fn drop(&mut self) {
                self.0.add_permits(1);
            }
        }
        let _note = Note(&self.dropped);
        self.hanging.add_permits(1);
        let going_on = self.go_on.acquire().await;
        going_on.expect("never closed").forget();
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn record(
        &self,
        tenant: &TenantId,
        key: &IdempotencyKey,
    ) -> Result<Option<Record>, StoreError> {
        self.around(self.inner.record(tenant, key)).await
    }

    async fn commit(
        &self,
        tenant: &TenantId,
        claim: Option<Claim>,
        write: Write,
    ) -> Result<Committed, CommitError> {
        self.around(self.inner.commit(tenant, claim, write)).await
    }

    async fn endpoint(
        &self,
        tenant: &TenantId,
        id: EndpointId,
    ) -> Result<Option<Endpoint>, StoreError> {
        self.around(self.inner.endpoint(tenant, id)).await
    }

    async fn endpoints(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Option<Page<Endpoint>>, StoreError> {
        self.around(self.inner.endpoints(tenant, after, limit))
            .await
    }

    async fn delivery(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        self.around(self.inner.delivery(tenant, id)).await
    }

    async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Option<Page<Delivery>>, StoreError> {
        let page = self
            .inner
            .deliveries(tenant, endpoint, status, after, limit);
        self.around(page).await
    }

    async fn claim(&self, batch: usize) -> Result<Claims, StoreError> {
        self.around(self.inner.claim(batch)).await
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        id: DeliveryId,
        settle: Settle,
        receiver: ReceiverState,
    ) -> Result<(), StoreError> {
        self.around(self.inner.settle(tenant, id, settle, receiver))
            .await
    }

    fn work(&self) -> &Notify {
        self.inner.work()
    }

    async fn keep_clock_advance(&self, total: Duration) -> Result<(), StoreError> {
        self.around(async {
            *self.kept.lock() = total;
            self.inner.keep_clock_advance(total).await
        })
        .await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.around(self.inner.ready()).await
    }
}

/// The service on an empty store behind faults, and the endpoint of [`acme`] in it.
async fn faulty_service(
    plan: impl Fn(usize) -> Option<Fault> + Send + Sync + 'static,
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
            let caller = caller(acme(), Some(claim("key", "rotate")));
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
            let plan = move |call| (call < faults).then_some(fault);
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
    let plan = |call: usize| (call % 3 != 2).then(|| FAULTS[call / 3 % FAULTS.len()]);
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
async fn until_answered(server: &TestServer, case: &Case) -> (Answered, usize) {
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
                    let plan = move |number: usize| {
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
                let secret = first.text("secret");
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
        let server =
            TestServer::start_over(|inner| FaultyStore::new(inner, move |_| Some(fault))).await;
        let id = "we_550e8400e29b41d4a716446655440000";
        let endpoint = format!("/webhooks/endpoints/{id}");
        let subscription = format!("{SUBSCRIPTIONS}/{id}");
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
