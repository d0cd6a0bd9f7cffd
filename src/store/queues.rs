//! Decides which endpoint gets the next attempt, and when.
//!
//! Each endpoint has a queue of waiting deliveries. The rules here keep tenants, and slow or dead
//! receivers, from delaying the others, in the same way in every store ([`StoreLimits`] has the
//! numbers):
//!
//! 1. The attempts in flight are limited, in total, for each tenant and for each endpoint.
//! 2. Of the tenants that have something due, the one with the fewest attempts in flight goes
//!    first. Of its queues, too, the one with the fewest goes first. Of equals, the one that has
//!    waited longest goes first.
//! 3. No tenant gets more than seven eighths of the capacity. So however much a tenant sends, a
//!    delivery of another tenant finds a free place.
//! 4. While half of the capacity or more is used, no queue gets a second place.
//! 5. A queue whose last attempt failed gets one attempt at a time, which is enough to find out
//!    that its receiver is back.
//! 6. An attempt of such a queue is a slow one. So is each attempt that has been in flight for a
//!    second, and from then on each attempt of its queue, until one takes less. While half of the
//!    capacity is used by slow attempts, no further one begins, except that failing queues may
//!    always have an eighth of the capacity, so that retries are made in time.
//!
//! This module does not know what a delivery is or where it is stored. A store says when the first
//! delivery of each queue is due, and asks for the next queue. Ordered sets hold the queues that
//! have capacity, and the tenants that have such queues. So finding work costs the same however
//! many deliveries wait for dead, slow or disabled receivers, and however many tenants there are.

mod line;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

pub(super) use self::line::First;
use self::line::Line;
use super::StoreLimits;
use crate::domain::{Attempt, Timestamp, Verdict};

/// How long an attempt may be in flight before it is a slow one.
const SLOW: Duration = Duration::from_secs(1);

/// A tenant for which this many endpoints are waiting for their turn has enough deliveries for now.
const SATED: usize = 1024;

/// How a queue's attempts ended so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The last attempt took less than [`SLOW`].
    Prompt,
    /// The last attempt was slow, or one in flight is.
    Slow,
    /// The last attempt failed.
    Failing,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptEnd {
    /// It succeeded in less than [`SLOW`].
    Promptly,
    /// It succeeded after [`SLOW`] or more.
    Slowly,
    /// It failed.
    Failed,
}

impl AttemptEnd {
    /// Returns how an attempt with this verdict ended, unless it was not made. Its duration is real
    /// time, whatever the test clock says.
    pub fn of(attempt: &Attempt, verdict: Verdict) -> Option<Self> {
        if verdict == Verdict::NotMade {
            return None;
        }
        Some(if verdict != Verdict::Success {
            Self::Failed
        } else if u128::from(attempt.duration_ms) < SLOW.as_millis() {
            Self::Promptly
        } else {
            Self::Slowly
        })
    }
}

/// The lines of a tenant: for each pace, the queues without an attempt in flight, and the others.
const LINES: usize = 6;

/// Returns the line of a queue.
const fn line_of(pace: Pace, in_flight: usize) -> usize {
    pace as usize * 2 + (in_flight > 0) as usize
}

/// The queues of all endpoints. A queue that is not known here is active, not failing and empty.
/// `T` is a tenant, and `E` one of its endpoints.
pub(super) struct Queues<T, E> {
    limits: StoreLimits,
    by_key: HashMap<(T, E), Queue>,
    tenants: HashMap<T, Tenant<E>>,
    order: Order<T>,
    /// The queues of the attempts in flight.
    running: BTreeMap<u64, (T, E)>,
    /// The attempts that are not known to be slow, and some that have ended, in the order in which
    /// they began.
    begun: VecDeque<(Timestamp, u64)>,
    /// The attempts in flight that became slow.
    became_slow: BTreeSet<u64>,
    /// How many of the attempts in flight are slow, from the beginning or since then.
    in_flight_slow: usize,
    /// How many of them were taken from a failing queue.
    in_flight_failing: usize,
    last_turn: u64,
}

/// The order in which tenants get attempts.
struct Order<T> {
    /// For each line, the tenants with a queue that can go. The first of them has the fewest
    /// attempts in flight.
    ready: [BTreeSet<(Ready, T)>; LINES],
    /// When the next delivery of each tenant becomes due.
    wakes: BTreeSet<(Timestamp, T)>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self {
            ready: [const { BTreeSet::new() }; LINES],
            wakes: BTreeSet::new(),
        }
    }
}

/// The attempts in flight of a tenant, then those of its next queue, then how long it has waited.
type Ready = (usize, (usize, First));

/// What is known of a tenant that has queues or attempts in flight.
struct Tenant<E> {
    in_flight: usize,
    /// The queues that have capacity.
    lines: [Line<E>; LINES],
    /// The entries of this tenant in [`Order::ready`].
    ready: [Option<Ready>; LINES],
    /// The entry of this tenant in [`Order::wakes`].
    wake: Option<Timestamp>,
}

impl<E> Default for Tenant<E> {
    fn default() -> Self {
        Self {
            in_flight: 0,
            lines: Default::default(),
            ready: [None; LINES],
            wake: None,
        }
    }
}

impl<E: Clone + Ord> Tenant<E> {
    /// Returns whether nothing waits or is in flight.
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.lines.iter().all(Line::is_empty)
    }
}

/// A place that an attempt occupies, from [`Queues::take`] until [`Queues::release`]. A place that
/// is dropped stays occupied for ever.
#[derive(Debug)]
#[must_use]
pub(super) struct Turn {
    number: u64,
    /// The pace of its queue when it was taken.
    pace: Pace,
}

struct Queue {
    /// The first waiting delivery.
    first: Option<First>,
    in_flight: usize,
    pace: Pace,
    is_active: bool,
    /// Whether to remove the queue when its last attempt has ended.
    is_gone: bool,
    /// The line of its tenant that this queue is in, and its entry there.
    place: Option<(usize, usize, First)>,
}

impl Queue {
    const fn new() -> Self {
        Self {
            first: None,
            in_flight: 0,
            pace: Pace::Prompt,
            is_active: true,
            is_gone: false,
            place: None,
        }
    }

    fn set_failing(&mut self, is_failing: bool) {
        if is_failing {
            self.pace = Pace::Failing;
        } else if self.pace == Pace::Failing {
            self.pace = Pace::Prompt;
        }
    }

    fn has_room(&self, limits: &StoreLimits) -> bool {
        let most = if self.pace == Pace::Failing {
            1
        } else {
            limits.in_flight_per_endpoint
        };
        self.is_active && self.in_flight < most
    }
}

impl<T: Clone + Ord + Hash, E: Clone + Ord + Hash> Queues<T, E> {
    /// Returns an empty set of queues.
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            by_key: HashMap::new(),
            tenants: HashMap::new(),
            order: Order::default(),
            running: BTreeMap::new(),
            begun: VecDeque::new(),
            became_slow: BTreeSet::new(),
            in_flight_slow: 0,
            in_flight_failing: 0,
            last_turn: 0,
        }
    }

    /// Sets the first waiting delivery of a queue, or `None` when none waits. Deliveries in flight
    /// do not wait.
    pub fn waits(&mut self, key: &(T, E), first: Option<First>) {
        if first.is_none() && !self.by_key.contains_key(key) {
            return;
        }
        self.change(key, |queue| {
            queue.first = first;
            queue.is_gone &= first.is_none();
        });
    }

    /// Starts or stops a queue.
    pub fn set_active(&mut self, key: &(T, E), is_active: bool) {
        if is_active && !self.by_key.contains_key(key) {
            return;
        }
        self.change(key, |queue| {
            queue.is_active = is_active;
            // An operator who enables an endpoint again has repaired its receiver.
            if is_active {
                queue.set_failing(false);
            }
        });
    }

    /// Sets whether the last attempt of a queue failed, when that attempt was made before the
    /// program started.
    pub fn set_failing(&mut self, key: &(T, E), is_failing: bool) {
        if is_failing || self.by_key.contains_key(key) {
            self.change(key, |queue| queue.set_failing(is_failing));
        }
    }

    /// Returns whether a queue is started.
    pub fn is_active(&self, key: &(T, E)) -> bool {
        self.by_key.get(key).is_none_or(|queue| queue.is_active)
    }

    /// Returns the queue that gets an attempt at `now`, if one is due and has capacity. Returns the
    /// same queue until it is [taken](Self::take).
    pub fn next(&mut self, now: Timestamp) -> Option<(T, E)> {
        self.note_time(now);
        if self.running.len() >= self.limits.in_flight {
            return None;
        }
        let is_crowded = self.running.len() * 2 >= self.limits.in_flight;
        let in_flight: &[usize] = if is_crowded { &[0] } else { &[0, 1] };
        let paces = [Pace::Prompt, Pace::Slow, Pace::Failing].into_iter();
        let paces = paces.filter(|pace| self.has_room_for(*pace));
        let lines = paces.flat_map(|pace| in_flight.iter().map(move |n| line_of(pace, *n)));
        let firsts = lines.filter_map(|line| Some((self.order.ready[line].first()?, line)));
        let (((in_flight, _), tenant), line) = firsts.min()?;
        // The others have as many in flight, or more.
        if *in_flight >= self.tenant_share() {
            return None;
        }
        let endpoint = self.tenants.get(tenant)?.lines[line].first()?;
        Some((tenant.clone(), endpoint.clone()))
    }

    /// Returns whether one more attempt of a queue with this pace may begin.
    fn has_room_for(&self, pace: Pace) -> bool {
        let half = (self.limits.in_flight / 2).max(1);
        let eighth = (self.limits.in_flight / 8).max(1);
        let has_slow_room = self.in_flight_slow < half;
        match pace {
            Pace::Prompt => true,
            Pace::Slow => has_slow_room,
            Pace::Failing => has_slow_room || self.in_flight_failing < eighth,
        }
    }

    fn tenant_share(&self) -> usize {
        self.limits.in_flight - self.limits.in_flight / 8
    }

    /// Returns whether so many healthy endpoints of a tenant wait for their turn at `now` that it
    /// needs no further deliveries for a while.
    pub fn is_sated(&self, tenant: &T) -> bool {
        let tenant = self.tenants.get(tenant);
        tenant.is_some_and(|tenant| {
            let prompt = tenant.lines[..line_of(Pace::Slow, 0)].iter();
            prompt.map(Line::count_ready).sum::<usize>() >= SATED
        })
    }

    /// Notes what has become due, and which attempts have become slow, until `now`.
    pub fn note_time(&mut self, now: Timestamp) {
        while let Some((at, turn)) = self.begun.front().copied()
            && at.plus(SLOW) <= now
        {
            self.begun.pop_front();
            if let Some(key) = self.running.get(&turn).cloned() {
                self.became_slow.insert(turn);
                self.in_flight_slow += 1;
                self.change(&key, |queue| {
                    if queue.pace == Pace::Prompt {
                        queue.pace = Pace::Slow;
                    }
                });
            }
        }
        // Last, since a queue that becomes slow enters another line.
        while let Some((at, tenant)) = self.order.wakes.first()
            && *at <= now
        {
            let name = tenant.clone();
            let Some(tenant) = self.tenants.get_mut(&name) else {
                break;
            };
            tenant.lines.iter_mut().for_each(|line| line.note_time(now));
            self.order.update(&name, tenant);
        }
    }

    /// Begins an attempt of the first waiting delivery of a queue at `now`. The caller must then
    /// set the delivery after it with [`waits`](Self::waits): until then, nothing waits.
    pub fn take(&mut self, key: &(T, E), now: Timestamp) -> Turn {
        let number = self.last_turn + 1;
        self.last_turn = number;
        let mut pace = Pace::Prompt;
        self.change(key, |queue| {
            queue.first = None;
            queue.in_flight += 1;
            pace = queue.pace;
        });
        self.running.insert(number, key.clone());
        if pace == Pace::Prompt {
            self.begun.push_back((now, number));
        } else {
            self.in_flight_slow += 1;
            self.in_flight_failing += usize::from(pace == Pace::Failing);
        }
        Turn { number, pace }
    }

    /// Ends an attempt of a queue. `ended` is `None` if it is not known how it ended.
    #[expect(clippy::needless_pass_by_value, reason = "a turn ends only once")]
    pub fn release(&mut self, key: &(T, E), turn: Turn, ended: Option<AttemptEnd>) {
        self.running.remove(&turn.number);
        let became_slow = self.became_slow.remove(&turn.number);
        self.in_flight_slow -= usize::from(turn.pace != Pace::Prompt || became_slow);
        self.in_flight_failing -= usize::from(turn.pace == Pace::Failing);
        let mut is_over = false;
        self.change(key, |queue| {
            queue.in_flight -= 1;
            match ended {
                Some(AttemptEnd::Promptly) => queue.pace = Pace::Prompt,
                Some(AttemptEnd::Slowly) => queue.pace = Pace::Slow,
                Some(AttemptEnd::Failed) => queue.pace = Pace::Failing,
                None => {}
            }
            is_over = queue.is_gone && queue.in_flight == 0;
        });
        if is_over {
            self.by_key.remove(key);
        }
    }

    /// Returns when the next delivery after `now` is due, of the first deliveries of the queues
    /// that have capacity. What is due at `now` waits for capacity.
    pub fn next_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.note_time(now);
        self.order.wakes.first().map(|(at, _)| *at)
    }

    /// Returns whether a delivery is due at `now`, whether or not there is capacity for it.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.order.ready.iter().any(|ready| !ready.is_empty())
            || self.order.wakes.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Removes a queue whose endpoint or whole history was deleted. Its attempts in flight keep
    /// their places until they are released.
    pub fn forget(&mut self, key: &(T, E)) {
        if !self.by_key.contains_key(key) {
            return;
        }
        let mut is_over = false;
        self.change(key, |queue| {
            *queue = Queue {
                in_flight: queue.in_flight,
                place: queue.place,
                is_gone: true,
                ..Queue::new()
            };
            is_over = queue.in_flight == 0;
        });
        if is_over {
            self.by_key.remove(key);
        }
    }

    /// Changes a queue, and updates its entries and those of its tenant.
    fn change(&mut self, key: &(T, E), change: impl FnOnce(&mut Queue)) {
        let queue = self.by_key.entry(key.clone()).or_insert_with(Queue::new);
        let tenant = self.tenants.entry(key.0.clone()).or_default();
        tenant.in_flight -= queue.in_flight;
        change(queue);
        tenant.in_flight += queue.in_flight;
        let first = queue.first.filter(|_| queue.has_room(&self.limits));
        let line = line_of(queue.pace, queue.in_flight);
        let place = first.map(|first| (line, queue.in_flight, first));
        if place != queue.place {
            if let Some((line, in_flight, first)) = queue.place {
                tenant.lines[line].remove(in_flight, first, &key.1);
            }
            if let Some((line, in_flight, first)) = place {
                tenant.lines[line].insert(in_flight, first, key.1.clone());
            }
            queue.place = place;
        }
        self.order.update(&key.0, tenant);
        if tenant.is_idle() {
            self.tenants.remove(&key.0);
        }
    }
}

impl<T: Clone + Ord> Order<T> {
    /// Updates the entries of a tenant.
    fn update<E: Clone + Ord>(&mut self, name: &T, tenant: &mut Tenant<E>) {
        for (line, ready) in self.ready.iter_mut().enumerate() {
            let first = tenant.lines[line].first_ready();
            let entry = first.map(|first| (tenant.in_flight, first));
            if entry != tenant.ready[line] {
                if let Some(before) = tenant.ready[line] {
                    ready.remove(&(before, name.clone()));
                }
                if let Some(now) = entry {
                    ready.insert((now, name.clone()));
                }
                tenant.ready[line] = entry;
            }
        }
        let wake = tenant.lines.iter().filter_map(Line::next_due).min();
        if wake != tenant.wake {
            if let Some(at) = tenant.wake {
                self.wakes.remove(&(at, name.clone()));
            }
            if let Some(at) = wake {
                self.wakes.insert((at, name.clone()));
            }
            tenant.wake = wake;
        }
    }
}

#[cfg(test)]
mod tests;
