use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn limits(in_flight: usize, in_flight_per_endpoint: usize) -> DeliveryLimits {
    DeliveryLimits {
        in_flight,
        in_flight_per_endpoint,
        ..DeliveryLimits::default()
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Does with the queues what a store does, and checks them with the plainest form of the rules.
struct Stage {
    limits: DeliveryLimits,
    queues: Queues<u8>,
    known: BTreeMap<u8, Known>,
    held: Vec<(u8, Turn, bool)>,
    next_position: u64,
}

#[derive(Default)]
struct Known {
    waiting: BTreeSet<First>,
    is_failing: bool,
    is_stopped: bool,
}

impl Stage {
    fn new(limits: DeliveryLimits) -> Self {
        Self {
            limits,
            queues: Queues::new(limits),
            known: BTreeMap::new(),
            held: Vec::new(),
            next_position: 0,
        }
    }

    fn of(&mut self, key: u8) -> &mut Known {
        self.known.entry(key).or_default()
    }

    /// Adds a delivery to `key`, due `millis` after the epoch.
    fn add(&mut self, key: u8, millis: i64) {
        let first = (at(millis), self.next_position);
        self.next_position += 1;
        self.of(key).waiting.insert(first);
        self.tell(key);
    }

    fn add_many(&mut self, keys: impl IntoIterator<Item = u8>, deliveries: usize) {
        for key in keys {
            (0..deliveries).for_each(|_| self.add(key, 0));
        }
    }

    fn tell(&mut self, key: u8) {
        let first = self.of(key).waiting.first().copied();
        self.queues.waits(&key, first);
    }

    /// Takes up to `batch` deliveries at `now`, and returns their queues.
    fn claim(&mut self, now: Timestamp, batch: usize) -> Vec<u8> {
        let mut passed = Passed::default();
        let mut keys = Vec::new();
        while keys.len() < batch {
            let next = self.queues.next(now, &mut passed);
            assert_eq!(next, self.expected(now));
            let Some(key) = next else { break };
            let was_failing = self.of(key).is_failing;
            self.of(key).waiting.pop_first();
            let turn = self.queues.take(&key);
            self.tell(key);
            self.held.push((key, turn, was_failing));
            keys.push(key);
        }
        keys
    }

    fn release(&mut self, nth: usize, failed: Option<bool>) {
        let (key, turn, _) = self.held.remove(nth);
        self.queues.release(&key, turn, failed);
        if let (Some(known), Some(failed)) = (self.known.get_mut(&key), failed) {
            known.is_failing = failed;
        }
    }

    /// Makes one attempt of each of `keys` fail.
    fn fail(&mut self, keys: impl IntoIterator<Item = u8>) {
        for key in keys {
            self.add(key, 0);
            assert_eq!(self.claim(at(0), 1), [key]);
            self.release(self.held.len() - 1, Some(true));
        }
    }

    fn set_active(&mut self, key: u8, is_active: bool) {
        let known = self.of(key);
        known.is_stopped = !is_active;
        known.is_failing &= !is_active;
        self.queues.set_active(&key, is_active);
    }

    fn forget(&mut self, key: u8) {
        self.known.remove(&key);
        self.queues.forget(&key);
    }

    fn held_by(&self, key: u8) -> usize {
        self.held.iter().filter(|(of, _, _)| *of == key).count()
    }

    fn probes(&self) -> usize {
        self.held
            .iter()
            .filter(|(_, _, is_probe)| *is_probe)
            .count()
    }

    fn share(&self) -> usize {
        (self.limits.in_flight / 2).max(1)
    }

    /// Returns the first deliveries of the queues that have capacity.
    fn with_room(&self) -> impl Iterator<Item = (First, u8, &Known)> {
        self.known.iter().filter_map(|(key, known)| {
            let most = if known.is_failing {
                1
            } else {
                self.limits.in_flight_per_endpoint
            };
            let has_room = !known.is_stopped && self.held_by(*key) < most;
            let first = known.waiting.first().filter(|_| has_room)?;
            Some((*first, *key, known))
        })
    }

    fn expected(&self, now: Timestamp) -> Option<u8> {
        if self.held.len() >= self.limits.in_flight {
            return None;
        }
        let is_crowded = self.held.len() * 2 >= self.limits.in_flight;
        let may_go = self.with_room().filter(|(first, key, known)| {
            first.0 <= now
                && (!is_crowded || self.held_by(*key) == 0)
                && (!known.is_failing || self.probes() < self.share())
        });
        let (_, key, _) = may_go.min_by_key(|(first, key, _)| (*first, *key))?;
        Some(key)
    }

    /// Compares the answers with those of the plain rules.
    fn check(&self, now: Timestamp) {
        assert!(self.held.len() <= self.limits.in_flight);
        assert!(self.probes() <= self.share());
        for (key, _, _) in &self.held {
            assert!(self.held_by(*key) <= self.limits.in_flight_per_endpoint);
        }
        for (key, known) in &self.known {
            assert_eq!(self.queues.is_active(key), !known.is_stopped);
        }
        let next = self.queues.next(now, &mut Passed::default());
        assert_eq!(next, self.expected(now));
        let times = || self.with_room().map(|((at, _), _, _)| at);
        let later = times().filter(|at| *at > now).min();
        assert_eq!(self.queues.next_due(now), later);
        assert_eq!(self.queues.is_due(now), times().any(|at| at <= now));
    }
}

#[test]
fn what_has_waited_longest_goes_first_and_nothing_before_its_time() {
    let mut stage = Stage::new(limits(100, 100));
    stage.add(1, 7);
    stage.add(2, 5);
    stage.add(1, 5);
    stage.add(3, 5);
    stage.add(3, 9);
    assert_eq!(stage.claim(at(8), 100), [2, 1, 3, 1]);
    assert_eq!(stage.claim(at(9), 100), [3]);
}

#[test]
fn what_waits_under_the_same_time_and_place_is_kept_apart() {
    let mut queues = Queues::new(limits(10, 10));
    for key in ["a", "b"] {
        queues.waits(&key, Some((at(1), 1)));
    }
    for key in ["a", "b"] {
        assert_eq!(queues.next(at(1), &mut Passed::default()), Some(key));
        let _ = queues.take(&key);
    }
    assert_eq!(queues.next(at(1), &mut Passed::default()), None);
}

#[test]
fn there_is_no_more_room_than_the_limits_say() {
    let mut stage = Stage::new(limits(100, 3));
    stage.add_many([1, 2], 9);
    assert_eq!(stage.claim(at(0), 100), [1, 1, 1, 2, 2, 2]);
    assert_eq!(stage.claim(at(0), 100), [0; 0]);
    stage.release(5, Some(false));
    stage.release(0, None);
    assert_eq!(stage.claim(at(0), 100), [1, 2]);

    let mut stage = Stage::new(limits(4, 3));
    stage.add_many(1..=9, 1);
    assert_eq!(stage.claim(at(0), 100), [1, 2, 3, 4]);
    stage.release(2, Some(false));
    assert_eq!(stage.claim(at(0), 100), [5]);
}

#[test]
fn nobody_gets_a_second_place_before_all_have_a_first_once_half_is_taken() {
    let mut stage = Stage::new(limits(8, 8));
    stage.add_many([1, 2, 3, 4], 9);
    // The oldest get up to half of the capacity. Then each queue without a slot gets one.
    assert_eq!(stage.claim(at(0), 100), [1, 1, 1, 1, 2, 3, 4]);
    stage.add(5, 0);
    assert_eq!(stage.claim(at(0), 100), [5]);
    // With less than half used, second slots are for all again.
    (0..5).for_each(|_| stage.release(0, Some(false)));
    assert_eq!(stage.claim(at(0), 100), [1, 2]);
}

#[test]
fn a_failing_queue_gets_one_attempt_until_it_is_known_to_be_back() {
    let mut stage = Stage::new(limits(100, 3));
    stage.fail([1]);
    stage.add_many([1], 9);
    assert_eq!(stage.claim(at(0), 100), [1]);
    stage.release(0, None);
    assert_eq!(stage.claim(at(0), 100), [1]);
    stage.release(0, Some(true));
    assert_eq!(stage.claim(at(0), 100), [1]);
    stage.release(0, Some(false));
    assert_eq!(stage.claim(at(0), 100), [1, 1, 1]);
}

#[test]
fn failing_queues_get_half_of_the_room_between_them() {
    let mut stage = Stage::new(limits(8, 8));
    stage.fail(1..=6);
    stage.add_many(1..=6, 2);
    assert_eq!(stage.claim(at(0), 100), [1, 2, 3, 4]);
    // The failing queues are the oldest, but the healthy one goes before them.
    stage.add(7, 0);
    assert_eq!(stage.claim(at(0), 100), [7]);
    // A probe counts until it ends, even if its queue stops failing meanwhile.
    stage.set_active(1, true);
    assert_eq!(stage.claim(at(0), 100), [0; 0]);
    stage.release(0, Some(true));
    assert_eq!(stage.claim(at(0), 100), [1]);

    let mut stage = Stage::new(limits(1, 1));
    stage.fail([1]);
    stage.add(1, 0);
    assert_eq!(stage.claim(at(0), 100), [1]);
}

#[test]
fn one_that_failed_before_this_began_is_failing() {
    let mut queues = Queues::new(limits(100, 100));
    queues.set_failing(&1, true);
    queues.set_failing(&2, false);
    for key in [1, 2] {
        queues.waits(&key, Some((at(0), 0)));
        let turn = queues.take(&key);
        assert_eq!(turn.is_probe, key == 1);
        queues.waits(&key, Some((at(1), 1)));
    }
    assert_eq!(queues.next(at(1), &mut Passed::default()), Some(2));
    queues.set_failing(&1, false);
    assert_eq!(queues.next(at(1), &mut Passed::default()), Some(1));
}

#[test]
fn a_stopped_queue_waits_and_is_well_when_it_is_turned_on_again() {
    let mut stage = Stage::new(limits(100, 2));
    stage.fail([1]);
    // Stopped before it has waiting deliveries.
    stage.set_active(1, false);
    stage.add_many([1], 9);
    assert_eq!(stage.claim(at(0), 100), [0; 0]);
    assert!(!stage.queues.is_due(at(0)));
    stage.set_active(1, true);
    assert_eq!(stage.claim(at(0), 100), [1, 1]);
}

#[test]
fn what_is_due_next_is_later_than_now_and_has_room() {
    let mut stage = Stage::new(limits(100, 1));
    assert_eq!(stage.queues.next_due(at(0)), None);
    stage.add(1, 10);
    stage.add(1, 20);
    stage.add(2, 11);
    assert_eq!(stage.queues.next_due(at(9)), Some(at(10)));
    assert!(!stage.queues.is_due(at(9)));
    assert_eq!(stage.queues.next_due(at(10)), Some(at(11)));
    assert!(stage.queues.is_due(at(10)));
    assert_eq!(stage.queues.next_due(at(11)), None);
    assert_eq!(stage.claim(at(10), 100), [1]);
    // Its next delivery gets capacity when this attempt ends, and counts from then on.
    assert_eq!(stage.queues.next_due(at(11)), None);
    stage.release(0, Some(true));
    assert_eq!(stage.queues.next_due(at(11)), Some(at(20)));
}

#[test]
fn what_is_forgotten_keeps_its_places_and_leaves_nothing_else() {
    let mut stage = Stage::new(limits(3, 2));
    stage.fail([1]);
    stage.add_many([1], 2);
    assert_eq!(stage.claim(at(0), 100), [1]);
    stage.set_active(1, false);
    stage.forget(1);
    assert!(stage.queues.is_active(&1));
    assert!(!stage.queues.is_due(at(0)));
    assert_eq!((stage.queues.in_flight, stage.queues.by_key.len()), (1, 1));
    stage.release(0, Some(true));
    assert_eq!((stage.queues.in_flight, stage.queues.by_key.len()), (0, 0));
    assert_eq!(stage.queues.in_flight_failing, 0);
    stage.add_many([1], 2);
    assert_eq!(stage.claim(at(0), 100), [1, 1]);
    // A queue that comes back before its attempts have ended stays.
    stage.forget(1);
    stage.add(1, 0);
    (0..2).for_each(|_| stage.release(0, None));
    assert_eq!(stage.claim(at(0), 100), [1]);
    stage.release(0, None);
    stage.forget(1);
    stage.forget(2);
    assert!(stage.queues.by_key.is_empty());
}

#[test]
fn nothing_is_kept_of_a_queue_that_is_as_one_unknown() {
    let mut queues = Queues::new(limits(10, 10));
    assert!(queues.is_active(&1));
    queues.waits(&1, None);
    queues.set_active(&1, true);
    queues.set_failing(&1, false);
    queues.forget(&1);
    assert!(queues.by_key.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, i64),
    Claim(usize),
    Release(prop::sample::Index, Option<bool>),
    SetActive(u8, bool),
    Forget(u8),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..7_u8, 0..30_i64).prop_map(|(key, millis)| Step::Add(key, millis)),
        4 => (1..9_usize).prop_map(Step::Claim),
        4 => (any::<prop::sample::Index>(), any::<Option<bool>>())
            .prop_map(|(nth, failed)| Step::Release(nth, failed)),
        1 => (0..7_u8, any::<bool>()).prop_map(|(key, is_active)| Step::SetActive(key, is_active)),
        1 => (0..7_u8).prop_map(Step::Forget),
        1 => (1..9_i64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn the_sets_answer_as_a_look_at_every_queue_would(
        in_flight in 1..12_usize,
        per_endpoint in 1..5_usize,
        steps in steps(),
    ) {
        let mut stage = Stage::new(limits(in_flight, per_endpoint));
        let mut now = 0;
        for step in steps {
            match step {
                Step::Add(key, millis) => stage.add(key, millis),
                Step::Claim(batch) => {
                    stage.claim(at(now), batch);
                }
                Step::Release(nth, failed) => {
                    if !stage.held.is_empty() {
                        let nth = nth.index(stage.held.len());
                        stage.release(nth, failed);
                    }
                }
                Step::SetActive(key, is_active) => stage.set_active(key, is_active),
                // Attempts that outlive their queue have a test of their own.
                Step::Forget(key) if stage.held_by(key) > 0 => {}
                Step::Forget(key) => stage.forget(key),
                Step::Pass(millis) => now += millis,
            }
            stage.check(at(now));
        }
        // In the end every delivery is handed out.
        for key in 0..7 {
            stage.set_active(key, true);
        }
        let mut rounds = 0;
        while stage.known.values().any(|known| !known.waiting.is_empty()) {
            stage.claim(at(1000), usize::MAX);
            prop_assert!(!stage.held.is_empty());
            while !stage.held.is_empty() {
                stage.release(0, Some(rounds % 2 == 0));
            }
            rounds += 1;
        }
    }
}
