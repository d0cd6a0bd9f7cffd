//! A server, a worker and receivers around a store with faults, and a client that asks again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::{Clock, TestClock};
use hookturn::delivery::worker::WorkerOptions;
use hookturn::delivery::{EgressGuard, Sender, Worker};
use hookturn::domain::{Delivery, DeliveryId, EndpointId, Timestamp};
use hookturn::store::{Store, StoreLimits, Write};
use hookturn_test::{
    Answer, Call, Fault, FaultyStore, INSIDE, PATIENCE, Reaction, RequestBuilder, START, patiently,
    status, until,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::conformance::Opened;
use crate::http::{TestServer, answer};
use crate::support::{acme, decided, says};

/// The calls that the worker makes, and nobody else.
const OF_WORKER: [&str; 3] = ["claim", "settle", "sweep"];

/// The call that goes on when its client goes away.
const KEEP: &str = "keep_clock_advance";

/// How often a client asks before it gives up: more often than faults come.
const MOST_TRIES: usize = 20;

/// A worker that does not let tests wait.
pub const HURRIED: WorkerOptions = WorkerOptions {
    pause: Duration::from_millis(1),
    drain: PATIENCE,
};

/// Everything, running.
pub struct Stage {
    pub server: TestServer,
    pub receiver: Receiver,
    pub faulty: Arc<FaultyStore>,
    /// Which calls may hang.
    hangs: &'static [&'static str],
    stop: Option<oneshot::Sender<()>>,
    worker: JoinHandle<()>,
    opened: Opened,
    clock: Arc<TestClock>,
}

impl Stage {
    /// `hangs` names the calls that may hang, all of them ended in the same way.
    pub async fn open(
        open: &impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened,
        hangs: &'static [&'static str],
        options: WorkerOptions,
        plan: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
        let opened = open(clock.clone(), StoreLimits::default()).await;
        let faulty = FaultyStore::new(Arc::clone(&opened.store), plan);
        let sender = Sender::new(EgressGuard::with_local());
        let worker = Worker::with_options(faulty.clone(), clock.clone(), sender, options);
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = tokio::spawn(worker.run(async {
            let _ = stopped.await;
        }));
        let server =
            TestServer::start_with(clock.clone(), Arc::clone(&opened.store), faulty.clone()).await;
        let server = server.behind_resets().await;
        if hangs == OF_WORKER {
            // A connection that stays would be waited for when the server stops.
            let probe = server.get("/webhooks/endpoints");
            let probe = probe.header("Connection", "close");
            tokio::spawn(let_go_on(probe, faulty.clone()));
        }
        Self {
            receiver: Receiver::start().await,
            server,
            faulty,
            hangs,
            stop: Some(stop),
            worker,
            opened,
            clock,
        }
    }

    /// Asks until the answer is no failure of the server.
    pub async fn ask(&self, request: impl Fn() -> RequestBuilder) -> Answer {
        for _ in 0..MOST_TRIES {
            let Some(answered) = self.ask_once(&request).await else {
                continue;
            };
            if answered.status < 500 {
                return answered;
            }
            let body = String::from_utf8_lossy(&answered.body);
            assert_eq!(answered.status, 500, "{body}");
            for said in [INSIDE, "whsec", "inject", "panic", ".rs"] {
                assert!(!body.contains(said), "a 500 says nothing: {body}");
            }
        }
        panic!("{MOST_TRIES} tries, and no answer");
    }

    /// `None` when the store hung until the client went away.
    pub async fn ask_once(&self, request: impl Fn() -> RequestBuilder) -> Option<Answer> {
        tokio::select! {
            answered = answer(request()) => return Some(answered),
            hangs = self.faulty.hanging.acquire(), if self.hangs != OF_WORKER => {
                hangs.expect("never closed").forget();
            }
        }
        if self.hangs == [KEEP] {
            // Clock and store must stay in step, so this one is not dropped with its client.
            self.faulty.go_on.add_permits(1);
        }
        let ended = patiently(self.faulty.dropped.acquire()).await;
        ended.expect("never closed").forget();
        None
    }

    /// Asks with an idempotency key, and when there is an answer asks for it again.
    pub async fn keyed(&self, key: &str, request: impl Fn() -> RequestBuilder) -> Answer {
        let request = || request().header("Idempotency-Key", key);
        let first = self.ask(request).await;
        self.ask(request).await.repeats(&first);
        first
    }

    /// Moves the clock, once.
    pub async fn advance(&self, seconds: u64) {
        let path = "/dev/clock/advance";
        let target = at(self.now() + i64::try_from(seconds * 1000).expect("not for long"));
        let body = format!(r#"{{"seconds":{seconds}}}"#);
        for _ in 0..MOST_TRIES {
            let request = || self.server.post(path).body(body.clone());
            match self.ask_once(request).await {
                Some(answered) if answered.status == 500 => {}
                Some(answered) => return assert_eq!(answered.is(200).member("now"), target),
                None => {
                    let now = || self.server.get("/dev/clock");
                    return until(async || self.ask(now).await.member("now") == target).await;
                }
            }
        }
        panic!("{MOST_TRIES} tries, and the clock stands");
    }

    /// What the clock says, past the faults.
    fn now(&self) -> i64 {
        self.clock.now().as_millis()
    }

    /// Waits until an endpoint's deliveries, newest first, are so, and returns them.
    pub async fn wait_for(
        &self,
        endpoint: EndpointId,
        is_so: impl Fn(&[Delivery]) -> bool,
    ) -> Vec<Delivery> {
        let mut found = Vec::new();
        until(async || {
            let page = self.store().deliveries(acme(), endpoint, None, None, 100);
            found = page.await.expect("it works").expect("no cursor").items;
            is_so(&found)
        })
        .await;
        found
    }

    /// The store below the faults.
    pub fn store(&self) -> &dyn Store {
        &*self.opened.store
    }

    /// Waits until no attempt of the delivery is under way, as the store has it.
    pub async fn wait_until_let_go(&self, id: DeliveryId) {
        until(async || {
            let decide = |delivery: &Delivery, is_in_flight: bool, _| {
                Ok(decided(delivery.clone(), says(is_in_flight.to_string())))
            };
            let write = Write::UpdateDelivery(id, Box::new(decide));
            let asked = self.store().commit(acme(), None, write).await;
            asked.expect("its endpoint is active").answer == says("false")
        })
        .await;
    }

    /// Tells the worker to stop.
    pub fn stop_worker(&mut self) {
        self.stop = None;
    }

    /// Stops it all. Returns how many calls had a fault.
    pub async fn end(self) -> usize {
        drop(self.stop);
        let stopped = patiently(self.worker).await;
        stopped.expect("the worker does not panic");
        self.server.stop().await;
        self.faulty.faults()
    }
}

/// A time as answers show it.
fn at(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

/// Lets calls of the worker that hang go on, once the server has answered `probe` in spite of them.
async fn let_go_on(probe: RequestBuilder, faulty: Arc<FaultyStore>) {
    loop {
        let hangs = faulty.hanging.acquire().await;
        hangs.expect("never closed").forget();
        let probe = probe.clone();
        answer(probe).await.is(200);
        faulty.go_on.add_permits(1);
    }
}

/// A receiver that is well, but fails at first at `/failing`, is gone at `/gone`, and answers at
/// `/held` when it is let go.
pub struct Receiver {
    inner: hookturn_test::Receiver,
    /// A permit for each answer at `/held`.
    pub let_go: Arc<Semaphore>,
}

impl Receiver {
    async fn start() -> Self {
        let inner = hookturn_test::Receiver::start().await;
        let let_go = Arc::new(Semaphore::new(0));
        inner.once_at("/failing", status(500));
        inner.always_at("/gone", status(410));
        inner.always_at("/held", Reaction::Held(let_go.clone(), 204));
        Self { inner, let_go }
    }

    pub fn url(&self, path: &str) -> String {
        self.inner.url_of(path)
    }

    /// How many requests came, by their paths.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.inner.counts()
    }
}
