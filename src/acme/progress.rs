//! What is remembered over restarts: failures, and what the authority suggests.

use super::{Settings, identifier, schedule};
use crate::clock::{Timestamp, after, text};
use crate::server::tls;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// What has been tried for the certificate that is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// In a row.
    pub failures: u32,
    /// Why the last one failed, and when.
    pub last_failure: Option<(Timestamp, String)>,
    /// Not before.
    pub next_attempt: Option<Timestamp>,
    /// When the authority is asked next what it suggests.
    pub ask_at: Timestamp,
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
    ask_at: Option<String>,
    suggestion: Option<Suggestion>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { failures: 0, last_failure: None, next_attempt: None, ask_at: Timestamp::MIN, suggestion: None }
    }
}

fn file(settings: &Settings) -> PathBuf {
    settings.folder.join("progress.json")
}

impl Progress {
    /// What was remembered; nothing when it is of other names or another authority, or cannot be read.
    #[must_use]
    pub fn load(settings: &Settings) -> Self {
        let read = fs::read(file(settings)).ok();
        let Some(written) = read.and_then(|bytes| serde_json::from_slice::<Written>(&bytes).ok()) else {
            return Self::default();
        };
        if written.names != settings.names || written.directory != settings.directory {
            return Self::default();
        }
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Self {
            failures: written.failures,
            last_failure: time(written.failed_at).zip(written.reason),
            next_attempt: time(written.next_attempt),
            ask_at: time(written.ask_at).unwrap_or(Timestamp::MIN),
            suggestion: written.suggestion,
        }
    }

    pub(super) fn save(&self, settings: &Settings) -> anyhow::Result<()> {
        let written = Written {
            names: settings.names.clone(),
            directory: settings.directory.clone(),
            failures: self.failures,
            failed_at: self.last_failure.as_ref().map(|(at, _)| text(*at)),
            reason: self.last_failure.as_ref().map(|(_, reason)| reason.clone()),
            next_attempt: self.next_attempt.map(text),
            ask_at: (self.ask_at > Timestamp::MIN).then(|| text(self.ask_at)),
            suggestion: self.suggestion.clone(),
        };
        tls::write_whole(&file(settings), &serde_json::to_vec_pretty(&written)?, 0o600)
    }

    /// An attempt begins; until it ends it counts as failed.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.next_attempt = Some(super::Trouble::own("").next(self.failures, now));
    }

    pub(super) fn failed(&mut self, now: Timestamp, reason: String, next: Timestamp) {
        self.last_failure = Some((now, reason));
        self.next_attempt = Some(next);
    }

    /// `next_attempt`: not before, whatever the clock says meanwhile.
    pub(super) fn succeeded(&mut self, next_attempt: Option<Timestamp>) {
        *self = Self { next_attempt, ..Self::default() };
    }

    /// No attempt before this. What lies further ahead than any pause was written by a clock that was wrong.
    pub(super) fn not_before(&self, now: Timestamp) -> Timestamp {
        self.next_attempt.filter(|at| *at <= after(now, schedule::PAUSE_MAX)).unwrap_or(Timestamp::MIN)
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
    pub(super) fn suggested(&self, settings: &Settings) -> Option<Timestamp> {
        let suggestion = self.suggestion.as_ref()?;
        let own = identifier(&settings.certificate())?.to_string();
        (own == suggestion.certificate).then(|| Timestamp::from_second(suggestion.at).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &std::path::Path) -> Settings {
        Settings {
            names: vec!["hooks.example.com".to_owned()],
            email: None,
            directory: super::super::LETS_ENCRYPT.to_owned(),
            ca_file: None,
            binding: None,
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn it_outlives_the_process_and_is_of_one_order_only() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let mut progress = Progress::load(&settings);
        assert_eq!(progress, Progress::default());
        progress.begin(now);
        progress.failed(now, "no way".to_owned(), "2026-11-25T10:01:00Z".parse().unwrap());
        progress.save(&settings).unwrap();
        assert_eq!(Progress::load(&settings), progress);
        let other = Settings { names: vec!["other.example.com".to_owned()], ..settings };
        assert_eq!(Progress::load(&other), Progress::default());
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
