//! The pool of connections that only read. A read never waits for a write; a long one keeps the WAL from shrinking, so
//! every query here is short and pages by key.

use super::{StoreError, open};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Reader(r2d2::Pool<SqliteConnectionManager>);

impl Reader {
    /// Opens `connections` at most, the first one now.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no file, [`StoreError::Open`] when it cannot be read.
    pub fn open(path: &Path, connections: u32) -> Result<Self, StoreError> {
        // One by hand first: the pool would hide why it cannot be opened.
        drop(open::for_reading(path)?);
        let manager = SqliteConnectionManager::file(path)
            .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .with_init(|connection| open::prepare_reader(connection));
        let pool = r2d2::Pool::builder()
            .max_size(connections.max(1))
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(5))
            .build(manager)
            .map_err(|_| StoreError::NoReader)?;
        Ok(Self(pool))
    }

    /// Runs `query` on a free connection.
    ///
    /// # Errors
    /// [`StoreError::NoReader`] when none becomes free, otherwise what the query gave.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.0.get().map_err(|_| StoreError::NoReader)?;
        query(&connection)
    }
}
