//! Random lives of endpoints: every delivery is signed by exactly the secrets that the rules call
//! live, in their order.

use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::{Clock, TestClock};
use hookturn::delivery::{EgressGuard, Sender, Worker};
use hookturn::domain::key_ring::MAX_LIVE;
use hookturn::domain::{EndpointId, Format, Settings, TenantId, Timestamp};
use hookturn::idempotency::Answer;
use hookturn::service::events::NewEvent;
use hookturn::service::{Caller, Error, Service};
use hookturn::store::{Committed, MemoryStore, Store};
use hookturn_test::{Receiver, START, fingerprint, patiently, signers};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Create(bool),
    Rotate(usize, u64),
    Revoke(usize),
    Nothing,
    Advance(u64),
    /// To so many milliseconds from the first expiry that is to come, of any secret.
    NearExpiry(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let grace = prop_oneof![Just(0), 1_u64..100, Just(3600), Just(72 * 3600)];
    let step = prop_oneof![
        1 => any::<bool>().prop_map(Step::Create),
        6 => (0_usize..3, grace).prop_map(|(which, grace)| Step::Rotate(which, grace)),
        1 => (0_usize..3).prop_map(Step::Revoke),
        2 => Just(Step::Nothing),
        2 => (0_u64..4_000_000).prop_map(Step::Advance),
        3 => (-1_i64..=1).prop_map(Step::NearExpiry),
    ];
    prop::collection::vec(step, 1..30)
}

/// An endpoint as its owner knows it, from the answers alone.
struct Known {
    id: EndpointId,
    receiver: Receiver,
    current: String,
    /// Newest first, each with its expiry in milliseconds.
    retiring: Vec<(String, i64)>,
    /// Also those that no longer sign.
    ever: Vec<String>,
}

impl Known {
    fn live(&self, now: i64) -> Vec<&String> {
        let retiring = self.retiring.iter().filter(|(_, expiry)| now < *expiry);
        let retiring = retiring.map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(retiring).collect()
    }
}

struct Life {
    clock: Arc<TestClock>,
    store: Arc<dyn Store>,
    service: Service,
    worker: Worker,
    endpoints: Vec<Known>,
}

fn caller() -> Caller {
    Caller {
        tenant: TenantId::new("acme"),
        key_use: None,
    }
}

fn says(text: &str) -> Answer {
    Answer {
        status: 200,
        body: text.to_owned().into(),
    }
}

fn read(committed: &Committed) -> String {
    String::from_utf8(committed.answer.body.to_vec()).expect("UTF-8")
}

impl Life {
    fn new() -> Self {
        let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
        let shared: Arc<dyn Clock> = clock.clone();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(shared.clone()));
        let sender = Sender::new(EgressGuard::with_local());
        Self {
            service: Service::new(Arc::clone(&store), shared.clone()),
            worker: Worker::new(Arc::clone(&store), shared, sender),
            clock,
            store,
            endpoints: Vec::new(),
        }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millis()
    }

    fn advance(&self, millis: i64) {
        if let Ok(millis) = u64::try_from(millis) {
            let by = Duration::from_millis(millis);
            self.clock.advance(by).expect("not too far");
        }
    }

    async fn create(&mut self, is_verbex: bool) {
        if self.endpoints.len() == 3 {
            return;
        }
        let receiver = Receiver::start().await;
        let settings = Settings {
            url: receiver.url().into(),
            events: Box::default(),
            description: None,
            active: true,
            name: None,
            headers: Box::default(),
            agent_ids: Box::default(),
            workspace_ids: Box::default(),
        };
        let format = if is_verbex {
            Format::Verbex
        } else {
            Format::StandardWebhooks
        };
        let created =
            self.service
                .create_endpoint(caller(), format, settings, true, |endpoint, secret| {
                    let secret = secret.expect("signed").expose();
                    says(&format!("{} {}", endpoint.id, *secret))
                });
        let created = read(&created.await.expect("created"));
        let (id, current) = created.split_once(' ').expect("two words");
        self.endpoints.push(Known {
            id: id.parse().expect("an id"),
            receiver,
            current: current.to_owned(),
            retiring: Vec::new(),
            ever: vec![current.to_owned()],
        });
    }

    async fn rotate(&mut self, which: usize, grace: u64) {
        let now = self.now();
        let Some(known) = self.endpoints.get_mut(which) else {
            return;
        };
        let rotated = self
            .service
            .rotate(caller(), known.id, Duration::from_secs(grace), |rotation| {
                says(&rotation.secret.expose())
            })
            .await;
        if grace > 0 && known.live(now).len() == MAX_LIVE {
            assert!(matches!(rotated, Err(Error::TooManyLiveSecrets { .. })));
            return;
        }
        let fresh = read(&rotated.expect("there is room"));
        let replaced = std::mem::replace(&mut known.current, fresh.clone());
        let expiry = now + i64::try_from(grace).expect("a short grace") * 1000;
        known.retiring.insert(0, (replaced, expiry));
        known.ever.push(fresh);
    }

    async fn revoke(&mut self, which: usize) {
        if let Some(known) = self.endpoints.get_mut(which) {
            let revoked = self
                .service
                .revoke_previous(caller(), known.id, |_| says(""));
            revoked.await.expect("revoked");
            known.retiring.clear();
        }
    }

    /// An event to all endpoints that there are; returns how many.
    async fn publish(&self) -> usize {
        let event = NewEvent {
            id: None,
            event_type: "a.b".into(),
            data: r#"{"n":1}"#.into(),
            trace_id: hookturn::domain::TraceId::EXAMPLE,
        };
        let published = self.service.publish(caller(), event, |published| {
            says(&published.deliveries.to_string())
        });
        let published = published.await.expect("published");
        assert_eq!(read(&published), self.endpoints.len().to_string());
        self.endpoints.len()
    }

    /// Makes the deliveries of an event to the first `count` endpoints.
    async fn deliver(&self, count: usize) {
        let made = patiently(self.worker.step()).await.expect("a store");
        assert_eq!(made, count);
        for known in &self.endpoints[..count] {
            let live = known.live(self.now());
            let received = known.receiver.take_one();
            assert_eq!(signers(&received, &known.ever), live);
            let tenant = caller().tenant;
            let newest = self.store.deliveries(&tenant, known.id, None, None, 1);
            let newest = newest.await.expect("a store").expect("a page");
            let signed_by = newest.items[0].attempts[0].signed_by.iter();
            let signed_by: Vec<_> = signed_by.map(ToString::to_string).collect();
            let wanted: Vec<_> = live.iter().map(|secret| fingerprint(secret)).collect();
            assert_eq!(signed_by, wanted);
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Create(is_verbex) => self.create(is_verbex).await,
            Step::Rotate(which, grace) => self.rotate(which, grace).await,
            Step::Revoke(which) => self.revoke(which).await,
            Step::Nothing => {}
            Step::Advance(millis) => self.advance(i64::try_from(millis).expect("a short time")),
            Step::NearExpiry(off) => {
                let now = self.now();
                let retiring = self.endpoints.iter().flat_map(|known| &known.retiring);
                let expiries = retiring.map(|(_, expiry)| expiry + off);
                if let Some(next) = expiries.filter(|at| *at > now).min() {
                    self.advance(next - now);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_delivery_is_signed_by_exactly_the_secrets_that_are_live(
        is_verbex: bool,
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut life = Life::new();
            life.create(is_verbex).await;
            for step in steps {
                // On its way before something happens, and made after it.
                let sent = life.publish().await;
                life.take(step).await;
                life.deliver(sent).await;
            }
        });
    }
}
