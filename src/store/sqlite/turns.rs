//! What the writer keeps in memory: which endpoint's turn it is, and which attempts are under way.
//!
//! All of it can be found again in the file when the program starts; only attempts that were under way are not in it.
//! Those are made again, since nobody knows how they ended: that is what at-least-once means. A claim that rested in
//! the file would have to time out before that, and cost each delivery one more write.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use crate::domain::{Delivery, DeliveryId, Event, Timestamp};
use crate::store::queues::{Queues, Turn};
use crate::store::{DeliveryLimits, Hold};

/// A delivery whose attempt is under way.
pub(super) struct Held {
    pub endpoint: i64,
    pub event: Arc<Event>,
    id: DeliveryId,
    /// Whether its row may have changed since it was claimed.
    may_have_changed: bool,
    hold: Hold,
    turn: Turn,
}

/// What becomes true in memory once the batch is committed.
enum Effect {
    /// An attempt has ended, and this is what was learnt about its receiver.
    Ended(i64, bool),
    /// An endpoint was enabled or disabled.
    Active(i64, bool),
    /// An endpoint was deleted.
    Gone(i64),
}

/// See the module.
pub(super) struct Turns {
    pub queues: Queues<i64>,
    held: HashMap<i64, Held>,
    /// The numbers of what is held.
    numbers: HashMap<DeliveryId, i64>,
    /// Deliveries that cannot be read: they wait for an operator, and for the next start.
    pub unreadable: HashSet<i64>,
    /// Endpoints that cannot be read: so does all that waits for them.
    unreadable_endpoints: HashSet<i64>,
    /// When the first delivery that waits for each disabled endpoint has waited long enough.
    pub deadlines: BTreeSet<(Timestamp, i64)>,
    deadline_of: HashMap<i64, Timestamp>,
    effects: Vec<Effect>,
    /// Endpoints whose deliveries have changed.
    touched: HashSet<i64>,
    /// Whether more changed than attempts that ended.
    is_news: bool,
    last_hold: Hold,
}

impl Turns {
    pub fn new(limits: DeliveryLimits) -> Self {
        Self {
            queues: Queues::new(limits),
            held: HashMap::new(),
            numbers: HashMap::new(),
            unreadable_endpoints: HashSet::new(),
            unreadable: HashSet::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
            effects: Vec::new(),
            touched: HashSet::new(),
            is_news: false,
            last_hold: Hold::default(),
        }
    }

    /// How far the batch has come: see [`back_to`](Self::back_to).
    pub fn mark(&self) -> usize {
        self.effects.len()
    }

    /// Takes back what was noted since `mark`.
    pub fn back_to(&mut self, mark: usize) {
        self.effects.truncate(mark);
    }

    /// The batch was not committed. What it touched is looked up once more all the same, which does no harm: an
    /// endpoint that could not be looked up before is among it.
    pub fn forget_batch(&mut self) {
        self.effects.clear();
        self.is_news = false;
    }

    /// Notes that something new may wait for an endpoint.
    pub fn touch(&mut self, endpoint: i64) {
        self.touched.insert(endpoint);
        self.is_news = true;
    }

    /// Notes that an attempt has ended.
    pub fn ended(&mut self, delivery: i64, endpoint: i64, has_failed: bool) {
        self.touched.insert(endpoint);
        self.effects.push(Effect::Ended(delivery, has_failed));
    }

    /// Notes that an endpoint was enabled or disabled.
    pub fn active(&mut self, endpoint: i64, is_active: bool) {
        self.touch(endpoint);
        self.effects.push(Effect::Active(endpoint, is_active));
    }

    /// Notes that an endpoint was deleted.
    pub fn gone(&mut self, endpoint: i64) {
        self.touch(endpoint);
        // Its deliveries are canceled with it.
        for held in self.held.values_mut() {
            held.may_have_changed |= held.endpoint == endpoint;
        }
        self.effects.push(Effect::Gone(endpoint));
    }

    /// The attempt of this delivery that is under way, also as the batch sees it.
    pub fn held(&self, delivery: i64) -> Option<&Held> {
        let has_ended = |effect: &Effect| matches!(effect, Effect::Ended(of, _) if *of == delivery);
        let held = self.held.get(&delivery)?;
        (!self.effects.iter().any(has_ended)).then_some(held)
    }

    /// Whether a delivery that waits in the file is not to be handed out.
    pub fn is_taken(&self, delivery: i64) -> bool {
        self.held.contains_key(&delivery) || self.unreadable.contains(&delivery)
    }

    /// From now on an attempt of this delivery is under way.
    pub fn hold(&mut self, number: i64, endpoint: i64, delivery: &Delivery, turn: Turn) -> Hold {
        let hold = self.last_hold.next();
        self.last_hold = hold;
        let held = Held {
            endpoint,
            event: Arc::clone(&delivery.event),
            id: delivery.id,
            may_have_changed: false,
            hold,
            turn,
        };
        self.numbers.insert(held.id, number);
        self.held.insert(number, held);
        hold
    }

    /// The number and the endpoint of a delivery, if this claim holds it, as the batch sees it.
    pub fn holds(&self, id: DeliveryId, hold: Hold) -> Option<(i64, i64)> {
        let number = *self.numbers.get(&id)?;
        let held = self.held(number)?;
        (held.hold == hold).then_some((number, held.endpoint))
    }

    /// Notes that the row of a delivery is written while an attempt of it is under way.
    pub fn note_change(&mut self, number: i64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.may_have_changed = true;
        }
    }

    /// Whether the row of a delivery that is held is as it was when it was claimed.
    pub fn is_as_claimed(&self, number: i64) -> bool {
        self.held
            .get(&number)
            .is_some_and(|held| !held.may_have_changed)
    }

    /// Ends a claim without an attempt. Returns the endpoint.
    pub fn release(&mut self, id: DeliveryId, hold: Hold) -> Option<i64> {
        let (number, endpoint) = self.holds(id, hold)?;
        let held = self.let_go_of(number)?;
        self.queues.release(&endpoint, held.turn, None);
        Some(endpoint)
    }

    fn let_go_of(&mut self, number: i64) -> Option<Held> {
        let held = self.held.remove(&number)?;
        self.numbers.remove(&held.id);
        Some(held)
    }

    /// Sets an endpoint aside that cannot be read: nothing is handed out of it until the next start.
    pub fn set_aside(&mut self, endpoint: i64) {
        self.unreadable_endpoints.insert(endpoint);
        self.waits(endpoint, None);
    }

    /// Makes what the batch noted true. Returns the endpoints whose deliveries have changed, and whether more changed
    /// than attempts that ended.
    pub fn apply_batch(&mut self) -> (HashSet<i64>, bool) {
        for effect in mem::take(&mut self.effects) {
            self.apply(&effect);
        }
        (mem::take(&mut self.touched), mem::take(&mut self.is_news))
    }

    /// An endpoint's deliveries could not be looked up: they are with the next commit, whatever that changes.
    pub fn look_again(&mut self, endpoint: i64) {
        self.touched.insert(endpoint);
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Ended(delivery, has_failed) => {
                if let Some(held) = self.let_go_of(*delivery) {
                    self.queues
                        .release(&held.endpoint, held.turn, Some(*has_failed));
                }
            }
            Effect::Active(endpoint, is_active) => self.queues.set_active(endpoint, *is_active),
            Effect::Gone(endpoint) => self.queues.forget(endpoint),
        }
    }

    /// Says what waits first for an endpoint.
    pub fn waits(&mut self, endpoint: i64, first: Option<(Timestamp, i64)>) {
        let first = first.filter(|_| !self.unreadable_endpoints.contains(&endpoint));
        let first = first.map(|(at, number)| (at, number.unsigned_abs()));
        self.queues.waits(&endpoint, first);
        if let Some(before) = self.deadline_of.remove(&endpoint) {
            self.deadlines.remove(&(before, endpoint));
        }
        if let Some((at, _)) = first.filter(|_| !self.queues.is_active(&endpoint)) {
            let deadline = at.plus(DeliveryLimits::WAIT_WHILE_DISABLED);
            self.deadlines.insert((deadline, endpoint));
            self.deadline_of.insert(endpoint, deadline);
        }
    }
}
