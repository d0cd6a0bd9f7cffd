//! A clock that jumps back: whatever was decided by it before stays decided, and nothing is stuck.
//!
//! The store is the real one on a real file, in this process, on a clock whose hands a test moves.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hookturn::api::auth::Tenants;
use hookturn::api::body::BODY_TIMEOUT;
use hookturn::api::{App, AppConfig, router};
use hookturn::clock::{Clock, TestClock};
use hookturn::delivery::{EgressGuard, Sender, Worker};
use hookturn::domain::Timestamp;
use hookturn::server::{Limits, serve};
use hookturn::service::Service;
use hookturn::store::at_rest::{MasterKey, MasterKeys};
use hookturn::store::sqlite::{OpenError, Opening};
use hookturn::store::{Store, StoreLimits};
use hookturn_test::{
    ACME, Answer, Receiver, Request, fingerprint, patiently, scratch, signers, status, text, until,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::dice::{Dice, seed};
use crate::stage::{MASTER_KEY, Setup};

/// 2026-06-12T10:15:00.000Z.
const START: i64 = 1_781_259_300_000;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

/// A clock that stands where it is set.
struct Hands {
    now: AtomicI64,
    moved: Notify,
}

impl Hands {
    fn at(now: i64) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(now),
            moved: Notify::new(),
        })
    }

    fn set(&self, now: i64) {
        self.now.store(now, Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        async move {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if self.now() >= at {
                    return;
                }
                moved.await;
            }
        }
        .boxed()
    }
}

/// A server in this process.
struct Served {
    api: Api,
    stop: Vec<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Served {
    async fn start(setup: &Setup, clock: &Arc<Hands>) -> Self {
        let keys = vec![MasterKey::parse(MASTER_KEY).expect("a sound key")];
        let keys = MasterKeys::new(keys).expect("one key");
        let clock: Arc<dyn Clock> = clock.clone();
        // The last connection of a server before may still be letting go of the store.
        let mut opening = None;
        until(async || {
            match Opening::new(&setup.path, keys.clone()) {
                Ok(opened) => opening = Some(opened),
                Err(OpenError::InUse(_)) => {}
                Err(error) => panic!("{error}"),
            }
            opening.is_some()
        })
        .await;
        let opening = opening.expect("it is open");
        let store = opening.serve(Arc::clone(&clock), StoreLimits::default());
        let store: Arc<dyn Store> = Arc::new(store.expect("it is served"));
        let sender = Sender::new(EgressGuard::with_local());
        let worker = Worker::new(Arc::clone(&store), Arc::clone(&clock), sender);
        let app = App::new(AppConfig {
            service: Service::new(store, clock),
            tenants: Tenants::new([("acme", ACME)], None),
            public_url: "http://hookturn.test".to_owned(),
            // It lets endpoints be on this machine. Nothing else looks at it.
            test_clock: Some(Arc::new(TestClock::running())),
            body_timeout: BODY_TIMEOUT,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("a bound socket");
        let (stop_server, server_stops) = oneshot::channel();
        let (stop_worker, worker_stops) = oneshot::channel();
        let server = serve(listener, router(app), Limits::default(), async {
            let _ = server_stops.await;
        });
        let worker = worker.run(async {
            let _ = worker_stops.await;
        });
        Self {
            api: Api::at(address),
            stop: vec![stop_server, stop_worker],
            tasks: vec![tokio::spawn(server), tokio::spawn(worker)],
        }
    }

    async fn stop(self) {
        drop((self.api, self.stop));
        for task in self.tasks {
            patiently(task).await.expect("it does not panic");
        }
    }
}

fn setup(directory: &Path) -> Setup {
    Setup::in_dir(directory)
}

async fn rotate(api: &Api, hook: &Value, grace: u64) -> Answer {
    let path = format!("/webhooks/endpoints/{}/secret/rotate", text(hook, "id"));
    api.post(&path, json!({ "expire_current_in": grace })).await
}

/// Asserts that there is one current secret, which is the newest of these, and that the others
/// follow each once.
async fn assert_ring(api: &Api, hook: &Value, secrets: &[String]) {
    let listed = api.secrets(text(hook, "id")).await;
    let newest = fingerprint(secrets.last().expect("a secret"));
    assert_eq!(text(&listed[0], "fingerprint"), newest);
    assert!(listed.len() <= 10);
    let mut before = secrets.len();
    for (place, one) in listed.iter().enumerate() {
        let expected = if place == 0 { "current" } else { "retiring" };
        assert_eq!(text(one, "status"), expected, "{listed:?}");
        let fingerprint = text(one, "fingerprint");
        let number = secrets
            .iter()
            .position(|secret| hookturn_test::fingerprint(secret) == fingerprint)
            .expect("it was answered");
        assert!(number < before, "not in the order of rotations: {listed:?}");
        before = number;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_stay_one_chain_wherever_the_clock_goes() {
    let mut dice = Dice::new(seed(), 0);
    let directory = scratch();
    let clock = Hands::at(START);
    let mut served = Served::start(&setup(directory.path()), &clock).await;
    let hook = served.api.hook("http://127.0.0.1:9/", &["a.b"]).await;
    let mut secrets = vec![text(&hook, "secret").to_owned()];
    let mut refused = 0;
    for round in 0..150 {
        let hop = i64::try_from(dice.below(96)).expect("small") - 48;
        clock.set(START + hop * HOUR);
        let grace = if dice.once_in(3) {
            0
        } else {
            3600 * dice.below(24)
        };
        let answered = rotate(&served.api, &hook, grace).await;
        if answered.status == 200 {
            secrets.push(answered.member("secret"));
        } else {
            assert_eq!(answered.member("code"), "too_many_live_secrets");
            refused += 1;
        }
        assert_ring(&served.api, &hook, &secrets).await;
        if round % 30 == 29 {
            served.stop().await;
            served = Served::start(&setup(directory.path()), &clock).await;
            assert_ring(&served.api, &hook, &secrets).await;
        }
    }
    assert!(secrets.len() > 40, "{refused} were refused");
    // When all graces are over, whatever they were, only the current one is left.
    clock.set(START + 100 * HOUR);
    assert_eq!(served.api.secrets(text(&hook, "id")).await.len(), 1);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_forgotten_stays_forgotten() {
    let directory = scratch();
    let clock = Hands::at(START);
    let served = Served::start(&setup(directory.path()), &clock).await;
    let api = &served.api;
    let hook = api.hook("http://127.0.0.1:9/", &["a.b"]).await;
    let path = format!("/webhooks/endpoints/{}/secret/rotate", text(&hook, "id"));
    let request = Request::post(path, r#"{"expire_current_in":0}"#).with_key("key");
    let first = api.ask(&request).await.is(200);
    clock.set(START - 48 * HOUR);
    api.ask(&request).await.repeats(&first);

    // Its day is over, and it is swept; then the clock is back within that day.
    clock.set(START + 24 * HOUR);
    let answers = || {
        let db = setup(directory.path()).open();
        let count = db.query_row("SELECT count(*) FROM answer", [], |row| {
            row.get::<_, i64>(0)
        });
        count.expect("a count")
    };
    // The worker sweeps when it looks for work.
    let mut count = 0;
    until(async || {
        count += 1;
        api.publish("x.y", &format!("sweep-{count}")).await.is(202);
        answers() == 0
    })
    .await;
    clock.set(START + HOUR);
    let second = api.ask(&request).await.is(200);
    assert!(!second.is_replayed());
    api.ask(&request).await.repeats(&second);
    // It counts from then.
    clock.set(START + 25 * HOUR - 1);
    api.ask(&request).await.repeats(&second);
    clock.set(START + 25 * HOUR);
    assert!(!api.ask(&request).await.is(200).is_replayed());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_on_when_the_clock_has_gone_back() {
    let directory = scratch();
    let clock = Hands::at(START);
    let receiver = Receiver::that(status(500)).await;
    let mut served = Served::start(&setup(directory.path()), &clock).await;
    let hook = served.api.hook(&receiver.url(), &["a.b"]).await;
    let secrets = [text(&hook, "secret").to_owned()];
    let path = format!("/webhooks/endpoints/{}/deliveries", text(&hook, "id"));
    served.api.publish("a.b", "before").await.is(202);
    until(async || {
        let listed = served.api.all(&path).await;
        listed[0]["attempts"][0].is_object()
    })
    .await;
    receiver.always(status(204));
    receiver.take();

    for is_restarted in [false, true] {
        // Not so far that they would be forgotten by age when it is back.
        clock.set(START - 6 * 24 * HOUR);
        if is_restarted {
            served.stop().await;
            served = Served::start(&setup(directory.path()), &clock).await;
        }
        // What is new goes out at once, before what failed, whose time has not come again.
        let event = format!("after-{is_restarted}");
        served.api.publish("a.b", &event).await.is(202);
        until(async || {
            let done = served.api.all(&format!("{path}?status=succeeded")).await;
            done.iter().any(|one| text(one, "event_id") == event)
        })
        .await;
        let pending = served.api.all(&format!("{path}?status=pending")).await;
        assert_eq!(pending.len(), 1);
        assert_eq!(text(&pending[0], "event_id"), "before");
    }
    clock.set(START + 6 * SECOND);
    until(async || {
        served
            .api
            .all(&format!("{path}?status=succeeded"))
            .await
            .len()
            == 3
    })
    .await;
    let received = receiver.take();
    assert_eq!(received.len(), 3);
    for received in &received {
        assert_eq!(signers(received, &secrets).len(), 1);
    }
    served.stop().await;
}
