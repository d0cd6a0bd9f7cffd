//! The sizes of a run.

use std::str::FromStr;
use std::time::Duration;

use crate::Fallible;

/// The sizes of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many pairs of rounds make a median.
    pub rounds: usize,
    /// The time under load before counting starts, in which connections open and caches and
    /// allocators fill.
    pub warm_up: Duration,
    /// The time of a round that counts.
    pub measured: Duration,
    /// Connections of the load generator, each with one request under way at a time.
    pub connections: usize,
    /// Endpoints that a run rotates.
    pub endpoints: usize,
    /// Endpoints that the population run adds to those.
    pub population: usize,
    /// Events that a round of the deliveries run publishes.
    pub deliveries: usize,
    /// The sizes of the neighbours run.
    pub neighbours: Neighbours,
}

/// The sizes of the attacks in the neighbours run, and the time for each.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// The rows that are measured: those with this text in their names.
    pub rows: String,
    /// How long an attack lasts.
    pub measured: Duration,
    /// Endpoints that get each event.
    pub endpoints: usize,
    /// Endpoints with slow receivers.
    pub slow: usize,
    /// Endpoints on names that nobody answers for.
    pub names: usize,
    /// Endpoints on hosts of their own.
    pub hosts: usize,
    /// Deliveries of large events that are listed.
    pub listed: usize,
    /// Connections that do not read their answers.
    pub unread: usize,
    /// Connections that say nothing.
    pub idle: usize,
    /// Pending deliveries of an endpoint that is deleted.
    pub pending: usize,
}

impl Settings {
    /// Reads `BENCH_ROUNDS`, `BENCH_SECONDS`, `BENCH_POPULATION`, `BENCH_DELIVERIES`,
    /// `BENCH_NEIGHBOURS` and `BENCH_NEIGHBOURS_SECONDS`, which have defaults.
    pub fn from_environment() -> Fallible<Self> {
        Ok(Self {
            rounds: variable("BENCH_ROUNDS", 5)?.max(1),
            warm_up: Duration::from_millis(500),
            measured: Duration::from_secs(variable("BENCH_SECONDS", 3)?.max(1)),
            connections: 64,
            endpoints: 100,
            population: variable("BENCH_POPULATION", 200_000)?.max(1),
            deliveries: variable("BENCH_DELIVERIES", 20_000)?.max(1),
            neighbours: Neighbours {
                rows: variable("BENCH_NEIGHBOURS", String::new())?,
                measured: Duration::from_secs(variable("BENCH_NEIGHBOURS_SECONDS", 10)?.max(1)),
                endpoints: 10_000,
                slow: 1100,
                names: 600,
                hosts: 1500,
                listed: 100,
                unread: 400,
                idle: 6000,
                pending: 200_000,
            },
        })
    }

    /// Returns the smallest sizes, which show in about a second that everything still works.
    pub fn smallest() -> Self {
        Self {
            rounds: 1,
            warm_up: Duration::from_millis(20),
            measured: Duration::from_millis(100),
            connections: 8,
            endpoints: 10,
            population: 50,
            deliveries: 100,
            neighbours: Neighbours {
                rows: String::new(),
                measured: Duration::from_millis(600),
                endpoints: 200,
                slow: 200,
                names: 100,
                hosts: 100,
                listed: 10,
                unread: 50,
                idle: 500,
                pending: 500,
            },
        }
    }
}

fn variable<T>(name: &str, default: T) -> Fallible<T>
where
    T: FromStr,
{
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .map_err(|_| format!("{name}={text:?} is not a whole number").into()),
        Err(_) => Ok(default),
    }
}
