//! Attempts that are spread over several cores, each with connections of its own.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use async_trait::async_trait;
use hookturn::cores::Threads;
use hookturn::delivery::dialer::Resolve;
use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Sender};
use hookturn::store::StoreLimits;
use hookturn_test::{PATIENCE, Reaction, Receiver, status};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::stage::Stage;

const CORES: usize = 2;
const EACH: usize = 4;

/// Finds this machine, and notes on which thread it was asked: where the connection is opened.
#[derive(Debug, Default)]
struct Noting(Mutex<HashMap<ThreadId, usize>>);

#[async_trait]
impl Resolve for Noting {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        *self.0.lock().entry(thread::current().id()).or_insert(0) += 1;
        Ok(vec![([127, 0, 0, 1], port).into()])
    }
}

#[tokio::test]
async fn attempts_and_their_connections_are_spread_over_the_cores() {
    let dialled = Arc::new(Noting::default());
    let options = SenderOptions {
        resolver: Arc::clone(&dialled) as Arc<dyn Resolve>,
        ..SenderOptions::default()
    };
    let sender = Sender::with_options(EgressGuard::with_local(), options);
    let threads = Threads::start_some(CORES).expect("threads");
    let mut stage = Stage::sending(StoreLimits::default(), sender).await;
    stage.worker = stage.worker.clone().spread_over(threads.cores().clone());

    let release = Arc::new(Semaphore::new(0));
    let receiver = Receiver::that(Reaction::Held(Arc::clone(&release), 204)).await;
    stage.hook(&receiver, &[]).await;
    let worker = stage.run();
    for count in 1..=CORES * EACH {
        stage.publish("a").await;
        receiver.wait_for(count).await;
    }
    let counts: Vec<usize> = dialled.0.lock().values().copied().collect();
    assert_eq!(counts, [EACH; CORES]);

    // Stopping waits for the attempts of all cores: each of them is recorded.
    receiver.always(status(204));
    release.add_permits(CORES * EACH);
    worker.stop().await;
    assert_eq!(stage.settle().await, 0);
    threads.stop(PATIENCE);
}
