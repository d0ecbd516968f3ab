//! Counters and histograms of this process, which `/metrics` shows.
//!
//! Recording is a few atomic additions, without a lock and without memory of its own. The set of labels is fixed, so
//! that no sender can make it grow.

use crate::event::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Statuses of HTTP with a counter of their own; the last counter is of all others.
const CODES: [u16; 11] = [200, 400, 401, 404, 405, 408, 413, 429, 431, 500, 503];
/// Label of a request that is for no source.
const UNKNOWN_SOURCE: &str = "unknown";
const SOURCES: usize = Source::ALL.len();

/// Bounds of the time until the answer to a webhook, in microseconds.
const ACK_BOUNDS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];
/// Bounds of the time of a handler or a delivery, in microseconds.
const WORK_BOUNDS: &[u64] = &[
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];
/// Bounds of the number of writes in one transaction.
const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];
/// Most bounds of a histogram.
const BOUNDS_MAX: usize = 14;
const MICROSECONDS_PER_SECOND: f64 = 1_000_000.0;

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Returns the count since the start of the process.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A histogram with fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// Number of recorded units in one unit of the exported value.
    scale: f64,
    /// The last one is of the values above all bounds.
    counts: [AtomicU64; BOUNDS_MAX + 1],
    sum: AtomicU64,
}

/// The values of a histogram at one moment, in the exported unit.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    pub sum: f64,
    pub count: u64,
    /// Upper bound and number of values of each bucket; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    fn new(bounds: &'static [u64], scale: f64) -> Self {
        Self { bounds, scale, counts: Default::default(), sum: AtomicU64::new(0) }
    }

    fn of_seconds(bounds: &'static [u64]) -> Self {
        Self::new(bounds, MICROSECONDS_PER_SECOND)
    }

    /// Records a value in the unit of the bounds.
    pub fn record(&self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Records a duration in a histogram of seconds.
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the values that were recorded so far.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for a chart needs no more digits")]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.scale).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.counts.iter().map(|count| count.load(Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        HistogramSnapshot { sum: self.sum.load(Relaxed) as f64 / self.scale, count, buckets }
    }
}

/// Requests of one source by the status of their answers.
#[derive(Debug, Default)]
struct CodeCounters([Counter; CODES.len() + 1]);

/// How an attempt to deliver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryAttemptEnd {
    Delivered,
    /// The destination refused the delivery for good.
    Rejected,
    /// The delivery is attempted again.
    Retried,
}

impl DeliveryAttemptEnd {
    /// Every end, in the order of the counters.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Rejected, Self::Retried];

    /// Returns the label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Rejected => "rejected",
            Self::Retried => "retried",
        }
    }
}

/// The figures of this process.
#[derive(Debug)]
pub struct ProcessMetrics {
    requests: [CodeCounters; SOURCES + 1],
    /// Time from the headers of a webhook to its 200.
    pub ack_seconds: Histogram,
    /// Writes in each transaction of the writer.
    pub commit_batch_size: Histogram,
    /// Time of each transaction, with the sync of the disk.
    pub commit_seconds: Histogram,
    handler_seconds: [Histogram; SOURCES],
    /// Time of each attempt to deliver.
    pub delivery_seconds: Histogram,
    delivery_attempts: [Counter; DeliveryAttemptEnd::ALL.len()],
}

/// The figures of this process, shared by its parts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<ProcessMetrics>);

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(ProcessMetrics {
            requests: Default::default(),
            ack_seconds: Histogram::of_seconds(ACK_BOUNDS),
            commit_batch_size: Histogram::new(BATCH_BOUNDS, 1.0),
            commit_seconds: Histogram::of_seconds(ACK_BOUNDS),
            handler_seconds: std::array::from_fn(|_| Histogram::of_seconds(WORK_BOUNDS)),
            delivery_seconds: Histogram::of_seconds(WORK_BOUNDS),
            delivery_attempts: Default::default(),
        }))
    }
}

impl std::ops::Deref for Metrics {
    type Target = ProcessMetrics;

    fn deref(&self) -> &ProcessMetrics {
        &self.0
    }
}

impl ProcessMetrics {
    /// Counts an answer; `None`: the request was for no source.
    pub fn count_request(&self, source: Option<Source>, code: u16) {
        let counters = &self.requests[source.map_or(SOURCES, |source| source as usize)];
        let index = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len());
        counters.0[index].increment();
    }

    /// Returns the counts of answers that are not zero: source, status and number. `other` is every other status.
    #[must_use]
    pub fn list_requests(&self) -> Vec<(&'static str, String, u64)> {
        let names = Source::ALL.map(Source::as_str).into_iter().chain([UNKNOWN_SOURCE]);
        let codes: Vec<String> = CODES.iter().map(u16::to_string).chain(["other".to_owned()]).collect();
        let of_source = |(name, counters): (&'static str, &CodeCounters)| {
            let counts = codes.iter().cloned().zip(counters.0.iter().map(Counter::get));
            counts.map(move |(code, count)| (name, code, count)).collect::<Vec<_>>()
        };
        names.zip(&self.requests).flat_map(of_source).filter(|(.., count)| *count > 0).collect()
    }

    /// Returns the histogram of the handlers of a source.
    #[must_use]
    pub fn handler_seconds(&self, source: Source) -> &Histogram {
        &self.handler_seconds[source as usize]
    }

    /// Returns the counter of attempts to deliver with this end.
    #[must_use]
    pub fn delivery_attempts(&self, end: DeliveryAttemptEnd) -> &Counter {
        &self.delivery_attempts[end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_bucket_of_their_bound() {
        let histogram = Histogram::of_seconds(ACK_BOUNDS);
        for microseconds in [0, 500, 501, 10_000_000, 10_000_001] {
            histogram.record_duration(Duration::from_micros(microseconds));
        }
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.buckets.len()), (5, ACK_BOUNDS.len() + 1));
        assert_eq!(snapshot.buckets[..2], [(0.0005, 2), (0.001, 1)]);
        assert_eq!(snapshot.buckets[13..], [(10.0, 1), (f64::INFINITY, 1)]);
        assert!((snapshot.sum - 20.001_002).abs() < 1e-9, "{}", snapshot.sum);
    }

    #[test]
    fn every_histogram_has_room_for_its_bounds() {
        for bounds in [ACK_BOUNDS, WORK_BOUNDS, BATCH_BOUNDS] {
            assert!(bounds.len() <= BOUNDS_MAX && bounds.is_sorted());
        }
    }

    #[test]
    fn requests_are_counted_by_source_and_code() {
        let metrics = Metrics::default();
        for source in Source::ALL {
            metrics.count_request(Some(source), 200);
        }
        metrics.count_request(None, 404);
        metrics.count_request(Some(Source::Keycloak), 418);
        let mut expected: Vec<_> = Source::ALL.map(|source| (source.as_str(), "200".to_owned(), 1)).to_vec();
        expected.insert(3, ("keycloak", "other".to_owned(), 1));
        expected.push((UNKNOWN_SOURCE, "404".to_owned(), 1));
        assert_eq!(metrics.list_requests(), expected);
    }
}
