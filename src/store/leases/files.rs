//! Claiming the files of EDI sources.
//!
//! ```text
//!  pending ──claim──► fetching ──store──► stored ──move or delete──► done
//!    ▲                  │ │                 │
//!    └─ release, recover┘ └── failed ◄──────┘   a poll that lists it claims it again; the event decides
//!                                               what is a duplicate
//! ```

use crate::clock::{self, Timestamp};
use crate::store::db::writer::WriteClass;
use crate::store::leases::recovery::{RecoverableRow, Recovery};
use crate::store::leases::{Lease, LeaseOwner, Leased, LeasedTable, lease_sql};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, named_params, params};
use std::time::Duration;

/// Files of EDI sources, as leased rows.
pub static FILES: LeasedTable = LeasedTable {
    name: "sps_files",
    leased_status: "fetching",
    noun: "file",
    activity: "fetched this file",
    max_attempts: "NULL",
    write_recovered: write_recovered_file,
};

/// A file that this process claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileClaim {
    pub id: i64,
    pub source: String,
    pub name: String,
    /// Attempts that failed before, one after another.
    pub attempts: u32,
    /// Attempts in a row at whose end the process died. More than none: no other file is fetched meanwhile.
    pub deaths: u32,
    /// The event that a file of this name became before.
    pub previous_event_id: Option<i64>,
    pub lease: Lease,
}

impl Leased for FileClaim {
    fn row_id(&self) -> i64 {
        self.id
    }

    fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// Whether a listed file was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileClaimResult {
    Claimed(FileClaim),
    /// Another process fetches it, or it is not due.
    Skipped,
    /// It stays at the source and was fetched as it is now.
    Unchanged,
}

/// A file as the source lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    pub source: String,
    pub name: String,
    /// Bytes.
    pub size: Option<u64>,
    pub modified: Option<String>,
    /// Files stay at this source after they are fetched.
    pub stays_at_source: bool,
    /// A person asked for the poll: a failed file does not wait for its backoff.
    pub ignores_backoff: bool,
}

/// How fetching a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileClaimOutcome {
    /// The file is an event, and was moved or deleted as configured.
    Done { event_id: i64 },
    /// The file is an event, and could not be moved or deleted.
    Stored { event_id: i64, error: String, retry_at: Timestamp },
    /// The file is no event.
    Failed { error: String, retry_at: Timestamp },
    /// Its sender still writes to it, or the poll was stopped.
    Released,
}

impl Store {
    /// Claims a file if it is due and nobody fetches it.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn claim_file(
        &self,
        file: ListedFile,
        owner: &LeaseOwner,
        lease: Duration,
    ) -> Result<FileClaimResult, StoreError> {
        let (owner, now) = (owner.clone(), self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| claim_listed_file(connection, &file, &owner, lease, now))
            .await
    }

    /// Records that a source lists files which are never claimed, because their names cannot be stored as they are.
    /// `names` are printable forms of the names.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn record_refused_files(
        &self,
        source: &str,
        names: Vec<String>,
        error: &'static str,
    ) -> Result<(), StoreError> {
        let (source, at) = (source.to_owned(), clock::format_timestamp(self.clock.now()));
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                let mut statement = connection.prepare_cached(
                    "INSERT INTO sps_files (source, name, status, last_error, seen_at) VALUES (?1, ?2, 'failed', ?3, \
                     ?4) ON CONFLICT (source, name) DO UPDATE SET seen_at = ?4",
                )?;
                names.iter().try_for_each(|name| statement.execute(params![source, name, error, at]).map(drop))?;
                Ok(())
            })
            .await
    }

    /// Records how fetching a file ended.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] when the lease is lost.
    pub async fn record_file_outcome(&self, claim: &FileClaim, outcome: &FileClaimOutcome) -> Result<(), StoreError> {
        let (claim, outcome) = (claim.clone(), outcome.clone());
        self.writer
            .submit(WriteClass::Maintain, move |connection| write_file_outcome(connection, &claim, &outcome))
            .await
    }
}

/// A file's row before it is claimed.
struct KnownFile {
    status: String,
    is_unchanged: bool,
    is_due: bool,
    /// Another process fetches it, or recovery will end its claim: what the claim cost is not decided here.
    is_leased: bool,
    attempts: u32,
    deaths: u32,
    event_id: Option<i64>,
}

fn claim_listed_file(
    connection: &Connection,
    file: &ListedFile,
    owner: &LeaseOwner,
    lease: Duration,
    now: Timestamp,
) -> Result<FileClaimResult, StoreError> {
    let at = clock::format_timestamp(now);
    let size = file.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    let known: Option<KnownFile> = connection
        .prepare_cached(
            "SELECT status, size IS ?3 AND modified IS ?4 AND size IS NOT NULL, coalesce(next_attempt_at, '') <= ?5, \
             coalesce(lease_expires_at, '') >= ?5 OR locked_by IS NOT ?6 OR locked_process IS NOT ?7, attempts, event_id, deaths \
             FROM sps_files WHERE source = ?1 AND name = ?2",
        )?
        .query_row(params![file.source, file.name, size, file.modified, at, owner.worker, owner.process], |row| {
            Ok(KnownFile {
                status: row.get(0)?,
                is_unchanged: row.get(1)?,
                is_due: row.get(2)?,
                is_leased: row.get(3)?,
                attempts: row.get(4)?,
                event_id: row.get(5)?,
                deaths: row.get(6)?,
            })
        })
        .optional()?;
    if let Some(known) = &known {
        match known.status.as_str() {
            "fetching" if known.is_leased => return Ok(FileClaimResult::Skipped),
            "done" if file.stays_at_source && known.is_unchanged => return Ok(FileClaimResult::Unchanged),
            "failed" | "stored" if !known.is_due && !file.ignores_backoff => {
                mark_as_seen(connection, &file.source, &file.name, &at)?;
                return Ok(FileClaimResult::Skipped);
            }
            _ => {}
        }
    }
    connection
        .prepare_cached(
            "INSERT INTO sps_files (source, name, status, seen_at) VALUES (?1, ?2, 'pending', ?3) \
             ON CONFLICT (source, name) DO NOTHING",
        )?
        .execute(params![file.source, file.name, at])?;
    let (id, fencing_token) = connection
        .prepare_cached(concat!(
            "UPDATE sps_files SET status = 'fetching', size = :size, modified = :modified, seen_at = :now, ",
            lease_sql!(claim),
            " WHERE source = :source AND name = :name RETURNING id, fencing_token"
        ))?
        .query_row(
            named_params! {
                ":source": file.source,
                ":name": file.name,
                ":size": size,
                ":modified": file.modified,
                ":locked_by": owner.worker,
                ":locked_process": owner.process,
                ":lease_expires_at": clock::format_timestamp(clock::add_duration(now, lease)),
                ":now": at,
            },
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
    Ok(FileClaimResult::Claimed(FileClaim {
        id,
        source: file.source.clone(),
        name: file.name.clone(),
        attempts: known.as_ref().map_or(0, |known| known.attempts),
        deaths: known.as_ref().map_or(0, |known| known.deaths),
        previous_event_id: known.and_then(|known| known.event_id),
        lease: Lease { owner: owner.clone(), fencing_token },
    }))
}

/// Records that a source still lists a file.
fn mark_as_seen(connection: &Connection, source: &str, name: &str, at: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE sps_files SET seen_at = ? WHERE source = ? AND name = ?")?
        .execute(params![at, source, name])?;
    Ok(())
}

fn write_file_outcome(
    connection: &Connection,
    claim: &FileClaim,
    outcome: &FileClaimOutcome,
) -> Result<(), StoreError> {
    let (status, event_id, error, retry_at) = match outcome {
        FileClaimOutcome::Done { event_id } => ("done", Some(*event_id), None, None),
        FileClaimOutcome::Stored { event_id, error, retry_at } => {
            ("stored", Some(*event_id), Some(error), Some(*retry_at))
        }
        FileClaimOutcome::Failed { error, retry_at } => ("failed", None, Some(error), Some(*retry_at)),
        FileClaimOutcome::Released => ("pending", None, None, None),
    };
    let rows = connection
        .prepare_cached(concat!(
            "UPDATE sps_files SET status = :status, event_id = coalesce(:event_id, event_id), last_error = :error, \
             next_attempt_at = :retry_at, attempts = CASE WHEN :error IS NULL THEN 0 ELSE attempts + 1 END, \
             deaths = CASE WHEN :status = 'pending' THEN deaths ELSE 0 END, ",
            lease_sql!(clear),
            " WHERE ",
            lease_sql!(fence),
            " AND status = 'fetching'"
        ))?
        .execute(named_params! {
            ":status": status,
            ":event_id": event_id,
            ":error": error,
            ":retry_at": retry_at.map(clock::format_timestamp),
            ":id": claim.id,
            ":locked_by": claim.lease.owner.worker,
            ":fencing_token": claim.lease.fencing_token,
        })?;
    if rows == 0 {
        return Err(StoreError::ClaimLost { event_id: event_id.unwrap_or(0) });
    }
    // Another file had this name before: the mark lets a person see it.
    if let (Some(event_id), Some(previous)) = (event_id, claim.previous_event_id)
        && event_id != previous
    {
        connection.execute(
            "UPDATE webhook_events SET same_name_as = ?1 WHERE id = ?2 AND same_name_as IS NULL",
            params![previous, event_id],
        )?;
    }
    Ok(())
}

/// Makes a recovered file claimable by the next poll that lists it, or by the first one after its backoff.
fn write_recovered_file(
    connection: &Connection,
    row: &RecoverableRow,
    recovery: &Recovery<'_>,
) -> Result<bool, StoreError> {
    let (counts, waits) = (recovery.counts(), recovery.retry_at.is_some());
    connection
        .prepare_cached(concat!(
            "UPDATE sps_files SET status = :status, attempts = attempts + :failed, deaths = deaths + :counted, \
             next_attempt_at = :retry_at, last_error = coalesce(:error, last_error), ",
            lease_sql!(clear),
            " WHERE id = :id"
        ))?
        .execute(named_params! {
            ":status": if waits { "failed" } else { "pending" },
            ":failed": u32::from(waits),
            ":counted": u32::from(counts),
            ":retry_at": recovery.retry_at,
            ":error": counts.then_some(recovery.reason),
            ":id": row.id,
        })?;
    Ok(false)
}
