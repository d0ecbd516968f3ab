//! What is remembered over restarts: attempts and failures, and what the authority suggests.

use super::trouble::Next;
use super::{Settings, kept, schedule};
use crate::clock::{Timestamp, after, text};
use crate::server::tls;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// So often in an hour it is tried at all, however often it is asked for: Let's Encrypt takes five failures of a name.
const TRIES_AN_HOUR: usize = 4;
const HOUR: Duration = Duration::from_hours(1);
/// Clocks may be set by so much without having been wrong.
const SLACK: Duration = Duration::from_mins(5);

/// What has been tried for the certificate that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// In a row, of those that nobody asked for.
    pub failures: u32,
    /// Why the last one failed, and when.
    pub last_failure: Option<(Timestamp, String)>,
    /// Not by itself before this.
    next_attempt: Option<Timestamp>,
    /// Not before this, whoever asks: the authority's word.
    held_until: Option<Timestamp>,
    /// Not before this while the certificate is there that was got then.
    rest_until: Option<Timestamp>,
    /// When it was tried in the last hour.
    tried: Vec<Timestamp>,
    /// When the authority is asked next what it suggests.
    pub(super) ask_at: Timestamp,
    suggestion: Option<Suggestion>,
}

/// The authority's window for a certificate, and the moment that was drawn from it: once, or each question would draw another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Suggestion {
    certificate: String,
    window: (i64, i64),
    at: i64,
}

/// As it stands in the file, to be read by people too.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    names: Vec<String>,
    directory: String,
    failures: u32,
    failed_at: Option<String>,
    reason: Option<String>,
    next_attempt: Option<String>,
    held_until: Option<String>,
    rest_until: Option<String>,
    #[serde(default)]
    tried: Vec<String>,
    ask_at: Option<String>,
    suggestion: Option<Suggestion>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            failures: 0,
            last_failure: None,
            next_attempt: None,
            held_until: None,
            rest_until: None,
            tried: Vec::new(),
            ask_at: Timestamp::MIN,
            suggestion: None,
        }
    }
}

fn file(settings: &Settings) -> PathBuf {
    settings.folder.join("progress.json")
}

impl Progress {
    /// What was remembered; nothing when it is of other names or another authority, cannot be read, or was written by a clock that was
    /// ahead.
    #[must_use]
    pub fn load(settings: &Settings, now: Timestamp) -> Self {
        let read = fs::read(file(settings)).ok();
        let Some(written) = read.and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok()) else {
            return Self::default();
        };
        if written.directory != settings.directory {
            return Self::default();
        }
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let progress = Self {
            failures: written.failures,
            last_failure: time(written.failed_at).zip(written.reason),
            next_attempt: time(written.next_attempt),
            held_until: time(written.held_until),
            rest_until: time(written.rest_until),
            tried: written.tried.iter().filter_map(|text| text.parse().ok()).collect(),
            ask_at: time(written.ask_at).unwrap_or(Timestamp::MIN),
            suggestion: written.suggestion,
        };
        let latest = progress.tried.iter().chain(progress.last_failure.iter().map(|(at, _)| at)).max();
        if latest.is_some_and(|latest| *latest > after(now, SLACK)) {
            return Self::default();
        }
        if written.names != settings.sorted_names() {
            // Its limits are the authority's all the same.
            return Self { held_until: progress.held_until, tried: progress.tried, ..Self::default() };
        }
        progress
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn save(&self, settings: &Settings) -> anyhow::Result<()> {
        let written = Written {
            names: settings.sorted_names(),
            directory: settings.directory.clone(),
            failures: self.failures,
            failed_at: self.last_failure.as_ref().map(|(at, _)| text(*at)),
            reason: self.last_failure.as_ref().map(|(_, reason)| reason.clone()),
            next_attempt: self.next_attempt.map(text),
            held_until: self.held_until.map(text),
            rest_until: self.rest_until.map(text),
            tried: self.tried.iter().copied().map(text).collect(),
            ask_at: (self.ask_at > Timestamp::MIN).then(|| text(self.ask_at)),
            suggestion: self.suggestion.clone(),
        };
        tls::write_whole(&file(settings), &serde_json::to_vec_pretty(&written)?, 0o600)
    }

    /// An attempt begins; until it ends it counts as failed. What somebody asked for makes the pauses no longer.
    pub(super) fn begin(&mut self, now: Timestamp, asked: bool) {
        // Neither what is long ago nor what a clock that was ahead has written.
        self.tried.retain(|at| after(*at, HOUR) > now && *at <= after(now, SLACK));
        self.tried.push(now);
        self.failures = if asked { self.failures.max(1) } else { self.failures.saturating_add(1) };
        self.next_attempt = Some(super::trouble::Trouble::own("").next(self.failures, now, None).at);
    }

    pub(super) fn failed(&mut self, now: Timestamp, reason: &str, next: Next) {
        self.last_failure = Some((now, reason.to_owned()));
        self.next_attempt = Some(next.at);
        self.held_until = next.is_held.then_some(next.at);
    }

    /// `rest`: none is asked for before, whatever the clock says meanwhile, unless the certificate is lost.
    pub(super) fn succeeded(&mut self, rest: Timestamp) {
        let tried = std::mem::take(&mut self.tried);
        *self = Self { rest_until: Some(rest), tried, ..Self::default() };
    }

    /// When an attempt is allowed at the soonest. What lies further ahead than any pause was written by a clock that was wrong.
    /// `has`: the certificate that was got last is there.
    pub(super) fn allowed(&self, now: Timestamp, asked: bool, has: bool) -> Timestamp {
        let within = |at: Option<Timestamp>, most| at.filter(|at| *at <= after(now, most)).unwrap_or(Timestamp::MIN);
        let rest = if has { within(self.rest_until, schedule::REST_MAX) } else { Timestamp::MIN };
        let held = within(self.held_until, schedule::PAUSE_MAX).max(rest);
        let is_recent = |at: &Timestamp| after(*at, HOUR) > now && *at <= after(now, SLACK);
        let recent: Vec<Timestamp> = self.tried.iter().copied().filter(is_recent).collect();
        let often = match recent.len().checked_sub(TRIES_AN_HOUR) {
            Some(first) => after(recent[first], HOUR),
            None => Timestamp::MIN,
        };
        let own = if asked { often } else { within(self.next_attempt, schedule::PAUSE_MAX).max(often) };
        own.max(held)
    }

    /// When it is tried next by itself, if that lies ahead.
    #[must_use]
    pub fn next(&self, now: Timestamp, has: bool) -> Option<Timestamp> {
        Some(self.allowed(now, false, has)).filter(|at| *at > now)
    }

    /// Whether a wish is followed at once.
    #[must_use]
    pub fn may_ask(&self, now: Timestamp, has: bool) -> bool {
        self.allowed(now, true, has) <= now
    }

    /// When the authority is asked next; by the same rule.
    pub(super) fn ask_at(&self, now: Timestamp) -> Timestamp {
        if self.ask_at > after(now, schedule::ASK_LATEST) { Timestamp::MIN } else { self.ask_at }
    }

    /// Keeps the window of a certificate; true when it is a new one. `draw`: a number from 0 to the given one.
    pub(super) fn suggest(&mut self, certificate: &str, window: (i64, i64), draw: impl Fn(i64) -> i64) -> bool {
        let is_known =
            self.suggestion.as_ref().is_some_and(|known| known.certificate == certificate && known.window == window);
        if is_known {
            return false;
        }
        let at = window.0.saturating_add(draw(window.1.saturating_sub(window.0).max(0)));
        self.suggestion = Some(Suggestion { certificate: certificate.to_owned(), window, at });
        true
    }

    /// The moment that was drawn for the certificate that is there.
    #[must_use]
    pub fn suggested(&self, settings: &Settings) -> Option<Timestamp> {
        let suggestion = self.suggestion.as_ref()?;
        let own = kept::identifier(settings)?.to_string();
        (own == suggestion.certificate).then(|| Timestamp::from_second(suggestion.at).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn settings(folder: &std::path::Path) -> Settings {
        Settings {
            names: vec!["hooks.example.com".to_owned(), "a.example.com".to_owned()],
            email: None,
            directory: crate::acme::LETS_ENCRYPT.to_owned(),
            ca_file: None,
            binding: None,
            folder: folder.to_owned(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn it_outlives_the_process_and_is_of_one_order_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let mut progress = Progress::load(&settings, now());
        assert_eq!(progress, Progress::default());
        progress.begin(now(), false);
        progress.failed(now(), "no way", Next { at: after(now(), MINUTE), is_held: false });
        progress.save(&settings).unwrap();
        assert_eq!(Progress::load(&settings, now()), progress);
        let same = Settings { names: settings.names.iter().rev().cloned().collect(), ..settings.clone() };
        assert_eq!(Progress::load(&same, now()), progress, "in another order they are the same names");
        let other = Settings { names: vec!["other.example.com".to_owned()], ..settings.clone() };
        let limits = Progress { tried: vec![now()], ..Progress::default() };
        assert_eq!(Progress::load(&other, now()), limits, "the authority's limits are the same");
        // Written by a clock that was six days ahead.
        let earlier = now().checked_sub(Duration::from_hours(6 * 24)).unwrap();
        assert_eq!(Progress::load(&settings, earlier), Progress::default());
    }

    #[test]
    fn whoever_asks_is_followed_four_times_an_hour_and_never_against_the_authority() {
        let mut progress = Progress::default();
        let mut at = now();
        for round in 0..4 {
            assert!(progress.allowed(at, true, true) <= at, "{round}");
            progress.begin(at, round > 0);
            progress.failed(at, "no way", Next { at: after(at, MINUTE), is_held: false });
            at = after(at, MINUTE);
        }
        assert_eq!(progress.failures, 1, "what was asked for makes the pauses no longer");
        assert_eq!(progress.allowed(at, true, true), after(now(), HOUR));
        assert_eq!(progress.allowed(at, false, true), after(now(), HOUR));
        let later = after(now(), 2 * HOUR);
        assert!(progress.allowed(later, true, true) <= later);
        progress.failed(later, "too many", Next { at: after(later, 3 * HOUR), is_held: true });
        assert_eq!(progress.allowed(later, true, false), after(later, 3 * HOUR));
        progress.succeeded(after(later, HOUR));
        assert_eq!(progress.allowed(later, true, true), after(later, HOUR));
        assert!(progress.allowed(later, true, false) <= later, "the certificate is lost");
        // Four attempts by a clock that was ahead by a year.
        let far = after(later, Duration::from_hours(24 * 365));
        let mut wrong = Progress { tried: vec![far; 4], ..Progress::default() };
        assert!(wrong.allowed(later, true, true) <= later);
        wrong.begin(later, true);
        assert_eq!(wrong.tried, [later]);
        let ahead = Progress { held_until: Some("2090-01-01T00:00:00Z".parse().unwrap()), ..Progress::default() };
        assert_eq!(ahead.allowed(later, false, true), Timestamp::MIN, "written by a clock that was wrong");
    }

    #[test]
    fn one_moment_is_drawn_from_a_window() {
        let mut progress = Progress::default();
        assert!(progress.suggest("a.b", (100, 200), |length| length / 2));
        assert_eq!(progress.suggestion.as_ref().unwrap().at, 150);
        assert!(!progress.suggest("a.b", (100, 200), |_| 0));
        assert_eq!(progress.suggestion.as_ref().unwrap().at, 150);
        assert!(progress.suggest("a.b", (50, 40), |length| length));
        assert_eq!(progress.suggestion.as_ref().unwrap().at, 50);
    }
}
