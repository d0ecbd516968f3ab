//! The pool of read-only connections.
//!
//! A read never waits for a write. A long read keeps the WAL from shrinking, so every query is short and pages by key.

use crate::store::StoreError;
use crate::store::db::open;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::{Duration, Instant};

/// Steps of SQLite's virtual machine between two looks at the clock: about a millisecond.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

/// A pool of read-only connections. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Reader(r2d2::Pool<SqliteConnectionManager>);

impl Reader {
    /// Opens the pool with at most `connections` connections, the first one at once.
    ///
    /// # Errors
    /// Those of [`open::open_for_reading`].
    pub fn open(path: &Path, connections: u32) -> Result<Self, StoreError> {
        // The pool would hide the reason of a failure, so this connection reports it first.
        drop(open::open_for_reading(path)?);
        let manager = SqliteConnectionManager::file(path)
            .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .with_init(|connection| open::configure_reader(connection));
        let pool = r2d2::Pool::builder()
            .max_size(connections.max(1))
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(5))
            .build(manager)
            .map_err(|_| StoreError::NoFreeReader)?;
        Ok(Self(pool))
    }

    /// Runs `query` on a free connection for at most `time_max`.
    ///
    /// # Errors
    /// Those of [`Reader::read`]; [`StoreError::QueryTooSlow`] if the time was over.
    pub fn read_within<T>(
        &self,
        time_max: Duration,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.0.get().map_err(|_| StoreError::NoFreeReader)?;
        let deadline = Instant::now() + time_max;
        connection.progress_handler(STEPS_BETWEEN_CHECKS, Some(move || Instant::now() > deadline))?;
        let result = query(&connection);
        connection.progress_handler(0, None::<fn() -> bool>)?;
        match result {
            Err(_) if Instant::now() > deadline => Err(StoreError::QueryTooSlow { limit: time_max }),
            result => result,
        }
    }

    /// Runs `query` on a free connection and returns its result.
    ///
    /// # Errors
    /// [`StoreError::NoFreeReader`] if no connection becomes free, otherwise the query's error.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let connection = self.0.get().map_err(|_| StoreError::NoFreeReader)?;
        query(&connection)
    }
}
