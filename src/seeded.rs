//! What simulations share: numbers that a seed tells, and a run over many seeds.
//!
//! `CCPROXY_SIMULATION_SECONDS` makes the run longer; a failure names its seed, and
//! `CCPROXY_SIMULATION_SEED` runs that one alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Numbers that are the same for the same seed (xorshift).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        // Zero is no state of this generator.
        Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Runs one seed after another for a while.
///
/// # Panics
/// One of them does; the message names it.
pub(crate) fn each_seed(run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("CCPROXY_SIMULATION_SEED") {
        return run(seed);
    }
    let until =
        Instant::now() + Duration::from_secs(number("CCPROXY_SIMULATION_SECONDS").unwrap_or(2));
    for seed in 1.. {
        if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
            panic!("CCPROXY_SIMULATION_SEED={seed} fails");
        }
        if Instant::now() >= until {
            println!("{seed} seeds");
            return;
        }
    }
}
