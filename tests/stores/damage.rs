//! One damaged record in the file of a durable store costs what belongs to it, and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{EndpointId, EventPattern, Format, Settings, Timestamp, TraceId};
use hookturn::service::Service;
use hookturn::service::events::NewEvent;
use hookturn::store::sqlite::Opening;
use hookturn::store::{Change, SqliteStore, Store, StoreLimits, Write};
use hookturn_test::{START, scratch_in_memory};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{acme, caller, decided, master_keys, says, settings};

const DAY: Duration = Duration::from_secs(86_400);

struct Stage {
    folder: TempDir,
    clock: Arc<TestClock>,
}

impl Stage {
    fn new() -> Self {
        Self {
            folder: scratch_in_memory(),
            clock: Arc::new(TestClock::frozen_at(Timestamp::from_millis(START))),
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("hookturn.db")
    }

    fn open(&self) -> (Arc<SqliteStore>, Service) {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let opening = Opening::new(&self.path(), master_keys()).expect("it opens");
        let store = opening.serve(Arc::clone(&clock), StoreLimits::default());
        let store = Arc::new(store.expect("it is read"));
        (Arc::clone(&store), Service::new(store, clock))
    }

    /// While nobody has it open.
    fn tamper(&self, sql: &str) {
        let db = Connection::open::<&Path>(&self.path()).expect("a database");
        assert!(db.execute(sql, []).expect("a change") > 0);
    }
}

async fn create(store: &SqliteStore, service: &Service, event: &str) -> EndpointId {
    let settings = Settings {
        events: Box::new([EventPattern::Exact(event.into())]),
        ..settings(None)
    };
    let format = Format::StandardWebhooks;
    let created = service.create_endpoint(caller(acme(), None), format, settings, true, |_, _| {
        says("")
    });
    created.await.expect("it is created");
    let all = store.endpoints(acme(), None, 1).await.expect("a store");
    all.expect("no cursor").items[0].id
}

async fn publish(service: &Service, event: &str) {
    let event = NewEvent {
        id: None,
        event_type: event.into(),
        data: "{}".into(),
        trace_id: TraceId::from_bits(1),
    };
    let published = service.publish(caller(acme(), None), event, |_| says(""));
    published.await.expect("it is published");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_is_set_aside_in_one_step() {
    let stage = Stage::new();
    let (store, service) = stage.open();
    create(&store, &service, "damaged").await;
    let sound = create(&store, &service, "sound").await;
    for _ in 0..200 {
        publish(&service, "damaged").await;
    }
    publish(&service, "sound").await;
    drop((store, service));
    stage.tamper("UPDATE key_ring SET sealed = x'00' WHERE endpoint = 1");

    // More wait for the damaged one than one claim looks at.
    let (store, _service) = stage.open();
    let claims = store.claim(64).await.expect("a store");
    let claimed: Vec<_> = claims.claimed.iter().map(|one| one.endpoint.id).collect();
    assert_eq!(claimed, [sound]);
    let now = stage.clock.now();
    assert!(claims.next_due.is_none_or(|at| at > now), "nothing is left");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_keeps_nothing_from_being_swept() {
    let stage = Stage::new();
    let (store, service) = stage.open();
    let id = create(&store, &service, "damaged").await;
    publish(&service, "damaged").await;
    publish(&service, "nobodys").await;
    let disable = Write::Update(
        id,
        Box::new(|endpoint, now| Ok(decided(Change::Replace(endpoint.disabled(now)), says("")))),
    );
    store.commit(acme(), None, disable).await.expect("disabled");
    drop((store, service));
    stage.tamper("UPDATE event SET sealed = x'00' WHERE type = 'damaged'");

    let (store, service) = stage.open();
    stage.clock.advance(DAY * 8).expect("not too far");
    while store.sweep().await.expect("a store") <= stage.clock.now() {}
    drop((store, service));
    let db = Connection::open(stage.path()).expect("a database");
    let count = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).expect("a count") };
    assert_eq!(
        count("SELECT count(*) FROM event WHERE type = 'nobodys'"),
        0
    );
    assert_eq!(
        count("SELECT status FROM delivery"),
        2,
        "failed, as it waited long enough"
    );
}

#[tokio::test]
async fn a_delivery_that_cannot_be_read_waits_alone() {
    let stage = Stage::new();
    let (store, service) = stage.open();
    let id = create(&store, &service, "all").await;
    for _ in 0..100 {
        publish(&service, "all").await;
    }
    drop((store, service));
    stage.tamper("UPDATE event SET sealed = x'00' WHERE number <= 99");

    let (store, _service) = stage.open();
    let first = store.claim(64).await.expect("a store");
    assert!(first.claimed.is_empty());
    assert_eq!(
        first.next_due,
        Some(stage.clock.now()),
        "there is more to do"
    );
    let second = store.claim(64).await.expect("a store");
    assert_eq!(second.claimed.len(), 1);
    assert_eq!(second.claimed[0].endpoint.id, id);
}
