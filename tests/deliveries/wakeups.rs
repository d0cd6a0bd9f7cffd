//! Whether a claim tells of all that is still to come, on a clock that goes on while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hookturn::clock::Clock;
use hookturn::domain::{Attempt, Format, Settings, TenantId, Timestamp, TraceId, Verdict};
use hookturn::idempotency::Answer;
use hookturn::service::events::NewEvent;
use hookturn::service::{Caller, Service};
use hookturn::store::{MemoryStore, Settled, Store};

/// A clock that goes on by `pace` milliseconds whenever it is read.
#[derive(Default)]
struct Paced {
    now: AtomicI64,
    pace: AtomicI64,
}

impl Clock for Paced {
    fn now(&self) -> Timestamp {
        let pace = self.pace.load(Ordering::SeqCst);
        Timestamp::from_millis(self.now.fetch_add(pace, Ordering::SeqCst))
    }

    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn settings() -> Settings {
    Settings {
        url: "http://127.0.0.1:1/".into(),
        events: Box::default(),
        description: None,
        active: true,
        name: None,
        headers: Box::default(),
        agent_ids: Box::default(),
        workspace_ids: Box::default(),
    }
}

fn answer() -> Answer {
    Answer {
        status: 202,
        body: Bytes::new(),
    }
}

#[tokio::test]
async fn what_becomes_due_while_a_claim_runs_is_told_of() {
    let clock = Arc::new(Paced::default());
    let of_store: Arc<dyn Clock> = clock.clone();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::clone(&of_store)));
    let service = Service::new(Arc::clone(&store), of_store);
    let caller = Caller {
        tenant: TenantId::new("t"),
        key_use: None,
    };
    let format = Format::StandardWebhooks;
    let created =
        service.create_endpoint(caller.clone(), format, settings(), true, |_, _| answer());
    created.await.expect("it is created");
    let event = NewEvent {
        id: None,
        event_type: "a".into(),
        data: "{}".into(),
        trace_id: TraceId::from_bits(1),
    };
    let published = service.publish(caller.clone(), event, |_| answer());
    published.await.expect("it is published");
    let claimed = store.claim(64).await.expect("a store").claimed;
    let attempt = Attempt {
        at: claimed[0].at,
        status_code: Some(500),
        duration_ms: 1,
        error: None,
        signed_by: Box::default(),
    };
    let verdict = Verdict::of(Some(500), None, 0.0);
    let settled = store.settle(&claimed[0], &attempt, verdict);
    assert_eq!(settled.await.expect("a store"), Settled::Recorded);

    // The retry is due at 5000, and the claim reads the clock at 4999 first.
    clock.now.store(4999, Ordering::SeqCst);
    clock.pace.store(1, Ordering::SeqCst);
    let claims = store.claim(64).await.expect("a store");
    assert!(claims.claimed.is_empty());
    assert_eq!(claims.next_due, Some(Timestamp::from_millis(5000)));
}
