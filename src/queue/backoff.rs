//! When a failed attempt is due again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How much longer each wait is than the one before.
const FACTOR: u32 = 4;
/// A wait is this share shorter or longer, so that a thousand events that failed together do not come back together.
const JITTER: f64 = 0.2;

/// Waits that grow by `FACTOR` from `base` to `max`. With the defaults: 15 s, 1 min, 4 min, 16 min, 64 min, 4 h 16 min,
/// 6 h, each ± 20 %: eight attempts over some twelve hours, so an ERP that is down overnight still gets its events.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    /// The one source of chance in the queue; seeded in tests.
    dice: Arc<Mutex<fastrand::Rng>>,
}

impl Backoff {
    #[must_use]
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, dice: Arc::new(Mutex::new(fastrand::Rng::new())) }
    }

    /// The same, with the same waits at every run.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { dice: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))), ..self }
    }

    /// The wait after attempt number `attempt`, which counts from 1; never longer than the maximum.
    #[must_use]
    pub fn after(&self, attempt: u32) -> Duration {
        let factor = FACTOR.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = self.base.checked_mul(factor).unwrap_or(self.max).min(self.max);
        let chance = self.dice.lock().expect("nothing panics while it holds the dice").f64();
        wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_schedule() {
        let backoff = Backoff::new(Duration::from_secs(15), Duration::from_hours(6)).with_seed(1);
        for (attempt, seconds) in (1..).zip([15.0, 60.0, 240.0, 960.0, 3840.0, 15360.0, 21600.0, 21600.0]) {
            for _ in 0..100 {
                let wait = backoff.after(attempt).as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2).contains(&wait), "attempt {attempt}: {wait} s");
                assert!(wait <= 21600.0);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_setting_overflows(attempt: u32, base: u32, max: u32) {
            let max = Duration::from_secs(max.into());
            let backoff = Backoff::new(Duration::from_secs(base.into()), max);
            proptest::prop_assert!(backoff.after(attempt) <= max);
        }
    }
}
