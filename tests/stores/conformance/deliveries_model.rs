//! Random lives of deliveries: none is ever lost, doubled, or held for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::Clock;
use hookturn::domain::{DeliveryId, DeliveryStatus, EndpointId, Verdict};
use hookturn::store::{Claimed, StoreLimits};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::deliveries::{FAILURE, listed, publish, resend, set_active, settle, take};
use super::{LIMITS, OF_ONE_TENANT, Opened, Stage};
use crate::support::acme;

#[derive(Clone, Debug)]
enum Operation {
    Publish,
    Claim(usize),
    Settle(usize, Verdict),
    Resend(usize),
    SetActive(usize, bool),
    Create,
    Delete(usize),
    Advance(u64),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Success),
        4 => Just(FAILURE),
        1 => Just(Verdict::Gone),
    ];
    let which = || 0_usize..100;
    let operation = prop_oneof![
        5 => Just(Operation::Publish),
        5 => (1_usize..10).prop_map(Operation::Claim),
        8 => (which(), verdict).prop_map(|(which, verdict)| Operation::Settle(which, verdict)),
        3 => which().prop_map(Operation::Resend),
        3 => (which(), any::<bool>()).prop_map(|(which, active)| Operation::SetActive(which, active)),
        1 => Just(Operation::Create),
        1 => which().prop_map(Operation::Delete),
        3 => (0_u64..10_000).prop_map(Operation::Advance),
    ];
    prop::collection::vec(operation, 1..80)
}

const STATUSES: [DeliveryStatus; 4] = [
    DeliveryStatus::Pending,
    DeliveryStatus::Succeeded,
    DeliveryStatus::Failed,
    DeliveryStatus::Canceled,
];

struct Life {
    stage: Stage,
    /// Those that are not deleted.
    endpoints: Vec<EndpointId>,
    /// Whose deliveries were seen so far, oldest first.
    seen: BTreeMap<EndpointId, Vec<DeliveryId>>,
    held: Vec<Claimed>,
    published: usize,
}

impl Life {
    async fn create(&mut self) {
        let id = self.stage.create().await.id;
        self.endpoints.push(id);
        self.seen.insert(id, Vec::new());
    }

    fn chosen(&self, which: usize) -> Option<EndpointId> {
        let place = which.checked_rem(self.endpoints.len())?;
        Some(self.endpoints[place])
    }

    async fn publish(&mut self) {
        self.published += 1;
        publish(&self.stage, &format!("e{}", self.published)).await;
        for (endpoint, seen) in &mut self.seen {
            let all = listed(&self.stage, *endpoint, None).await;
            assert!(all.len() - seen.len() <= 1);
            seen.extend(
                all.first()
                    .filter(|_| all.len() > seen.len())
                    .map(|one| one.id),
            );
        }
    }

    async fn claim(&mut self, batch: usize) {
        for claimed in take(&self.stage, batch).await.claimed {
            let id = claimed.delivery.id;
            assert!(
                self.held.iter().all(|held| held.delivery.id != id),
                "handed out twice"
            );
            assert!(claimed.delivery.next_attempt_at <= Some(claimed.at));
            assert!(self.endpoints.contains(&claimed.endpoint.id));
            assert!(claimed.endpoint.settings.active);
            self.held.push(claimed);
        }
        assert!(self.held.len() <= LIMITS.in_flight);
    }

    async fn settle(&mut self, which: usize, verdict: Verdict) {
        if let Some(place) = which.checked_rem(self.held.len()) {
            let claimed = self.held.swap_remove(place);
            settle(&self.stage, &claimed, verdict).await;
        }
    }

    async fn take(&mut self, operation: Operation) {
        match operation {
            Operation::Publish => self.publish().await,
            Operation::Claim(batch) => self.claim(batch).await,
            Operation::Settle(which, verdict) => self.settle(which, verdict).await,
            Operation::Resend(which) => {
                let ids: Vec<_> = self.seen.values().flatten().copied().collect();
                if let Some(place) = which.checked_rem(ids.len()) {
                    // Refused when its endpoint is not there or not active.
                    let _ = self
                        .stage
                        .store
                        .commit(acme(), None, resend(ids[place]))
                        .await;
                }
            }
            Operation::SetActive(which, active) => {
                if let Some(endpoint) = self.chosen(which) {
                    set_active(&self.stage, endpoint, active).await;
                }
            }
            Operation::Create => self.create().await,
            Operation::Delete(which) => {
                if let Some(endpoint) = self.chosen(which) {
                    self.stage.delete(endpoint).await.expect("it exists");
                    self.endpoints.retain(|id| *id != endpoint);
                }
            }
            Operation::Advance(seconds) => self.stage.advance(Duration::from_secs(seconds)),
        }
        self.check().await;
    }

    /// Every delivery stands once in the list of all and once in that of its status.
    async fn check(&self) {
        for (endpoint, seen) in &self.seen {
            let all = listed(&self.stage, *endpoint, None).await;
            let ids: Vec<_> = all.iter().rev().map(|delivery| delivery.id).collect();
            assert_eq!(ids, *seen);
            for status in STATUSES {
                let of_status = listed(&self.stage, *endpoint, Some(status)).await;
                let wanted = all.iter().filter(|delivery| delivery.status == status);
                assert!(of_status.iter().eq(wanted));
            }
            if !self.endpoints.contains(endpoint) {
                let is_over = |status| status != DeliveryStatus::Pending;
                assert!(all.iter().all(|delivery| is_over(delivery.status)));
            }
        }
    }

    /// Everything comes to an end, and leaves all the room that there was.
    async fn end(&mut self) {
        for endpoint in self.endpoints.clone() {
            set_active(&self.stage, endpoint, true).await;
        }
        while !self.held.is_empty() {
            self.settle(0, Verdict::Success).await;
        }
        self.stage.advance(Duration::from_secs(25 * 3600));
        loop {
            self.claim(LIMITS.in_flight).await;
            if self.held.is_empty() {
                break;
            }
            while !self.held.is_empty() {
                self.settle(0, Verdict::Success).await;
            }
        }
        for endpoint in self.seen.keys() {
            let pending = listed(&self.stage, *endpoint, Some(DeliveryStatus::Pending)).await;
            assert!(pending.is_empty(), "{pending:?}");
        }
        for endpoint in std::mem::take(&mut self.endpoints) {
            self.stage.delete(endpoint).await.expect("it exists");
        }
        for _ in 0..=LIMITS.in_flight {
            self.create().await;
        }
        self.publish().await;
        self.claim(100).await;
        assert_eq!(self.held.len(), OF_ONE_TENANT);
    }
}

/// Runs random operations on stores that `open` opens.
pub(super) fn no_delivery_is_lost_or_doubled_whatever_happens(
    open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let config = Config {
        cases: 96,
        failure_persistence: None,
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&operations(), |operations| {
        runtime.block_on(async {
            let mut life = Life {
                stage: Stage::open(&open).await,
                endpoints: Vec::new(),
                seen: BTreeMap::new(),
                held: Vec::new(),
                published: 0,
            };
            for _ in 0..3 {
                life.create().await;
            }
            for operation in operations {
                life.take(operation).await;
            }
            life.end().await;
        });
        Ok(())
    });
    ran.unwrap_or_else(|fault| panic!("{fault}"));
}
