//! Times for people: in the zone of the machine, with their age; and the times that people write as arguments.

use crate::clock::{self, Clock, Timestamp};
use crate::text::format_count;
use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

/// The form of the times that a command prints, and the zone in which it reads the times of its arguments.
#[derive(Debug, Clone)]
pub(crate) struct TimeFormat {
    zone: TimeZone,
    now: Timestamp,
    /// JSON and CSV have each time as it is stored.
    is_stored_form: bool,
}

impl TimeFormat {
    /// Returns the form for the zone of the machine (`TZ`, else `/etc/localtime`), or for UTC. A machine without zone
    /// data is in UTC, and its times say so.
    pub(crate) fn detect(utc: bool) -> Self {
        let zone = if utc { TimeZone::UTC } else { TimeZone::try_system().unwrap_or(TimeZone::UTC) };
        Self { zone, now: Clock::system().now(), is_stored_form: false }
    }

    /// Returns the form for JSON or CSV if `is_for_programs`, else this form.
    pub(crate) fn for_programs(self, is_for_programs: bool) -> Self {
        Self { is_stored_form: is_for_programs, ..self }
    }

    /// Returns a stored time as `2026-11-23 15:30:00 EST`. A text that is no time stays as it is.
    pub(crate) fn format_time(&self, stored: &str) -> String {
        self.format_as(stored, "%Y-%m-%d %H:%M:%S %Z")
    }

    /// Returns a stored time with its milliseconds, for steps that follow each other within a second.
    pub(crate) fn format_precise_time(&self, stored: &str) -> String {
        self.format_as(stored, "%Y-%m-%d %H:%M:%S%.3f %Z")
    }

    /// Returns a stored time without seconds, for the start of a period.
    pub(crate) fn format_minute(&self, stored: &str) -> String {
        self.format_as(stored, "%Y-%m-%d %H:%M %Z")
    }

    /// Returns a stored time with its age: `2026-11-23 15:30:00 EST (4 min ago)`.
    pub(crate) fn format_time_with_age(&self, stored: &str) -> String {
        match self.format_age(stored) {
            Some(age) => format!("{} ({age})", self.format_time(stored)),
            None => self.format_time(stored),
        }
    }

    /// Returns the age of a stored time: `4 min ago`, or `in 4 min` for a time ahead. Returns None for a text that is
    /// no time, and in JSON and CSV.
    pub(crate) fn format_age(&self, stored: &str) -> Option<String> {
        let at = clock::parse_timestamp(stored).ok().filter(|_| !self.is_stored_form)?;
        Some(describe_age(at, self.now))
    }

    fn format_as(&self, stored: &str, pattern: &str) -> String {
        match clock::parse_timestamp(stored) {
            Ok(at) if !self.is_stored_form => at.to_zoned_datetime(self.zone.clone()).strftime(pattern).to_string(),
            _ => stored.to_owned(),
        }
    }
}

/// Returns the age of `at` in its largest unit. A unit is a symbol, so that it has no plural, except for days.
fn describe_age(at: Timestamp, now: Timestamp) -> String {
    let is_ahead = at > now;
    let distance = if is_ahead { clock::duration_between(now, at) } else { clock::duration_between(at, now) };
    let seconds = distance.as_secs();
    let amount = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format_count(seconds / 86_400, "day", "days"),
    };
    if is_ahead { format!("in {amount}") } else { format!("{amount} ago") }
}

/// A time that a person wrote as an argument. Its zone is known only after all arguments are read.
#[derive(Debug, Clone)]
pub(crate) enum TimeArg {
    /// A time with an offset.
    Instant(Timestamp),
    /// A date, or a date and a time, in the zone of the command.
    Local(DateTime),
    /// The start of today, or of the day that many days before.
    StartOfDay { days_ago: i64 },
    /// An age, which is never negative.
    Age(Span),
}

/// Accepted forms of a time, for the error of another form.
const TIME_FORMS: &str = "write a time such as 2026-11-23T20:30:00Z or '2026-11-23 20:30', a day such as 2026-11-23, \
                          today or yesterday, or an age such as 30m, 2h, 3d or '2 days ago'";

/// Parses a time, a day or an age.
pub(crate) fn parse_time_arg(text: &str) -> Result<TimeArg, String> {
    let lower = text.trim().to_ascii_lowercase();
    if let Ok(at) = clock::parse_timestamp(text.trim()) {
        return Ok(TimeArg::Instant(at));
    }
    match lower.as_str() {
        "today" => return Ok(TimeArg::StartOfDay { days_ago: 0 }),
        "yesterday" => return Ok(TimeArg::StartOfDay { days_ago: 1 }),
        "0" | "now" => return Ok(TimeArg::Age(Span::new())),
        _ => {}
    }
    // jiff reads a zone in brackets, and an offset, as a civil time and drops them.
    let is_civil = lower.chars().all(|letter| letter.is_ascii_digit() || "-:. t".contains(letter));
    if is_civil && let Ok(at) = lower.parse::<DateTime>() {
        return Ok(TimeArg::Local(at));
    }
    let age = lower.strip_suffix("ago").map_or(lower.as_str(), str::trim_end);
    match age.parse::<Span>() {
        Ok(span) if !span.is_negative() => Ok(TimeArg::Age(span)),
        _ => Err(TIME_FORMS.to_owned()),
    }
}

impl TimeArg {
    /// Returns the time as the database stores times. A local time that a change of the clocks skips or repeats is read
    /// as most programs read it: skipped ones move forward, and of two the first counts. A time out of range is the
    /// first or last one in range.
    pub(crate) fn resolve(&self, format: &TimeFormat) -> String {
        let today = || format.now.to_zoned_datetime(format.zone.clone()).date();
        let at = match self {
            Self::Instant(at) => *at,
            Self::Local(at) => find_local_time(&format.zone, *at),
            Self::StartOfDay { days_ago } => {
                let day = today().checked_sub(days_ago.days()).unwrap_or(civil::Date::MIN);
                find_local_time(&format.zone, day.at(0, 0, 0, 0))
            }
            Self::Age(age) => {
                let earlier = format.now.to_zoned_datetime(format.zone.clone()).checked_sub(*age);
                earlier.map_or(Timestamp::MIN, |at| at.timestamp())
            }
        };
        clock::format_timestamp(at)
    }
}

fn find_local_time(zone: &TimeZone, at: DateTime) -> Timestamp {
    let out_of_range = if at.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    zone.to_timestamp(at).unwrap_or(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// New York's rule without zone data: the clocks go forward on 8 March 2026 at 2:00 and back on 1 November.
    fn new_york(now: &str) -> TimeFormat {
        let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
        TimeFormat { zone, now: now.parse().unwrap(), is_stored_form: false }
    }

    fn resolve(text: &str, now: &str) -> String {
        parse_time_arg(text).unwrap().resolve(&new_york(now))
    }

    #[test]
    fn stored_time_is_printed_in_the_zone_with_its_age() {
        let format = new_york("2026-11-23T20:34:10.000Z");
        let stored = "2026-11-23T20:30:00.123Z";
        assert_eq!(format.format_time(stored), "2026-11-23 15:30:00 EST");
        assert_eq!(format.format_time("2026-07-01T20:30:00.000Z"), "2026-07-01 16:30:00 EDT");
        assert_eq!(format.format_precise_time(stored), "2026-11-23 15:30:00.123 EST");
        assert_eq!(format.format_minute(stored), "2026-11-23 15:30 EST");
        assert_eq!(format.format_time_with_age(stored), "2026-11-23 15:30:00 EST (4 min ago)");
        assert_eq!(format.format_time_with_age("soon"), "soon", "a text that is no time stays");
        let for_programs = format.for_programs(true);
        assert_eq!(for_programs.format_time_with_age(stored), stored);
        let utc = TimeFormat { zone: TimeZone::UTC, ..new_york("2026-11-23T20:34:10Z") };
        assert_eq!(utc.format_time(stored), "2026-11-23 20:30:00 UTC");
    }

    #[test]
    fn zone_without_a_name_is_printed_as_its_offset() {
        let zone = TimeZone::posix("<-03>3").unwrap();
        let format = TimeFormat { zone, now: Timestamp::UNIX_EPOCH, is_stored_form: false };
        assert_eq!(format.format_time("2026-11-23T20:30:00.123Z"), "2026-11-23 17:30:00 -03");
    }

    #[test]
    fn age_has_its_largest_unit() {
        let now: Timestamp = "2026-11-23T20:30:00Z".parse().unwrap();
        let cases = [
            (0, "now", "now"),
            (1, "1 s ago", "in 1 s"),
            (59, "59 s ago", "in 59 s"),
            (60, "1 min ago", "in 1 min"),
            (3_599, "59 min ago", "in 59 min"),
            (3_600, "1 h ago", "in 1 h"),
            (86_399, "23 h ago", "in 23 h"),
            (86_400, "1 day ago", "in 1 day"),
            (864_000, "10 days ago", "in 10 days"),
        ];
        for (seconds, past, ahead) in cases {
            let distance = std::time::Duration::from_secs(seconds);
            assert_eq!(describe_age(now - distance, now), past);
            assert_eq!(describe_age(now + distance, now), ahead);
        }
    }

    #[test]
    fn days_begin_at_local_midnight() {
        // 22:30 on 23 November in New York.
        let now = "2026-11-24T03:30:00Z";
        assert_eq!(resolve("today", now), "2026-11-23T05:00:00.000Z");
        assert_eq!(resolve("Yesterday", now), "2026-11-22T05:00:00.000Z");
        assert_eq!(resolve("2026-11-20", now), "2026-11-20T05:00:00.000Z");
        assert_eq!(resolve("2026-11-20 15:30", now), "2026-11-20T20:30:00.000Z");
        assert_eq!(resolve("2026-11-20T15:30:10", now), "2026-11-20T20:30:10.000Z");
        assert_eq!(resolve("2026-11-20T15:30:10+01:00", now), "2026-11-20T14:30:10.000Z", "an offset counts");
        assert_eq!(resolve("2026-11-20T15:30:10Z", now), "2026-11-20T15:30:10.000Z");
    }

    #[test]
    fn ages_are_read_in_words_and_in_short() {
        let now = "2026-11-23T20:30:00Z";
        for (text, expected) in [
            ("30m", "2026-11-23T20:00:00.000Z"),
            ("2h", "2026-11-23T18:30:00.000Z"),
            ("1h 30m", "2026-11-23T19:00:00.000Z"),
            ("4 min ago", "2026-11-23T20:26:00.000Z"),
            ("3d", "2026-11-20T20:30:00.000Z"),
            ("2 days ago", "2026-11-21T20:30:00.000Z"),
            ("1 day", "2026-11-22T20:30:00.000Z"),
            ("1 week ago", "2026-11-16T20:30:00.000Z"),
            ("400d", "2025-10-19T19:30:00.000Z"),
            ("0", "2026-11-23T20:30:00.000Z"),
        ] {
            assert_eq!(resolve(text, now), expected, "{text}");
        }
        assert_eq!(resolve("15000 years", now), clock::format_timestamp(Timestamp::MIN));
    }

    #[test]
    fn skipped_and_repeated_local_times_have_one_meaning() {
        let now = "2026-11-23T20:30:00Z";
        assert_eq!(resolve("2026-03-08 02:30", now), "2026-03-08T07:30:00.000Z", "3:30 EDT: 2:30 does not exist");
        assert_eq!(resolve("2026-11-01 01:30", now), "2026-11-01T05:30:00.000Z", "the first of two: EDT");
        // The day of the change has 25 hours.
        assert_eq!(resolve("1 day ago", "2026-11-02T04:30:00Z"), "2026-11-01T03:30:00.000Z");
    }

    #[test]
    fn other_forms_are_refused_with_the_accepted_ones() {
        let wrong =
            ["", "yesterdayish", "-2h", "tomorrow", "2026-13-01", "17", "2026-11-20T15:30[Europe/Paris]", "ago"];
        for text in wrong {
            assert_eq!(parse_time_arg(text).unwrap_err(), TIME_FORMS, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_a_time(text in "\\PC{0,24}|[0-9TZ:. +-]{0,24}|[0-9]{1,20} ?[a-z]{1,8}( ago)?") {
            if let Ok(arg) = parse_time_arg(&text) {
                let resolved = arg.resolve(&new_york("2026-11-23T20:30:00Z"));
                prop_assert!(clock::parse_timestamp(&resolved).is_ok(), "{resolved}");
            }
        }

        #[test]
        fn printed_time_is_read_back(second in 0_i64..4_000_000_000) {
            let at = Timestamp::from_second(second).unwrap();
            let format = TimeFormat { zone: TimeZone::posix("<+0545>-5:45").unwrap(), now: at, is_stored_form: false };
            let printed = format.format_time(&clock::format_timestamp(at));
            let read = parse_time_arg(printed.trim_end_matches(" +0545")).unwrap().resolve(&format);
            prop_assert_eq!(read, clock::format_timestamp(at));
        }

        #[test]
        fn age_in_seconds_is_exact(seconds in 0_i64..100_000_000) {
            let now: Timestamp = "2026-11-23T20:30:00Z".parse().unwrap();
            let read = parse_time_arg(&format!("{seconds}s")).unwrap().resolve(&new_york("2026-11-23T20:30:00Z"));
            prop_assert_eq!(read, clock::format_timestamp(now - Span::new().seconds(seconds)));
        }
    }
}
