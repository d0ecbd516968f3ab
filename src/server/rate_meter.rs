//! Measures whether a client sends at least at the minimum rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How far a client is behind the minimum rate. Received bytes pay for time; bytes in advance pay for `credit_max` at
/// most, so that a fast start does not excuse a long silence.
#[derive(Debug)]
pub struct RateMeter {
    started_at: Instant,
    /// Nanoseconds after `started_at` until which the received bytes pay.
    paid_nanos: AtomicU64,
    nanos_per_byte: u64,
    credit_max: Duration,
}

impl RateMeter {
    /// Returns a meter that starts now. `min_rate` is in bytes per second.
    #[must_use]
    pub fn new(min_rate: u64, credit_max: Duration) -> Self {
        let nanos_per_byte = 1_000_000_000 / min_rate.max(1);
        Self { started_at: Instant::now(), paid_nanos: AtomicU64::new(0), nanos_per_byte, credit_max }
    }

    /// Counts bytes received now.
    pub fn record_bytes(&self, bytes: usize, now: Instant) {
        let credit_end = to_nanos(now.saturating_duration_since(self.started_at) + self.credit_max);
        let earned = self.nanos_per_byte.saturating_mul(bytes as u64);
        let pay = |paid: u64| Some(paid.saturating_add(earned).min(credit_end));
        let _ = self.paid_nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
    }

    /// Returns how far the client is behind; zero if it is ahead.
    #[must_use]
    pub fn measure_lag(&self, now: Instant) -> Duration {
        let paid = Duration::from_nanos(self.paid_nanos.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started_at).saturating_sub(paid)
    }

    /// Lets the client lag by this much more.
    #[cfg(test)]
    pub fn add_lag(&mut self, lag: Duration) {
        self.started_at = self.started_at.checked_sub(lag).expect("the machine runs for longer");
    }
}

fn to_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pay_for_time_and_credit_ends() {
        let meter = RateMeter::new(100, Duration::from_secs(3));
        let after = |seconds| meter.started_at + Duration::from_secs(seconds);
        let lag = |seconds| meter.measure_lag(after(seconds)).as_secs();
        assert_eq!(lag(2), 2);
        meter.record_bytes(100, after(2));
        assert_eq!(lag(2), 1, "100 bytes pay for a second");
        meter.record_bytes(1_000_000, after(2));
        assert_eq!(lag(5), 0, "three seconds of credit");
        assert_eq!(lag(10), 5, "a fast start does not excuse a long silence");
    }
}
