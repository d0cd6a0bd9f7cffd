//! What events and deletions have left to do goes on after a restart, and `hookturn check` knows
//! it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{
    Attempt, DeliveryStatus, Endpoint, EndpointId, Timestamp, TraceId, Verdict,
};
use hookturn::store::sqlite::{Opening, Progress, check};
use hookturn::store::{
    Audience, Change, Publish, Settled, SqliteStore, Store as _, StoreLimits, Write,
};
use hookturn_test::{START, scratch_in_memory};

use crate::conformance::creation;
use crate::support::{acme, decided, master_keys, says, settings};

/// More endpoints, and more deliveries, than two steps make or cancel.
const MANY: usize = 150;

#[derive(Default)]
struct Found(Vec<String>);

impl Progress for Found {
    fn found(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

struct Stage<'a> {
    path: &'a Path,
    clock: Arc<TestClock>,
}

impl Stage<'_> {
    fn open(&self) -> SqliteStore {
        let opening = Opening::new(self.path, master_keys());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let store = opening.and_then(|opening| opening.serve(clock, StoreLimits::default()));
        store.expect("it opens")
    }

    fn assert_sound(&self) {
        let mut found = Found::default();
        let checked = check::check(self.path, &master_keys(), &*self.clock, &mut found);
        checked.expect("it can be read");
        assert_eq!(found.0, Vec::<String>::new());
    }
}

async fn create(store: &SqliteStore) -> EndpointId {
    let (id, create) = creation(settings(None));
    store.commit(acme(), None, create).await.expect("created");
    id
}

async fn delete(store: &SqliteStore, id: EndpointId) {
    let delete = Box::new(|_: &Endpoint, _| Ok(decided(Change::Delete, says("deleted"))));
    let deleted = store.commit(acme(), None, Write::Update(id, delete)).await;
    deleted.expect("it exists");
}

async fn publish(store: &SqliteStore, id: &str) {
    let publish = Publish {
        id: id.parse().expect("an id"),
        event_type: "a.b".into(),
        data: "{}".into(),
        trace_id: TraceId::EXAMPLE,
        audience: Audience::Subscribers,
        answer: Box::new(|published| says(published.deliveries.to_string())),
    };
    let published = store.commit(acme(), None, Write::Publish(publish)).await;
    published.expect("there is room");
}

/// Claims once, and settles what was claimed. Returns its endpoints, and whether there is more.
async fn step(store: &SqliteStore, now: Timestamp) -> (Vec<EndpointId>, bool) {
    let claims = store.claim(64).await.expect("the store works");
    let is_more = claims.next_due.is_some_and(|at| at <= now);
    for claimed in &claims.claimed {
        let attempt = Attempt {
            at: claimed.at,
            status_code: Some(200),
            duration_ms: 1,
            error: None,
            signed_by: Box::default(),
        };
        let settled = store.settle(claimed, &attempt, Verdict::Success).await;
        assert_eq!(settled.expect("the store works"), Settled::Recorded);
    }
    let endpoints = claims.claimed.iter().map(|claimed| claimed.endpoint.id);
    (endpoints.collect(), is_more)
}

/// Takes all steps. Returns the endpoints of the attempts.
async fn steps(store: &SqliteStore, now: Timestamp) -> Vec<EndpointId> {
    let mut attempted = Vec::new();
    loop {
        let (endpoints, is_more) = step(store, now).await;
        attempted.extend(endpoints);
        if !is_more {
            return attempted;
        }
    }
}

async fn set_active(store: &SqliteStore, id: EndpointId, active: bool) {
    let set = Box::new(move |endpoint: &Endpoint, _| {
        let mut changed = endpoint.clone();
        Arc::make_mut(&mut changed.settings).active = active;
        Ok(decided(Change::Replace(changed), says("set")))
    });
    let set = store.commit(acme(), None, Write::Update(id, set)).await;
    set.expect("it exists");
}

#[tokio::test]
async fn a_restart_between_steps_loses_and_doubles_nothing() {
    let folder = scratch_in_memory();
    let stage = Stage {
        path: &folder.path().join("hookturn.db"),
        clock: Arc::new(TestClock::frozen_at(Timestamp::from_millis(START))),
    };
    let mut store = stage.open();
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(create(&store).await);
    }
    publish(&store, "e1").await;
    // Nothing of the first step is made yet when this endpoint goes, and all of another's event is.
    delete(&store, ids[0]).await;
    let mut attempted = Vec::new();
    loop {
        drop(store);
        stage.assert_sound();
        store = stage.open();
        let (endpoints, is_more) = step(&store, stage.clock.now()).await;
        attempted.extend(endpoints);
        if !is_more {
            break;
        }
    }
    assert_eq!(attempted.len(), MANY - 1);
    let once: BTreeSet<_> = attempted.into_iter().collect();
    assert_eq!(once, ids[1..].iter().copied().collect());

    // One endpoint with more deliveries than are canceled at once.
    for id in &ids[2..] {
        delete(&store, *id).await;
    }
    for event in 0..MANY {
        publish(&store, &format!("f{event}")).await;
    }
    delete(&store, ids[1]).await;
    for _ in 0..20 {
        drop(store);
        stage.assert_sound();
        store = stage.open();
        let (endpoints, _) = step(&store, stage.clock.now()).await;
        assert_eq!(endpoints, []);
        let canceled = Some(DeliveryStatus::Canceled);
        let listed = store.deliveries(acme(), ids[1], canceled, None, 1000).await;
        let listed = listed.expect("the store works").expect("no cursor");
        assert_eq!(listed.items.len(), MANY);
    }
    let more = store.claim(1).await.expect("the store works").next_due;
    assert_eq!(more, None);
}

#[tokio::test]
async fn an_endpoint_that_was_disabled_before_a_restart_gets_nothing_after_it() {
    let folder = scratch_in_memory();
    let stage = Stage {
        path: &folder.path().join("hookturn.db"),
        clock: Arc::new(TestClock::frozen_at(Timestamp::from_millis(START))),
    };
    let store = stage.open();
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(create(&store).await);
    }
    publish(&store, "e1").await;
    let disabled = ids[MANY - 1];
    set_active(&store, disabled, false).await;
    drop(store);

    let store = stage.open();
    let attempted = steps(&store, stage.clock.now()).await;
    assert_eq!(attempted.len(), MANY - 1);
    assert!(!attempted.contains(&disabled));
    set_active(&store, disabled, true).await;
    assert_eq!(steps(&store, stage.clock.now()).await, [disabled]);
}
