//! Retention: deletes old events by the rules of `[retention]`, so that the database does not grow for ever.
//!
//! The loop also checks the disk and the clock. On a nearly full disk it deletes bodies early. After the clock jumped
//! ahead it deletes nothing for a day.

use crate::clock::Timestamp;
use crate::store::db::prune::{PruneSummary, RetentionRule};
use crate::store::{Store, StoreError};
use crate::text::format_count;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Settings of `[retention]`: how long to keep events, and the limits of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Time between two passes.
    pub interval: Duration,
    /// Use of the disk, in percent, at which the log warns.
    pub warn_percent: u64,
    /// Use of the disk, in percent, at which bodies of completed events are deleted after `disk_pressure_body_age`,
    /// even if a rule keeps them.
    pub disk_pressure_percent: u64,
    /// None keeps the bodies.
    pub disk_pressure_body_age: Option<Duration>,
    pub rules: Vec<RetentionRule>,
}

/// Time between two checks of the disk. The writer has its own check before each batch.
const DISK_CHECK_INTERVAL: Duration = Duration::from_mins(1);
/// Time after which a warning about the disk is repeated.
const DISK_WARNING_INTERVAL: Duration = Duration::from_hours(1);
/// Shortest time between two passes for disk pressure.
const DISK_PRESSURE_INTERVAL: Duration = Duration::from_mins(10);
/// Pause between two jobs. Requests share the writer with them, and wait for one job at most.
const JOB_PAUSE: Duration = Duration::from_millis(20);
/// The same in another process than the daemon, because the daemon looks for the lock every few milliseconds.
pub const JOB_PAUSE_BESIDE_DAEMON: Duration = Duration::from_millis(50);
/// Difference between wall clock and monotonic clock above which someone or something has set the wall clock.
const CLOCK_JUMP_MIN: Duration = Duration::from_hours(12);
/// Time without deletions after a jump: an operator may set the clock back.
const CLOCK_JUMP_DELAY: Duration = Duration::from_hours(24);
/// Time between the start and the first pass, because other work is more important at the start.
const FIRST_PASS_DELAY: Duration = Duration::from_secs(30);

impl RetentionSettings {
    /// Returns the rules for disk pressure: bodies of completed events stay for at most `disk_pressure_body_age`.
    #[must_use]
    pub fn disk_pressure_rules(&self) -> Vec<RetentionRule> {
        let Some(age_max) = self.disk_pressure_body_age else { return self.rules.clone() };
        let mut rules = self.rules.clone();
        for rule in rules.iter_mut().filter(|rule| rule.status == "completed") {
            rule.keep_bodies_for = Some(rule.keep_bodies_for.map_or(age_max, |age| age.min(age_max)));
        }
        if !rules.iter().any(|rule| rule.status == "completed" && rule.source.is_none()) {
            rules.push(RetentionRule {
                source: None,
                status: "completed".to_owned(),
                keep_bodies_for: Some(age_max),
                keep_events_for: None,
            });
        }
        rules
    }
}

/// Runs retention passes until `stop` becomes true. Each pass uses the settings of that moment.
///
/// `longest_wait` is the longest time for which a correct clock postpones an attempt.
pub async fn run_retention(
    store: Store,
    settings: watch::Receiver<RetentionSettings>,
    longest_wait: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut next_pass_at = Instant::now() + FIRST_PASS_DELAY;
    let mut last_pressure_pass: Option<Instant> = None;
    let mut disk_warning = DiskWarning::default();
    let mut clock = ClockMonitor { wall_time: store.clock.now(), monotonic_time: Instant::now() };
    loop {
        reset_distant_due_times(&store, longest_wait).await;
        let wait = DISK_CHECK_INTERVAL.min(next_pass_at.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Some(jump) = clock.detect_jump(store.clock.now(), Instant::now()) {
            warn!(
                "the system clock jumped ahead by {} hours; retention deletes nothing for a day. If the clock is \
                 wrong, set it",
                jump.as_secs() / 3600
            );
            next_pass_at = Instant::now() + CLOCK_JUMP_DELAY;
        }
        let current = settings.borrow().clone();
        let used_percent = store.disk_used_percent().unwrap_or(0);
        disk_warning.check(used_percent, &current);
        let is_under_pressure = used_percent >= current.disk_pressure_percent;
        let is_pressure_pass_due =
            is_under_pressure && last_pressure_pass.is_none_or(|at| at.elapsed() >= DISK_PRESSURE_INTERVAL);
        if Instant::now() < next_pass_at && !is_pressure_pass_due {
            continue;
        }
        if is_under_pressure {
            last_pressure_pass = Some(Instant::now());
        }
        next_pass_at = Instant::now() + current.interval;
        // The first pass after years can take long, so a stop does not wait for its end.
        tokio::select! {
            () = run_retention_pass(&store, &current, is_under_pressure) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Makes attempts due that a clock far ahead postponed.
async fn reset_distant_due_times(store: &Store, longest_wait: Duration) {
    match store.reset_distant_due_times(longest_wait).await {
        Ok(0) => {}
        Ok(count) => {
            let postponed = format_count(count, "event or delivery", "events or deliveries");
            warn!(count, "a clock that was far ahead had postponed {postponed}, due now");
        }
        Err(error) => {
            warn!("the database could not be searched for events and deliveries that a wrong clock postponed: {error}");
        }
    }
}

/// Warns when the disk fills up, and again each hour until it has space.
#[derive(Default)]
struct DiskWarning {
    last_warning: Option<Instant>,
}

impl DiskWarning {
    fn check(&mut self, used_percent: u64, settings: &RetentionSettings) {
        if used_percent < settings.warn_percent {
            self.last_warning = None;
        } else if self.last_warning.is_none_or(|at| at.elapsed() >= DISK_WARNING_INTERVAL) {
            self.last_warning = Some(Instant::now());
            warn!(
                "the disk of the database is {used_percent} % full; at {} % retention deletes old bodies, and below \
                 store.min_free_bytes the store refuses new events. Free space on this disk",
                settings.disk_pressure_percent
            );
        }
    }
}

/// The wall clock and the monotonic clock at the same moment.
struct ClockMonitor {
    wall_time: Timestamp,
    monotonic_time: Instant,
}

impl ClockMonitor {
    /// Returns by how much the wall clock ran ahead of the monotonic clock since the last call, if that is a jump.
    fn detect_jump(&mut self, wall_time: Timestamp, monotonic_time: Instant) -> Option<Duration> {
        let wall_elapsed = Duration::try_from(wall_time.duration_since(self.wall_time)).unwrap_or(Duration::ZERO);
        let jump = wall_elapsed.saturating_sub(monotonic_time.duration_since(self.monotonic_time));
        *self = Self { wall_time, monotonic_time };
        (jump > CLOCK_JUMP_MIN).then_some(jump)
    }
}

async fn run_retention_pass(store: &Store, settings: &RetentionSettings, is_under_pressure: bool) {
    let rules = if is_under_pressure { settings.disk_pressure_rules() } else { settings.rules.clone() };
    match prune_and_shrink(store, &rules, is_under_pressure, JOB_PAUSE).await {
        Ok((PruneSummary { bodies: 0, events: 0, .. }, 0)) => {}
        Ok((pruned, pages)) => info!(
            bodies = pruned.bodies,
            bytes = pruned.bytes,
            events = pruned.events,
            pages,
            "retention deleted old events and bodies"
        ),
        Err(error) => error!("a retention pass failed; the next pass deletes the remaining old events: {error}"),
    }
}

/// Deletes old events and returns the free pages to the disk. Returns what it deleted, and the number of pages.
///
/// With `all`, no free pages stay in the file for new events.
pub async fn prune_and_shrink(
    store: &Store,
    rules: &[RetentionRule],
    all: bool,
    pause: Duration,
) -> Result<(PruneSummary, u64), StoreError> {
    let pruned = store.prune_events(rules, false, pause).await?;
    Ok((pruned, store.vacuum_free_pages(all, pause).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clock_jump_forward_is_detected() {
        let (wall, monotonic) = ("2026-11-24T10:00:00Z".parse::<Timestamp>().unwrap(), Instant::now());
        let hours = |count: u64| Duration::from_hours(count);
        let mut clock = ClockMonitor { wall_time: wall, monotonic_time: monotonic };
        let later = |by: u64| crate::clock::add_duration(wall, hours(by));
        assert_eq!(clock.detect_jump(later(30), monotonic + hours(30)), None, "more than a day between two checks");
        assert_eq!(clock.detect_jump(later(1000), monotonic + hours(31)), Some(hours(969)));
        assert_eq!(clock.detect_jump(later(1001), monotonic + hours(32)), None, "a jump is reported once");
        assert_eq!(clock.detect_jump(wall, monotonic + hours(33)), None, "a clock that is set back");
    }

    #[test]
    fn disk_pressure_limits_bodies_except_of_failed_events() {
        let day = Duration::from_hours(24);
        let rule = |source: Option<&str>, status: &str, bodies: Option<Duration>| RetentionRule {
            source: source.map(str::to_owned),
            status: status.to_owned(),
            keep_bodies_for: bodies,
            keep_events_for: None,
        };
        let retention = RetentionSettings {
            interval: day,
            warn_percent: 90,
            disk_pressure_percent: 95,
            disk_pressure_body_age: Some(7 * day),
            rules: vec![
                rule(Some("sps"), "completed", None),
                rule(Some("shopify"), "completed", Some(day)),
                rule(None, "failed", None),
            ],
        };
        let rules = retention.disk_pressure_rules();
        assert_eq!(
            rules,
            [
                rule(Some("sps"), "completed", Some(7 * day)),
                rule(Some("shopify"), "completed", Some(day)),
                rule(None, "failed", None),
                rule(None, "completed", Some(7 * day)),
            ]
        );
    }
}
