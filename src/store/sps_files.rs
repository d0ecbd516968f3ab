//! Which files were seen at the sources, who takes each, and how the polls and the sources are doing.
//!
//! ```text
//!  seen ──claim──► taking ──stored──► stored ──moved or deleted──► done
//!    ▲               │ │                 │
//!    └── still grows ┘ └── failed ◄──────┘   taken again when it is listed again; the event is the judge of duplicates
//! ```
//! The same claim as for events: one transaction that writes holder and lease, outcomes fenced on it.

use super::claims::Holder;
use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use std::time::Duration;

/// A file that this process takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileClaim {
    pub source: String,
    pub name: String,
    /// That failed before, one after another.
    pub attempts: u32,
    /// The event that a file of this name became before.
    pub earlier: Option<i64>,
    taken: i64,
    holder: Holder,
}

/// Whether a file is to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Take(FileClaim),
    /// Somebody else has it, or it is not due.
    Skip,
    /// It stays there and was taken as it is.
    Known,
}

/// What the source says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub source: String,
    pub name: String,
    pub size: Option<u64>,
    pub modified: Option<String>,
    /// Files stay at this source when they are taken.
    pub stays: bool,
    /// Asked for by a person: what failed is not left to wait.
    pub now: bool,
}

/// How taking a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is an event, and was moved or deleted as it should be.
    Done { event_id: i64 },
    /// It is an event, and could not be moved or deleted.
    Stored { event_id: i64, error: String, at: Timestamp },
    /// It is none.
    Failed { error: String, at: Timestamp },
    /// It is still written to, or the poll was stopped.
    Released,
}

/// What a poll found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Poll {
    pub id: i64,
    pub source: String,
    pub asked_by: String,
    pub started_at: String,
    pub finished_at: Option<String>,
    pub found: u64,
    pub taken: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub failed: u64,
    pub error: Option<String>,
}

impl Store {
    /// Claims a file, if it is to be taken.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn claim_file(&self, seen: Seen, holder: &Holder, lease: Duration) -> Result<Turn, StoreError> {
        let (holder, now) = (holder.clone(), self.clock.now());
        self.writer.submit(Kind::Upkeep, move |connection| claim(connection, &seen, &holder, lease, now)).await
    }

    /// Writes how taking a file ended.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] when somebody else has it by now.
    pub async fn finish_file(&self, claim: &FileClaim, end: &End) -> Result<(), StoreError> {
        let (claim, end) = (claim.clone(), end.clone());
        self.writer.submit(Kind::Upkeep, move |connection| finish(connection, &claim, &end)).await
    }

    /// Who takes files now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn file_holders(&self) -> Result<Vec<Holder>, StoreError> {
        self.reader.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT locked_by, coalesce(locked_process, '') FROM sps_files WHERE status = 'taking'",
            )?;
            let rows = statement.query_map([], |row| Ok(Holder { worker: row.get(0)?, process: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Takes its files away from a dead process.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rescue_files(&self, dead: &Holder) -> Result<usize, StoreError> {
        let dead = dead.clone();
        let job = move |connection: &Connection| {
            Ok(connection.execute(
                "UPDATE sps_files SET status = 'seen', locked_by = NULL, locked_process = NULL, lease_until = NULL \
                 WHERE status = 'taking' AND locked_by = ? AND coalesce(locked_process, '') = ?",
                params![dead.worker, dead.process],
            )?)
        };
        self.writer.submit(Kind::Upkeep, job).await
    }

    /// Notes that a poll begins; gives its number.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn begin_poll(&self, source: &str, asked_by: &str, worker: &str) -> Result<i64, StoreError> {
        let (source, asked_by, worker) = (source.to_owned(), asked_by.to_owned(), worker.to_owned());
        let now = clock::text(self.clock.now());
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_polls (source, asked_by, worker, started_at) VALUES (?, ?, ?, ?)",
                params![source, asked_by, worker, now],
            )?;
            Ok(connection.last_insert_rowid())
        };
        self.writer.submit(Kind::Upkeep, job).await
    }

    /// Notes what a poll found, and how the source is doing: `rest` is how long the schedule leaves one alone that failed, doubled
    /// with each failure up to `rest_max`.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn end_poll(&self, poll: &Poll, rest: Duration, rest_max: Duration) -> Result<(), StoreError> {
        let (poll, now) = (poll.clone(), self.clock.now());
        let job = move |connection: &Connection| {
            let at = clock::text(now);
            connection.execute(
                "UPDATE sps_polls SET finished_at = ?, found = ?, taken = ?, duplicates = ?, skipped = ?, failed = ?, error = ? WHERE id = ?",
                params![at, poll.found, poll.taken, poll.duplicates, poll.skipped, poll.failed, poll.error, poll.id],
            )?;
            let failures: u32 = connection
                .query_row("SELECT failures FROM sps_sources WHERE name = ?", [&poll.source], |row| row.get(0))
                .optional()?
                .unwrap_or(0);
            let failures = if poll.error.is_some() { failures.saturating_add(1) } else { 0 };
            let doubled = rest.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(rest_max);
            let until = poll.error.is_some().then(|| clock::text(clock::after(now, doubled)));
            let success = poll.error.is_none().then_some(&at);
            connection.execute(
                "INSERT INTO sps_sources (name, failures, rest_until, last_error, last_success_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET failures = ?2, rest_until = ?3, last_error = ?4, \
                 last_success_at = coalesce(?5, last_success_at)",
                params![poll.source, failures, until, poll.error, success],
            )?;
            Ok(())
        };
        self.writer.submit(Kind::Upkeep, job).await
    }

    /// Until when the schedule leaves a source alone, and the host key it showed first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sps_source(&self, name: &str) -> Result<(Option<Timestamp>, Option<String>), StoreError> {
        self.reader.read(|connection| {
            let found: Option<(Option<String>, Option<String>)> = connection
                .prepare_cached("SELECT rest_until, host_key FROM sps_sources WHERE name = ?")?
                .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let (rest, key) = found.unwrap_or_default();
            Ok((rest.and_then(|rest| clock::parse(&rest).ok()), key))
        })
    }

    /// Keeps the host key that a source showed first; the first one stays.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn keep_host_key(&self, source: &str, key: &str) -> Result<(), StoreError> {
        let (source, key) = (source.to_owned(), key.to_owned());
        let job = move |connection: &Connection| {
            connection.execute(
                "INSERT INTO sps_sources (name, host_key) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET host_key = coalesce(host_key, ?2)",
                params![source, key],
            )?;
            Ok(())
        };
        self.writer.submit(Kind::Upkeep, job).await
    }
}

fn claim(
    connection: &Connection,
    seen: &Seen,
    holder: &Holder,
    lease: Duration,
    now: Timestamp,
) -> Result<Turn, StoreError> {
    struct Row {
        status: String,
        same: bool,
        due: bool,
        free: bool,
        attempts: u32,
        event_id: Option<i64>,
    }
    let at = clock::text(now);
    let size = seen.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    let row: Option<Row> = connection
        .prepare_cached(
            "SELECT status, size IS ?3 AND modified IS ?4 AND size IS NOT NULL, coalesce(next_attempt_at, '') <= ?5, \
             coalesce(lease_until, '') < ?5, attempts, event_id FROM sps_files WHERE source = ?1 AND name = ?2",
        )?
        .query_row(params![seen.source, seen.name, size, seen.modified, at], |row| {
            Ok(Row {
                status: row.get(0)?,
                same: row.get(1)?,
                due: row.get(2)?,
                free: row.get(3)?,
                attempts: row.get(4)?,
                event_id: row.get(5)?,
            })
        })
        .optional()?;
    if let Some(row) = &row {
        match row.status.as_str() {
            "taking" if !row.free => return Ok(Turn::Skip),
            "done" if seen.stays && row.same => return Ok(Turn::Known),
            "failed" | "stored" if !row.due && !seen.now => return Ok(Turn::Skip),
            _ => {}
        }
    }
    let taken: i64 = connection
        .prepare_cached(
            "INSERT INTO sps_files (source, name, status, size, modified, taken, locked_by, locked_process, lease_until, seen_at) \
             VALUES (?1, ?2, 'taking', ?3, ?4, 1, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET status = 'taking', size = ?3, modified = ?4, \
             taken = taken + 1, locked_by = ?5, locked_process = ?6, lease_until = ?7, seen_at = ?8 RETURNING taken",
        )?
        .query_row(
            params![
                seen.source,
                seen.name,
                size,
                seen.modified,
                holder.worker,
                holder.process,
                clock::text(clock::after(now, lease)),
                at
            ],
            |row| row.get(0),
        )?;
    Ok(Turn::Take(FileClaim {
        source: seen.source.clone(),
        name: seen.name.clone(),
        attempts: row.as_ref().map_or(0, |row| row.attempts),
        earlier: row.and_then(|row| row.event_id),
        taken,
        holder: holder.clone(),
    }))
}

fn finish(connection: &Connection, claim: &FileClaim, end: &End) -> Result<(), StoreError> {
    let (status, event_id, error, at) = match end {
        End::Done { event_id } => ("done", Some(*event_id), None, None),
        End::Stored { event_id, error, at } => ("stored", Some(*event_id), Some(error), Some(*at)),
        End::Failed { error, at } => ("failed", None, Some(error), Some(*at)),
        End::Released => ("seen", None, None, None),
    };
    let failed = error.is_some();
    let rows = connection
        .prepare_cached(
            "UPDATE sps_files SET status = ?1, event_id = coalesce(?2, event_id), last_error = ?3, next_attempt_at = ?4, \
             attempts = CASE WHEN ?5 THEN attempts + 1 ELSE 0 END, locked_by = NULL, locked_process = NULL, lease_until = NULL \
             WHERE source = ?6 AND name = ?7 AND status = 'taking' AND locked_by = ?8 AND taken = ?9",
        )?
        .execute(params![
            status,
            event_id,
            error,
            at.map(clock::text),
            failed,
            claim.source,
            claim.name,
            claim.holder.worker,
            claim.taken
        ])?;
    if rows == 0 {
        return Err(StoreError::ClaimLost { event_id: event_id.unwrap_or(0) });
    }
    // A file of the same name that said something else: marked, so that a person sees it.
    if let (Some(event_id), Some(earlier)) = (event_id, claim.earlier)
        && event_id != earlier
    {
        connection.execute(
            "UPDATE webhook_events SET same_name_as = ?1 WHERE id = ?2 AND same_name_as IS NULL",
            params![earlier, event_id],
        )?;
    }
    Ok(())
}

/// The last polls, the newest first.
///
/// # Errors
/// When the query fails.
pub fn polls(connection: &Connection, limit: u32) -> Result<Vec<Poll>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, source, asked_by, started_at, finished_at, found, taken, duplicates, skipped, failed, error FROM sps_polls \
         ORDER BY id DESC LIMIT ?",
    )?;
    let rows = statement.query_map([limit], |row| {
        Ok(Poll {
            id: row.get(0)?,
            source: row.get(1)?,
            asked_by: row.get(2)?,
            started_at: row.get(3)?,
            finished_at: row.get(4)?,
            found: row.get(5)?,
            taken: row.get(6)?,
            duplicates: row.get(7)?,
            skipped: row.get(8)?,
            failed: row.get(9)?,
            error: row.get(10)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
