//! Attempts, failures and the authority's suggestion, stored so that they survive restarts.

use crate::clock::{Timestamp, add_duration, format_timestamp};
use crate::tls::acme::error::{AcmeError, NextAttempt};
use crate::tls::acme::{AcmeSettings, schedule, storage};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Most attempts in an hour, requested or not: Let's Encrypt allows five failures of a name.
const ATTEMPTS_PER_HOUR_MAX: usize = 4;
const HOUR: Duration = Duration::from_hours(1);
/// A clock that is set by less was not wrong.
const CLOCK_SLACK: Duration = Duration::from_mins(5);

/// Attempts and limits of the configured certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeProgress {
    /// Failures in a row, of attempts that nobody requested.
    pub consecutive_failures: u32,
    /// Time and reason of the last failure.
    pub last_failure: Option<(Timestamp, String)>,
    /// No attempt before this, unless somebody requests one.
    next_attempt_at: Option<Timestamp>,
    /// No attempt before this, also on request: the authority stated it.
    retry_after: Option<Timestamp>,
    /// No attempt before this while the certificate of the last success exists.
    no_renewal_before: Option<Timestamp>,
    /// Attempts of the last hour.
    recent_attempts: Vec<Timestamp>,
    /// Time of the next renewal-info request.
    pub(crate) renewal_info_due_at: Timestamp,
    suggestion: Option<RenewalSuggestion>,
}

/// The authority's renewal window for a certificate, and the time drawn from it: once, or each request would draw
/// another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RenewalSuggestion {
    certificate: String,
    window: (i64, i64),
    at: i64,
}

/// The content of progress.json, which operators read too.
#[derive(Debug, Serialize, Deserialize)]
struct StoredProgress {
    names: Vec<String>,
    directory: String,
    failures: u32,
    failed_at: Option<String>,
    reason: Option<String>,
    next_attempt_at: Option<String>,
    retry_after: Option<String>,
    no_renewal_before: Option<String>,
    #[serde(default)]
    recent_attempts: Vec<String>,
    renewal_info_due_at: Option<String>,
    suggestion: Option<RenewalSuggestion>,
}

impl Default for AcmeProgress {
    fn default() -> Self {
        Self {
            consecutive_failures: 0,
            last_failure: None,
            next_attempt_at: None,
            retry_after: None,
            no_renewal_before: None,
            recent_attempts: Vec::new(),
            renewal_info_due_at: Timestamp::MIN,
            suggestion: None,
        }
    }
}

fn progress_path(settings: &AcmeSettings) -> PathBuf {
    settings.state_directory.join("progress.json")
}

impl AcmeProgress {
    /// Returns the stored progress. Returns the default if it belongs to other names or another authority, cannot be
    /// read, or has times in the future.
    #[must_use]
    pub fn load(settings: &AcmeSettings, now: Timestamp) -> Self {
        let bytes = fs::read(progress_path(settings)).ok();
        let Some(stored) = bytes.and_then(|bytes| serde_json::from_slice::<StoredProgress>(&bytes).ok()) else {
            return Self::default();
        };
        if stored.directory != settings.directory_url {
            return Self::default();
        }
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let progress = Self {
            consecutive_failures: stored.failures,
            last_failure: time(stored.failed_at).zip(stored.reason),
            next_attempt_at: time(stored.next_attempt_at),
            retry_after: time(stored.retry_after),
            no_renewal_before: time(stored.no_renewal_before),
            recent_attempts: stored.recent_attempts.iter().filter_map(|text| text.parse().ok()).collect(),
            renewal_info_due_at: time(stored.renewal_info_due_at).unwrap_or(Timestamp::MIN),
            suggestion: stored.suggestion,
        };
        let latest = progress.recent_attempts.iter().chain(progress.last_failure.iter().map(|(at, _)| at)).max();
        if latest.is_some_and(|latest| *latest > add_duration(now, CLOCK_SLACK)) {
            return Self::default();
        }
        if stored.names != settings.sorted_names() {
            // The authority's limits apply to other names too.
            return Self {
                retry_after: progress.retry_after,
                recent_attempts: progress.recent_attempts,
                ..Self::default()
            };
        }
        progress
    }

    /// Writes the progress to its file.
    pub(crate) fn save(&self, settings: &AcmeSettings) -> anyhow::Result<()> {
        let stored = StoredProgress {
            names: settings.sorted_names(),
            directory: settings.directory_url.clone(),
            failures: self.consecutive_failures,
            failed_at: self.last_failure.as_ref().map(|(at, _)| format_timestamp(*at)),
            reason: self.last_failure.as_ref().map(|(_, reason)| reason.clone()),
            next_attempt_at: self.next_attempt_at.map(format_timestamp),
            retry_after: self.retry_after.map(format_timestamp),
            no_renewal_before: self.no_renewal_before.map(format_timestamp),
            recent_attempts: self.recent_attempts.iter().copied().map(format_timestamp).collect(),
            renewal_info_due_at: (self.renewal_info_due_at > Timestamp::MIN)
                .then(|| format_timestamp(self.renewal_info_due_at)),
            suggestion: self.suggestion.clone(),
        };
        storage::write_state_file(&progress_path(settings), &serde_json::to_vec_pretty(&stored)?)
    }

    /// Records the start of an attempt, as failed until it ends. A requested attempt does not lengthen the waits.
    pub(crate) fn record_attempt(&mut self, now: Timestamp, is_requested: bool) {
        // Drops attempts of more than an hour ago, and those that a fast clock wrote.
        self.recent_attempts.retain(|at| add_duration(*at, HOUR) > now && *at <= add_duration(now, CLOCK_SLACK));
        self.recent_attempts.push(now);
        self.consecutive_failures =
            if is_requested { self.consecutive_failures.max(1) } else { self.consecutive_failures.saturating_add(1) };
        self.next_attempt_at = Some(AcmeError::transient("").next_attempt(self.consecutive_failures, now, None).at);
    }

    pub(crate) fn record_failure(&mut self, now: Timestamp, reason: &str, next: NextAttempt) {
        self.last_failure = Some((now, reason.to_owned()));
        self.next_attempt_at = Some(next.at);
        self.retry_after = next.is_set_by_authority.then_some(next.at);
    }

    /// Records a success. `no_renewal_before`: no attempt before this, whatever the clock shows, unless the certificate
    /// is lost.
    pub(crate) fn record_success(&mut self, no_renewal_before: Timestamp) {
        let recent_attempts = std::mem::take(&mut self.recent_attempts);
        *self = Self { no_renewal_before: Some(no_renewal_before), recent_attempts, ..Self::default() };
    }

    /// Returns when an attempt is allowed. Ignores times further ahead than any wait: a clock was wrong when it wrote
    /// them.
    ///
    /// `has_certificate`: the certificate of the last success exists.
    pub(crate) fn earliest_attempt_at(&self, now: Timestamp, is_requested: bool, has_certificate: bool) -> Timestamp {
        let plausible = |at: Option<Timestamp>, wait_max| {
            at.filter(|at| *at <= add_duration(now, wait_max)).unwrap_or(Timestamp::MIN)
        };
        let after_success = if has_certificate {
            plausible(self.no_renewal_before, schedule::RENEWAL_PAUSE_MAX)
        } else {
            Timestamp::MIN
        };
        let by_authority = plausible(self.retry_after, schedule::RETRY_PAUSE_MAX);
        let is_recent = |at: &Timestamp| add_duration(*at, HOUR) > now && *at <= add_duration(now, CLOCK_SLACK);
        let recent: Vec<Timestamp> = self.recent_attempts.iter().copied().filter(is_recent).collect();
        let by_hourly_limit = match recent.len().checked_sub(ATTEMPTS_PER_HOUR_MAX) {
            Some(first) => add_duration(recent[first], HOUR),
            None => Timestamp::MIN,
        };
        let by_backoff =
            if is_requested { Timestamp::MIN } else { plausible(self.next_attempt_at, schedule::RETRY_PAUSE_MAX) };
        after_success.max(by_authority).max(by_hourly_limit).max(by_backoff)
    }

    /// Returns when the next attempt happens without a request, if that is in the future.
    #[must_use]
    pub fn next_attempt_at(&self, now: Timestamp, has_certificate: bool) -> Option<Timestamp> {
        Some(self.earliest_attempt_at(now, false, has_certificate)).filter(|at| *at > now)
    }

    /// Returns whether a requested attempt would start at once.
    #[must_use]
    pub fn can_attempt_now(&self, now: Timestamp, has_certificate: bool) -> bool {
        self.earliest_attempt_at(now, true, has_certificate) <= now
    }

    /// Returns when the next renewal-info request is due. Ignores a time further ahead than any interval, as above.
    pub(crate) fn renewal_info_due_at(&self, now: Timestamp) -> Timestamp {
        if self.renewal_info_due_at > add_duration(now, schedule::RENEWAL_INFO_INTERVAL_MAX) {
            Timestamp::MIN
        } else {
            self.renewal_info_due_at
        }
    }

    /// Stores the renewal window of a certificate. Returns true if it is a new one. `draw` returns a number from 0 to
    /// its argument.
    pub(crate) fn record_suggestion(
        &mut self,
        certificate: &str,
        window: (i64, i64),
        draw: impl Fn(i64) -> i64,
    ) -> bool {
        let is_known =
            self.suggestion.as_ref().is_some_and(|known| known.certificate == certificate && known.window == window);
        if is_known {
            return false;
        }
        let at = window.0.saturating_add(draw(window.1.saturating_sub(window.0).max(0)));
        self.suggestion = Some(RenewalSuggestion { certificate: certificate.to_owned(), window, at });
        true
    }

    /// Returns the time drawn from the window of the current certificate.
    #[must_use]
    pub fn suggested_renewal_at(&self, settings: &AcmeSettings) -> Option<Timestamp> {
        let suggestion = self.suggestion.as_ref()?;
        let own = storage::read_certificate_id(settings)?.to_string();
        (own == suggestion.certificate).then(|| Timestamp::from_second(suggestion.at).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn make_settings(folder: &std::path::Path) -> AcmeSettings {
        AcmeSettings {
            names: vec!["hooks.example.com".to_owned(), "a.example.com".to_owned()],
            email: None,
            directory_url: crate::tls::acme::LETS_ENCRYPT_DIRECTORY_URL.to_owned(),
            ca_file: None,
            external_account: None,
            state_directory: folder.to_owned(),
        }
    }

    fn fixed_now() -> Timestamp {
        "2026-11-25T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn progress_survives_a_restart_for_the_same_names() {
        let folder = tempfile::tempdir().unwrap();
        let settings = make_settings(folder.path());
        let mut progress = AcmeProgress::load(&settings, fixed_now());
        assert_eq!(progress, AcmeProgress::default());
        progress.record_attempt(fixed_now(), false);
        progress.record_failure(
            fixed_now(),
            "refused",
            NextAttempt { at: add_duration(fixed_now(), MINUTE), is_set_by_authority: false },
        );
        progress.save(&settings).unwrap();
        assert_eq!(AcmeProgress::load(&settings, fixed_now()), progress);
        let same = AcmeSettings { names: settings.names.iter().rev().cloned().collect(), ..settings.clone() };
        assert_eq!(AcmeProgress::load(&same, fixed_now()), progress, "the same names in another order");
        let other = AcmeSettings { names: vec!["other.example.com".to_owned()], ..settings.clone() };
        let limits = AcmeProgress { recent_attempts: vec![fixed_now()], ..AcmeProgress::default() };
        assert_eq!(AcmeProgress::load(&other, fixed_now()), limits, "the authority's limits stay");
        // A clock that was six days ahead wrote it.
        let earlier = fixed_now().checked_sub(Duration::from_hours(6 * 24)).unwrap();
        assert_eq!(AcmeProgress::load(&settings, earlier), AcmeProgress::default());
    }

    #[test]
    fn requested_attempts_are_limited_per_hour_and_by_the_authority() {
        let mut progress = AcmeProgress::default();
        let mut at = fixed_now();
        for round in 0..4 {
            assert!(progress.earliest_attempt_at(at, true, true) <= at, "{round}");
            progress.record_attempt(at, round > 0);
            progress.record_failure(
                at,
                "refused",
                NextAttempt { at: add_duration(at, MINUTE), is_set_by_authority: false },
            );
            at = add_duration(at, MINUTE);
        }
        assert_eq!(progress.consecutive_failures, 1, "requested attempts do not lengthen the waits");
        assert_eq!(progress.earliest_attempt_at(at, true, true), add_duration(fixed_now(), HOUR));
        assert_eq!(progress.earliest_attempt_at(at, false, true), add_duration(fixed_now(), HOUR));
        let later = add_duration(fixed_now(), 2 * HOUR);
        assert!(progress.earliest_attempt_at(later, true, true) <= later);
        progress.record_failure(
            later,
            "too many",
            NextAttempt { at: add_duration(later, 3 * HOUR), is_set_by_authority: true },
        );
        assert_eq!(progress.earliest_attempt_at(later, true, false), add_duration(later, 3 * HOUR));
        progress.record_success(add_duration(later, HOUR));
        assert_eq!(progress.earliest_attempt_at(later, true, true), add_duration(later, HOUR));
        assert!(progress.earliest_attempt_at(later, true, false) <= later, "the certificate is lost");
        // A clock that was a year ahead wrote four attempts.
        let far = add_duration(later, Duration::from_hours(24 * 365));
        let mut implausible = AcmeProgress { recent_attempts: vec![far; 4], ..AcmeProgress::default() };
        assert!(implausible.earliest_attempt_at(later, true, true) <= later);
        implausible.record_attempt(later, true);
        assert_eq!(implausible.recent_attempts, [later]);
        let ahead =
            AcmeProgress { retry_after: Some("2090-01-01T00:00:00Z".parse().unwrap()), ..AcmeProgress::default() };
        assert_eq!(
            ahead.earliest_attempt_at(later, false, true),
            Timestamp::MIN,
            "a clock was wrong when it wrote this"
        );
    }

    #[test]
    fn renewal_time_is_drawn_once_per_window() {
        let mut progress = AcmeProgress::default();
        assert!(progress.record_suggestion("a.b", (100, 200), |length| length / 2));
        assert_eq!(progress.suggestion.as_ref().unwrap().at, 150);
        assert!(!progress.record_suggestion("a.b", (100, 200), |_| 0));
        assert_eq!(progress.suggestion.as_ref().unwrap().at, 150);
        assert!(progress.record_suggestion("a.b", (50, 40), |length| length));
        assert_eq!(progress.suggestion.as_ref().unwrap().at, 50);
    }
}
