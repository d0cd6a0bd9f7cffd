//! The suite that holds every store to the rules of [`hookturn::store`], one `#[test]` for each
//! case and store.
//!
//! A new store adds one [`conformance_suite!`] line here. A case that is written but not listed in
//! the macro is dead code, and so an error.

mod changes;
mod deliveries;
mod deliveries_model;
mod idempotency;
mod interruptions;
mod model;
mod names;
mod paging;
mod rotations;
mod schedule;
mod shares;
mod tenants;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::{Clock, TestClock};
use hookturn::domain::{
    Endpoint, EndpointId, Format, KeyRing, Refusal, Rotation, Settings, TenantId, Timestamp,
};
use hookturn::idempotency::{Answer, KeyUse};
use hookturn::random;
use hookturn::service::{Error, Service};
use hookturn::store::sqlite::Opening;
use hookturn::store::{
    Change, CommitError, Committed, MemoryStore, Quotas, Store, StoreLimits, Write,
};
use hookturn_test::{START, scratch_in_memory};

use crate::support::{Rotated, acme, caller, decided, master_keys, says, settings};

/// Declares the tests of one store: its name, and an async closure that opens an empty one on a
/// clock and with limits.
macro_rules! conformance_suite {
    ($store:ident, $open:expr) => {
        mod $store {
            use super::*;

            conformance_suite!(@tests $open;
                rotations:
                    concurrent_rotations_form_one_chain,
                    exactly_as_many_concurrent_rotations_succeed_as_there_is_room_for,
                    a_reader_sees_one_current_secret_at_every_instant,
                    a_later_rotation_never_shortens_an_earlier_expiry,
                    rotations_and_changes_of_settings_do_not_undo_each_other;
                idempotency:
                    fifty_rotations_with_one_key_are_one_rotation_with_one_answer,
                    fifty_creations_with_one_key_are_one_endpoint,
                    a_key_that_was_used_for_another_request_is_refused_and_disturbs_nothing,
                    of_two_requests_that_race_for_one_key_one_wins_for_all,
                    whatever_is_refused_leaves_no_record,
                    a_record_counts_until_24_hours_after_its_commit_to_the_millisecond,
                    a_key_that_expired_is_free_for_another_request_and_another_24_hours,
                    forgetting_old_records_spares_a_renewed_one,
                    a_key_of_one_tenant_is_not_anothers,
                    an_answer_outlives_its_endpoint,
                    a_change_of_nothing_is_remembered_too;
                interruptions:
                    a_panicking_decision_leaves_no_trace,
                    a_commit_dropped_at_any_poll_happens_wholly_or_not_at_all,
                    aborted_tasks_never_leave_a_key_stuck;
                tenants:
                    an_endpoint_cannot_be_read_with_anothers_tenant,
                    an_endpoint_cannot_be_changed_with_anothers_tenant,
                    a_list_shows_and_takes_as_cursor_only_the_tenants_own;
                names:
                    a_name_is_unique_for_each_tenant_alone,
                    a_name_is_freed_by_a_rename_and_by_a_deletion,
                    a_refused_rename_leaves_both_as_they_were,
                    an_endpoint_may_keep_its_name_or_give_it_up,
                    one_of_many_concurrent_creations_gets_a_name,
                    one_of_many_concurrent_renames_gets_a_name,
                    a_name_that_is_passed_on_is_never_held_twice;
                paging:
                    a_list_is_newest_first_and_pages_through_all,
                    a_page_tells_whether_more_follow,
                    a_page_of_long_entries_is_shorter_than_its_limit,
                    an_unknown_or_deleted_cursor_is_told,
                    times_of_creation_follow_the_order_of_a_list,
                    what_stays_is_listed_once_while_others_come_and_go,
                    a_page_before_others_is_full_while_the_newest_come_and_go;
                changes:
                    keep_leaves_the_endpoint_as_it_is,
                    replace_is_seen_by_the_next_read_and_keeps_its_place,
                    a_deleted_endpoint_is_gone_everywhere,
                    one_of_many_concurrent_deletions_succeeds,
                    no_rotation_brings_a_deleted_endpoint_back,
                    a_decision_sees_the_time_of_its_commit,
                    a_commit_says_what_it_did_and_a_replay_that_it_did_nothing,
                    a_store_that_works_says_so;
                deliveries:
                    fifty_publications_of_one_event_are_one_event,
                    of_fifty_events_with_one_id_one_is_published,
                    an_event_is_known_again_by_what_was_written,
                    an_event_without_subscribers_is_known_again,
                    an_idempotency_key_publishes_once,
                    every_delivery_is_handed_out_to_one_claimer_alone,
                    a_claim_carries_the_endpoint_as_it_is_at_that_instant,
                    no_more_is_handed_out_than_there_is_room_for,
                    failing_endpoints_get_one_attempt_each_and_half_of_the_room,
                    nothing_is_handed_out_of_an_endpoint_that_is_disabled_or_deleted,
                    what_is_forgotten_under_way_gives_its_place_back,
                    a_change_of_a_delivery_knows_whether_it_is_under_way,
                    an_attempt_that_ends_late_settles_nothing,
                    a_late_410_disables_nothing,
                    deliveries_and_event_ids_are_each_tenants_own,
                    an_endpoint_that_is_deleted_once_it_is_listed_gets_no_event;
                schedule:
                    what_failed_is_due_again_when_its_settling_says,
                    a_sweep_fails_what_waited_too_long_and_says_when_the_next_is_due,
                    what_waited_long_for_a_disabled_endpoint_is_attempted_once,
                    an_attempt_that_was_not_made_is_made_again_and_leaves_no_trace,
                    retries_go_before_first_attempts_and_all_ends_in_time,
                    a_delivery_whose_time_is_over_under_way_is_decided_by_its_attempt;
                shares:
                    a_tenant_with_slow_receivers_leaves_room_for_other_tenants,
                    an_event_for_many_endpoints_reaches_each_of_them_once,
                    who_gets_an_event_is_decided_when_it_is_published,
                    an_event_for_many_endpoints_leaves_room_for_other_tenants,
                    an_event_for_many_endpoints_does_not_make_a_failing_one_healthy,
                    what_is_deleted_is_canceled_however_old_it_is,
                    a_deletion_cancels_whatever_is_pending_from_that_instant,
                    a_tenant_has_at_most_as_many_endpoints_as_its_quota,
                    pending_deliveries_count_from_their_event_to_their_end,
                    bytes_of_events_count_until_they_are_forgotten,
                    a_tenant_has_at_most_as_many_keys_as_its_quota;
            );

            #[test]
            fn no_delivery_is_lost_or_doubled_whatever_happens() {
                deliveries_model::no_delivery_is_lost_or_doubled_whatever_happens($open);
            }

            #[test]
            fn any_sequence_of_operations_agrees_with_the_model() {
                model::any_sequence_of_operations_agrees_with_the_model($open);
            }
        }
    };
    (@tests $open:expr; $($group:ident: $($case:ident),+;)+) => {
        $($(
            #[test]
            fn $case() {
                run($open, $group::$case);
            }
        )+)+
    };
}

conformance_suite!(memory, async |clock, limits| {
    Opened::alone(Arc::new(MemoryStore::with_limits(clock, limits)))
});

conformance_suite!(sqlite, async |clock, limits| sqlite(clock, limits));

/// Opens an empty store in a file of its own.
pub fn sqlite(clock: Arc<dyn Clock>, limits: StoreLimits) -> Opened {
    let folder = scratch_in_memory();
    let opening = Opening::new(&folder.path().join("hookturn.db"), master_keys());
    let store = opening.and_then(|opening| opening.serve(clock, limits));
    Opened {
        store: Arc::new(store.expect("it opens")),
        keep: Arc::new(folder),
    }
}

/// Little room, so that it is soon used up.
const LIMITS: StoreLimits = StoreLimits {
    retention: Duration::from_secs(7 * 86_400),
    in_flight: 8,
    in_flight_per_endpoint: 3,
    quotas: Quotas {
        endpoints: Some(1000),
        pending_deliveries: Some(2000),
        event_bytes: Some(2 << 20),
        idempotency_keys: Some(3000),
    },
};

/// How many attempts one tenant gets of [`LIMITS`]: an eighth is left to the others.
const OF_ONE_TENANT: usize = LIMITS.in_flight - LIMITS.in_flight / 8;

/// An open store.
pub struct Opened {
    pub store: Arc<dyn Store>,
    /// What must live as long as the store: a directory, a server.
    pub keep: Arc<dyn Any + Send + Sync>,
}

impl Opened {
    pub fn alone(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            keep: Arc::new(()),
        }
    }
}

/// Runs one case on a store that was opened for it.
fn run(
    open: impl AsyncFnOnce(Arc<dyn Clock>, StoreLimits) -> Opened,
    case: impl AsyncFnOnce(Stage),
) {
    // More threads than cores, so that the system interrupts them at places of its own choice.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { case(Stage::open(open).await).await });
}

/// A store with its clock, which stands still, and the service over both.
#[derive(Clone)]
struct Stage {
    store: Arc<dyn Store>,
    clock: Arc<TestClock>,
    service: Service,
    _keep: Arc<dyn Any + Send + Sync>,
}

impl Stage {
    async fn open(open: impl AsyncFnOnce(Arc<dyn Clock>, StoreLimits) -> Opened) -> Self {
        let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
        let Opened { store, keep } = open(Arc::clone(&clock) as Arc<dyn Clock>, LIMITS).await;
        Self {
            service: Service::new(Arc::clone(&store), Arc::clone(&clock) as Arc<dyn Clock>),
            store,
            clock,
            _keep: keep,
        }
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by).expect("not too far");
    }

    /// A signed endpoint of [`acme`] without a name.
    async fn create(&self) -> Endpoint {
        self.create_for(acme(), None)
            .await
            .expect("nothing is in the way")
    }

    async fn create_for(
        &self,
        tenant: &TenantId,
        name: Option<&str>,
    ) -> Result<Endpoint, CommitError> {
        let (endpoint, write) = creation(settings(name));
        self.store.commit(tenant, None, write).await?;
        let stored = self.endpoint_of(tenant, endpoint).await;
        Ok(stored.expect("it was created"))
    }

    async fn endpoint_of(&self, tenant: &TenantId, id: EndpointId) -> Option<Endpoint> {
        let found = self.store.endpoint(tenant, id).await;
        found.expect("the store works")
    }

    /// An endpoint of [`acme`] that exists.
    async fn endpoint(&self, id: EndpointId) -> Endpoint {
        let found = self.endpoint_of(acme(), id).await;
        found.expect("the endpoint exists")
    }

    /// Rotates an endpoint of [`acme`] through the service.
    async fn rotate(
        &self,
        id: EndpointId,
        grace_seconds: u64,
        claim: Option<KeyUse>,
    ) -> Result<Committed, Error> {
        let grace = Duration::from_secs(grace_seconds);
        let render = |rotation: &Rotation| {
            let_others_in();
            Rotated::render(rotation)
        };
        self.service
            .rotate(caller(acme(), claim), id, grace, render)
            .await
    }

    async fn rename(&self, id: EndpointId, name: Option<&str>) -> Result<Committed, CommitError> {
        let name = name.map(Box::from);
        let write = update(id, move |endpoint, _| {
            let mut renamed = endpoint.clone();
            Arc::make_mut(&mut renamed.settings).name.clone_from(&name);
            Ok((Change::Replace(renamed), says("renamed")))
        });
        self.store.commit(acme(), None, write).await
    }

    async fn delete(&self, id: EndpointId) -> Result<(), Error> {
        self.service.delete_endpoint(acme(), id).await
    }

    /// How often an endpoint of [`acme`] was rotated with a grace that is not over.
    async fn rotations(&self, id: EndpointId) -> usize {
        live(&self.endpoint(id).await, self.clock.now()).len() - 1
    }
}

/// Makes a decision last long enough for others to come between what the store read and what it
/// writes, if it lets them.
fn let_others_in() {
    for _ in 0..4 {
        std::thread::yield_now();
    }
}

/// The names of an endpoint's live secrets, in signing order.
fn live(endpoint: &Endpoint, now: Timestamp) -> Vec<String> {
    let key_ring = endpoint.key_ring.as_ref().expect("a signed endpoint");
    let names = key_ring.live(now).map(|live| live.secret.fingerprint());
    names.map(|name| name.to_string()).collect()
}

fn current(endpoint: &Endpoint) -> String {
    let key_ring = endpoint.key_ring.as_ref().expect("a signed endpoint");
    key_ring.current().secret.fingerprint().to_string()
}

/// The decision to create an endpoint with these settings, and the id that it will have. It answers
/// that id.
pub fn creation(settings: Settings) -> (EndpointId, Write) {
    let id = random::endpoint_id().expect("randomness");
    let secret = random::secret().expect("randomness");
    let settings = Arc::new(settings);
    let write = Write::Create(Box::new(move |now| {
        let endpoint = Endpoint {
            id,
            format: Format::StandardWebhooks,
            created_at: now,
            updated_at: now,
            settings: Arc::clone(&settings),
            key_ring: Some(KeyRing::new(secret.clone(), now)),
        };
        let_others_in();
        Ok(decided(endpoint, says(id.to_string())))
    }));
    (id, write)
}

fn update(
    id: EndpointId,
    decide: impl Fn(&Endpoint, Timestamp) -> Result<(Change, Answer), Refusal> + Send + Sync + 'static,
) -> Write {
    let decide = move |endpoint: &Endpoint, now| {
        let (change, answer) = decide(endpoint, now)?;
        Ok(decided(change, answer))
    };
    Write::Update(id, Box::new(decide))
}

/// A decision that must not be asked.
fn must_not_run(id: EndpointId) -> Write {
    update(id, |_, _| panic!("this decision must not run"))
}
