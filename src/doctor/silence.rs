//! Judges whether a source that usually sends events is silent, by its own rhythm of the last weeks.
//!
//! The rhythm is the mean number of events in each hour of the week. A span of time is measured by the number of events
//! that the rhythm expects in it: a quiet night counts almost nothing, an hour in the middle of a working day much. So
//! all gaps between events can be compared. A gap is a silence if it is twice as long as the longest gap of the last
//! weeks, and long in itself. A source without enough history is never silent.

/// Hours of a week.
const WEEK_HOURS: usize = 168;
/// Most weeks of history.
pub(crate) const HISTORY_WEEKS_MAX: usize = 8;
/// Fewest whole weeks of history.
const HISTORY_WEEKS_MIN: usize = 3;
/// Fewest events in the history: a source with fewer has no rhythm.
const HISTORY_EVENTS_MIN: f64 = 100.0;
/// Fewest events that the rhythm expects in a silence. With events that come independently, one gap of 160,000 is that
/// long by chance.
const EXPECTED_EVENTS_MIN: f64 = 12.0;
/// Least length of a silence, as a multiple of the longest gap of the history.
const LONGEST_GAP_FACTOR: f64 = 2.0;
/// Fewest hours of a silence: counts by hour show nothing shorter.
const SILENT_HOURS_MIN: f64 = 1.0;

/// A source that is silent against its rhythm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Silence {
    /// Whole hours since the last hour with an event.
    pub hours: usize,
    /// Number of events that the rhythm expects in this time.
    pub expected_events: f64,
}

/// Returns the silence of a source; None if it is not silent, or if nobody can know.
///
/// `counts` has the number of events of each hour from the first event, or from [`HISTORY_WEEKS_MAX`] weeks before, up
/// to the current hour. `current_fraction` is the part of the current hour that is over, from 0 to 1.
pub(crate) fn find_silence(counts: &[u32], current_fraction: f64) -> Option<Silence> {
    let last = counts.iter().rposition(|count| *count > 0)?;
    let silent_hours = counts.len() - 1 - last;
    // The rhythm is the one before the silence, in whole weeks.
    let weeks = ((last + 1) / WEEK_HOURS).min(HISTORY_WEEKS_MAX);
    if weeks < HISTORY_WEEKS_MIN || silent_hours == 0 {
        return None;
    }
    let history = &counts[last + 1 - weeks * WEEK_HOURS..=last];
    if history.iter().map(|count| f64::from(*count)).sum::<f64>() < HISTORY_EVENTS_MIN {
        return None;
    }
    let rhythm = compute_rhythm(history, weeks);
    // The hours after the history begin at the same hour of the week as the history itself.
    let expected_of = |hour: usize| rhythm[hour % WEEK_HOURS];
    let whole_hours: f64 = (0..silent_hours - 1).map(expected_of).sum();
    let expected_events = whole_hours + expected_of(silent_hours - 1) * current_fraction;
    let longest_gap = find_longest_gap(history, &rhythm);
    #[expect(clippy::cast_precision_loss, reason = "the number of hours is small")]
    let elapsed_hours = (silent_hours - 1) as f64 + current_fraction;
    let is_silent = expected_events >= EXPECTED_EVENTS_MIN
        && expected_events >= LONGEST_GAP_FACTOR * longest_gap
        && elapsed_hours >= SILENT_HOURS_MIN;
    is_silent.then_some(Silence { hours: silent_hours - 1, expected_events })
}

/// Returns the mean number of events in each hour of the week. An hour shares its events with its neighbours, because
/// people do not begin to the minute, and summer time moves them.
fn compute_rhythm(history: &[u32], weeks: usize) -> Vec<f64> {
    let mut sums = vec![0.0; WEEK_HOURS];
    for (hour, count) in history.iter().enumerate() {
        sums[hour % WEEK_HOURS] += f64::from(*count);
    }
    #[expect(clippy::cast_precision_loss, reason = "the number of weeks is small")]
    let share = 3.0 * weeks as f64;
    (0..WEEK_HOURS)
        .map(|hour| {
            let before = sums[(hour + WEEK_HOURS - 1) % WEEK_HOURS];
            (before + sums[hour] + sums[(hour + 1) % WEEK_HOURS]) / share
        })
        .collect()
}

/// Returns the number of events that the rhythm expects in the longest gap of the history.
fn find_longest_gap(history: &[u32], rhythm: &[f64]) -> f64 {
    let (mut longest, mut gap) = (0.0_f64, 0.0);
    for (hour, count) in history.iter().enumerate() {
        gap = if *count > 0 { 0.0 } else { gap + rhythm[hour % WEEK_HOURS] };
        longest = longest.max(gap);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Random numbers from a seed, so that a failure can be repeated.
    struct Traffic(fastrand::Rng);

    impl Traffic {
        /// Returns the number of events of one hour with this mean (Poisson).
        fn count(&mut self, mean: f64) -> u32 {
            let (limit, mut product, mut count) = ((-mean).exp(), self.0.f64(), 0);
            while product > limit {
                product *= self.0.f64();
                count += 1;
            }
            count
        }

        /// Returns weeks of a shop with `peak` events an hour at daytime, a twentieth of it at night, half at weekends.
        fn shop(&mut self, weeks: usize, peak: f64) -> Vec<u32> {
            (0..weeks * WEEK_HOURS).map(|hour| self.count(shop_mean(hour, peak))).collect()
        }
    }

    fn shop_mean(hour: usize, peak: f64) -> f64 {
        let day = if hour / 24 % 7 >= 5 { 0.5 } else { 1.0 };
        let time = if (8..20).contains(&(hour % 24)) { 1.0 } else { 0.05 };
        peak * day * time
    }

    /// Returns the first hour after the history at which the source counts as silent, if no event arrives any more.
    fn detect_after(history: &[u32], hours_max: usize) -> Option<usize> {
        (1..hours_max).find(|hours| find_silence(&[history, &vec![0; *hours]].concat(), 0.99).is_some())
    }

    #[test]
    fn busy_source_is_silent_within_hours() {
        let mut traffic = Traffic(fastrand::Rng::with_seed(1));
        // It ends on a Monday at noon.
        let history = [traffic.shop(8, 20.0), traffic.shop(1, 20.0)[..12].to_vec()].concat();
        let hours = detect_after(&history, 48).expect("it is silent");
        assert!(hours <= 3, "{hours}");
        // At night the same source is quiet for hours, and that is no silence.
        let evening = [traffic.shop(8, 20.0), traffic.shop(1, 20.0)[..20].to_vec(), vec![0; 10]].concat();
        assert_eq!(find_silence(&evening, 0.5), None);
    }

    #[test]
    fn source_that_rests_at_weekends_is_not_silent_then() {
        let week: Vec<u32> =
            (0..WEEK_HOURS).map(|hour| if hour / 24 < 5 && (9..17).contains(&(hour % 24)) { 10 } else { 0 }).collect();
        let until_friday = [week.repeat(5), week[..5 * 24 - 7].to_vec()].concat();
        let weekend = 7 + 2 * 24;
        for hours in 1..weekend + 9 {
            assert_eq!(find_silence(&[until_friday.clone(), vec![0; hours]].concat(), 0.99), None, "{hours}");
        }
        let monday_noon = [until_friday, vec![0; weekend + 14]].concat();
        assert!(find_silence(&monday_noon, 0.5).is_some(), "it usually sends on a Monday morning");
    }

    #[test]
    fn source_without_history_is_never_silent() {
        let mut traffic = Traffic(fastrand::Rng::with_seed(2));
        assert_eq!(find_silence(&[], 0.5), None);
        assert_eq!(find_silence(&[0; 500], 0.5), None);
        let two_weeks = [traffic.shop(2, 50.0), vec![0; 100]].concat();
        assert_eq!(find_silence(&two_weeks, 0.5), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Nobody hears of a shop with three events a week, however they are spread.
        #[test]
        fn shop_with_three_events_a_week_is_never_silent(seed: u64, burst in 1_u32..=3, silent_days in 0_usize..60) {
            let mut traffic = Traffic(fastrand::Rng::with_seed(seed));
            let mean = 3.0 / f64::from(burst) / 168.0;
            let mut counts: Vec<u32> = (0..26 * WEEK_HOURS).map(|_| traffic.count(mean) * burst).collect();
            counts.extend(vec![0; silent_days * 24 + 1]);
            for end in (4 * WEEK_HOURS..=counts.len()).step_by(11) {
                let start = end.saturating_sub((HISTORY_WEEKS_MAX + 1) * WEEK_HOURS);
                prop_assert_eq!(find_silence(&counts[start..end], 0.9), None);
            }
        }

        /// A source that sends by its rhythm is not silent at any hour of half a year.
        #[test]
        fn source_that_follows_its_rhythm_is_not_silent(seed: u64, peak in 0.2_f64..60.0) {
            let mut traffic = Traffic(fastrand::Rng::with_seed(seed));
            let counts = traffic.shop(26, peak);
            for end in (4 * WEEK_HOURS..=counts.len()).step_by(5) {
                let start = end.saturating_sub((HISTORY_WEEKS_MAX + 1) * WEEK_HOURS);
                prop_assert_eq!(find_silence(&counts[start..end], 0.9), None);
            }
        }

        /// A source that stops is found, sooner the more it sends.
        #[test]
        fn source_that_stops_is_silent(seed: u64, peak in 1.0_f64..60.0) {
            let mut traffic = Traffic(fastrand::Rng::with_seed(seed));
            let history = traffic.shop(8, peak);
            let hours = detect_after(&history, 2 * WEEK_HOURS);
            prop_assert!(hours.is_some());
            let expected: f64 = (0..hours.unwrap_or_default()).map(|hour| shop_mean(hour, peak)).sum();
            prop_assert!(expected < 80.0 + 2.0 * peak, "{expected} events are missing after {hours:?} hours");
        }
    }
}
