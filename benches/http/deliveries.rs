//! Measures how fast accepted events reach a receiver.
//!
//! There is one endpoint with two live secrets, and one receiver that answers at once. It is
//! measured twice.
//!
//! - *Delivering alone*: the receiver holds back its first answers until all events are published.
//!   The time runs from then to the arrival of the last delivery. The target is for this figure.
//! - *Publishing too*: the time runs from the first `POST /events`, so that publishing, signing and
//!   sending share the machine.
//!
//! Both are compared with the rate at which the receiver takes the same requests, ready-made, from
//! the load generator. The difference is the cost of a delivery without its receipt.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::Fallible;
use crate::load::drive;
use crate::measure::{cost, median};
use crate::process::{self, Server};
use crate::receiver::{self, Report};
use crate::settings::Settings;
use crate::subject::{Store, hookturn};
use crate::wire::{Connection, get, post};
use crate::work::{Created, Publishing, Timed};

/// The share of the receiver's rate that deliveries should reach.
const fn target(store: Store) -> f64 {
    match store {
        Store::Memory => 0.20,
        Store::Sqlite => 0.10,
    }
}

/// How long a round may take before it fails.
const WITHIN: Duration = Duration::from_secs(60);

/// Compares deliveries with the receiver alone, in pairs of rounds.
pub async fn run(settings: &Settings, store: Store) -> Fallible<()> {
    let bench = Bench::start(store).await?;
    // Opens the connections and gets a delivery to copy.
    let few = (settings.deliveries / 10).max(1);
    bench.deliver(few, settings, false).await?;
    let requests = bench.ready_made(settings.deliveries).await?;
    println!(
        "{}: {} deliveries of {} bytes with two signatures to one receiver",
        store.name(),
        settings.deliveries,
        requests[0].len()
    );
    let (mut ratios, mut with_publishing) = (Vec::new(), Vec::new());
    for round in 1..=settings.rounds {
        let direct = bench.post_directly(&requests, settings).await?;
        println!("round {round}  {direct:>7.0}/s  posted to the receiver directly");
        let alone = bench.deliver(settings.deliveries, settings, true).await?;
        ratios.push(alone.tell("delivered, delivering alone", direct));
        let together = bench.deliver(settings.deliveries, settings, false).await?;
        with_publishing.push(together.tell("delivered, publishing too", direct));
    }
    println!(
        "median of {}  {} deliveries: {:.2} of the receiver's rate (target {:.2}), {:.2} with publishing them",
        ratios.len(),
        store.name(),
        median(ratios.iter().copied()),
        target(store),
        median(with_publishing.iter().copied()),
    );
    if let Some((writes, commits)) = bench.hookturn.stop()? {
        println!(
            "         {writes} writes in {commits} commits, {:.1} in each",
            writes / commits
        );
    }
    Ok(())
}

/// Hookturn with one endpoint, and the endpoint's receiver.
struct Bench {
    hookturn: Server,
    receiver: Server,
    endpoint: String,
}

/// One round of deliveries.
struct Delivered {
    per_second: f64,
    took: Duration,
    /// Processor time of the server for each event with its delivery, in microseconds.
    cost: Option<f64>,
}

impl Delivered {
    /// Prints the round and returns its ratio to the receiver's own rate.
    fn tell(&self, what: &str, direct: f64) -> f64 {
        let ratio = self.per_second / direct;
        let cost = self
            .cost
            .map_or_else(String::new, |cost| format!("  CPU {cost:.1} us each"));
        println!(
            "         {:>7.0}/s  {what}, {:.2} s{cost}: {ratio:.2} of the rate",
            self.per_second,
            self.took.as_secs_f64(),
        );
        ratio
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<serde::de::IgnoredAny>,
}

impl Bench {
    async fn start(store: Store) -> Fallible<Self> {
        let receiver = Server::start(process::command(std::env::current_exe()?), |address| {
            vec![receiver::ARGUMENT.to_owned(), address.port().to_string()]
        })
        .await?;
        let hookturn = hookturn(store, &["--log", "warn,hookturn::store=info"]).await?;
        let mut api = Connection::open(hookturn.address()).await?;
        let url = format!("http://{}/hook", receiver.address());
        let request = post("/webhooks/endpoints", &format!(r#"{{"url":"{url}"}}"#));
        let answer = api.call(&request).await?;
        answer.expect_status(201)?;
        let Created { id } = serde_json::from_slice(answer.body)?;
        let path = format!("/webhooks/endpoints/{id}/secret/rotate");
        let answer = api
            .call(&post(&path, r#"{"expire_current_in":86400}"#))
            .await?;
        answer.expect_status(200)?;
        Ok(Self {
            endpoint: id,
            hookturn,
            receiver,
        })
    }

    /// Sends a question to the receiver and returns its answer.
    async fn ask(&self, question: &str) -> Fallible<Vec<u8>> {
        let mut connection = Connection::open(self.receiver.address()).await?;
        let answer = connection.call(&get(question)).await?;
        answer.expect_status(200)?;
        Ok(answer.body.to_vec())
    }

    /// Makes `count` different requests, each like the latest delivery.
    async fn ready_made(&self, count: usize) -> Fallible<Rc<[Vec<u8>]>> {
        let latest = String::from_utf8(self.ask("/latest").await?)?;
        let (_, after) = latest
            .split_once("webhook-id: ")
            .ok_or("a delivery without a webhook-id")?;
        let id = after.split('\r').next().unwrap_or_default();
        let numbered = |n| latest.replace(id, &format!("evt_{n:0width$}", width = id.len() - 4));
        Ok((0..count).map(|n| numbered(n).into_bytes()).collect())
    }

    async fn post_directly(&self, requests: &Rc<[Vec<u8>]>, settings: &Settings) -> Fallible<f64> {
        self.ask("/forget").await?;
        let work = Timed::start(Rc::clone(requests), settings.warm_up, settings.measured)?;
        let within = settings.warm_up + settings.measured + Duration::from_secs(20);
        let done = drive(self.receiver.address(), settings.connections, within, work).await?;
        Ok(f64::from(done.measured) / settings.measured.as_secs_f64())
    }

    /// Publishes `count` events and waits until each has arrived exactly once. With `alone`, the
    /// receiver answers only after all are published, and the time starts then.
    async fn deliver(&self, count: usize, settings: &Settings, alone: bool) -> Fallible<Delivered> {
        self.ask("/forget").await?;
        if alone {
            self.ask("/hold").await?;
        }
        let (mut before, mut started) = (self.hookturn.processor_time(), Instant::now());
        let work = Publishing::of(count);
        drive(self.hookturn.address(), settings.connections, WITHIN, work).await?;
        let left = WITHIN.saturating_sub(started.elapsed());
        if alone {
            (before, started) = (self.hookturn.processor_time(), Instant::now());
            self.ask("/release").await?;
        }
        let all = format!("/wait/{count}");
        if tokio::time::timeout(left, self.ask(&all)).await.is_err() {
            let report = String::from_utf8(self.ask("/report").await?)?;
            return Err(format!("not all of {count} arrived within {WITHIN:?}: {report}").into());
        }
        let took = started.elapsed();
        let number = u32::try_from(count)?;
        let cost = cost(before, self.hookturn.processor_time(), number);

        // When nothing is pending, no more deliveries can come, so the report is complete.
        self.wait_until_settled().await?;
        let report: Report = serde_json::from_slice(&self.ask("/report").await?)?;
        if [report.deliveries, report.ids, report.signed_twice] != [count; 3] {
            return Err(format!("{count} events were published, and this came: {report:?}").into());
        }
        Ok(Delivered {
            per_second: f64::from(number) / took.as_secs_f64(),
            took,
            cost,
        })
    }

    async fn wait_until_settled(&self) -> Fallible<()> {
        const WITHIN: Duration = Duration::from_secs(5);
        let request = get(&format!(
            "/webhooks/endpoints/{}/deliveries?status=pending&limit=1",
            self.endpoint
        ));
        let mut api = Connection::open(self.hookturn.address()).await?;
        let started = Instant::now();
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            let answer = api.call(&request).await?;
            answer.expect_status(200)?;
            let List { data } = serde_json::from_slice(answer.body)?;
            if data.is_empty() {
                return Ok(());
            }
            if started.elapsed() > WITHIN {
                return Err(format!("deliveries were still pending after {WITHIN:?}").into());
            }
        }
    }
}
