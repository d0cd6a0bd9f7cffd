use std::collections::BTreeMap;

use proptest::prelude::*;

use super::AttemptEnd::{Failed, Promptly, Slowly};
use super::*;

fn limits(in_flight: usize, in_flight_per_endpoint: usize) -> StoreLimits {
    StoreLimits {
        in_flight,
        in_flight_per_endpoint,
        ..StoreLimits::default()
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The endpoints of tenant `n` are `n0` to `n9`.
const fn key(endpoint: u8) -> (u8, u8) {
    (endpoint / 10, endpoint)
}

/// Does with the queues what a store does, and checks them with the plainest form of the rules.
struct Stage {
    limits: StoreLimits,
    queues: Queues<u8, u8>,
    known: BTreeMap<u8, Known>,
    held: Vec<Held>,
    next_position: u64,
    now: i64,
}

#[derive(Default)]
struct Known {
    waiting: BTreeSet<First>,
    is_failing: bool,
    is_slow: bool,
    is_stopped: bool,
}

struct Held {
    endpoint: u8,
    turn: Turn,
    began: i64,
    is_slow: bool,
}

impl Stage {
    fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            queues: Queues::new(limits),
            known: BTreeMap::new(),
            held: Vec::new(),
            next_position: 0,
            now: 0,
        }
    }

    fn of(&mut self, endpoint: u8) -> &mut Known {
        self.known.entry(endpoint).or_default()
    }

    /// Adds a delivery, due `millis` after the epoch.
    fn add(&mut self, endpoint: u8, millis: i64) {
        let first = (at(millis), self.next_position);
        self.next_position += 1;
        self.of(endpoint).waiting.insert(first);
        self.tell(endpoint);
    }

    fn add_many(&mut self, endpoints: impl IntoIterator<Item = u8>, deliveries: usize) {
        for endpoint in endpoints {
            (0..deliveries).for_each(|_| self.add(endpoint, 0));
        }
    }

    fn tell(&mut self, endpoint: u8) {
        let first = self.of(endpoint).waiting.first().copied();
        self.queues.waits(&key(endpoint), first);
    }

    fn pass(&mut self, millis: i64) {
        self.now += millis;
        for held in &mut self.held {
            if !held.is_slow && held.began + 1000 <= self.now {
                held.is_slow = true;
                let known = self.known.entry(held.endpoint).or_default();
                known.is_slow = !known.is_failing;
            }
        }
        self.queues.note_time(at(self.now));
    }

    /// Takes up to `batch` deliveries, and returns their endpoints.
    fn claim(&mut self, batch: usize) -> Vec<u8> {
        let mut endpoints = Vec::new();
        while endpoints.len() < batch {
            let next = self.queues.next(at(self.now));
            self.expect_fair(next);
            let Some((_, endpoint)) = next else { break };
            let known = self.of(endpoint);
            let is_slow = known.is_failing || known.is_slow;
            known.waiting.pop_first();
            let turn = self.queues.take(&key(endpoint), at(self.now));
            self.tell(endpoint);
            self.held.push(Held {
                endpoint,
                turn,
                began: self.now,
                is_slow,
            });
            endpoints.push(endpoint);
        }
        endpoints
    }

    fn release(&mut self, nth: usize, ended: Option<AttemptEnd>) {
        let held = self.held.remove(nth);
        self.queues.release(&key(held.endpoint), held.turn, ended);
        if let (Some(known), Some(ended)) = (self.known.get_mut(&held.endpoint), ended) {
            known.is_failing = ended == Failed;
            known.is_slow = ended == Slowly;
        }
    }

    fn release_all(&mut self) {
        while !self.held.is_empty() {
            self.release(0, Some(Promptly));
        }
    }

    /// Makes one attempt of each endpoint fail.
    fn fail(&mut self, endpoints: impl IntoIterator<Item = u8>) {
        for endpoint in endpoints {
            self.add(endpoint, 0);
            assert_eq!(self.claim(1), [endpoint]);
            self.release(self.held.len() - 1, Some(Failed));
        }
    }

    fn set_active(&mut self, endpoint: u8, is_active: bool) {
        let known = self.of(endpoint);
        known.is_stopped = !is_active;
        known.is_failing &= !is_active;
        self.queues.set_active(&key(endpoint), is_active);
    }

    fn forget(&mut self, endpoint: u8) {
        self.known.remove(&endpoint);
        self.queues.forget(&key(endpoint));
    }

    fn held_by(&self, endpoint: u8) -> usize {
        self.held
            .iter()
            .filter(|held| held.endpoint == endpoint)
            .count()
    }

    fn held_by_tenant_of(&self, endpoint: u8) -> usize {
        let is_tenants = |held: &&Held| key(held.endpoint).0 == key(endpoint).0;
        self.held.iter().filter(is_tenants).count()
    }

    fn slow(&self) -> usize {
        self.held.iter().filter(|held| held.is_slow).count()
    }

    /// Returns the first deliveries of the queues that have capacity.
    fn with_room(&self) -> impl Iterator<Item = (First, u8, &Known)> {
        self.known.iter().filter_map(|(endpoint, known)| {
            let most = if known.is_failing {
                1
            } else {
                self.limits.in_flight_per_endpoint
            };
            let has_room = !known.is_stopped && self.held_by(*endpoint) < most;
            let first = known.waiting.first().filter(|_| has_room)?;
            Some((*first, *endpoint, known))
        })
    }

    /// Checks that `next` goes before all others that may go, and that it is there if any is.
    fn expect_fair(&self, next: Option<(u8, u8)>) {
        let most = self.limits.in_flight - self.limits.in_flight / 8;
        let slow_room = self.slow() < (self.limits.in_flight / 2).max(1);
        let failing = |held: &&Held| held.turn.pace == Pace::Failing;
        let failing = self.held.iter().filter(failing).count();
        let failing_room = slow_room || failing < (self.limits.in_flight / 8).max(1);
        let room = self.held.len() < self.limits.in_flight;
        let is_crowded = self.held.len() * 2 >= self.limits.in_flight;
        let pace = |known: &Known| (known.is_failing, !known.is_failing && known.is_slow);
        let may_go: Vec<_> = self
            .with_room()
            .filter(|(first, endpoint, known)| {
                room && first.0 <= at(self.now)
                    && (!is_crowded || self.held_by(*endpoint) == 0)
                    && self.held_by_tenant_of(*endpoint) < most
                    && match pace(known) {
                        (true, _) => failing_room,
                        (_, true) => slow_room,
                        _ => true,
                    }
            })
            .collect();
        let Some((_, chosen)) = next else {
            assert!(may_go.is_empty());
            return;
        };
        let found = may_go.iter().find(|(_, endpoint, _)| *endpoint == chosen);
        let (first, _, known) = found.expect("it may go");
        for (other, endpoint, of) in &may_go {
            assert!(self.held_by_tenant_of(chosen) <= self.held_by_tenant_of(*endpoint));
            if key(chosen).0 == key(*endpoint).0 && pace(known) == pace(of) {
                assert!((self.held_by(chosen), first) <= (self.held_by(*endpoint), other));
            }
        }
    }

    /// Compares the answers with those of the plain rules.
    fn check(&mut self) {
        let now = at(self.now);
        assert!(self.held.len() <= self.limits.in_flight);
        for held in &self.held {
            let endpoint = held.endpoint;
            assert!(self.held_by(endpoint) <= self.limits.in_flight_per_endpoint);
            let most = self.limits.in_flight - self.limits.in_flight / 8;
            assert!(self.held_by_tenant_of(endpoint) <= most);
        }
        for (endpoint, known) in &self.known {
            assert_eq!(self.queues.is_active(&key(*endpoint)), !known.is_stopped);
        }
        assert_eq!(self.queues.in_flight_slow, self.slow());
        let next = self.queues.next(now);
        self.expect_fair(next);
        let times: Vec<_> = self.with_room().map(|((at, _), _, _)| at).collect();
        let later = times.iter().copied().filter(|at| *at > now).min();
        assert_eq!(self.queues.next_due(now), later);
        assert_eq!(self.queues.is_due(now), times.iter().any(|at| *at <= now));
    }
}

#[test]
fn what_has_waited_longest_goes_first_and_nothing_before_its_time() {
    let mut stage = Stage::new(limits(100, 100));
    stage.add(1, 7);
    stage.add(2, 5);
    stage.add(4, 5);
    stage.add(3, 9);
    stage.now = 8;
    assert_eq!(stage.claim(100), [2, 4, 1]);
    stage.now = 9;
    assert_eq!(stage.claim(100), [3]);
}

#[test]
fn what_waits_under_the_same_time_and_place_is_kept_apart() {
    let mut queues = Queues::new(limits(10, 10));
    for key in [("t", "a"), ("t", "b"), ("u", "a")] {
        queues.waits(&key, Some((at(1), 1)));
    }
    for key in [("t", "a"), ("u", "a"), ("t", "b")] {
        assert_eq!(queues.next(at(1)), Some(key));
        let _ = queues.take(&key, at(1));
    }
    assert_eq!(queues.next(at(1)), None);
}

#[test]
fn there_is_no_more_room_than_the_limits_say() {
    let mut stage = Stage::new(limits(100, 3));
    stage.add_many([1, 2], 9);
    assert_eq!(stage.claim(100), [1, 2, 1, 2, 1, 2]);
    assert_eq!(stage.claim(100), [0; 0]);
    stage.release(5, Some(Promptly));
    stage.release(0, None);
    assert_eq!(stage.claim(100), [1, 2]);

    let mut stage = Stage::new(limits(4, 3));
    stage.add_many(1..=9, 1);
    assert_eq!(stage.claim(100), [1, 2, 3, 4]);
    stage.release(2, Some(Promptly));
    assert_eq!(stage.claim(100), [5]);
}

#[test]
fn the_tenant_with_the_fewest_attempts_goes_first_and_one_leaves_an_eighth() {
    let mut stage = Stage::new(limits(8, 8));
    stage.add_many([11, 12, 13, 14, 15, 16, 17, 18], 50);
    assert_eq!(stage.claim(100).len(), 7);
    // Another tenant finds a free place at once, and gets each place that becomes free.
    stage.add_many([21, 22, 23, 24, 25], 50);
    assert_eq!(stage.claim(100), [21]);
    for expected in [22, 23, 24] {
        stage.release(0, Some(Promptly));
        assert_eq!(stage.claim(100), [expected]);
    }
    // Now both have four, and a third tenant has none.
    stage.add_many([31], 1);
    stage.release(0, Some(Promptly));
    assert_eq!(stage.claim(100), [31]);
}

#[test]
fn no_queue_gets_a_second_place_while_half_is_used() {
    let mut stage = Stage::new(limits(8, 8));
    stage.add_many([1, 2], 9);
    assert_eq!(stage.claim(100), [1, 2, 1, 2]);
    stage.add_many([3, 21], 2);
    assert_eq!(stage.claim(100), [21, 3]);
    (0..3).for_each(|_| stage.release(0, Some(Promptly)));
    assert_eq!(stage.claim(100), [21, 1]);
}

#[test]
fn a_queue_with_fewer_attempts_goes_first() {
    let mut stage = Stage::new(limits(100, 8));
    stage.add_many([1], 3);
    assert_eq!(stage.claim(100), [1, 1, 1]);
    stage.add_many([1], 1);
    stage.add(2, 0);
    assert_eq!(stage.claim(1), [2]);
}

#[test]
fn a_failing_queue_gets_one_attempt_until_it_is_known_to_be_back() {
    let mut stage = Stage::new(limits(100, 3));
    stage.fail([1]);
    stage.add_many([1], 9);
    assert_eq!(stage.claim(100), [1]);
    stage.release(0, None);
    assert_eq!(stage.claim(100), [1]);
    stage.release(0, Some(Failed));
    assert_eq!(stage.claim(100), [1]);
    stage.release(0, Some(Promptly));
    assert_eq!(stage.claim(100), [1, 1, 1]);
}

#[test]
fn failing_queues_get_half_of_the_room_between_them() {
    let mut stage = Stage::new(limits(8, 8));
    stage.fail(1..=6);
    stage.add_many(1..=6, 2);
    assert_eq!(stage.claim(100), [1, 2, 3, 4]);
    // The failing queues are the oldest, but the healthy one goes before them.
    stage.add(7, 0);
    assert_eq!(stage.claim(100), [7]);
    // A slow attempt counts until it ends, even if its queue stops failing meanwhile.
    stage.set_active(1, true);
    assert_eq!(stage.claim(100), [0; 0]);
    stage.release(0, Some(Failed));
    assert_eq!(stage.claim(100), [1]);

    let mut stage = Stage::new(limits(1, 1));
    stage.fail([1]);
    stage.add(1, 0);
    assert_eq!(stage.claim(100), [1]);
}

#[test]
fn an_attempt_that_takes_a_second_is_slow_and_makes_its_queue_slow() {
    let mut stage = Stage::new(limits(16, 16));
    stage.add_many([1, 2, 3, 4, 5, 6, 7, 8, 9], 2);
    assert_eq!(stage.claim(100).len(), 9);
    stage.pass(999);
    assert_eq!(stage.queues.in_flight_slow, 0);
    stage.pass(1);
    assert_eq!(stage.queues.in_flight_slow, 9);
    // Slow queues get half of the capacity: one of those that have ended.
    (0..2).for_each(|_| stage.release(0, Some(Slowly)));
    assert_eq!(stage.claim(100), [1]);
    // Prompt queues still get attempts, here those of another tenant.
    stage.add_many([21, 22], 50);
    assert_eq!(stage.claim(100), [21, 22]);
    // When its attempt ends sooner, a slow queue is prompt again.
    let of_1 = stage.held.iter().position(|held| held.endpoint == 1);
    stage.release(of_1.expect("it is held"), Some(Promptly));
    assert_eq!(stage.queues.in_flight_slow, 7);
    stage.add(1, 0);
    stage.claim(100);
    let of_1 = stage.held.iter().find(|held| held.endpoint == 1);
    assert!(of_1.is_some_and(|held| !held.is_slow));
}

#[test]
fn a_clock_that_is_moved_far_makes_attempts_slow_only_until_they_end() {
    let mut stage = Stage::new(limits(8, 8));
    stage.add_many(1..=8, 50);
    assert_eq!(stage.claim(100).len(), 7);
    stage.pass(72 * 3_600_000);
    stage.release_all();
    // What counts then is how long they really took.
    assert_eq!(stage.claim(100).len(), 7);
}

#[test]
fn a_tenant_is_sated_when_very_many_healthy_endpoints_wait_for_their_turn() {
    let mut queues: Queues<u8, usize> = Queues::new(limits(4, 4));
    for endpoint in 0..SATED {
        assert!(!queues.is_sated(&1));
        queues.waits(&(1, endpoint), Some((at(5), endpoint as u64)));
        queues.note_time(at(5));
    }
    assert!(queues.is_sated(&1) && !queues.is_sated(&2));
    // What is due later, and what fails, does not count.
    queues.waits(&(1, 0), Some((at(6), 0)));
    queues.note_time(at(5));
    assert!(!queues.is_sated(&1));
    queues.note_time(at(6));
    assert!(queues.is_sated(&1));
    queues.set_failing(&(1, 7), true);
    assert!(!queues.is_sated(&1));
}

#[test]
fn one_that_failed_before_this_began_is_failing() {
    let mut queues = Queues::new(limits(100, 100));
    queues.set_failing(&(0, 1), true);
    queues.set_failing(&(0, 2), false);
    for endpoint in [1, 2] {
        queues.waits(&(0, endpoint), Some((at(0), 0)));
        let turn = queues.take(&(0, endpoint), at(0));
        assert_eq!(turn.pace == Pace::Failing, endpoint == 1);
        queues.waits(&(0, endpoint), Some((at(1), 1)));
    }
    assert_eq!(queues.next(at(1)), Some((0, 2)));
    queues.waits(&(0, 2), None);
    assert_eq!(queues.next(at(1)), None);
    queues.set_failing(&(0, 1), false);
    assert_eq!(queues.next(at(1)), Some((0, 1)));
}

#[test]
fn a_stopped_queue_waits_and_is_well_when_it_is_turned_on_again() {
    let mut stage = Stage::new(limits(100, 2));
    stage.fail([1]);
    // Stopped before it has waiting deliveries.
    stage.set_active(1, false);
    stage.add_many([1], 9);
    assert_eq!(stage.claim(100), [0; 0]);
    assert!(!stage.queues.is_due(at(0)));
    stage.set_active(1, true);
    assert_eq!(stage.claim(100), [1, 1]);
}

#[test]
fn what_is_due_next_is_later_than_now_and_has_room() {
    let mut stage = Stage::new(limits(100, 1));
    assert_eq!(stage.queues.next_due(at(0)), None);
    stage.add(1, 10);
    stage.add(1, 20);
    stage.add(12, 11);
    assert_eq!(stage.queues.next_due(at(9)), Some(at(10)));
    assert!(!stage.queues.is_due(at(9)));
    assert_eq!(stage.queues.next_due(at(10)), Some(at(11)));
    assert!(stage.queues.is_due(at(10)));
    stage.now = 10;
    assert_eq!(stage.claim(100), [1]);
    assert_eq!(stage.queues.next_due(at(11)), None);
    // Its next delivery gets capacity when this attempt ends, and counts from then on.
    stage.release(0, Some(Failed));
    assert_eq!(stage.queues.next_due(at(11)), Some(at(20)));
}

#[test]
fn what_is_forgotten_keeps_its_places_and_leaves_nothing_else() {
    let mut stage = Stage::new(limits(3, 2));
    stage.fail([1]);
    stage.add_many([1], 2);
    assert_eq!(stage.claim(100), [1]);
    stage.set_active(1, false);
    stage.forget(1);
    assert!(stage.queues.is_active(&key(1)));
    assert!(!stage.queues.is_due(at(0)));
    assert_eq!(
        (stage.queues.running.len(), stage.queues.by_key.len()),
        (1, 1)
    );
    stage.release(0, Some(Failed));
    assert_eq!(
        (stage.queues.running.len(), stage.queues.by_key.len()),
        (0, 0)
    );
    assert_eq!(
        (stage.queues.in_flight_slow, stage.queues.tenants.len()),
        (0, 0)
    );
    stage.add_many([1], 2);
    assert_eq!(stage.claim(100), [1, 1]);
    // A queue that comes back before its attempts have ended stays.
    stage.forget(1);
    stage.add(1, 0);
    (0..2).for_each(|_| stage.release(0, None));
    assert_eq!(stage.claim(100), [1]);
    stage.release(0, None);
    stage.forget(1);
    stage.forget(2);
    assert!(stage.queues.by_key.is_empty() && stage.queues.tenants.is_empty());
}

#[test]
fn nothing_is_kept_of_a_queue_that_is_as_one_unknown() {
    let mut queues = Queues::new(limits(10, 10));
    assert!(queues.is_active(&(0, 1)));
    queues.waits(&(0, 1), None);
    queues.set_active(&(0, 1), true);
    queues.set_failing(&(0, 1), false);
    queues.forget(&(0, 1));
    assert!(queues.by_key.is_empty() && queues.tenants.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, i64),
    Claim(usize),
    Release(prop::sample::Index, Option<AttemptEnd>),
    SetActive(u8, bool),
    Forget(u8),
    Pass(i64),
}

/// Three tenants with three endpoints each.
fn endpoint() -> impl Strategy<Value = u8> {
    (0..3_u8, 0..3_u8).prop_map(|(tenant, endpoint)| tenant * 10 + endpoint)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (endpoint(), 0..3000_i64).prop_map(|(key, millis)| Step::Add(key, millis)),
        4 => (1..9_usize).prop_map(Step::Claim),
        4 => (any::<prop::sample::Index>(), prop::option::of(prop::sample::select(&[Promptly, Slowly, Failed][..])))
            .prop_map(|(nth, ended)| Step::Release(nth, ended)),
        1 => (endpoint(), any::<bool>()).prop_map(|(key, is_active)| Step::SetActive(key, is_active)),
        1 => endpoint().prop_map(Step::Forget),
        2 => (1..900_i64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn the_sets_answer_as_a_look_at_every_queue_would(
        in_flight in 1..20_usize,
        per_endpoint in 1..5_usize,
        steps in steps(),
    ) {
        let mut stage = Stage::new(limits(in_flight, per_endpoint));
        for step in steps {
            match step {
                Step::Add(key, millis) => stage.add(key, millis),
                Step::Claim(batch) => {
                    stage.claim(batch);
                }
                Step::Release(nth, ended) => {
                    if !stage.held.is_empty() {
                        let nth = nth.index(stage.held.len());
                        stage.release(nth, ended);
                    }
                }
                Step::SetActive(key, is_active) => stage.set_active(key, is_active),
                // Attempts that outlive their queue have a test of their own.
                Step::Forget(key) if stage.held_by(key) > 0 => {}
                Step::Forget(key) => stage.forget(key),
                Step::Pass(millis) => stage.pass(millis),
            }
            stage.check();
        }
        // In the end every delivery is handed out.
        for key in 0..30 {
            stage.set_active(key, true);
        }
        stage.pass(100_000);
        let mut rounds = 0;
        while stage.known.values().any(|known| !known.waiting.is_empty()) {
            stage.claim(usize::MAX);
            prop_assert!(!stage.held.is_empty());
            while !stage.held.is_empty() {
                stage.release(0, Some(if rounds % 2 == 0 { Failed } else { Promptly }));
            }
            rounds += 1;
        }
        stage.release_all();
        prop_assert!(stage.queues.tenants.is_empty());
    }
}
