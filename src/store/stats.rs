//! The overview: kept counts and index ends, so that it is instant at ten million events.

use super::StoreError;
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use std::time::Duration;

/// What `novex-ingest stats` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub at: String,
    pub counts: Vec<Count>,
    /// When the oldest event that waits or is worked arrived.
    pub oldest_pending_at: Option<String>,
    pub oldest_pending_seconds: Option<u64>,
    pub last_hour: Rates,
    pub last_day: Rates,
    pub database_bytes: u64,
    pub free_bytes_inside: u64,
    pub rejected_last: Option<String>,
}

/// Events of one source in one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    pub source: String,
    pub status: String,
    pub events: i64,
}

/// What happened since the start of the hour that lies one hour, or one day, back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rates {
    pub received: i64,
    pub completed: i64,
    pub failed: i64,
    pub retried: i64,
}

/// Reads the overview.
///
/// # Errors
/// When a query fails.
pub fn read(connection: &Connection, now: Timestamp) -> Result<Stats, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT source, status, events FROM event_counts WHERE events <> 0 ORDER BY source, status")?;
    let counts = statement
        .query_map([], |row| Ok(Count { source: row.get(0)?, status: row.get(1)?, events: row.get(2)? }))?
        .collect::<Result<_, _>>()?;
    // Ids grow with arrival. The indexes are named because SQLite would rather walk the table from its first row, and
    // the first rows are the oldest: finished long ago.
    let oldest: Option<String> = connection
        .prepare_cached(
            "SELECT received_at FROM webhook_events WHERE id = (SELECT min(id) FROM (\
             SELECT min(id) AS id FROM webhook_events INDEXED BY webhook_events_due WHERE status = 'received' \
             UNION ALL SELECT min(id) FROM webhook_events INDEXED BY webhook_events_held WHERE status = 'processing'))",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let page = pragma("page_size")?;
    Ok(Stats {
        at: clock::text(now),
        counts,
        oldest_pending_seconds: oldest
            .as_deref()
            .and_then(|text| clock::parse(text).ok())
            .map(|at| clock::between(at, now).as_secs()),
        oldest_pending_at: oldest,
        last_hour: rates(connection, now, Duration::from_hours(1))?,
        last_day: rates(connection, now, Duration::from_hours(24))?,
        database_bytes: page * pragma("page_count")?,
        free_bytes_inside: page * pragma("freelist_count")?,
        rejected_last: connection.query_row("SELECT max(at) FROM rejected_requests", [], |row| row.get(0))?,
    })
}

fn rates(connection: &Connection, now: Timestamp, back: Duration) -> Result<Rates, StoreError> {
    let since = now.checked_sub(back).unwrap_or(Timestamp::MIN);
    let since = clock::text(since);
    Ok(connection
        .prepare_cached(
            "SELECT coalesce(sum(received), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0), \
             coalesce(sum(retried), 0) FROM event_counts_by_hour WHERE hour >= substr(?, 1, 13)",
        )?
        .query_row([since], |row| {
            Ok(Rates { received: row.get(0)?, completed: row.get(1)?, failed: row.get(2)?, retried: row.get(3)? })
        })?)
}
