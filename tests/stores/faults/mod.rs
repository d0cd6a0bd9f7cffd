//! Faults injected into every call of a store in turn: no promise is broken, and nothing stays
//! stuck.
//!
//! A whole [`story`] is told over a store without faults first: clients on real sockets, a worker
//! that runs by itself, receivers that are well, failing and gone. Then it is told again for each
//! call of the store that it takes, with each fault in that call. Clients ask again, and all must
//! come out as it did without the fault.
//!
//! A new store adds one [`fault_suite!`] line here.

mod requests;
mod stage;
mod story;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;

use hookturn::clock::Clock;
use hookturn::store::{MemoryStore, StoreLimits};
use hookturn_test::{Call, Fault, NAMES};
use parking_lot::Mutex;

use self::stage::{HURRIED, Stage};
use crate::conformance::{Opened, sqlite};

/// Declares the tests of one store: its name, and an async closure that opens an empty one on a
/// clock and with limits.
macro_rules! fault_suite {
    ($store:ident, $open:expr) => {
        mod $store {
            use super::*;

            fault_suite!(@tests $open;
                an_error_before_any_call: |open| each_call_in_turn(open, Fault::ErrorBefore);
                an_error_after_any_call: |open| each_call_in_turn(open, Fault::ErrorAfter);
                a_panic_before_any_call: |open| each_call_in_turn(open, Fault::PanicBefore);
                a_panic_after_any_call: |open| each_call_in_turn(open, Fault::PanicAfter);
                any_call_that_hangs_before_it_is_done: |open| each_call_in_turn(open, Fault::HangBefore);
                any_call_that_hangs_when_it_is_done: |open| each_call_in_turn(open, Fault::HangAfter);
                a_store_that_fails_most_of_the_time: |open| storm(open);
                an_attempt_under_way_outlives_claims_that_fail: |open| worker::claims_fail(open);
                a_resend_is_not_lost_while_an_attempt_cannot_be_recorded:
                    |open| worker::a_resend_comes_between(open);
                an_attempt_that_ends_while_the_worker_stops_is_recorded_when_the_store_works_again:
                    |open| worker::stops_amid_faults(open);
                a_store_that_never_works_again_does_not_keep_the_worker_from_stopping:
                    |open| worker::stops_all_the_same(open););
        }
    };
    (@tests $open:expr; $($case:ident: |$given:ident| $run:expr;)+) => {
        $(
            #[test]
            fn $case() {
                let $given = $open;
                $run;
            }
        )+
    };
}

fault_suite!(memory, async |clock, limits| {
    Opened::alone(Arc::new(MemoryStore::with_limits(clock, limits)))
});

fault_suite!(sqlite, async |clock, limits| sqlite(clock, limits));

/// Runs a test on one thread, so that panics that are meant are not shown.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// Tells the story, on a store of its own with these faults; `hangs` names the calls that may hang.
/// Returns what came of it and how many calls had a fault.
fn tell(
    open: &impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened,
    hangs: &'static [&'static str],
    plan: impl Fn(Call) -> Option<Fault> + Send + Sync + 'static,
) -> (Vec<String>, usize) {
    run(async {
        let stage = Stage::open(open, hangs, HURRIED, plan).await;
        let came = story::tell(&stage).await;
        (came, stage.end().await)
    })
}

/// Each call that the story takes has the fault in one telling, and that changes nothing in the
/// end. One telling has it in the first call of each name, the next in the second of each, and so
/// on.
fn each_call_in_turn(open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened, fault: Fault) {
    let (plain, _) = tell(&open, &[], |_| None);
    // What hangs is ended in one way for each of these.
    let groups: &[&'static [&'static str]] = match fault {
        Fault::HangBefore | Fault::HangAfter => &[&NAMES[..10], &NAMES[10..13], &NAMES[13..]],
        _ => &[&NAMES],
    };
    for &names in groups {
        let covered = Arc::new(Mutex::new(BTreeSet::new()));
        for nth in 0.. {
            let cover = Arc::clone(&covered);
            let plan = move |call: Call| {
                (call.nth == nth && names.contains(&call.name)).then(|| {
                    cover.lock().insert(call.name);
                    fault
                })
            };
            println!("{fault:?}, number {nth} of each of {names:?}");
            let (came, faults) = tell(&open, names, plan);
            assert_eq!(came, plain, "{fault:?}, number {nth} of {names:?}");
            if faults == 0 {
                // It lies past those of the story.
                break;
            }
        }
        let covered = covered.lock();
        assert!(covered.iter().eq(names.iter().collect::<BTreeSet<_>>()));
    }
}

/// Two of three calls fail, in all ways in turn.
fn storm(open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened) {
    let (plain, _) = tell(&open, &[], |_| None);
    let ways = [
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::PanicBefore,
        Fault::PanicAfter,
    ];
    // Each call meets another way each time.
    for shift in [0, 5, 10] {
        let plan = move |Call { nth, .. }| {
            let place = nth + shift;
            (place % 3 != 2).then(|| ways[place / 3 % ways.len()])
        };
        println!("shifted by {shift}");
        let (came, faults) = tell(&open, &[], plan);
        assert_eq!(came, plain, "shifted by {shift}");
        assert!(faults > 100, "{faults} faults");
    }
}
