//! Scrub: rewrites the database file and empties the WAL after a redaction.
//!
//! SQLite overwrites deleted bytes with zeros (`secure_delete`), but it leaves copies of rows where it moved them
//! between pages. Only `VACUUM`, which rewrites the file, removes them. No event can be stored meanwhile. Therefore the
//! daemon scrubs by itself only up to a file size, once for all pending redactions. An operator scrubs a larger file.

use crate::clock;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, params};
use std::sync::MutexGuard;

/// Largest file that the daemon scrubs by itself; it takes some seconds.
pub const AUTO_SCRUB_BYTES_MAX: u64 = 512 << 20;

/// The result of a scrub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrubResult {
    /// The file has no trace of redacted data.
    Clean,
    /// Another process reads an older state or has the lock; try again later.
    Busy,
    /// The file is larger than [`AUTO_SCRUB_BYTES_MAX`].
    TooLarge,
}

impl Store {
    /// Returns true if a redaction waits for a scrub.
    pub fn has_unscrubbed_redactions(&self) -> Result<bool, StoreError> {
        self.reader.read(|connection| {
            Ok(connection.prepare_cached("SELECT 1 FROM redactions WHERE scrubbed_at IS NULL")?.exists([])?)
        })
    }

    /// Removes the traces of redacted data from the file, if a redaction waits for it. `any_size` scrubs a file of any
    /// size.
    pub async fn scrub(&self, any_size: bool) -> Result<ScrubResult, StoreError> {
        if !self.has_unscrubbed_redactions()? {
            return Ok(ScrubResult::Clean);
        }
        if !any_size && std::fs::metadata(&self.path).is_ok_and(|file| file.len() > AUTO_SCRUB_BYTES_MAX) {
            return Ok(ScrubResult::TooLarge);
        }
        // One VACUUM is enough for the redactions that wait now, even if a reader blocks the truncation of the WAL for
        // long.
        let pending = self.reader.read(read_pending_scrub)?;
        if *self.lock_last_compaction() != Some(pending) {
            if !self.writer.vacuum().await {
                return Ok(ScrubResult::Busy);
            }
            *self.lock_last_compaction() = Some(pending);
        }
        if !self.writer.truncate_wal().await {
            return Ok(ScrubResult::Busy);
        }
        let now = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            // A redaction since then needs a scrub of its own.
            if self::read_pending_scrub(connection)? == pending {
                connection.execute("UPDATE redactions SET scrubbed_at = ? WHERE scrubbed_at IS NULL", params![now])?;
            }
            Ok(())
        };
        self.writer.submit(WriteClass::Maintain, job).await?;
        Ok(ScrubResult::Clean)
    }

    fn lock_last_compaction(&self) -> MutexGuard<'_, Option<PendingScrub>> {
        self.last_compaction.lock().expect("nothing panics while it holds this")
    }
}

/// Identifies the set of redactions that wait for a scrub: number, newest event, sum of late events.
pub type PendingScrub = (i64, i64, i64);

fn read_pending_scrub(connection: &Connection) -> Result<PendingScrub, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT count(*), coalesce(max(event_id), 0), coalesce(sum(late_events), 0) FROM redactions WHERE scrubbed_at IS NULL",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}
