//! The figures of a round, and medians over rounds.

use std::fmt;
use std::time::Duration;

/// The figures of one round.
#[derive(Debug, Clone)]
pub struct Sample {
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p99: f64,
    /// Processor time of the server for each request, in microseconds. Unlike the rate, it does not
    /// depend on the generator's cost, so it shows differences that a ratio hides when the
    /// generator is the bottleneck.
    pub server_cost: Option<f64>,
    /// Processor time of the generator for each request, in microseconds.
    pub generator_cost: Option<f64>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7.0}/s  p50 {:>5.2} ms  p99 {:>5.2} ms",
            self.per_second, self.p50, self.p99
        )?;
        if let (Some(server), Some(generator)) = (self.server_cost, self.generator_cost) {
            write!(f, "  CPU {server:>4.1} us (generator {generator:>4.1} us)")?;
        }
        Ok(())
    }
}

/// Returns the microseconds for each of `count` requests, from two readings of a process's time.
pub fn cost(before: Option<Duration>, after: Option<Duration>, count: u32) -> Option<f64> {
    Some(after?.saturating_sub(before?).as_secs_f64() * 1e6 / f64::from(count))
}

/// Returns the median: the middle value, or the mean of the two middle values.
///
/// # Panics
///
/// When there are no values. There is always at least one round.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
