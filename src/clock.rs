//! The only place that reads the clock, so that a test can turn it.
//!
//! Times leave this module as [`Timestamp`]s and reach the database as [`text`]: UTC, to the millisecond, of one width,
//! so that SQLite's text order is the order of time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use jiff::Timestamp;

/// Where "now" comes from. Cheap to clone; clones share one source.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// The box's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Mutex::new(start))))
    }

    /// The present moment, to the millisecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the clock")]
            Source::System => Timestamp::now(),
            Source::Manual(now) => *now.lock().expect("nothing panics while it holds the clock"),
        };
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Moves a manual clock forward; the system's clock is not ours to move and stays.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            let mut now = now.lock().expect("nothing panics while it holds the clock");
            *now = after(*now, by);
        }
    }
}

/// `at` + `by`, at most the end of time.
#[must_use]
pub fn after(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// How long from `from` to `to`; zero if `to` is not later.
#[must_use]
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The form in which the database and `--json` carry a time: `2026-11-23T20:30:00.123Z`.
#[must_use]
pub fn text(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Reads [`text`] back, and any other RFC 3339 time with an offset.
///
/// # Errors
/// When `text` is not such a time.
pub fn parse(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_width_and_reads_back() {
        for ms in [0, 1, 999, 1_763_929_800_123, 4_102_444_800_000] {
            let at = Timestamp::from_millisecond(ms).unwrap();
            assert_eq!(text(at).len(), "2026-11-23T20:30:00.123Z".len());
            assert_eq!(parse(&text(at)).unwrap(), at);
        }
    }

    #[test]
    fn offsets_become_utc() {
        assert_eq!(text(parse("2026-11-23T15:30:00-05:00").unwrap()), "2026-11-23T20:30:00.000Z");
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(1500));
        assert_eq!(text(clock.now()), "1970-01-01T00:00:01.500Z");
    }
}
