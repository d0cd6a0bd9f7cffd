//! The load generator: a closed loop over a fixed number of connections.
//!
//! In a closed loop a connection sends its next request when the last one is answered, so each
//! server gets the most load that it can take. This shows how fast a server is when it is never
//! idle. It does not show the latency at a given rate.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::Fallible;
use crate::wire::{Answer, Connection};

/// The requests to send, and the handling of their answers. All connections share one value, since
/// they run on one thread.
pub trait Work: 'static {
    /// Appends the next whole request to `request`, which is empty. Returns `false` when there is
    /// none left.
    fn next(&mut self, request: &mut Vec<u8>) -> bool;

    /// Handles one answer. An error ends the whole run.
    fn answered(&mut self, answer: &Answer<'_>, sent: Instant, received: Instant) -> Fallible<()>;
}

/// Does all of `work` over `connections` connections and returns it. It fails with the first
/// request that fails, and when the work takes longer than `within`, so that a server that hangs
/// does not hang the benchmark.
pub async fn drive<W: Work>(
    address: SocketAddr,
    connections: usize,
    within: Duration,
    work: W,
) -> Fallible<W> {
    let work = Rc::new(RefCell::new(work));
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn_local_on(work_through(address, Rc::clone(&work)), &local);
    }
    let all = async {
        while let Some(finished) = tasks.join_next().await {
            finished??;
        }
        Fallible::Ok(())
    };
    local
        .run_until(tokio::time::timeout(within, all))
        .await
        .map_err(|_| format!("requests were still unanswered after {within:?}"))??;
    let work = Rc::into_inner(work).expect("every task that held the work has ended");
    Ok(work.into_inner())
}

async fn work_through<W: Work>(address: SocketAddr, work: Rc<RefCell<W>>) -> Fallible<()> {
    let mut connection = Connection::open(address).await?;
    let mut request = Vec::with_capacity(512);
    let mut sent = Instant::now();
    loop {
        request.clear();
        if !work.borrow_mut().next(&mut request) {
            return Ok(());
        }
        let answer = connection.call(&request).await?;
        let received = Instant::now();
        work.borrow_mut().answered(&answer, sent, received)?;
        // Reads the clock once for each request, since the next one is sent when this one is
        // answered.
        sent = received;
    }
}
