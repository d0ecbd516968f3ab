//! The ring of refused deliveries, for the question "why does the provider get a 401?".

use super::writer::Kind;
use super::{Store, StoreError};
use rusqlite::{Connection, params};
use serde::Serialize;

/// Rows kept; the oldest goes when one more comes.
pub const RING_ROWS: i64 = 1000;

/// A refused delivery: no body, no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    pub at: String,
    pub remote_addr: String,
    pub method: String,
    pub path: String,
    pub http_status: u16,
    pub reason: String,
    pub detail: Option<String>,
    pub header_names: String,
    pub body_sha256: Option<String>,
    pub body_bytes: u64,
    pub unrecorded: u64,
}

impl Store {
    /// Notes a refusal, if the writer has a place for it. Nobody waits for this row, and it may be lost in a crash.
    pub fn note_rejection(&self, rejection: Rejection) {
        self.writer.submit_unattended(Kind::Upkeep, move |connection| insert(connection, &rejection));
    }
}

fn insert(connection: &Connection, rejection: &Rejection) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO rejected_requests (at, remote_addr, method, path, http_status, reason, detail, header_names, \
             body_sha256, body_bytes, unrecorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            rejection.at,
            rejection.remote_addr,
            rejection.method,
            rejection.path,
            rejection.http_status,
            rejection.reason,
            rejection.detail,
            rejection.header_names,
            rejection.body_sha256,
            i64::try_from(rejection.body_bytes).unwrap_or(i64::MAX),
            i64::try_from(rejection.unrecorded).unwrap_or(i64::MAX),
        ])?;
    connection
        .prepare_cached("DELETE FROM rejected_requests WHERE id <= ?")?
        .execute([connection.last_insert_rowid() - RING_ROWS])?;
    Ok(())
}

/// Which refusals; an empty filter means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub http_status: Option<u16>,
    /// A glob over the path.
    pub path: Option<String>,
    /// [`crate::clock::text`]: this time or later.
    pub since: Option<String>,
}

/// The last refusals, the newest first.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &Connection, filter: &Filter, limit: u32) -> Result<Vec<Rejection>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, remote_addr, method, path, http_status, reason, detail, header_names, body_sha256, body_bytes, \
         unrecorded FROM rejected_requests WHERE (?1 IS NULL OR http_status = ?1) AND (?2 IS NULL OR path GLOB ?2) \
         AND (?3 IS NULL OR at >= ?3) ORDER BY id DESC LIMIT ?4",
    )?;
    let rows = statement.query_map(params![filter.http_status, filter.path, filter.since, limit], |row| {
        Ok(Rejection {
            at: row.get(0)?,
            remote_addr: row.get(1)?,
            method: row.get(2)?,
            path: row.get(3)?,
            http_status: row.get(4)?,
            reason: row.get(5)?,
            detail: row.get(6)?,
            header_names: row.get(7)?,
            body_sha256: row.get(8)?,
            body_bytes: row.get::<_, i64>(9)?.unsigned_abs(),
            unrecorded: row.get::<_, i64>(10)?.unsigned_abs(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
