//! The message about alerts that a channel gets: JSON for programs, with the subject and the text for people.

use crate::clock;
use crate::presentation::program::complete_commands;
use crate::store::audit::alerts::AlertKind;
use crate::store::leases::alert_rounds::{AlertNotice, NoticeState};
use crate::text::{format_count, keep_first_chars, replace_control_chars};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Most characters of a subject.
const SUBJECT_CHARS_MAX: usize = 120;

/// A message about alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertMessage {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// Name of the machine.
    pub host: String,
    pub alerts: Vec<ReportedAlert>,
}

/// One alert of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedAlert {
    pub id: i64,
    pub kind: String,
    /// Empty for failed logins: it would name a person.
    pub subject: String,
    /// opened, repeated or recovered.
    pub state: String,
    pub first_at: String,
    pub recovered_at: Option<String>,
    pub message: String,
    pub fix: String,
}

impl ReportedAlert {
    fn new(notice: &AlertNotice) -> Self {
        let alert = &notice.alert;
        let is_login = AlertKind::from_name(&alert.kind).is_some_and(AlertKind::is_login);
        let (subject, message, fix) = if is_login {
            let origin =
                if alert.kind == AlertKind::LoginErrorsOfUser.as_str() { "of one user" } else { "from one address" };
            let message =
                format!("{} failed logins {origin} in a row; somebody may be guessing a password", alert.count);
            let fix = format!(
                "`novex-ingest audit alerts`; look at the logins in Keycloak; then `novex-ingest audit dismiss {} \
                 --reason TEXT`",
                alert.id
            );
            (String::new(), message, fix)
        } else {
            (alert.subject.clone(), alert.message.clone(), alert.fix.clone())
        };
        Self {
            id: alert.id,
            kind: alert.kind.clone(),
            subject,
            state: notice.state.as_str().to_owned(),
            first_at: alert.first_at.clone(),
            recovered_at: alert.recovered_at.clone(),
            message: replace_control_chars(&message),
            fix: complete_commands(&replace_control_chars(&fix)),
        }
    }

    fn write_text(&self, text: &mut String) {
        let at = |stored: &str| match clock::parse_timestamp(stored) {
            Ok(_) => format!("{} {} UTC", &stored[..10], &stored[11..19]),
            Err(_) => stored.to_owned(),
        };
        let since = at(&self.first_at);
        let _ = match (self.state.as_str(), &self.recovered_at) {
            ("recovered", Some(end)) => {
                writeln!(text, "\nOVER since {}\n  It began at {since}: {}", at(end), self.message)
            }
            ("repeated", _) => writeln!(text, "\nSTILL OPEN since {since}\n  {}\n  Fix: {}", self.message, self.fix),
            _ => writeln!(text, "\nOPEN since {since}\n  {}\n  Fix: {}", self.message, self.fix),
        };
    }
}

impl AlertMessage {
    /// Returns the message about these alerts. `console_url` is the address of the console, if people can open it.
    #[must_use]
    pub fn compose(notices: &[AlertNotice], console_url: Option<&str>) -> Self {
        let host = name_host();
        let count = |state| notices.iter().filter(|notice| notice.state == state).count();
        let (opened, repeated, recovered) =
            (count(NoticeState::Opened), count(NoticeState::Repeated), count(NoticeState::Recovered));
        let parts = [
            (opened, format_count(opened, "new alert", "new alerts")),
            (repeated, format!("{} still open", format_count(repeated, "alert", "alerts"))),
            (recovered, format!("{} over", format_count(recovered, "alert", "alerts"))),
        ];
        let counts: Vec<&str> = parts.iter().filter(|(count, _)| *count > 0).map(|(_, text)| text.as_str()).collect();
        let counts = counts.join(", ");
        let alerts: Vec<ReportedAlert> = notices.iter().map(ReportedAlert::new).collect();
        let subject = match alerts.as_slice() {
            [only] if only.state == "recovered" => format!("over: {}", only.message),
            [only] => only.message.clone(),
            _ => counts.clone(),
        };
        let mut text = format!("novex-ingest on {host}: {counts}\n");
        for alert in &alerts {
            alert.write_text(&mut text);
        }
        text.push('\n');
        text.push_str(&complete_commands("All alerts: `novex-ingest alerts list`"));
        if let Some(url) = console_url {
            let _ = write!(text, ", or {}/alerts", url.trim_end_matches('/'));
        }
        text.push('\n');
        Self { subject: build_subject(&host, &subject), text, host, alerts }
    }

    /// Returns the message that tests a channel.
    #[must_use]
    pub fn test() -> Self {
        let host = name_host();
        Self {
            subject: build_subject(&host, "this is a test message"),
            text: format!("novex-ingest on {host} sent this message to test the channel. Nothing is wrong.\n"),
            host,
            alerts: Vec::new(),
        }
    }

    /// Returns the JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }
}

fn build_subject(host: &str, text: &str) -> String {
    // One line: no text of another system adds a header to an e-mail.
    format!("[novex-ingest {host}] {}", keep_first_chars(&replace_control_chars(text), SUBJECT_CHARS_MAX))
}

fn name_host() -> String {
    replace_control_chars(&rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::audit::alerts::Alert;

    fn notice(state: NoticeState, kind: AlertKind, message: &str) -> AlertNotice {
        let alert = Alert {
            id: 7,
            kind: kind.as_str().to_owned(),
            subject: "ada@example.com".to_owned(),
            first_at: "2026-11-23T20:30:00.000Z".to_owned(),
            last_at: "2026-11-23T20:30:00.000Z".to_owned(),
            count: 12,
            message: message.to_owned(),
            fix: "`novex-ingest doctor`".to_owned(),
            notified_at: None,
            recovered_at: (state == NoticeState::Recovered).then(|| "2026-11-23T21:30:00.000Z".to_owned()),
            dismissed_at: None,
            dismissed_by: None,
            dismissed_reason: None,
        };
        AlertNotice { state, alert }
    }

    #[test]
    fn message_has_fact_consequence_and_fix_and_its_end() {
        let opened = notice(NoticeState::Opened, AlertKind::FailedEvents, "1 event failed for good; rows are missing");
        let message = AlertMessage::compose(std::slice::from_ref(&opened), None);
        assert!(message.subject.ends_with("] 1 event failed for good; rows are missing"), "{}", message.subject);
        let expected =
            "OPEN since 2026-11-23 20:30:00 UTC\n  1 event failed for good; rows are missing\n  Fix: `novex-ingest";
        assert!(message.text.contains(expected), "{}", message.text);
        let over = notice(NoticeState::Recovered, AlertKind::DiskFull, "the disk is full");
        let message = AlertMessage::compose(&[opened, over], Some("https://console.example.com/"));
        assert!(message.text.ends_with(", or https://console.example.com/alerts\n"), "{}", message.text);
        assert!(message.subject.ends_with("] 1 new alert, 1 alert over"), "{}", message.subject);
        assert!(message.text.contains("OVER since 2026-11-23 21:30:00 UTC"), "{}", message.text);
        assert_eq!(serde_json::from_slice::<AlertMessage>(&message.to_bytes()).unwrap(), message);
    }

    #[test]
    fn failed_logins_name_nobody() {
        let logins =
            notice(NoticeState::Opened, AlertKind::LoginErrorsOfUser, "12 failed logins of the user ada@example.com");
        let message = AlertMessage::compose(&[logins], None);
        assert!(message.text.contains("12 failed logins of one user"), "{}", message.text);
        assert!(!String::from_utf8(message.to_bytes()).unwrap().contains("ada"));
    }

    #[test]
    fn subject_is_one_line() {
        let message = "order 1\r\nBcc: all@example.com\u{85}x";
        let notices = [notice(NoticeState::Opened, AlertKind::DiskFull, message)];
        let subject = AlertMessage::compose(&notices, None).subject;
        assert!(!subject.contains(char::is_control), "{subject:?}");
    }
}
