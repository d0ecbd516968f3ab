//! The last rejected requests, for the question "why does the provider get a 401?".

use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};
use serde::Serialize;

/// Most rows in the table. The store deletes the oldest row when it adds one more.
pub const REJECTION_ROWS_MAX: i64 = 1000;

/// A rejected request as stored, without its body and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectionRecord {
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
    /// Records a rejection if the write queue has a place. No caller waits for this row, and a crash may lose it.
    pub fn record_rejection(&self, rejection: RejectionRecord) {
        self.writer.submit_detached(WriteClass::Maintain, move |connection| insert_rejection(connection, &rejection));
    }
}

fn insert_rejection(connection: &Connection, rejection: &RejectionRecord) -> Result<(), StoreError> {
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
        .execute([connection.last_insert_rowid() - REJECTION_ROWS_MAX])?;
    Ok(())
}

/// A filter of rejections; the default matches all.
#[derive(Debug, Clone, Default)]
pub struct RejectionFilter {
    pub http_status: Option<u16>,
    /// A glob for the path.
    pub path: Option<String>,
    /// Rejected at this time or later, as [`crate::clock::format_timestamp`] writes it.
    pub since: Option<String>,
    pub reason: Option<String>,
    /// Only rejections with a lower id: the last one of the page before.
    pub before: Option<i64>,
}

/// Returns the last rejections with their ids, the newest first.
pub fn list_rejections(
    connection: &Connection,
    filter: &RejectionFilter,
    limit: u32,
) -> Result<Vec<(i64, RejectionRecord)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, remote_addr, method, path, http_status, reason, detail, header_names, body_sha256, body_bytes, \
         unrecorded, id FROM rejected_requests WHERE (?1 IS NULL OR http_status = ?1) AND (?2 IS NULL OR path GLOB ?2) \
         AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR reason = ?4) AND (?5 IS NULL OR id < ?5) \
         ORDER BY id DESC LIMIT ?6",
    )?;
    let values = params![filter.http_status, filter.path, filter.since, filter.reason, filter.before, limit];
    let rows = statement.query_map(values, |row| {
        let rejection = RejectionRecord {
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
        };
        Ok((row.get(11)?, rejection))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
