//! The overview of `novex-ingest stats`. It reads stored counts and the ends of indexes, so it is instant at ten
//! million events.

use crate::clock;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::events::test_events::count_test_events;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use std::time::Duration;

/// The figures that `novex-ingest stats` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StoreStats {
    pub at: String,
    pub counts: Vec<EventCount>,
    /// Number of stored test events; the other figures leave them out.
    pub test_events: u64,
    /// When the oldest event that is received or processing was received.
    pub oldest_pending_at: Option<String>,
    pub oldest_pending_seconds: Option<u64>,
    pub last_hour: PeriodCounts,
    pub last_day: PeriodCounts,
    pub database_bytes: u64,
    /// Bytes of free pages inside the file.
    pub free_bytes_inside: u64,
    /// Time of the last rejection.
    pub rejected_last: Option<String>,
}

/// Number of events of one source in one status: one of the queue's, or `dismissed` for failed events that an operator
/// dismissed, which `failed` leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EventCount {
    pub source: String,
    pub status: String,
    pub events: i64,
}

/// Status changes since the start of the hour that was one hour, or one day, ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PeriodCounts {
    pub received: i64,
    pub completed: i64,
    pub failed: i64,
    pub retried: i64,
}

/// Reads the figures as of `now`.
pub fn read_stats(connection: &Connection, now: Timestamp) -> Result<StoreStats, StoreError> {
    // Ids grow in the order of arrival. The query names its indexes because SQLite would otherwise read the table from
    // its first row, and the first rows are the oldest events, finished long ago.
    let oldest: Option<String> = connection
        .prepare_cached(
            "SELECT received_at FROM webhook_events WHERE id = (SELECT min(id) FROM (SELECT min(id) AS id FROM \
             webhook_events INDEXED BY webhook_events_due WHERE status = 'received' AND id NOT IN (SELECT event_id \
             FROM destructive_requests WHERE state = 'waiting') UNION ALL SELECT min(id) FROM \
             webhook_events INDEXED BY webhook_events_leased WHERE status = 'processing'))",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let page = pragma("page_size")?;
    Ok(StoreStats {
        at: clock::format_timestamp(now),
        counts: list_event_counts(connection)?,
        test_events: count_test_events(connection)?,
        oldest_pending_seconds: oldest
            .as_deref()
            .and_then(|text| clock::parse_timestamp(text).ok())
            .map(|at| clock::duration_between(at, now).as_secs()),
        oldest_pending_at: oldest,
        last_hour: read_period_counts(connection, now, Duration::from_hours(1))?,
        last_day: read_period_counts(connection, now, Duration::from_hours(24))?,
        database_bytes: page * pragma("page_count")?,
        free_bytes_inside: page * pragma("freelist_count")?,
        rejected_last: connection.query_row("SELECT max(at) FROM rejected_requests", [], |row| row.get(0))?,
    })
}

/// Returns the number of events of each source and status. `event_counts` counts dismissed events as failed.
fn list_event_counts(connection: &Connection) -> Result<Vec<EventCount>, StoreError> {
    let mut statement = connection.prepare_cached(
        "WITH dismissed AS (SELECT source, count(*) AS events FROM webhook_events INDEXED BY \
         webhook_events_dismissed WHERE status = 'failed' AND dismissed_at IS NOT NULL AND test = 0 GROUP BY source), \
         counts AS (SELECT source, status, events FROM event_counts \
         UNION ALL SELECT source, 'failed', -events FROM dismissed UNION ALL SELECT source, 'dismissed', events FROM \
         dismissed) SELECT source, status, sum(events) FROM counts GROUP BY source, status HAVING sum(events) <> 0 \
         ORDER BY source, status",
    )?;
    let rows = statement
        .query_map([], |row| Ok(EventCount { source: row.get(0)?, status: row.get(1)?, events: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_period_counts(connection: &Connection, now: Timestamp, back: Duration) -> Result<PeriodCounts, StoreError> {
    let since = now.checked_sub(back).unwrap_or(Timestamp::MIN);
    let since = clock::format_timestamp(since);
    Ok(connection
        .prepare_cached(
            "SELECT coalesce(sum(received), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0), \
             coalesce(sum(retried), 0) FROM event_counts_by_hour WHERE hour >= substr(?, 1, 13)",
        )?
        .query_row([since], |row| {
            Ok(PeriodCounts {
                received: row.get(0)?,
                completed: row.get(1)?,
                failed: row.get(2)?,
                retried: row.get(3)?,
            })
        })?)
}
