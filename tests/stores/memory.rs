//! What the store in memory holds for an endpoint, and for how long it holds old answers. The test
//! has a process of its own, since the memory of the process is what is measured.
#![cfg(target_os = "linux")]

use std::sync::Arc;

use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{Endpoint, EndpointId, Format, KeyRing, Settings, TenantId, Timestamp};
use hookturn::idempotency::{Answer, IdempotencyKey, KeyUse, RETENTION, RequestFingerprint};
use hookturn::random;
use hookturn::store::{
    Change, CommitError, Committed, MemoryStore, Quotas, Store, StoreLimits, Write,
};
use hookturn_test::alone;

use crate::support::decided;

/// Just past the count at which tables of a power of two have doubled, when they are at their
/// emptiest.
const ENDPOINTS: usize = 240_000;

/// The most that one endpoint may take, in bytes.
const BYTES_PER_ENDPOINT: usize = 1100;

/// Answers remembered in each of the days.
const ANSWERS_A_DAY: usize = 20_000;

const DAYS: usize = 8;

/// The memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: usize = kilobytes.expect("a size").parse().expect("a number");
    kilobytes * 1024
}

fn endpoint(id: EndpointId, number: usize, now: Timestamp) -> Endpoint {
    let url = format!("https://receiver.example.com/hooks/{number:05}");
    let description = format!("Receiver of tenant no. {number:07}");
    assert!(url.len() >= 40 && description.len() >= 30);
    let events = ["call.started", "call.ended", "invoice.*"];
    let events = events.map(|event| event.parse().expect("a pattern"));
    Endpoint {
        id,
        format: Format::StandardWebhooks,
        created_at: now,
        updated_at: now,
        settings: Arc::new(Settings {
            url: url.into(),
            events: Box::new(events),
            description: Some(description.into()),
            active: true,
            name: None,
            headers: Box::default(),
            agent_ids: Box::default(),
            workspace_ids: Box::default(),
        }),
        key_ring: Some(KeyRing::new(random::secret().expect("randomness"), now)),
    }
}

fn answer(size: usize) -> Answer {
    Answer {
        status: 200,
        body: vec![b'x'; size].into(),
    }
}

async fn fill(store: &MemoryStore, tenant: &TenantId) -> EndpointId {
    let mut last = None;
    for number in 0..ENDPOINTS {
        let id = random::endpoint_id().expect("randomness");
        let create = Box::new(move |now| Ok(decided(endpoint(id, number, now), answer(1))));
        let created = store.commit(tenant, None, Write::Create(create)).await;
        created.expect("nothing is in the way");
        last = Some(id);
    }
    last.expect("there are some")
}

async fn remember_a_days_answers(
    store: &MemoryStore,
    tenant: &TenantId,
    id: EndpointId,
    day: usize,
) {
    for number in 0..ANSWERS_A_DAY {
        let key = format!("a-key-as-long-as-a-uuid-{day:04}-{number:07}");
        let claim = KeyUse {
            key: IdempotencyKey::parse(key.as_bytes()).expect("a sound key"),
            fingerprint: RequestFingerprint::of("POST", "/", b""),
        };
        let keep = Box::new(|_: &Endpoint, _| Ok(decided(Change::Keep, answer(180))));
        let kept = store.commit(tenant, Some(claim), Write::Update(id, keep));
        assert!(!kept.await.expect("it exists").replayed);
    }
}

/// What a request remembers with this key, or why it is refused.
async fn remember(
    store: &MemoryStore,
    id: EndpointId,
    key: &str,
) -> Result<Committed, CommitError> {
    let claim = KeyUse {
        key: IdempotencyKey::parse(key.as_bytes()).expect("a sound key"),
        fingerprint: RequestFingerprint::of("POST", "/", b""),
    };
    let keep = Box::new(|_: &Endpoint, _| Ok(decided(Change::Keep, answer(1))));
    let tenant = TenantId::new("acme");
    store
        .commit(&tenant, Some(claim), Write::Update(id, keep))
        .await
}

#[tokio::test]
async fn expired_keys_are_swept_although_no_request_comes() {
    let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(0)));
    let limits = StoreLimits {
        quotas: Quotas {
            idempotency_keys: Some(1),
            ..Quotas::NONE
        },
        ..StoreLimits::default()
    };
    let store = MemoryStore::with_limits(Arc::clone(&clock) as Arc<dyn Clock>, limits);
    let id = random::endpoint_id().expect("randomness");
    let create = Box::new(move |now| Ok(decided(endpoint(id, 0, now), answer(1))));
    let tenant = TenantId::new("acme");
    let created = store.commit(&tenant, None, Write::Create(create)).await;
    created.expect("nothing is in the way");
    for day in 0..8 {
        let first = remember(&store, id, &format!("day-{day}")).await;
        assert!(first.is_ok(), "{day}");
        let second = remember(&store, id, "one-more").await;
        assert!(matches!(second, Err(CommitError::QuotaExceeded(_))));
        clock.advance(RETENTION).expect("not too far");
        store.sweep().await.expect("the store works");
    }
}

#[test]
fn an_endpoint_takes_about_a_kilobyte_and_old_answers_are_let_go() {
    alone(
        "memory::an_endpoint_takes_about_a_kilobyte_and_old_answers_are_let_go",
        measure,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn measure() {
    let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(0)));
    let limits = StoreLimits {
        quotas: Quotas::NONE,
        ..StoreLimits::default()
    };
    let store = MemoryStore::with_limits(Arc::clone(&clock) as Arc<dyn Clock>, limits);
    let tenant = TenantId::new("acme");

    let before = resident();
    let id = fill(&store, &tenant).await;
    let each = resident().saturating_sub(before) / ENDPOINTS;
    assert!(each > 100, "{each} bytes: this measures nothing");
    assert!(each < BYTES_PER_ENDPOINT, "{each} bytes for each endpoint");

    let before = resident();
    remember_a_days_answers(&store, &tenant, id, 0).await;
    let a_day = resident().saturating_sub(before);
    assert!(a_day > 0, "this measures nothing");
    let full = resident();
    for day in 1..DAYS {
        clock.advance(RETENTION).expect("not too far");
        remember_a_days_answers(&store, &tenant, id, day).await;
    }
    // Each day's answers take the place of the day's before. The tables may double once, as a table
    // does in which much comes and goes; were anything kept, it would be all of the days.
    let grown = resident().saturating_sub(full);
    assert!(grown < a_day, "grown by {grown} bytes; a day takes {a_day}");
}
