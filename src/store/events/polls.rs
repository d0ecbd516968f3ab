//! Polls of EDI sources, and the state of each source.

use crate::backoff::BreakerSettings;
use crate::clock::{self, Timestamp};
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

/// A poll of an EDI source, with its numbers of files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PollRecord {
    pub id: i64,
    pub source: String,
    /// `schedule`, `api` or `command`.
    pub requested_by: String,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub found: u64,
    /// Files that became new events.
    pub stored: u64,
    /// Files that were stored before.
    pub duplicates: u64,
    /// Files that are not due, still change, or are leased by another process.
    pub skipped: u64,
    pub failed: u64,
    /// Orders and changes in the new files.
    pub orders: u64,
    /// New files in which nothing can be used. Each is an event that fails.
    pub unreadable: u64,
    /// Why each of the `failed` files was not received. The database keeps this in `sps_files`.
    pub failures: Vec<FileFailure>,
    pub error: Option<String>,
}

/// A file at a source that a poll could not fetch, move or delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileFailure {
    pub file: String,
    pub error: String,
}

impl PollRecord {
    pub fn add_failure(&mut self, file: String, error: String) {
        self.failed += 1;
        self.failures.push(FileFailure { file, error });
    }
}

/// Returns a page of stored polls, the newest first. `before` is the last id of the previous page.
pub fn list_polls(
    connection: &Connection,
    source: Option<&str>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<PollRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, source, requested_by, started_at, finished_at, found, stored, duplicates, skipped, failed, orders, \
         unreadable, error FROM sps_polls WHERE id < ?1 AND (?2 IS NULL OR source = ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![before.unwrap_or(i64::MAX), source, limit], |row| {
        Ok(PollRecord {
            id: row.get(0)?,
            source: row.get(1)?,
            requested_by: row.get(2)?,
            started_at: row.get(3)?,
            finished_at: row.get(4)?,
            found: row.get(5)?,
            stored: row.get(6)?,
            duplicates: row.get(7)?,
            skipped: row.get(8)?,
            failed: row.get(9)?,
            orders: row.get(10)?,
            unreadable: row.get(11)?,
            failures: Vec::new(),
            error: row.get(12)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// Stores the start of a poll and returns the poll's id.
    pub async fn begin_poll(&self, source: &str, requested_by: &str, worker: &str) -> Result<i64, StoreError> {
        let (source, requested_by, worker) = (source.to_owned(), requested_by.to_owned(), worker.to_owned());
        let now = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_polls (source, requested_by, worker, started_at) VALUES (?, ?, ?, ?)",
                params![source, requested_by, worker, now],
            )?;
            Ok(connection.last_insert_rowid())
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Stores the result of a poll and the state of its source. `breaker` determines how long the schedule does not
    /// poll a failing source.
    pub async fn end_poll(&self, poll: &PollRecord, breaker: BreakerSettings) -> Result<(), StoreError> {
        let (poll, now) = (poll.clone(), self.clock.now());
        let job = move |connection: &Connection| {
            let at = clock::format_timestamp(now);
            connection.execute(
                "UPDATE sps_polls SET finished_at = ?, found = ?, stored = ?, duplicates = ?, skipped = ?, failed = ?, \
                 orders = ?, unreadable = ?, error = ? WHERE id = ?",
                params![
                    at,
                    poll.found,
                    poll.stored,
                    poll.duplicates,
                    poll.skipped,
                    poll.failed,
                    poll.orders,
                    poll.unreadable,
                    poll.error,
                    poll.id
                ],
            )?;
            let failures: u32 = connection
                .query_row("SELECT consecutive_failures FROM sps_sources WHERE name = ?", [&poll.source], |row| {
                    row.get(0)
                })
                .optional()?
                .unwrap_or(0);
            let failures = if poll.error.is_some() { failures.saturating_add(1) } else { 0 };
            let delay = breaker.probe_delay_after(failures);
            let next_poll_at = delay.map(|delay| clock::format_timestamp(clock::add_duration(now, delay)));
            let success = poll.error.is_none().then_some(&at);
            connection.execute(
                "INSERT INTO sps_sources (name, consecutive_failures, next_poll_at, last_error, last_success_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET consecutive_failures = ?2, next_poll_at = ?3, \
                 last_error = ?4, last_success_at = coalesce(?5, last_success_at)",
                params![poll.source, failures, next_poll_at, poll.error, success],
            )?;
            Ok(())
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Returns when the schedule polls a failing source next, and the host key that the source showed first.
    pub fn read_source_state(&self, name: &str) -> Result<(Option<Timestamp>, Option<String>), StoreError> {
        self.reader.read(|connection| {
            let state: Option<(Option<String>, Option<String>)> = connection
                .prepare_cached("SELECT next_poll_at, host_key FROM sps_sources WHERE name = ?")?
                .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (next_poll_at, host_key) = state.unwrap_or_default();
            Ok((next_poll_at.and_then(|at| clock::parse_timestamp(&at).ok()), host_key))
        })
    }

    /// Stores the host key that a source showed first; a stored key stays.
    pub async fn pin_host_key(&self, source: &str, key: &str) -> Result<(), StoreError> {
        let (source, key) = (source.to_owned(), key.to_owned());
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_sources (name, host_key) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET host_key = \
                 coalesce(host_key, ?2)",
                params![source, key],
            )?;
            Ok(())
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Deletes the state and the polls of a source. Returns false if nothing was stored. Its files stay known, so that
    /// none is received twice if the source comes back.
    pub async fn forget_source(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let job = move |connection: &Connection| {
            let state = connection.execute("DELETE FROM sps_sources WHERE name = ?", [&name])?;
            let polls = connection.execute("DELETE FROM sps_polls WHERE source = ?", [&name])?;
            Ok(state + polls > 0)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}
