//! Queues work for threads, in a lane for each tenant.
//!
//! The threads take one piece of work from each lane in turn. So a tenant that sends very much
//! waits for itself, and another one waits for at most one piece of work of each tenant. What the
//! program itself needs, such as the test whether the store works, goes before all lanes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::TenantId;

/// How much work of one tenant may be queued. Further callers of the tenant wait before they are
/// queued.
const MOST: usize = 256;

/// The lanes of some threads. `W` is a piece of work.
pub(super) struct Lanes<W> {
    state: Mutex<State<W>>,
    /// Notified when there is work, or when the lanes are closed.
    news: Condvar,
}

struct State<W> {
    /// What the program itself needs.
    own: VecDeque<W>,
    lanes: HashMap<TenantId, Lane<W>>,
    /// The tenants that have work, in the order of their turns.
    turns: VecDeque<TenantId>,
    is_closed: bool,
}

struct Lane<W> {
    work: VecDeque<(W, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// The lanes are closed, so nothing can be queued any more.
#[derive(Debug)]
pub(super) struct Closed;

/// What a thread finds in the lanes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<W> {
    Work(W),
    /// There is no work now.
    Nothing,
    /// There is no work, and there will be none.
    Closed,
}

impl<W> Default for Lanes<W> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                own: VecDeque::new(),
                lanes: HashMap::new(),
                turns: VecDeque::new(),
                is_closed: false,
            }),
            news: Condvar::new(),
        }
    }
}

impl<W> Lanes<W> {
    /// Queues work of a tenant, when its lane has room. A call that is dropped before has queued
    /// nothing.
    pub async fn push(&self, tenant: &TenantId, work: W) -> Result<(), Closed> {
        let room = {
            let mut state = self.state.lock();
            let room = Arc::clone(&state.lane(tenant).room);
            match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => return self.enter(state, tenant, (work, permit)),
                Err(_) => room,
            }
        };
        let permit = room.acquire_owned().await.map_err(|_| Closed)?;
        self.enter(self.state.lock(), tenant, (work, permit))
    }

    fn enter(
        &self,
        mut state: MutexGuard<'_, State<W>>,
        tenant: &TenantId,
        work: (W, OwnedSemaphorePermit),
    ) -> Result<(), Closed> {
        if state.is_closed {
            return Err(Closed);
        }
        let lane = state.lane(tenant);
        lane.work.push_back(work);
        if lane.work.len() == 1 {
            state.turns.push_back(tenant.clone());
        }
        drop(state);
        self.news.notify_one();
        Ok(())
    }

    /// Queues work that goes before that of all tenants.
    pub fn push_own(&self, work: W) -> Result<(), Closed> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Closed);
        }
        state.own.push_back(work);
        drop(state);
        self.news.notify_one();
        Ok(())
    }

    /// Refuses further work. What is queued is still done.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.news.notify_all();
    }

    /// Refuses further work and drops what is queued, since nobody is left to do it.
    fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.own.clear();
        state.turns.clear();
        state.lanes.clear();
    }

    /// Takes the next work. Waits until there is some. Returns `None` when there will be none.
    pub fn next(&self) -> Option<W> {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.take() {
                return Some(work);
            }
            if state.is_closed {
                return None;
            }
            self.news.wait(&mut state);
        }
    }

    /// Takes the next work, if there is some now.
    pub fn try_next(&self) -> Found<W> {
        let mut state = self.state.lock();
        match state.take() {
            Some(work) => Found::Work(work),
            None if state.is_closed => Found::Closed,
            None => Found::Nothing,
        }
    }
}

/// Abandons the lanes when the only thread that does their work ends, even by a panic. Otherwise
/// callers would wait for ever.
pub(super) struct OnlyWorker<W>(pub Arc<Lanes<W>>);

impl<W> Drop for OnlyWorker<W> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<W> State<W> {
    fn lane(&mut self, tenant: &TenantId) -> &mut Lane<W> {
        // Tenants are few and known at the start, so lanes are never removed.
        self.lanes.entry(tenant.clone()).or_insert_with(|| Lane {
            work: VecDeque::new(),
            room: Arc::new(Semaphore::new(MOST)),
        })
    }

    fn take(&mut self) -> Option<W> {
        if let Some(work) = self.own.pop_front() {
            return Some(work);
        }
        let tenant = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&tenant)?;
        let (work, _permit) = lane.work.pop_front()?;
        if !lane.work.is_empty() {
            self.turns.push_back(tenant);
        }
        Some(work)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn tenant(number: u8) -> TenantId {
        TenantId::new(&format!("t{number}"))
    }

    fn push(lanes: &Lanes<(u8, u32)>, of: u8, number: u32) {
        let queued = lanes.push(&tenant(of), (of, number)).now_or_never();
        queued.expect("there is room").expect("they are open");
    }

    #[test]
    fn a_full_lane_makes_only_its_own_tenant_wait() {
        let lanes = Lanes::default();
        let most = u32::try_from(MOST).expect("few");
        (0..most).for_each(|number| push(&lanes, 1, number));
        let first = tenant(1);
        let mut waiting = Box::pin(lanes.push(&first, (1, most)));
        assert!(waiting.as_mut().now_or_never().is_none());
        push(&lanes, 2, 0);
        lanes.push_own((0, 0)).expect("they are open");
        assert_eq!(lanes.next(), Some((0, 0)));
        assert_eq!(lanes.next(), Some((1, 0)));
        assert_eq!(lanes.next(), Some((2, 0)));
        let queued = waiting.as_mut().now_or_never();
        queued.expect("there is room").expect("they are open");
        // A call that is dropped while it waits leaves its place to others.
        let mut dropped = Box::pin(lanes.push(&first, (1, most + 1)));
        assert!(dropped.as_mut().now_or_never().is_none());
        drop(dropped);
        for number in 1..=most {
            assert_eq!(lanes.try_next(), Found::Work((1, number)));
        }
        assert_eq!(lanes.try_next(), Found::Nothing);
    }

    #[test]
    fn what_is_queued_when_the_lanes_are_closed_is_done() {
        let lanes = Lanes::default();
        push(&lanes, 1, 1);
        lanes.close();
        let refused = lanes.push(&tenant(1), (1, 2)).now_or_never();
        assert!(matches!(refused, Some(Err(Closed))));
        assert!(lanes.push_own((1, 2)).is_err());
        assert_eq!(lanes.next(), Some((1, 1)));
        assert_eq!((lanes.next(), lanes.try_next()), (None, Found::Closed));
    }

    #[test]
    fn nobody_waits_for_a_thread_that_has_panicked() {
        let lanes = Arc::new(Lanes::default());
        let (reply, answer) = std::sync::mpsc::channel::<()>();
        let queued = lanes.push(&tenant(1), reply).now_or_never();
        queued.expect("there is room").expect("they are open");
        let worker = OnlyWorker(Arc::clone(&lanes));
        let panicked = std::thread::spawn(move || {
            let _worker = worker;
            panic!("a fault of ours");
        });
        assert!(panicked.join().is_err());
        assert!(answer.recv().is_err());
    }

    proptest! {
        #[test]
        fn tenants_take_turns_and_each_lane_keeps_its_order(
            pushes in prop::collection::vec(0..4_u8, 0..60),
            takes in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let lanes = Lanes::default();
            let mut queued: BTreeMap<u8, VecDeque<u32>> = BTreeMap::new();
            // How often each tenant was passed over since it had work.
            let mut passed: BTreeMap<u8, usize> = BTreeMap::new();
            let mut number = 0;
            let mut pushes = pushes.into_iter();
            for take in takes {
                if !take {
                    let Some(of) = pushes.next() else { continue };
                    number += 1;
                    push(&lanes, of, number);
                    queued.entry(of).or_default().push_back(number);
                    continue;
                }
                let Found::Work((of, number)) = lanes.try_next() else {
                    prop_assert!(queued.values().all(VecDeque::is_empty));
                    continue;
                };
                prop_assert_eq!(queued.entry(of).or_default().pop_front(), Some(number));
                passed.remove(&of);
                for (other, queued) in &queued {
                    if *other != of && !queued.is_empty() {
                        let passed = passed.entry(*other).or_default();
                        *passed += 1;
                        prop_assert!(*passed <= 3);
                    }
                }
            }
        }
    }
}
