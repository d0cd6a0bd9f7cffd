//! The tenant that is measured: it rotates, reads, probes and publishes at a fixed pace.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use super::receiver::{Arrivals, serve};
use crate::Fallible;
use crate::process::Server;
use crate::wire::{Connection, get, post, probe};
use crate::work::{Created, rotation_of};

/// The longest that the victim waits for anything. Then the run fails: this is far more than the
/// target even on a slow machine and without optimisation, and far less than what an unfair server
/// makes its victims wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the victim waited, in microseconds.
#[derive(Clone)]
pub struct Waits {
    pub rotation: Histogram<u32>,
    pub read: Histogram<u32>,
    pub ready: Histogram<u32>,
    pub delivery: Histogram<u32>,
}

/// What a row of the table shows.
pub struct Seen {
    pub waits: Waits,
    /// The resident memory of the server before the attack, in bytes.
    pub memory: u32,
    pub most_memory: u32,
    /// The most open files of the server.
    pub most_files: usize,
}

impl Seen {
    /// The longest wait.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.each().map(Histogram::max).max().unwrap_or(0))
    }

    /// The wait that 99 of 100 requests did not exceed, of the kind for which it is longest.
    pub fn worst_p99(&self) -> Duration {
        let p99 = |waits: &Histogram<u32>| waits.value_at_quantile(0.99);
        Duration::from_micros(self.each().map(p99).max().unwrap_or(0))
    }

    fn each(&self) -> impl Iterator<Item = &Histogram<u32>> {
        let Waits {
            rotation,
            read,
            ready,
            delivery,
        } = &self.waits;
        [rotation, read, ready, delivery].into_iter()
    }
}

/// The victim, with its endpoint and its receiver.
pub struct Victim {
    local: LocalSet,
    endpoint: String,
    arrivals: Arrivals,
}

impl Victim {
    /// Starts the receiver and creates an endpoint for it.
    pub async fn prepare(server: &Server) -> Fallible<Self> {
        let local = LocalSet::new();
        let arrivals = Arrivals::default();
        let of_receiver = arrivals.clone();
        let receiver = local.run_until(serve(Some(of_receiver))).await?;
        let body = format!(r#"{{"url":"http://{receiver}/"}}"#);
        let mut api = Connection::open(server.address()).await?;
        let answer = api.call(&post("/webhooks/endpoints", &body)).await?;
        answer.expect_status(201)?;
        let Created { id } = serde_json::from_slice(answer.body)?;
        Ok(Self {
            local,
            endpoint: id,
            arrivals,
        })
    }

    /// Makes requests for `measured` after `begin`, and waits for all answers.
    pub async fn watch(
        self,
        server: &Server,
        measured: Duration,
        begin: impl FnOnce(),
    ) -> Fallible<Seen> {
        let memory = server.resident_bytes().unwrap_or(0);
        let empty = Histogram::new_with_bounds(1, 600_000_000, 3)?;
        let seen = Rc::new(RefCell::new(Seen {
            waits: Waits {
                rotation: empty.clone(),
                read: empty.clone(),
                ready: empty.clone(),
                delivery: empty,
            },
            memory,
            most_memory: memory,
            most_files: 0,
        }));
        begin();
        let until = Instant::now() + measured;
        let address = server.address();
        let all = async {
            tokio::try_join!(
                patient(
                    "a rotation or a read",
                    calls(address, &self.endpoint, until, &seen)
                ),
                patient("/readyz", probes(address, until, &seen)),
                patient(
                    "a delivery",
                    deliveries(address, &self.arrivals, until, &seen)
                ),
                gauges(server, until, &seen),
            )
        };
        self.local.run_until(all).await?;
        let seen = Rc::into_inner(seen).expect("all that held it has ended");
        Ok(seen.into_inner())
    }
}

type Shared = Rc<RefCell<Seen>>;

/// Adds what was done to an error.
async fn patient(what: &str, work: impl Future<Output = Fallible<()>>) -> Fallible<()> {
    work.await
        .map_err(|error| format!("{what}: {error}").into())
}

/// Waits for a step of the victim, but not forever.
async fn step<T>(step: impl Future<Output = Fallible<T>>) -> Fallible<T> {
    tokio::time::timeout(PATIENCE, step)
        .await
        .map_err(|_| format!("the victim waited {PATIENCE:?} in vain"))?
}

fn pace(every: Duration) -> tokio::time::Interval {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

fn record(waits: &mut Histogram<u32>, due: Instant, done: Instant) {
    let micros = done.saturating_duration_since(due).as_micros();
    waits.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
}

async fn calls(address: SocketAddr, endpoint: &str, until: Instant, seen: &Shared) -> Fallible<()> {
    let rotation = rotation_of(endpoint);
    let read = get(&format!("/webhooks/endpoints/{endpoint}"));
    let mut api = Connection::open(address).await?;
    // With the deliveries, that is less than the default rate limit.
    let mut pace = pace(Duration::from_millis(30));
    loop {
        let due = pace.tick().await.into_std();
        if due >= until {
            return Ok(());
        }
        step(async { api.call(&rotation).await?.expect_status(200) }).await?;
        let rotated = Instant::now();
        record(&mut seen.borrow_mut().waits.rotation, due, rotated);
        step(async { api.call(&read).await?.expect_status(200) }).await?;
        record(&mut seen.borrow_mut().waits.read, rotated, Instant::now());
    }
}

async fn probes(address: SocketAddr, until: Instant, seen: &Shared) -> Fallible<()> {
    let request = probe("/readyz");
    let mut pace = pace(Duration::from_millis(50));
    loop {
        let due = pace.tick().await.into_std();
        if due >= until {
            return Ok(());
        }
        step(async {
            let mut connection = Connection::open(address).await?;
            connection.call(&request).await?.expect_status(200)
        })
        .await?;
        record(&mut seen.borrow_mut().waits.ready, due, Instant::now());
    }
}

async fn deliveries(
    address: SocketAddr,
    arrivals: &Arrivals,
    until: Instant,
    seen: &Shared,
) -> Fallible<()> {
    let mut api = Connection::open(address).await?;
    let mut pace = pace(Duration::from_millis(50));
    for number in 1_u64.. {
        let due = pace.tick().await.into_std();
        if due >= until {
            break;
        }
        let event = format!(r#"{{"id":"victim-{number}","type":"order.created","data":{{}}}}"#);
        let event = post("/events", &event);
        step(async { api.call(&event).await?.expect_status(202) }).await?;
        let arrived = step(async { Ok(arrivals.wait_for(number).await) }).await?;
        record(&mut seen.borrow_mut().waits.delivery, due, arrived);
    }
    Ok(())
}

/// Notes the most memory and files that the server has.
async fn gauges(server: &Server, until: Instant, seen: &Shared) -> Fallible<()> {
    let mut pace = interval(Duration::from_millis(100));
    while pace.tick().await.into_std() < until {
        let mut seen = seen.borrow_mut();
        seen.most_memory = seen.most_memory.max(server.resident_bytes().unwrap_or(0));
        seen.most_files = seen.most_files.max(server.open_files().unwrap_or(0));
    }
    Ok(())
}
