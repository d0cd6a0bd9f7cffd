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
}

impl Settings {
    /// Reads `BENCH_ROUNDS`, `BENCH_SECONDS`, `BENCH_POPULATION` and `BENCH_DELIVERIES`, which have
    /// defaults.
    pub fn from_environment() -> Fallible<Self> {
        Ok(Self {
            rounds: variable("BENCH_ROUNDS", 5)?.max(1),
            warm_up: Duration::from_millis(500),
            measured: Duration::from_secs(variable("BENCH_SECONDS", 3)?.max(1)),
            connections: 64,
            endpoints: 100,
            population: variable("BENCH_POPULATION", 200_000)?.max(1),
            deliveries: variable("BENCH_DELIVERIES", 20_000)?.max(1),
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
