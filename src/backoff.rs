//! Waits that grow with each failure: between attempts, between polls, and before a destination is probed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How much longer each wait between attempts is than the one before.
const ATTEMPT_GROWTH: u32 = 4;
/// A wait between attempts is this share shorter or longer, so that a thousand events that failed together do not come
/// due together.
const ATTEMPT_JITTER: f64 = 0.2;

/// Waits that grow from `base` to `max`.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    growth: u32,
    /// The one source of chance in the queue, seeded in tests; `None`: waits have no jitter.
    rng: Option<Arc<Mutex<fastrand::Rng>>>,
}

impl Backoff {
    /// Returns the backoff between attempts: waits grow by four and have a jitter of 20 %. With the defaults: 15 s, 1
    /// min, 4 min, 16 min, 64 min, 4 h 16 min, 6 h: eight attempts over some twelve hours, so an ERP that is down
    /// overnight still gets its events.
    #[must_use]
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, growth: ATTEMPT_GROWTH, rng: Some(Arc::new(Mutex::new(fastrand::Rng::new()))) }
    }

    /// Returns a backoff that doubles each wait, without jitter.
    #[must_use]
    pub fn doubling(base: Duration, max: Duration) -> Self {
        Self { base, max, growth: 2, rng: None }
    }

    /// Seeds the jitter, so that each run has the same waits.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { rng: self.rng.map(|_| Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)))), ..self }
    }

    /// Returns the wait after attempt number `attempt`, which counts from 1; never longer than the maximum.
    #[must_use]
    pub fn delay_after(&self, attempt: u32) -> Duration {
        let factor = self.growth.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = self.base.checked_mul(factor).unwrap_or(self.max).min(self.max);
        let Some(rng) = &self.rng else { return wait };
        let chance = rng.lock().expect("nothing panics while it holds the generator").f64();
        wait.mul_f64(1.0 - ATTEMPT_JITTER + 2.0 * ATTEMPT_JITTER * chance).min(self.max)
    }
}

/// When a circuit breaker opens, and when it lets a probe through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures one after another that open it.
    pub failure_threshold: u32,
    /// From its opening to the first probe; doubled after each probe that fails.
    pub probe_delay: Duration,
    pub probe_delay_max: Duration,
}

impl BreakerSettings {
    /// Returns the wait before the next probe, or `None` while the breaker stays closed.
    #[must_use]
    pub fn probe_delay_after(&self, consecutive_failures: u32) -> Option<Duration> {
        let failed_probes = consecutive_failures.checked_sub(self.failure_threshold.max(1))?;
        Some(Backoff::doubling(self.probe_delay, self.probe_delay_max).delay_after(failed_probes.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_schedule_stays_within_jitter() {
        let backoff = Backoff::new(Duration::from_secs(15), Duration::from_hours(6)).with_seed(1);
        for (attempt, seconds) in (1..).zip([15.0, 60.0, 240.0, 960.0, 3840.0, 15360.0, 21600.0, 21600.0]) {
            for _ in 0..100 {
                let wait = backoff.delay_after(attempt).as_secs_f64();
                assert!((seconds * 0.8..=seconds * 1.2).contains(&wait), "attempt {attempt}: {wait} s");
                assert!(wait <= 21600.0);
            }
        }
    }

    #[test]
    fn breaker_opens_at_its_threshold_and_doubles() {
        let seconds = Duration::from_secs;
        let breaker = BreakerSettings { failure_threshold: 3, probe_delay: seconds(15), probe_delay_max: seconds(50) };
        let delays: Vec<_> = (1..=6).map(|failures| breaker.probe_delay_after(failures)).collect();
        let open = |secs| Some(seconds(secs));
        assert_eq!(delays, [None, None, open(15), open(30), open(50), open(50)]);
    }

    proptest::proptest! {
        #![proptest_config(crate::seed::seeded_config(256))]

        #[test]
        fn no_setting_overflows(attempt: u32, base: u32, max: u32) {
            let (base, max) = (Duration::from_secs(base.into()), Duration::from_secs(max.into()));
            proptest::prop_assert!(Backoff::new(base, max).delay_after(attempt) <= max);
            proptest::prop_assert!(Backoff::doubling(base, max).delay_after(attempt) <= max);
        }
    }
}
