//! Keeping the database from growing for ever: what is old is taken off by the rules, and an eye is kept on the disk.

use crate::clock::Timestamp;
use crate::store::prune::{Pruned, Rule};
use crate::store::{Store, StoreError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// How long events are kept, and what is done when the disk fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Between two passes.
    pub every: Duration,
    /// At so much of the disk people are told.
    pub warn_percent: u64,
    /// At so much of it bodies of completed events go that are older than `squeeze_bodies`, whatever the rules keep.
    pub squeeze_percent: u64,
    /// `None`: they stay.
    pub squeeze_bodies: Option<Duration>,
    pub rules: Vec<Rule>,
}

/// How often the disk is looked at; the writer looks for itself before each delivery.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// What is not mended is told again after this.
const TELL_EVERY: Duration = Duration::from_hours(1);
/// Between two squeezes.
const SQUEEZE_EVERY: Duration = Duration::from_mins(10);
/// Between two jobs: deliveries share the writer with it, and wait for one job at most.
const REST: Duration = Duration::from_millis(20);
/// The same in another process than the daemon, which looks for the lock every few milliseconds.
pub const REST_BESIDE: Duration = Duration::from_millis(50);
/// A clock that runs ahead of the time that passes by more than this was set: by a person, or wrongly.
const JUMP: Duration = Duration::from_hours(12);
/// What is old by a clock that was set ahead stays so long: somebody may set it back.
const AFTER_JUMP: Duration = Duration::from_hours(24);
/// After a start there is more important work first.
const FIRST: Duration = Duration::from_secs(30);

impl Retention {
    /// The rules for a disk that fills up: completed events' bodies are kept for `squeeze_bodies` at most.
    #[must_use]
    pub fn squeezed(&self) -> Vec<Rule> {
        let Some(most) = self.squeeze_bodies else { return self.rules.clone() };
        let mut rules = self.rules.clone();
        for rule in rules.iter_mut().filter(|rule| rule.status == "completed") {
            rule.bodies = Some(rule.bodies.map_or(most, |bodies| bodies.min(most)));
        }
        if !rules.iter().any(|rule| rule.status == "completed" && rule.source.is_none()) {
            rules.push(Rule { source: None, status: "completed".to_owned(), bodies: Some(most), rows: None });
        }
        rules
    }
}

/// Runs until `stop` turns true, by the rules that hold now.
///
/// `latest`: nothing is ever put off longer by a clock that is right.
pub async fn run(store: Store, current: watch::Receiver<Retention>, latest: Duration, mut stop: watch::Receiver<bool>) {
    let mut due = Instant::now() + FIRST;
    let (mut told, mut squeezed): (Option<Instant>, Option<Instant>) = (None, None);
    let mut seen = Seen { wall: store.clock.now(), passed: Instant::now() };
    loop {
        match store.bring_forward(latest).await {
            Ok(0) => {}
            Ok(count) => {
                warn!(count, "events or deliveries were put off by a clock that was far ahead: they are due now");
            }
            Err(error) => warn!("what a wrong clock may have put off could not be looked at: {error}"),
        }
        let wait = LOOK_EVERY.min(due.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Some(ahead) = seen.jump(store.clock.now(), Instant::now()) {
            warn!(
                "the clock was set ahead by {} hours: nothing is taken off as old for a day. If it is wrong now, set it right",
                ahead.as_secs() / 3600
            );
            due = Instant::now() + AFTER_JUMP;
        }
        let retention = current.borrow().clone();
        let percent = store.disk_percent().unwrap_or(0);
        let is_tight = percent >= retention.squeeze_percent;
        let tell = told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if percent >= retention.warn_percent {
            if tell {
                told = Some(Instant::now());
                warn!(
                    "the disk of the database is {percent} % full: at {} % old bodies are taken off, and when less than \
                     store.min_free_bytes is free nothing new is taken. Free space on it",
                    retention.squeeze_percent
                );
            }
        } else {
            told = None;
        }
        let squeeze = is_tight && squeezed.is_none_or(|squeezed| squeezed.elapsed() >= SQUEEZE_EVERY);
        if Instant::now() < due && !squeeze {
            continue;
        }
        if is_tight {
            squeezed = Some(Instant::now());
        }
        due = Instant::now() + retention.every;
        // A pass may take long after years without one; a stop does not wait for it.
        tokio::select! {
            () = pass(&store, &retention, is_tight) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// The clock and the time that passes, as they were seen together.
struct Seen {
    wall: Timestamp,
    passed: Instant,
}

impl Seen {
    /// By how much the clock is ahead of the time that passed since, if it was set.
    fn jump(&mut self, wall: Timestamp, passed: Instant) -> Option<Duration> {
        let went = Duration::try_from(wall.duration_since(self.wall)).unwrap_or(Duration::ZERO);
        let ahead = went.saturating_sub(passed.duration_since(self.passed));
        *self = Self { wall, passed };
        (ahead > JUMP).then_some(ahead)
    }
}

async fn pass(store: &Store, retention: &Retention, is_tight: bool) {
    let rules = if is_tight { retention.squeezed() } else { retention.rules.clone() };
    match prune(store, &rules, is_tight, REST).await {
        Ok((Pruned { bodies: 0, rows: 0, .. }, 0)) => {}
        Ok((pruned, pages)) => info!(
            bodies = pruned.bodies,
            bytes = pruned.bytes,
            events = pruned.rows,
            pages,
            "what was old was taken off, as [retention] says"
        ),
        Err(error) => error!("what is old could not be taken off, trying again later: {error}"),
    }
}

/// Takes off what is old, and gives the disk what that frees; gives the pages too.
///
/// # Errors
/// When a read or a job fails.
pub async fn prune(store: &Store, rules: &[Rule], all: bool, rest: Duration) -> Result<(Pruned, u64), StoreError> {
    let pruned = store.prune(rules, false, rest).await?;
    Ok((pruned, store.shrink(all, rest).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_set_ahead_is_noticed() {
        let (wall, passed) = ("2026-11-24T10:00:00Z".parse::<Timestamp>().unwrap(), Instant::now());
        let hours = |count: u64| Duration::from_hours(count);
        let mut seen = Seen { wall, passed };
        let later = |by: u64| crate::clock::after(wall, hours(by));
        assert_eq!(seen.jump(later(30), passed + hours(30)), None, "a day and more without a look");
        assert_eq!(seen.jump(later(1000), passed + hours(31)), Some(hours(969)));
        assert_eq!(seen.jump(later(1001), passed + hours(32)), None, "once");
        assert_eq!(seen.jump(wall, passed + hours(33)), None, "set back");
    }

    #[test]
    fn a_full_disk_keeps_less_and_never_what_failed() {
        let day = Duration::from_hours(24);
        let rule = |source: Option<&str>, status: &str, bodies: Option<Duration>| Rule {
            source: source.map(str::to_owned),
            status: status.to_owned(),
            bodies,
            rows: None,
        };
        let retention = Retention {
            every: day,
            warn_percent: 90,
            squeeze_percent: 95,
            squeeze_bodies: Some(7 * day),
            rules: vec![
                rule(Some("sps"), "completed", None),
                rule(Some("shopify"), "completed", Some(day)),
                rule(None, "failed", None),
            ],
        };
        let squeezed = retention.squeezed();
        assert_eq!(
            squeezed,
            [
                rule(Some("sps"), "completed", Some(7 * day)),
                rule(Some("shopify"), "completed", Some(day)),
                rule(None, "failed", None),
                rule(None, "completed", Some(7 * day)),
            ]
        );
    }
}
