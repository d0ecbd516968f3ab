//! The facts that `doctor` reads from the database. Each query reads an index, so its cost does not grow with the
//! years.

use crate::clock;
use crate::clock::Timestamp;
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use std::collections::BTreeMap;

/// The failed events that match a condition, without test events and dismissed ones.
macro_rules! failed_events_sql {
    ($condition:literal) => {
        concat!(
            "webhook_events INDEXED BY webhook_events_failed WHERE status = 'failed' AND dismissed_at IS NULL AND test \
             = 0 AND ",
            $condition
        )
    };
}
pub(crate) use failed_events_sql;

/// The failed events of EDI files.
macro_rules! unreadable_files_sql {
    () => {
        crate::store::db::diagnostics::failed_events_sql!("source = 'sps' AND topic NOT LIKE 'send/%'")
    };
}
pub(crate) use unreadable_files_sql;

/// The failed events that are no EDI files.
macro_rules! other_failures_sql {
    () => {
        failed_events_sql!("(source <> 'sps' OR topic LIKE 'send/%')")
    };
}

/// Days for which a login alert is reported.
pub(crate) const LOGIN_ALERT_DAYS: i64 = 7;
/// Most ids of events in [`FailedDeliveries`].
const FAILED_IDS_MAX: usize = 20;

/// A destructive request that was refused or stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecidedRequest {
    pub event_id: i64,
    pub topic: String,
    /// `refused` or `stopped`.
    pub state: String,
    pub deadline_at: Option<String>,
}

/// A file that its source still lists, and that could not be fetched, moved or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileAtSource {
    pub source: String,
    pub file: String,
    pub error: String,
    /// Its event. `None`: it was not fetched.
    pub event_id: Option<i64>,
    /// `None`: no attempt is made until somebody renames it.
    pub next_attempt_at: Option<String>,
}

/// Deliveries to one destination that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDeliveries {
    pub destination: String,
    pub count: u64,
    /// The newest of their events.
    pub event_ids: Vec<i64>,
}

/// State of the events, deliveries, polls and redactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDiagnostics {
    pub schema_version: i64,
    /// Lineage of the database and its time of creation.
    pub lineage: (String, String),
    /// Latest `received_at` of the last hundred events: they are in order unless the clock jumped.
    pub newest_received_at: Option<String>,
    /// Number of event claims whose lease expired and that no worker recovered.
    pub expired_leases: u64,
    /// Due time of the event that is due for longest.
    pub oldest_due_at: Option<String>,
    /// Number of events that failed for good and were not dismissed.
    pub failed_events: u64,
    /// Id and error of the newest failed event: `17: …`.
    pub last_failure: Option<String>,
    /// Number of stored test events.
    pub test_events: u64,
    /// Deliveries that failed for good and were not dismissed, by destination.
    pub failed_deliveries: Vec<FailedDeliveries>,
    /// Number of deliveries that are not finished, by destination.
    pub waiting_deliveries: Vec<(String, u64)>,
    /// Destinations that an operator paused.
    pub paused_destinations: Vec<String>,
    /// Number of EDI files that could not be read in whole.
    pub unreadable_files: u64,
    /// Files that stay at their EDI source, because they cannot be fetched, moved or deleted.
    pub files_at_source: Vec<FileAtSource>,
    /// EDI sources whose last poll failed, with its error.
    pub failed_sources: Vec<(String, String)>,
    /// Number of login alerts of the last days that were not dismissed.
    pub recent_alerts: u64,
    /// Id and message of the newest of them.
    pub newest_alert: Option<(i64, String)>,
    /// Orders and refunds whose amounts a person must look at: their number and the newest of them, with both figures.
    pub unexplained_amounts: (u64, Option<String>),
    /// The open data request that is due first: its id and its deadline.
    pub next_data_request: Option<(i64, String)>,
    /// Redactions that wait for their time: their number and the first time.
    pub waiting_redactions: (u64, Option<String>),
    /// Refused requests, and stopped ones whose deadline is ahead.
    pub undecided_requests: Vec<UndecidedRequest>,
    /// Time of the oldest redaction that still waits for a scrub.
    pub oldest_unscrubbed_at: Option<String>,
}

/// Returns the number of rows of `sales_attention`, and the text of the newest.
fn read_unexplained_amounts(connection: &Connection) -> Result<(u64, Option<String>), StoreError> {
    Ok(connection.query_row(
        "SELECT count(*), (SELECT coalesce(name, 'order ' || order_id) || ': ' || attention FROM sales_attention LIMIT 1) \
         FROM sales_attention",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Reads the diagnostics as of `now`.
pub fn read_diagnostics(connection: &Connection, now: Timestamp) -> Result<StoreDiagnostics, StoreError> {
    let alerts_since = now.checked_sub(jiff::SignedDuration::from_hours(24 * LOGIN_ALERT_DAYS)).unwrap_or(now);
    let alerts_since = clock::format_timestamp(alerts_since);
    let now = clock::format_timestamp(now);
    let (failed_events, last_failure) = read_failed_events(connection)?;
    Ok(StoreDiagnostics {
        schema_version: connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
        lineage: connection
            .query_row("SELECT id, created_at FROM database_lineage", [], |row| Ok((row.get(0)?, row.get(1)?)))?,
        newest_received_at: connection.query_row(
            "SELECT max(received_at) FROM (SELECT received_at FROM webhook_events ORDER BY id DESC LIMIT 100)",
            [],
            |row| row.get(0),
        )?,
        expired_leases: connection.query_row(
            "SELECT count(*) FROM webhook_events INDEXED BY webhook_events_leased WHERE status = 'processing' \
             AND lease_expires_at < ?",
            [&now],
            |row| row.get(0),
        )?,
        oldest_due_at: connection
            .query_row(
                "SELECT next_attempt_at FROM webhook_events INDEXED BY webhook_events_due WHERE status = 'received' \
                 AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT 1",
                [&now],
                |row| row.get(0),
            )
            .optional()?,
        failed_events,
        last_failure,
        test_events: connection.query_row(
            "SELECT count(*) FROM webhook_events INDEXED BY webhook_events_test WHERE test = 1",
            [],
            |row| row.get(0),
        )?,
        failed_deliveries: read_failed_deliveries(connection)?,
        waiting_deliveries: list_rows(
            connection,
            "SELECT destination, count(*) FROM destination_deliveries INDEXED BY destination_deliveries_due WHERE \
             status = 'pending' GROUP BY destination",
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
        recent_alerts: connection.query_row(
            "SELECT count(*) FROM alerts WHERE kind LIKE 'login_errors_%' AND last_at >= ? AND dismissed_at IS NULL",
            [&alerts_since],
            |row| row.get(0),
        )?,
        newest_alert: connection
            .query_row(
                "SELECT id, message FROM alerts WHERE kind LIKE 'login_errors_%' AND last_at >= ? AND dismissed_at IS \
                 NULL ORDER BY last_at DESC LIMIT 1",
                [&alerts_since],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?,
        unexplained_amounts: read_unexplained_amounts(connection)?,
        paused_destinations: list_rows(
            connection,
            "SELECT name FROM destinations WHERE paused_at IS NOT NULL ORDER BY name",
            |row| row.get(0),
        )?,
        unreadable_files: connection.query_row(
            concat!("SELECT count(*) FROM ", unreadable_files_sql!()),
            [],
            |row| row.get(0),
        )?,
        files_at_source: list_files_at_source(connection)?,
        failed_sources: list_rows(
            connection,
            "SELECT p.source, p.error FROM sps_polls p JOIN (SELECT max(id) AS id FROM sps_polls GROUP BY source) \
             USING (id) WHERE p.error IS NOT NULL",
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
        next_data_request: connection
            .query_row(
                "SELECT id, due_at FROM data_requests WHERE done_at IS NULL ORDER BY due_at LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?,
        waiting_redactions: read_waiting_redactions(connection)?,
        undecided_requests: list_undecided_requests(connection, &now)?,
        oldest_unscrubbed_at: connection.query_row(
            "SELECT min(at) FROM redactions INDEXED BY redactions_unscrubbed WHERE scrubbed_at IS NULL",
            [],
            |row| row.get(0),
        )?,
    })
}

/// Returns the number of redactions that wait for their time, and the first time.
fn read_waiting_redactions(connection: &Connection) -> Result<(u64, Option<String>), StoreError> {
    Ok(connection.query_row(
        "SELECT count(*), min(r.due_at) FROM destructive_requests r JOIN webhook_events e ON e.id = r.event_id \
         WHERE r.state = 'waiting' AND e.redacted_at IS NULL",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

/// Returns refused requests, and stopped ones whose deadline is after `now`.
fn list_undecided_requests(connection: &Connection, now: &str) -> Result<Vec<UndecidedRequest>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT r.event_id, r.topic, r.state, r.deadline_at FROM destructive_requests r \
             JOIN webhook_events e ON e.id = r.event_id WHERE e.redacted_at IS NULL \
             AND (r.state = 'refused' AND e.dismissed_at IS NULL OR r.state = 'stopped' AND r.deadline_at > ?) \
             ORDER BY r.deadline_at LIMIT 20",
        )?
        .query_map([now], |row| {
            Ok(UndecidedRequest {
                event_id: row.get(0)?,
                topic: row.get(1)?,
                state: row.get(2)?,
                deadline_at: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?)
}

/// Returns the files that the last complete poll of their source listed and could not fetch, move or delete.
pub fn list_files_at_source(connection: &Connection) -> Result<Vec<FileAtSource>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT source, name, coalesce(last_error, ''), CASE status WHEN 'stored' THEN event_id END, next_attempt_at \
         FROM sps_files f WHERE status IN ('failed', 'stored') AND seen_at >= (SELECT started_at FROM sps_polls p \
         WHERE p.source = f.source AND p.finished_at IS NOT NULL AND p.error IS NULL ORDER BY id DESC LIMIT 1) \
         ORDER BY source, name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(FileAtSource {
            source: row.get(0)?,
            file: row.get(1)?,
            error: row.get(2)?,
            event_id: row.get(3)?,
            next_attempt_at: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_failed_deliveries(connection: &Connection) -> Result<Vec<FailedDeliveries>, StoreError> {
    let rows: Vec<(String, i64)> = list_rows(
        connection,
        "SELECT destination, event_id FROM destination_deliveries INDEXED BY destination_deliveries_failed WHERE status \
         = 'failed' AND dismissed_at IS NULL ORDER BY id DESC",
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut by_destination: BTreeMap<String, FailedDeliveries> = BTreeMap::new();
    for (destination, event_id) in rows {
        let failed = by_destination.entry(destination.clone()).or_insert_with(|| FailedDeliveries {
            destination,
            count: 0,
            event_ids: Vec::new(),
        });
        failed.count += 1;
        if failed.event_ids.len() < FAILED_IDS_MAX {
            failed.event_ids.push(event_id);
        }
    }
    Ok(by_destination.into_values().collect())
}

/// Returns the number of failed events that were not dismissed, and id and error of the newest. EDI files that could
/// not be read are counted by themselves, because a retry does not help them.
fn read_failed_events(connection: &Connection) -> Result<(u64, Option<String>), StoreError> {
    let sql = concat!(
        "SELECT count(*), (SELECT id || ': ' || coalesce(last_error, '') FROM ",
        other_failures_sql!(),
        " ORDER BY id DESC LIMIT 1) FROM ",
        other_failures_sql!()
    );
    Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

fn list_rows<T>(
    connection: &Connection,
    sql: &str,
    read_row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([], read_row)?.collect::<Result<_, _>>()?)
}
