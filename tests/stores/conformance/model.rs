//! Random sequences of operations against the simplest thing that could be a store: a list.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{Endpoint, EndpointId, Format, KeyRing, Refusal, TenantId, Timestamp};
use hookturn::idempotency::{Answer, KeyUse, RETENTION, RequestFingerprint};
use hookturn::random;
use hookturn::store::{Change, CommitError, Create, Store, StoreLimits, Update, Write};
use hookturn_test::START;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use super::{LIMITS, Opened};
use crate::support::{acme, decided, key_use, other, says, settings};

/// One operation. Numbers stand for names, keys and endpoints, few enough to clash.
#[derive(Clone, Debug)]
enum Operation {
    Commit {
        tenant: bool,
        key: Option<(u8, bool)>,
        decision: Decision,
    },
    Read {
        tenant: bool,
        endpoint: usize,
    },
    List {
        tenant: bool,
        after: Option<usize>,
        limit: usize,
    },
    Record {
        tenant: bool,
        key: u8,
    },
    Advance(Duration),
}

#[derive(Clone, Debug)]
enum Decision {
    Create { name: Option<u8> },
    Keep(usize),
    Rename(usize, Option<u8>),
    Rotate(usize, u64),
    Refuse(usize),
    Delete(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let endpoint = 0..6_usize;
    let name = || prop::option::of(0..3_u8);
    let decision = prop_oneof![
        4 => name().prop_map(|name| Decision::Create { name }),
        1 => endpoint.clone().prop_map(Decision::Keep),
        3 => (endpoint.clone(), name()).prop_map(|(id, name)| Decision::Rename(id, name)),
        4 => (endpoint.clone(), prop_oneof![Just(0), Just(60), Just(86_400)])
            .prop_map(|(id, grace)| Decision::Rotate(id, grace)),
        1 => endpoint.clone().prop_map(Decision::Refuse),
        2 => endpoint.clone().prop_map(Decision::Delete),
    ];
    let tenant = || prop::bool::weighted(0.8);
    let after = prop::option::of(endpoint.clone());
    let key = prop::option::of((0..4_u8, prop::bool::weighted(0.8)));
    let almost = RETENTION.checked_sub(Duration::from_millis(1));
    prop_oneof![
        8 => (tenant(), key, decision).prop_map(|(tenant, key, decision)| {
            Operation::Commit { tenant, key, decision }
        }),
        2 => (tenant(), endpoint).prop_map(|(tenant, endpoint)| {
            Operation::Read { tenant, endpoint }
        }),
        2 => (tenant(), after, 1..5_usize).prop_map(|(tenant, after, limit)| {
            Operation::List { tenant, after, limit }
        }),
        1 => (tenant(), 0..4_u8).prop_map(|(tenant, key)| Operation::Record { tenant, key }),
        1 => prop_oneof![
            Just(Duration::from_millis(1)),
            Just(Duration::from_secs(60)),
            Just(almost.expect("longer")),
        ]
        .prop_map(Operation::Advance),
    ]
}

/// What a store should be, one operation at a time.
#[derive(Default)]
struct Model {
    /// In the order of creation.
    endpoints: Vec<(TenantId, Endpoint)>,
    records: HashMap<(TenantId, String), (RequestFingerprint, Answer, Timestamp)>,
}

type Outcome = Result<(Answer, bool), String>;

impl Model {
    fn find(&self, tenant: &TenantId, id: EndpointId) -> Option<usize> {
        let mut all = self.endpoints.iter();
        all.position(|(owner, endpoint)| owner == tenant && endpoint.id == id)
    }

    fn has_name(&self, tenant: &TenantId, except: EndpointId, wanted: &Endpoint) -> bool {
        wanted.settings.name.is_some()
            && self.endpoints.iter().any(|(owner, endpoint)| {
                owner == tenant
                    && endpoint.id != except
                    && endpoint.settings.name == wanted.settings.name
            })
    }

    fn record(&self, tenant: &TenantId, key: &str, now: Timestamp) -> Option<&Answer> {
        let (_, answer, until) = self.records.get(&(tenant.clone(), key.to_owned()))?;
        (now < *until).then_some(answer)
    }

    fn commit(
        &mut self,
        tenant: &TenantId,
        claim: Option<&KeyUse>,
        write: Write,
        now: Timestamp,
    ) -> Outcome {
        let key = claim.map(|claim| (tenant.clone(), claim.key.as_str().to_owned()));
        if let (Some(claim), Some(key)) = (claim, &key)
            && let Some((fingerprint, answer, until)) = self.records.get(key)
            && now < *until
        {
            return if *fingerprint == claim.fingerprint {
                Ok((answer.clone(), true))
            } else {
                Err(CommitError::KeyReused.to_string())
            };
        }
        let answer = self
            .apply(tenant, write, now)
            .map_err(|error| error.to_string())?;
        if let (Some(claim), Some(key)) = (claim, key) {
            let record = (claim.fingerprint, answer.clone(), now.plus(RETENTION));
            self.records.insert(key, record);
        }
        Ok((answer, false))
    }

    fn apply(
        &mut self,
        tenant: &TenantId,
        write: Write,
        now: Timestamp,
    ) -> Result<Answer, CommitError> {
        let (id, decide) = match write {
            Write::Create(decide) => {
                let decided = decide(now)?;
                let (endpoint, answer) = (decided.write, decided.answer);
                if self.has_name(tenant, endpoint.id, &endpoint) {
                    return Err(CommitError::NameTaken);
                }
                self.endpoints.push((tenant.clone(), endpoint));
                return Ok(answer);
            }
            Write::Update(id, decide) => (id, decide),
            other => unreachable!("this model is of endpoints alone: {other:?}"),
        };
        let place = self.find(tenant, id).ok_or(CommitError::NotFound)?;
        let decided = decide(&self.endpoints[place].1, now)?;
        match decided.write {
            Change::Keep => {}
            Change::Replace(endpoint) => {
                if self.has_name(tenant, id, &endpoint) {
                    return Err(CommitError::NameTaken);
                }
                self.endpoints[place].1 = endpoint;
            }
            Change::Delete => {
                self.endpoints.remove(place);
            }
        }
        Ok(decided.answer)
    }

    fn list(
        &self,
        tenant: &TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Option<(Vec<Endpoint>, bool)> {
        let end = match after {
            None => self.endpoints.len(),
            Some(id) => self.find(tenant, id)?,
        };
        let older = self.endpoints[..end].iter().rev();
        let mut own = older.filter(|(owner, _)| owner == tenant);
        let items = own.by_ref().take(limit);
        let items = items.map(|(_, endpoint)| endpoint.clone()).collect();
        Some((items, own.next().is_some()))
    }
}

/// What is decided, twice: once for the store and once for the model. Both get the same fresh
/// values.
fn writes(decision: &Decision, id: impl Fn(usize) -> EndpointId) -> [Write; 2] {
    let fresh_id = random::endpoint_id().expect("randomness");
    let secret = random::secret().expect("randomness");
    let name_of = |name: &Option<u8>| name.map(|name| format!("name-{name}"));
    [(); 2].map(|()| {
        let secret = secret.clone();
        let update = |number: &usize, decide: Update| Write::Update(id(*number), decide);
        match decision {
            Decision::Create { name } => {
                let settings = Arc::new(settings(name_of(name).as_deref()));
                let decide: Create = Box::new(move |now| {
                    let endpoint = Endpoint {
                        id: fresh_id,
                        format: Format::Verbex,
                        created_at: now,
                        updated_at: now,
                        settings: Arc::clone(&settings),
                        key_ring: Some(KeyRing::new(secret.clone(), now)),
                    };
                    Ok(decided(endpoint, says(fresh_id.to_string())))
                });
                Write::Create(decide)
            }
            Decision::Keep(endpoint) => update(
                endpoint,
                Box::new(|before, now| {
                    Ok(decided(Change::Keep, says(format!("{now} {before:?}"))))
                }),
            ),
            Decision::Rename(endpoint, name) => {
                let settings = Arc::new(settings(name_of(name).as_deref()));
                update(
                    endpoint,
                    Box::new(move |before, now| {
                        let renamed = Endpoint {
                            updated_at: now,
                            settings: Arc::clone(&settings),
                            ..before.clone()
                        };
                        let answer = says(format!("{renamed:?}"));
                        Ok(decided(Change::Replace(renamed), answer))
                    }),
                )
            }
            Decision::Rotate(endpoint, grace) => {
                let grace = Duration::from_secs(*grace);
                update(
                    endpoint,
                    Box::new(move |before, now| {
                        let key_ring = before.key_ring.as_ref();
                        let key_ring = key_ring.ok_or(Refusal::SigningDisabled)?;
                        let (key_ring, rotation) = key_ring.rotate(now, grace, secret.clone())?;
                        let rotated = Endpoint {
                            key_ring: Some(key_ring),
                            ..before.clone()
                        };
                        Ok(decided(
                            Change::Replace(rotated),
                            says(format!("{rotation:?}")),
                        ))
                    }),
                )
            }
            Decision::Refuse(endpoint) => {
                update(endpoint, Box::new(|_, _| Err(Refusal::SigningDisabled)))
            }
            Decision::Delete(endpoint) => update(
                endpoint,
                Box::new(|before, _| Ok(decided(Change::Delete, says(format!("{before:?}"))))),
            ),
        }
    })
}

async fn agrees(
    operations: Vec<Operation>,
    store: &dyn Store,
    clock: &TestClock,
) -> TestCaseResult {
    let mut model = Model::default();
    let mut created: Vec<EndpointId> = Vec::new();
    // Also one that was never created, and those that were deleted, are asked for.
    let unknown = random::endpoint_id().expect("randomness");
    let tenant = |own| if own { acme() } else { other() };
    let key = |number: u8| format!("key-{number}");
    for operation in operations {
        let id = |number: usize| *created.get(number).unwrap_or(&unknown);
        match operation {
            Operation::Commit {
                tenant: own,
                key: used,
                decision,
            } => {
                let claim = used.map(|(number, same)| {
                    key_use(&key(number), if same { "request" } else { "another" })
                });
                let [ours, theirs] = writes(&decision, id);
                let tenant = tenant(own);
                let expected = model.commit(tenant, claim.as_ref(), ours, clock.now());
                let outcome = store.commit(tenant, claim, theirs).await;
                let outcome: Outcome = outcome
                    .map(|committed| (committed.answer, committed.replayed))
                    .map_err(|error| error.to_string());
                prop_assert_eq!(outcome, expected);
                if let (Decision::Create { .. }, Some((_, endpoint))) =
                    (decision, model.endpoints.last())
                    && !created.contains(&endpoint.id)
                {
                    created.push(endpoint.id);
                }
            }
            Operation::Read {
                tenant: own,
                endpoint,
            } => {
                let (tenant, id) = (tenant(own), id(endpoint));
                let expected = model.find(tenant, id);
                let expected = expected.map(|place| model.endpoints[place].1.clone());
                let found = store.endpoint(tenant, id).await.expect("it works");
                prop_assert_eq!(found, expected);
            }
            Operation::List {
                tenant: own,
                after,
                limit,
            } => {
                let (tenant, after) = (tenant(own), after.map(id));
                let page = store.endpoints(tenant, after, limit).await;
                let page = page
                    .expect("it works")
                    .map(|page| (page.items, page.has_more));
                prop_assert_eq!(page, model.list(tenant, after, limit));
            }
            Operation::Record {
                tenant: own,
                key: number,
            } => {
                let (tenant, key) = (tenant(own), key(number));
                let record = store.record(tenant, &key_use(&key, "").key).await;
                let answer = record.expect("it works").map(|record| record.answer);
                let expected = model.record(tenant, &key, clock.now());
                prop_assert_eq!(answer.as_ref(), expected);
            }
            Operation::Advance(by) => {
                clock.advance(by).expect("not too far");
            }
        }
    }
    Ok(())
}

pub(super) fn any_sequence_of_operations_agrees_with_the_model(
    open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let config = Config {
        cases: 128,
        failure_persistence: None,
        ..Config::default()
    };
    let operations = prop::collection::vec(operation(), 1..120);
    let outcome = TestRunner::new(config).run(&operations, |operations| {
        runtime.block_on(async {
            let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
            let opened = open(Arc::clone(&clock) as Arc<dyn Clock>, LIMITS).await;
            agrees(operations, &*opened.store, &clock).await
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
