//! Alerts for the operator about repeated failed logins. One row is one series of failures; the row grows while it
//! continues.

use crate::clock;
use crate::store::audit::system_log::{self, AuditRecord};
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
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

/// An alert as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub id: i64,
    pub kind: String,
    pub subject: String,
    pub first_at: String,
    pub last_at: String,
    pub count: i64,
    pub message: String,
    pub dismissed_at: Option<String>,
    pub dismissed_by: Option<String>,
    pub dismissed_reason: Option<String>,
}

/// A kind of login alert: by user, or by address.
struct LoginAlertKind {
    /// The column `kind`.
    kind: &'static str,
    /// Words before the subject in the message.
    preposition: &'static str,
    /// Counts failed logins of a subject between two times, each with the requests that repeated it.
    count_sql: &'static str,
}

// SQLite uses an index on an expression only if the query has the same expression. So both queries are written out.
const LOGIN_ERRORS_OF_USER: LoginAlertKind = LoginAlertKind {
    kind: "login_errors_of_user",
    preposition: "of the user",
    count_sql: "SELECT count(*) + coalesce(sum((SELECT repeats FROM webhook_events WHERE id = event_id)), 0) FROM system_log \
                WHERE type = 'LOGIN_ERROR' AND lower(coalesce(username, user_id)) = ?1 AND at BETWEEN ?2 AND ?3",
};
const LOGIN_ERRORS_FROM_ADDRESS: LoginAlertKind = LoginAlertKind {
    kind: "login_errors_from_address",
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
        .query_row(params![alert.kind, subject, since, until], |row| row.get(0))
        .optional()?;
    if let Some(id) = open_alert {
        connection
            .prepare_cached(
                "UPDATE alerts SET first_at = min(first_at, ?1), last_at = max(last_at, ?1), count = count + 1, \
                 dismissed_at = NULL, dismissed_by = NULL, dismissed_reason = NULL WHERE id = ?2",
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
        connection
            .prepare_cached(
                "INSERT INTO alerts (kind, subject, first_at, last_at, count, message) VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
            )?
            .execute(params![alert.kind, subject, at, count, message])?;
    }
    Ok(())
}

/// Returns the last alerts, the newest first.
pub fn list_alerts(connection: &Connection, limit: u32) -> Result<Vec<Alert>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, subject, first_at, last_at, count, message, dismissed_at, dismissed_by, dismissed_reason \
         FROM alerts ORDER BY id DESC LIMIT ?",
    )?;
    let rows = statement.query_map([limit], |row| {
        Ok(Alert {
            id: row.get(0)?,
            kind: row.get(1)?,
            subject: row.get(2)?,
            first_at: row.get(3)?,
            last_at: row.get(4)?,
            count: row.get(5)?,
            message: row.get(6)?,
            dismissed_at: row.get(7)?,
            dismissed_by: row.get(8)?,
            dismissed_reason: row.get(9)?,
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
