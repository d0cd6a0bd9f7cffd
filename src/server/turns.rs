//! Shares the time of a core between the addresses from which connections come.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::source::Source;

/// The work that a core begins before everything else that is ready there has run. It is more than
/// begins at once on a server that answers as fast as it is asked.
const MOST: usize = 32 * REQUEST;

/// The work of a request, which is the unit.
pub(super) const REQUEST: usize = 1;

/// The work of a read that may have twenty requests, which are parsed and spawned at once.
const READ: usize = 8;

/// Those that share their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    pub source: Source,
    /// Whether these are health probes, which do not wait for the other requests of their address.
    pub is_probe: bool,
}

/// The turns of the connections of one core: to begin a request, or to read several.
///
/// A few hundred clients that each send a request at the same time take a core for several
/// milliseconds, and each step of somebody's delivery would wait for that long. So only some of
/// them have a turn before everything else runs: one of each address, and then the next of each.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The work that has begun since everything else ran.
    begun: usize,
    waiting: HashMap<Lane, VecDeque<Waiting>>,
    /// The lanes of those, in the order of their turns.
    order: VecDeque<Lane>,
}

/// The work of one that waits for its turn, and how to give it.
type Waiting = (usize, oneshot::Sender<()>);

impl Turns {
    /// Waits for a turn to do this much work.
    pub async fn begin(&self, lane: Lane, work: usize) {
        let turn = {
            let mut state = self.state.lock();
            if state.begun == 0 {
                self.begun.notify_one();
            }
            if state.begun < MOST {
                state.begun += work;
                return;
            }
            state.wait(lane, work)
        };
        // An error means that the server has stopped.
        let _ = turn.await;
    }

    /// Gives turns whenever all tasks of this core that were ready have run, for ever.
    pub async fn give_always(&self) {
        loop {
            self.begun.notified().await;
            loop {
                until_others_have_run().await;
                let mut state = self.state.lock();
                state.begun = 0;
                state.give();
                if state.begun == 0 {
                    break;
                }
            }
        }
    }
}

impl State {
    fn wait(&mut self, lane: Lane, work: usize) -> oneshot::Receiver<()> {
        let (give, turn) = oneshot::channel();
        let of_lane = self.waiting.entry(lane).or_default();
        if of_lane.is_empty() {
            self.order.push_back(lane);
        }
        of_lane.push_back((work, give));
        turn
    }

    /// Gives turns to those that wait.
    fn give(&mut self) {
        while self.begun < MOST
            && let Some(lane) = self.order.pop_front()
        {
            let Some(of_lane) = self.waiting.get_mut(&lane) else {
                continue;
            };
            // Those that wait no more have no turn.
            if let Some((work, give)) = of_lane.pop_front()
                && give.send(()).is_ok()
            {
                self.begun += work;
            }
            if of_lane.is_empty() {
                self.waiting.remove(&lane);
            } else {
                self.order.push_back(lane);
            }
        }
    }
}

/// The turn to read that one connection waits for, or has.
pub(super) struct Turn {
    turns: Arc<Turns>,
    lane: Lane,
    waiting: Option<BoxFuture<'static, ()>>,
    is_begun: bool,
}

impl Turn {
    pub fn new(turns: Arc<Turns>, lane: Lane) -> Self {
        Self {
            turns,
            lane,
            waiting: None,
            is_begun: false,
        }
    }

    /// Waits until the connection has a turn, which it keeps until [`end`](Self::end).
    pub fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_begun {
            let (turns, lane) = (&self.turns, self.lane);
            let waiting = self.waiting.get_or_insert_with(|| {
                let turns = Arc::clone(turns);
                async move { turns.begin(lane, READ).await }.boxed()
            });
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
            self.is_begun = true;
        }
        Poll::Ready(())
    }

    pub fn end(&mut self) {
        self.is_begun = false;
    }
}

/// Waits until all other tasks that are ready have run once: a task that wakes itself is the last
/// one in its core's queue. That of tokio, `yield_now`, waits for fewer.
async fn until_others_have_run() {
    let mut has_waited = false;
    poll_fn(|cx| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test]
    async fn each_address_has_its_turn_however_many_wait_for_another() {
        const PROBE_OF_1: u8 = 255;
        let turns = Arc::new(Turns::default());
        let address = |last| Lane {
            source: Source::of(IpAddr::from([127, 0, 0, last])),
            is_probe: false,
        };
        for _ in 0..MOST {
            turns.begin(address(1), REQUEST).await;
        }
        // They wait in this order, and nobody gives them their turns yet.
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for last in [[1; 2 * MOST].as_slice(), &[2, 3, 2, PROBE_OF_1]].concat() {
            let lane = match last {
                PROBE_OF_1 => Lane {
                    is_probe: true,
                    ..address(1)
                },
                last => address(last),
            };
            let mut turn = Turn::new(Arc::clone(&turns), lane);
            let order = Arc::clone(&order);
            let mut task = async move {
                poll_fn(|cx| turn.poll_begun(cx)).await;
                order.lock().push(last);
            }
            .boxed();
            assert!((&mut task).now_or_never().is_none());
            waiting.push(task);
        }
        let abandoned = waiting.remove(0);
        drop(abandoned);
        let given = Arc::clone(&turns);
        let giving = tokio::spawn(async move { given.give_always().await });
        let tasks: Vec<_> = waiting.into_iter().map(tokio::spawn).collect();
        for task in tasks {
            task.await.expect("it ends");
        }
        giving.abort();
        let order = order.lock();
        assert_eq!(order.len(), 2 * MOST + 3);
        for last in [2, 3, PROBE_OF_1] {
            let turn = order.iter().rposition(|one| *one == last);
            assert!(turn.is_some_and(|turn| turn < 6), "{last}: {turn:?}");
        }
    }
}
