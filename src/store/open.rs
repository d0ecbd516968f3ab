//! Opening the file. Nothing else in the project opens it, not even to look: closing a second descriptor of a file drops
//! the POSIX locks that SQLite holds on it in this process (sqlite.org/howtocorrupt.html, section 2.2).

use super::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Page size of a new file. With 8 KiB a Shopify order fits one page, and a commit writes fewer of them.
const PAGE_BYTES: u32 = 8192;
/// Page cache of the writing connection, in KiB; holds the upper index pages of some ten million events.
const WRITER_CACHE_KIB: u32 = 65_536;
const READER_CACHE_KIB: u32 = 8_192;
/// Prepared statements kept per connection; more than the project has.
const STATEMENTS: usize = 64;

/// A connection that may write: WAL, every commit synced.
///
/// # Errors
/// [`StoreError::Open`] when the file or its directory cannot be used.
pub fn for_writing(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this is the place that opens")]
    let connection = Connection::open_with_flags(path, flags).map_err(|source| failed(path, source))?;
    let configure = || {
        connection.busy_timeout(busy_timeout)?;
        // These two take effect only while the file is empty, and cannot be changed later.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit returns when the WAL is on the disk: 200 means that a power cut loses nothing.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints are made by `writer`, after the answers are out, never inside a commit.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
        connection.pragma_update(None, "temp_store", "MEMORY")
    };
    configure().map_err(|source| failed(path, source))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// A connection that cannot write.
///
/// # Errors
/// [`StoreError::Missing`] when there is no file, [`StoreError::Open`] when it cannot be read.
pub fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this is the place that opens")]
    let connection = Connection::open_with_flags(path, flags).map_err(|source| failed(path, source))?;
    prepare_reader(&connection).map_err(|source| failed(path, source))?;
    Ok(connection)
}

/// The settings of a reading connection, for the pool too.
pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn failed(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Open { path: path.to_owned(), source: Arc::new(source) }
}
