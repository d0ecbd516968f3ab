//! After an erasure: the file is written anew, and the WAL emptied.
//!
//! Zeros are written over what is deleted (`secure_delete`), but SQLite leaves copies of rows behind where it once moved them from
//! page to page. Only writing the file anew (`VACUUM`) leaves none. That holds up deliveries while it lasts, so it is done by itself
//! for a file up to a size, once for all erasures that wait; for a larger one an operator does it at a quiet hour.

use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock;
use rusqlite::{Connection, params};
use std::sync::MutexGuard;

/// Largest file that is written anew without being asked: some seconds.
pub const BYTES_MAX: u64 = 512 << 20;

/// What a scrub came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// There is no trace, or nothing was erased.
    Clean,
    /// Somebody reads an older state, or holds the lock: to be tried again.
    Later,
    /// The file is too large to be written anew unasked.
    TooLarge,
}

impl Store {
    /// Whether something was erased whose traces are not gone.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_unscrubbed(&self) -> Result<bool, StoreError> {
        self.reader.read(|connection| {
            Ok(connection.prepare_cached("SELECT 1 FROM erasures WHERE scrubbed_at IS NULL")?.exists([])?)
        })
    }

    /// Rids the file of the traces of what was erased, if there are any; `any_size`: however long it takes.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub async fn scrub(&self, any_size: bool) -> Result<Scrubbed, StoreError> {
        if !self.is_unscrubbed()? {
            return Ok(Scrubbed::Clean);
        }
        if !any_size && std::fs::metadata(&self.path).is_ok_and(|file| file.len() > BYTES_MAX) {
            return Ok(Scrubbed::TooLarge);
        }
        // Written anew once for the erasures that wait now, however long somebody keeps the WAL from being emptied.
        let waiting = self.reader.read(waiting)?;
        if *self.lock() != Some(waiting) {
            if !self.writer.compact().await {
                return Ok(Scrubbed::Later);
            }
            *self.lock() = Some(waiting);
        }
        if !self.writer.empty_wal().await {
            return Ok(Scrubbed::Later);
        }
        let now = clock::text(self.clock.now());
        let job = move |connection: &Connection| {
            // Unless more was erased meanwhile.
            if self::waiting(connection)? == waiting {
                connection.execute("UPDATE erasures SET scrubbed_at = ? WHERE scrubbed_at IS NULL", params![now])?;
            }
            Ok(())
        };
        self.writer.submit(Kind::Upkeep, job).await?;
        Ok(Scrubbed::Clean)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.compacted.lock().expect("nothing panics while it holds this")
    }
}

/// Tells one state of what waits from another.
pub type Waiting = (i64, i64, i64);

fn waiting(connection: &Connection) -> Result<Waiting, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT count(*), coalesce(max(event_id), 0), coalesce(sum(late), 0) FROM erasures WHERE scrubbed_at IS NULL",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}
