//! What `doctor` asks the database: each a look at an index, so that it costs the same after years.

use super::StoreError;
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

/// How the events are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    pub version: i64,
    /// The first event's number.
    pub first: Option<i64>,
    /// When the newest event came, of the last hundred: they came in order, unless the clock jumped.
    pub newest: Option<String>,
    /// Claims whose lease is over and that nobody took over.
    pub stuck: u64,
    /// When the oldest event that is due by now was due.
    pub overdue: Option<String>,
    /// Events that failed for good, and the last one's reason.
    pub failed: u64,
    pub failed_last: Option<String>,
    /// Deliveries that failed for good, by destination.
    pub undelivered: Vec<(String, u64)>,
    /// Destinations that are held by a person.
    pub paused: Vec<String>,
    /// Sources whose last poll failed, and why.
    pub unpolled: Vec<(String, String)>,
    /// The open request for a customer's data that is due first, and until when.
    pub data_request: Option<(i64, String)>,
    /// When the oldest erasure was made whose traces may still be in the file.
    pub unscrubbed: Option<String>,
}

/// Reads it.
///
/// # Errors
/// When a query fails.
pub fn read(connection: &Connection, now: Timestamp) -> Result<Checkup, StoreError> {
    let now = clock::text(now);
    let pairs = |sql: &str| -> Result<Vec<(String, String)>, StoreError> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
    };
    let (failed, failed_last) = connection.query_row(
        "SELECT count(*), (SELECT id || ': ' || coalesce(last_error, '') FROM webhook_events INDEXED BY webhook_events_failed \
         WHERE status = 'failed' ORDER BY id DESC LIMIT 1) FROM webhook_events INDEXED BY webhook_events_failed WHERE status = 'failed'",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut undelivered = connection.prepare_cached(
        "SELECT destination, count(*) FROM destination_deliveries WHERE status = 'failed' GROUP BY destination",
    )?;
    let mut paused =
        connection.prepare_cached("SELECT name FROM destinations WHERE paused_at IS NOT NULL ORDER BY name")?;
    Ok(Checkup {
        version: connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
        first: connection.query_row("SELECT min(id) FROM webhook_events", [], |row| row.get(0))?,
        newest: connection
            .query_row(
                "SELECT max(received_at) FROM (SELECT received_at FROM webhook_events ORDER BY id DESC LIMIT 100)",
                [],
                |row| row.get(0),
            )?,
        stuck: connection.query_row(
            "SELECT count(*) FROM webhook_events INDEXED BY webhook_events_held WHERE status = 'processing' AND lease_until < ?",
            [&now],
            |row| row.get(0),
        )?,
        overdue: connection
            .query_row(
                "SELECT next_attempt_at FROM webhook_events INDEXED BY webhook_events_due WHERE status = 'received' \
                 AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT 1",
                params![now],
                |row| row.get(0),
            )
            .optional()?,
        failed,
        failed_last,
        undelivered: undelivered.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?,
        paused: paused.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?,
        unpolled: pairs(
            "SELECT p.source, p.error FROM sps_polls p JOIN (SELECT max(id) AS id FROM sps_polls GROUP BY source) USING (id) \
             WHERE p.error IS NOT NULL",
        )?,
        data_request: connection
            .query_row(
                "SELECT id, due_at FROM data_requests WHERE done_at IS NULL ORDER BY due_at LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?,
        unscrubbed: connection.query_row(
            "SELECT min(at) FROM erasures INDEXED BY erasures_unscrubbed WHERE scrubbed_at IS NULL",
            [],
            |row| row.get(0),
        )?,
    })
}
