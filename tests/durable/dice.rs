//! Chance that can be had again: everything random in a test follows from a seed that it prints.

use hookturn::clock::{Clock as _, SystemClock};
use proptest::prelude::{Rng as _, RngExt as _};
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The variable that sets the seed.
const SEED: &str = "HOOKTURN_CRASH_SEED";

/// The seed of this run: a new one, unless the variable sets it.
pub fn seed() -> u64 {
    let seed = count(SEED, SystemClock.wall().as_millis().unsigned_abs());
    println!("{SEED}={seed}");
    seed
}

/// How often to do something: as often as the variable says.
pub fn count(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Dice.
pub struct Dice(TestRng);

impl Dice {
    /// Those of one part of a test, which throws its own.
    pub fn new(seed: u64, part: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&part.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0.random_range(0..limit)
    }

    /// Whether it comes up, once in so many throws.
    pub fn once_in(&mut self, throws: u64) -> bool {
        self.below(throws) == 0
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.random()
    }

    /// Seeds for others.
    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}
