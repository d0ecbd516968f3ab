//! What a person should look at. One row for one trouble, however often it happens: a row grows while its trouble goes on.

use super::StoreError;
use super::system_log::Logged;
use crate::clock;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use std::time::Duration;

/// When failed logins are worth an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginErrors {
    /// So many of one user or from one address …
    pub count: u32,
    /// … within this time.
    pub within: Duration,
}

impl Default for LoginErrors {
    fn default() -> Self {
        Self { count: 10, within: Duration::from_mins(10) }
    }
}

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Alert {
    pub id: i64,
    pub kind: String,
    pub subject: String,
    pub first_at: String,
    pub last_at: String,
    pub count: i64,
    pub message: String,
}

/// Raises an alert, or lets one grow, when `row` is one failed login too many.
///
/// # Errors
/// When a statement fails.
pub fn watch_logins(connection: &Connection, row: &Logged, watch: &LoginErrors) -> Result<(), StoreError> {
    if row.r#type != "LOGIN_ERROR" {
        return Ok(());
    }
    let Ok(at) = clock::parse(&row.at) else { return Ok(()) };
    // Events come out of order, so both the time before this one and the time after it are looked at.
    let since = clock::text(at.checked_sub(watch.within).unwrap_or(at));
    let until = clock::text(clock::after(at, watch.within));
    // Keycloak's names do not know capitals.
    let user = row.username.as_ref().or(row.user_id.as_ref()).map(|name| name.to_ascii_lowercase());
    // The texts stand here in full because SQLite takes an index on an expression only for the same expression.
    for (kind, what, subject, count) in [
        (
            "login_errors_of_user",
            "of the user",
            user,
            "SELECT count(*) FROM system_log WHERE type = 'LOGIN_ERROR' AND lower(coalesce(username, user_id)) = ?1 \
             AND at BETWEEN ?2 AND ?3",
        ),
        (
            "login_errors_from_address",
            "from the address",
            row.ip_address.clone(),
            "SELECT count(*) FROM system_log WHERE type = 'LOGIN_ERROR' AND ip_address = ?1 AND at BETWEEN ?2 AND ?3",
        ),
    ] {
        let Some(subject) = subject else { continue };
        let going_on: Option<i64> = connection
            .prepare_cached(
                "SELECT id FROM alerts WHERE kind = ?1 AND subject = ?2 AND last_at >= ?3 AND first_at <= ?4 \
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![kind, subject, since, until], |row| row.get(0))
            .optional()?;
        if let Some(id) = going_on {
            connection
                .prepare_cached(
                    "UPDATE alerts SET first_at = min(first_at, ?1), last_at = max(last_at, ?1), count = count + 1 WHERE id = ?2",
                )?
                .execute(params![row.at, id])?;
            continue;
        }
        let mut count = connection.prepare_cached(count)?;
        let before: u32 = count.query_row(params![subject, since, row.at], |row| row.get(0))?;
        let after: u32 = count.query_row(params![subject, row.at, until], |row| row.get(0))?;
        let found = before.max(after);
        if found >= watch.count {
            let message = format!(
                "{found} failed logins {what} {subject} within {} s: somebody may be guessing a password. \
                 `novex-ingest audit list --type LOGIN_ERROR` shows them",
                watch.within.as_secs()
            );
            connection
                .prepare_cached(
                    "INSERT INTO alerts (kind, subject, first_at, last_at, count, message) VALUES (?1, ?2, ?3, ?3, ?4, ?5)",
                )?
                .execute(params![kind, subject, row.at, found, message])?;
        }
    }
    Ok(())
}

/// The newest alerts first.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &Connection, limit: u32) -> Result<Vec<Alert>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, subject, first_at, last_at, count, message FROM alerts ORDER BY id DESC LIMIT ?",
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
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
