//! The only module that reads the system clock, so that a test can use a manual one.
//!
//! Code uses [`Timestamp`]s. The database stores the text of [`format_timestamp`]: UTC, to the millisecond, with a
//! fixed width, so that SQLite's order of texts is the order of times.

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use jiff::Timestamp;

/// A source of the current time. Cheap to clone; clones share the source.
#[derive(Clone)]
pub struct Clock(ClockSource);

#[derive(Clone)]
enum ClockSource {
    System,
    Manual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// Returns the system clock.
    #[must_use]
    pub fn system() -> Self {
        Self(ClockSource::System)
    }

    /// Returns a clock that shows `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(ClockSource::Manual(Arc::new(Mutex::new(start))))
    }

    /// Returns the current time, to the millisecond.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the clock")]
            ClockSource::System => Timestamp::now(),
            ClockSource::Manual(now) => *now.lock().expect("nothing panics while it holds the clock"),
        };
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Moves a manual clock forward. Does nothing to the system clock.
    pub fn advance(&self, by: Duration) {
        if let ClockSource::Manual(now) = &self.0 {
            let mut now = now.lock().expect("nothing panics while it holds the clock");
            *now = add_duration(*now, by);
        }
    }
}

/// Returns a time for a file name, such as `20261124T133059Z`.
#[must_use]
pub fn format_file_timestamp(at: Timestamp) -> String {
    let digits: String =
        format_timestamp(at).chars().filter(|letter| letter.is_ascii_digit() || *letter == 'T').collect();
    format!("{}Z", digits.get(..15).unwrap_or(&digits))
}

/// Returns `at` + `by`, at most [`Timestamp::MAX`].
#[must_use]
pub fn add_duration(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Returns the time from `from` to `to`; zero if `to` is not later.
#[must_use]
pub fn duration_between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// Formats a time as the database and `--json` have it: `2026-11-23T20:30:00.123Z`.
#[must_use]
pub fn format_timestamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Parses a time without an offset, such as `2026-11-23T20:30:00`, or a date alone, as a time in UTC.
pub fn parse_zoneless_timestamp(text: &str) -> Result<Timestamp, jiff::Error> {
    let local: jiff::civil::DateTime = text.parse()?;
    jiff::tz::TimeZone::UTC.to_timestamp(local)
}

/// Parses the text of [`format_timestamp`], and any other RFC 3339 time with an offset.
pub fn parse_timestamp(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_timestamp_has_fixed_width_and_parses_back() {
        for ms in [0, 1, 999, 1_763_929_800_123, 4_102_444_800_000] {
            let at = Timestamp::from_millisecond(ms).unwrap();
            assert_eq!(format_timestamp(at).len(), "2026-11-23T20:30:00.123Z".len());
            assert_eq!(parse_timestamp(&format_timestamp(at)).unwrap(), at);
        }
    }

    #[test]
    fn timestamp_with_offset_becomes_utc() {
        assert_eq!(format_timestamp(parse_timestamp("2026-11-23T15:30:00-05:00").unwrap()), "2026-11-23T20:30:00.000Z");
    }

    #[test]
    fn manual_clock_moves_only_on_advance() {
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(1500));
        assert_eq!(format_timestamp(clock.now()), "1970-01-01T00:00:01.500Z");
    }
}
