//! Seeds of randomised tests. Each such test prints its seed, and `NOVEX_SEED` gives it back.
//!
//! A failed test shows `seed 17; repeat with NOVEX_SEED=17`. `NOVEX_SEED=17 tests/run --test it lease_model` then runs
//! the same random cases. Tests that kill processes get the same random numbers; the operating system still schedules
//! them.

use proptest::test_runner::{Config, RngSeed};

/// Returns the seed in `NOVEX_SEED`, otherwise a new one, and prints it. The test harness shows it if the test fails.
pub fn print_seed() -> u64 {
    let seed = match std::env::var("NOVEX_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("NOVEX_SEED={text:?} is not a whole number")),
        Err(_) => fastrand::u64(..),
    };
    println!("seed {seed}; repeat with NOVEX_SEED={seed}");
    seed
}

/// Returns a random number generator with the seed of [`print_seed`].
pub fn seeded_rng() -> fastrand::Rng {
    fastrand::Rng::with_seed(print_seed())
}

/// Returns a configuration of proptest with the seed of [`print_seed`].
pub fn seeded_config(cases: u32) -> Config {
    // The seed repeats a failure, so proptest need not store it in a file.
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(print_seed()), ..Config::default() }
}
