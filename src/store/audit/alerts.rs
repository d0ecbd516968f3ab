//! Alerts: conditions that a person should know about. One row is one condition from its begin to its end.
//!
//! The daemon compares the table with the checks of `doctor` at intervals (`store::leases::alert_rounds`). Only
//! repeated failed logins are raised here, by the event itself: one row is one series of failures and grows while it
//! continues.

use crate::clock;
use crate::store::audit::system_log::{self, AuditRecord};
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use std::time::Duration;

/// How many failed logins of one user, or from one address, raise an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginErrorThreshold {
    /// Number of failed logins …
    pub count: u32,
    /// … within this time.
    pub within: Duration,
}

impl Default for LoginErrorThreshold {
    fn default() -> Self {
        Self { count: 10, within: Duration::from_mins(10) }
    }
}

/// Condition that raises an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertKind {
    FailedEvents,
    OverdueEvent,
    SourceSilent,
    DestinationDown,
    FailedDeliveries,
    CertificateExpiry,
    DiskFull,
    BackupOverdue,
    OrderAttention,
    DocumentRejected,
    LoginErrorsOfUser,
    LoginErrorsFromAddress,
}

impl AlertKind {
    /// All kinds, the most urgent first.
    pub const ALL: [Self; 12] = [
        Self::DiskFull,
        Self::OverdueEvent,
        Self::DestinationDown,
        Self::SourceSilent,
        Self::FailedEvents,
        Self::FailedDeliveries,
        Self::DocumentRejected,
        Self::OrderAttention,
        Self::CertificateExpiry,
        Self::BackupOverdue,
        Self::LoginErrorsOfUser,
        Self::LoginErrorsFromAddress,
    ];

    /// Returns the name in the database and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailedEvents => "failed_events",
            Self::OverdueEvent => "overdue_event",
            Self::SourceSilent => "source_silent",
            Self::DestinationDown => "destination_down",
            Self::FailedDeliveries => "failed_deliveries",
            Self::CertificateExpiry => "certificate_expiry",
            Self::DiskFull => "disk_full",
            Self::BackupOverdue => "backup_overdue",
            Self::OrderAttention => "order_attention",
            Self::DocumentRejected => "document_rejected",
            Self::LoginErrorsOfUser => "login_errors_of_user",
            Self::LoginErrorsFromAddress => "login_errors_from_address",
        }
    }

    /// Returns the kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Returns true for the kinds that failed logins raise, whose subject and message name a person or an address.
    #[must_use]
    pub const fn is_login(self) -> bool {
        matches!(self, Self::LoginErrorsOfUser | Self::LoginErrorsFromAddress)
    }
}

/// Condition that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveCondition {
    pub kind: AlertKind,
    /// Source, destination, order … with the condition; empty for the whole machine.
    pub subject: String,
    /// Fact and consequence, without personal data: the message leaves the machine.
    pub message: String,
    /// Next step of a person. Its commands are in backticks.
    pub fix: String,
}

/// An alert as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Alert {
    pub id: i64,
    pub kind: String,
    pub subject: String,
    pub first_at: String,
    pub last_at: String,
    pub count: i64,
    pub message: String,
    pub fix: String,
    pub notified_at: Option<String>,
    pub recovered_at: Option<String>,
    pub dismissed_at: Option<String>,
    pub dismissed_by: Option<String>,
    pub dismissed_reason: Option<String>,
}

impl Alert {
    /// Returns true while the condition holds and nobody dismissed the alert.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.recovered_at.is_none() && self.dismissed_at.is_none()
    }

    /// Returns the state: open, recovered or dismissed.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match (&self.dismissed_at, &self.recovered_at) {
            (Some(_), _) => "dismissed",
            (None, Some(_)) => "recovered",
            (None, None) => "open",
        }
    }
}

/// A kind of login alert: by user, or by address.
struct LoginAlertKind {
    kind: AlertKind,
    /// Words before the subject in the message.
    preposition: &'static str,
    /// Counts failed logins of a subject between two times, each with the requests that repeated it.
    count_sql: &'static str,
}

// SQLite uses an index on an expression only if the query has the same expression. So both queries are written out.
const LOGIN_ERRORS_OF_USER: LoginAlertKind = LoginAlertKind {
    kind: AlertKind::LoginErrorsOfUser,
    preposition: "of the user",
    count_sql: "SELECT count(*) + coalesce(sum((SELECT repeats FROM webhook_events WHERE id = event_id)), 0) FROM system_log \
                WHERE type = 'LOGIN_ERROR' AND lower(coalesce(username, user_id)) = ?1 AND at BETWEEN ?2 AND ?3",
};
const LOGIN_ERRORS_FROM_ADDRESS: LoginAlertKind = LoginAlertKind {
    kind: AlertKind::LoginErrorsFromAddress,
    preposition: "from the address",
    count_sql: "SELECT count(*) + coalesce(sum((SELECT repeats FROM webhook_events WHERE id = event_id)), 0) FROM system_log \
                WHERE type = 'LOGIN_ERROR' AND ip_address = ?1 AND at BETWEEN ?2 AND ?3",
};

/// Raises an alert if `row` is a failed login and reaches the threshold. Extends an alert that already exists for it.
pub fn raise_login_alerts(
    connection: &Connection,
    row: &AuditRecord,
    threshold: &LoginErrorThreshold,
) -> Result<(), StoreError> {
    if row.r#type != "LOGIN_ERROR" {
        return Ok(());
    }
    // Keycloak's names do not distinguish upper and lower case.
    let user = row.username.as_ref().or(row.user_id.as_ref()).map(|name| name.to_ascii_lowercase());
    if let Some(user) = user {
        raise_login_alert(connection, &LOGIN_ERRORS_OF_USER, &user, &row.at, threshold)?;
    }
    if let Some(address) = &row.ip_address {
        raise_login_alert(connection, &LOGIN_ERRORS_FROM_ADDRESS, address, &row.at, threshold)?;
    }
    Ok(())
}

fn raise_login_alert(
    connection: &Connection,
    alert: &LoginAlertKind,
    subject: &str,
    at: &str,
    threshold: &LoginErrorThreshold,
) -> Result<(), StoreError> {
    let Ok(time) = clock::parse_timestamp(at) else { return Ok(()) };
    // Events arrive out of order, so the time before this login and the time after it both count.
    let since = clock::format_timestamp(time.checked_sub(threshold.within).unwrap_or(time));
    let until = clock::format_timestamp(clock::add_duration(time, threshold.within));
    let open_alert: Option<i64> = connection
        .prepare_cached(
            "SELECT id FROM alerts WHERE kind = ?1 AND subject = ?2 AND last_at >= ?3 AND first_at <= ?4 \
             ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![alert.kind.as_str(), subject, since, until], |row| row.get(0))
        .optional()?;
    if let Some(id) = open_alert {
        // OR IGNORE: a later series of the subject may be open. It is the one that a person sees then.
        connection
            .prepare_cached(
                "UPDATE OR IGNORE alerts SET first_at = min(first_at, ?1), last_at = max(last_at, ?1), \
                 count = count + 1, recovered_at = NULL, dismissed_at = NULL, dismissed_by = NULL, \
                 dismissed_reason = NULL WHERE id = ?2",
            )?
            .execute(params![at, id])?;
        return Ok(());
    }
    let mut statement = connection.prepare_cached(alert.count_sql)?;
    let before: u32 = statement.query_row(params![subject, since, at], |row| row.get(0))?;
    let after: u32 = statement.query_row(params![subject, at, until], |row| row.get(0))?;
    let count = before.max(after);
    if count >= threshold.count {
        let message = format!(
            "{count} failed logins {} {subject} within {} s: somebody may be guessing a password. \
             `novex-ingest audit list --type LOGIN_ERROR` lists them",
            alert.preposition,
            threshold.within.as_secs()
        );
        // An earlier series that a person dismissed is over. One that is open goes on.
        connection
            .prepare_cached(
                "UPDATE alerts SET recovered_at = ?3 WHERE kind = ?1 AND subject = ?2 AND recovered_at IS NULL \
                 AND dismissed_at IS NOT NULL",
            )?
            .execute(params![alert.kind.as_str(), subject, at])?;
        connection
            .prepare_cached(
                "INSERT INTO alerts (kind, subject, first_at, last_at, count, message) VALUES (?1, ?2, ?3, ?3, ?4, ?5) \
                 ON CONFLICT (kind, subject) WHERE recovered_at IS NULL DO UPDATE SET \
                 first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at), \
                 count = count + excluded.count, message = excluded.message",
            )?
            .execute(params![alert.kind.as_str(), subject, at, count, message])?;
    }
    Ok(())
}

/// Selects alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertSelection {
    /// Those that are open.
    Open,
    /// Those that are over or dismissed.
    Closed,
    /// All alerts.
    All,
    /// All alerts about failed logins.
    Logins,
}

impl AlertSelection {
    const fn condition(self) -> &'static str {
        match self {
            Self::Open => "recovered_at IS NULL AND dismissed_at IS NULL",
            Self::Closed => "(recovered_at IS NOT NULL OR dismissed_at IS NOT NULL)",
            Self::All => "1",
            Self::Logins => "kind IN ('login_errors_of_user', 'login_errors_from_address')",
        }
    }
}

/// Columns of [`read_alert_row`].
pub(crate) const COLUMNS: &str = "id, kind, subject, first_at, last_at, count, message, fix, notified_at, recovered_at, \
                                  dismissed_at, dismissed_by, dismissed_reason";

/// Reads an alert from [`COLUMNS`].
pub(crate) fn read_alert_row(row: &Row<'_>) -> rusqlite::Result<Alert> {
    Ok(Alert {
        id: row.get(0)?,
        kind: row.get(1)?,
        subject: row.get(2)?,
        first_at: row.get(3)?,
        last_at: row.get(4)?,
        count: row.get(5)?,
        message: row.get(6)?,
        fix: row.get(7)?,
        notified_at: row.get(8)?,
        recovered_at: row.get(9)?,
        dismissed_at: row.get(10)?,
        dismissed_by: row.get(11)?,
        dismissed_reason: row.get(12)?,
    })
}

/// Returns the last alerts of a selection, the newest first.
pub fn list_alerts(connection: &Connection, selection: AlertSelection, limit: u32) -> Result<Vec<Alert>, StoreError> {
    let condition = selection.condition();
    let mut statement = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM alerts WHERE {condition} ORDER BY id DESC LIMIT ?"))?;
    let rows = statement.query_map([limit], read_alert_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One message about an alert, as one channel got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertDelivery {
    pub alert_id: i64,
    pub event_id: i64,
    pub at: String,
    /// opened, repeated or recovered.
    pub state: String,
    /// Name of the destination that is the channel; None: retention deleted the message.
    pub destination: Option<String>,
    /// Status of the delivery.
    pub status: Option<String>,
    pub finished_at: Option<String>,
    pub last_error: Option<String>,
}

/// Returns the messages about the alerts with these ids, the oldest first, with a row for each channel.
pub fn list_alert_deliveries(connection: &Connection, alert_ids: &[i64]) -> Result<Vec<AlertDelivery>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT m.alert_id, m.event_id, m.at, m.state, d.destination, d.status, d.finished_at, d.last_error \
         FROM alert_messages m LEFT JOIN destination_deliveries d ON d.event_id = m.event_id \
         WHERE m.alert_id IN (SELECT value FROM json_each(?)) ORDER BY m.event_id, d.id",
    )?;
    let rows = statement.query_map([serde_json::json!(alert_ids).to_string()], |row| {
        Ok(AlertDelivery {
            alert_id: row.get(0)?,
            event_id: row.get(1)?,
            at: row.get(2)?,
            state: row.get(3)?,
            destination: row.get(4)?,
            status: row.get(5)?,
            finished_at: row.get(6)?,
            last_error: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// Dismisses alerts, or all alerts without `ids`, and records that in the audit trail. Returns the ids of those
    /// that were not dismissed before.
    pub async fn dismiss_alerts(
        &self,
        ids: Option<Vec<i64>>,
        reason: String,
        by: String,
    ) -> Result<Vec<i64>, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                let selected = ids.as_ref().map(|ids| serde_json::json!(ids).to_string());
                let dismissed: Vec<i64> = connection
                    .prepare_cached(
                        "UPDATE alerts SET dismissed_at = ?1, dismissed_by = ?2, dismissed_reason = ?3 WHERE \
                         dismissed_at IS NULL AND (?4 IS NULL OR id IN (SELECT value FROM json_each(?4))) RETURNING id",
                    )?
                    .query_map(params![at, by, reason, selected], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                for id in &dismissed {
                    system_log::append_operator_entry(connection, &at, &by, "DISMISS", &format!("alerts/{id}"))?;
                }
                Ok(dismissed)
            })
            .await
    }
}
