//! A token bucket: how often something may happen, with bursts.

use std::time::Duration;
use tokio::time::Instant;

/// A bucket of tokens that refills at a constant rate. Each use takes one token; a full bucket is the longest burst.
#[derive(Debug)]
pub struct TokenBucket {
    capacity: f64,
    tokens_per_second: f64,
    tokens: f64,
    refilled_at: Instant,
}

impl TokenBucket {
    /// Returns a full bucket. `capacity` and `tokens_per_second` are at least 1.
    #[must_use]
    pub fn new(capacity: u32, tokens_per_second: u32) -> Self {
        let capacity = f64::from(capacity.max(1));
        let tokens_per_second = f64::from(tokens_per_second.max(1));
        Self { capacity, tokens_per_second, tokens: capacity, refilled_at: Instant::now() }
    }

    /// Takes one token. Returns false if there is none.
    pub fn try_take(&mut self) -> bool {
        self.refill();
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }

    /// Returns the number of tokens that are in the bucket now.
    pub fn available(&mut self) -> usize {
        self.refill();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a u32")]
        let whole = self.tokens.floor() as usize;
        whole
    }

    /// Takes up to `count` tokens: the number that the caller used, after a look at [`Self::available`].
    pub fn take(&mut self, count: usize) {
        self.refill();
        self.tokens = (self.tokens - f64::from(u32::try_from(count).unwrap_or(u32::MAX))).max(0.0);
    }

    /// Returns how long it takes until the bucket is full: zero if it is full now.
    pub fn time_until_full(&mut self) -> Duration {
        self.refill();
        Duration::from_secs_f64((self.capacity - self.tokens) / self.tokens_per_second)
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.refilled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.tokens_per_second).min(self.capacity);
        self.refilled_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_bucket_gives_its_capacity_and_then_refills_at_its_rate() {
        let mut bucket = TokenBucket::new(3, 10);
        assert_eq!(bucket.time_until_full(), Duration::ZERO);
        assert!((0..3).all(|_| bucket.try_take()));
        assert!(!bucket.try_take());
        assert!(bucket.time_until_full() <= Duration::from_millis(300));
        bucket.refilled_at = bucket.refilled_at.checked_sub(Duration::from_millis(250)).unwrap();
        assert_eq!(bucket.available(), 2);
        bucket.take(2);
        assert_eq!(bucket.available(), 0);
        bucket.refilled_at = bucket.refilled_at.checked_sub(Duration::from_hours(1)).unwrap();
        assert_eq!(bucket.available(), 3, "never more than its capacity");
        bucket.take(9);
        assert_eq!(bucket.available(), 0, "never less than none");
    }
}
