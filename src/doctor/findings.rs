//! Findings of the checks: their states, their order and their summary.

use crate::presentation::times::TimeFormat;
use crate::store::audit::alerts::{ActiveCondition, AlertKind};
use crate::text::{format_count, keep_first_chars};
use std::fmt::Write;

/// Most characters of one problem in the summary.
const SUMMARY_CHARS_MAX: usize = 110;
/// Most problems that the summary names.
const PROBLEMS_NAMED_MAX: usize = 3;

/// Result of one check, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FindingState {
    /// It does not work.
    Failed,
    /// It works now, but not as it should, or not for long.
    Warning,
    /// It works; the operator can end what is left of an earlier configuration.
    Info,
    Passed,
}

impl FindingState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Passed => "ok",
        }
    }
}

/// One result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub check: &'static str,
    pub state: FindingState,
    pub message: String,
    /// Short form of the message for the summary.
    summary: String,
    /// The operator's next step; empty for a check that passed. Its commands are in backticks.
    pub fix: String,
}

/// All findings.
#[derive(Debug)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    /// The conditions that raise an alert.
    conditions: Vec<ActiveCondition>,
    /// The form of the times in messages.
    times: TimeFormat,
}

impl Default for Findings {
    fn default() -> Self {
        Self::new(TimeFormat::detect(false))
    }
}

impl Findings {
    /// Creates an empty list.
    pub fn new(times: TimeFormat) -> Self {
        Self { list: Vec::new(), conditions: Vec::new(), times }
    }

    pub fn times(&self) -> &TimeFormat {
        &self.times
    }

    /// Returns a stored time with its age, for a message.
    pub fn format_time(&self, stored: &str) -> String {
        self.times.format_time_with_age(stored)
    }

    pub fn add_passed(&mut self, check: &'static str, message: impl Into<String>) {
        self.push(check, FindingState::Passed, message, "");
    }

    pub fn add_info(&mut self, check: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(check, FindingState::Info, message, fix);
    }

    pub fn add_warning(&mut self, check: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(check, FindingState::Warning, message, fix);
    }

    pub fn add_failure(&mut self, check: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(check, FindingState::Failed, message, fix);
    }

    /// Adds a failure whose message is too long for the summary.
    pub fn add_failure_with_summary(
        &mut self,
        check: &'static str,
        summary: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push_with_summary(check, FindingState::Failed, summary, message, fix);
    }

    /// Adds a finding whose message is too long for the summary.
    pub fn push_with_summary(
        &mut self,
        check: &'static str,
        state: FindingState,
        summary: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(check, state, message, fix);
        if let Some(last) = self.list.last_mut() {
            last.summary = summary.into();
        }
    }

    pub fn push(
        &mut self,
        check: &'static str,
        state: FindingState,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let message: String = message.into();
        let first_line = message.lines().next().unwrap_or_default();
        let summary = keep_first_chars(first_line, SUMMARY_CHARS_MAX);
        let fix = fix.into();
        self.list.push(Finding { check, state, message, summary, fix });
    }

    /// Adds a condition that raises an alert, beside its finding. The message leaves the machine, so it has no personal
    /// data and no text of a provider or partner.
    pub fn add_condition(
        &mut self,
        kind: AlertKind,
        subject: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let (subject, message, fix) = (subject.into(), message.into(), fix.into());
        self.conditions.push(ActiveCondition { kind, subject, message, fix });
    }

    /// Returns the conditions that raise an alert.
    pub fn into_conditions(self) -> Vec<ActiveCondition> {
        self.conditions
    }

    /// Returns the number of findings so far.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the number of failed checks.
    pub fn count_failures(&self) -> usize {
        self.list.iter().filter(|finding| finding.state == FindingState::Failed).count()
    }

    /// Returns one line about the whole: `1 problem: destination erp cannot be reached; 131 orders wait`.
    pub fn summarize(&self) -> String {
        let failures: Vec<&Finding> =
            self.list.iter().filter(|finding| finding.state == FindingState::Failed).collect();
        let warnings = self.list.iter().filter(|finding| finding.state == FindingState::Warning).count();
        let warned = match warnings {
            0 => String::new(),
            count => format!("; {}", format_count(count, "warning", "warnings")),
        };
        if failures.is_empty() {
            return format!("no problems{warned}");
        }
        let mut named: Vec<&str> = Vec::new();
        for failure in &failures {
            if !named.contains(&failure.summary.as_str()) {
                named.push(&failure.summary);
            }
        }
        let more = named.len().saturating_sub(PROBLEMS_NAMED_MAX);
        named.truncate(PROBLEMS_NAMED_MAX);
        let mut text = format!("{}: {}", format_count(failures.len(), "problem", "problems"), named.join("; "));
        if more > 0 {
            let _ = write!(text, "; and {more} more");
        }
        text + &warned
    }

    /// Returns the findings, problems first. Findings of one state keep the order of the checks.
    pub fn sorted(&self) -> Vec<&Finding> {
        let mut sorted: Vec<&Finding> = self.list.iter().collect();
        sorted.sort_by_key(|finding| finding.state);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_is_one_line() {
        let mut findings = Findings::default();
        findings.add_passed("files", "fine");
        assert_eq!(findings.summarize(), "no problems");
        findings.add_warning("backup", "there is none", "make one");
        assert_eq!(findings.summarize(), "no problems; 1 warning");
        findings.add_failure_with_summary("network", "destination erp cannot be reached; 2 orders wait", "long", "x");
        assert_eq!(findings.summarize(), "1 problem: destination erp cannot be reached; 2 orders wait; 1 warning");
        for disk in ["one is full", "one is full", "two\nlines", "three"] {
            findings.add_failure("disk", disk, "free space");
        }
        assert_eq!(
            findings.summarize(),
            "5 problems: destination erp cannot be reached; 2 orders wait; one is full; two; and 1 more; 1 warning"
        );
    }

    #[test]
    fn problems_come_first() {
        let mut findings = Findings::default();
        findings.add_passed("one", "");
        findings.add_warning("two", "", "");
        findings.add_info("three", "", "");
        findings.add_failure("four", "", "");
        let checks: Vec<&str> = findings.sorted().iter().map(|finding| finding.check).collect();
        assert_eq!(checks, ["four", "two", "three", "one"]);
    }
}
