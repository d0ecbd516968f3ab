//! Opening the file. Nothing else in the project opens it, not even to look: closing a second descriptor of a file drops
//! the POSIX locks that SQLite holds on it in this process (sqlite.org/howtocorrupt.html, section 2.2).

use super::{StoreError, migrate};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::cell::Cell;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Page size of a new file. With 8 KiB a Shopify order fits one page, and a commit writes fewer of them.
const PAGE_BYTES: u32 = 8192;
/// Page cache of the writing connection, in KiB; holds the upper index pages of some ten million events.
const WRITER_CACHE_KIB: u32 = 65_536;
const READER_CACHE_KIB: u32 = 8_192;
/// How long a read waits for a lock; in WAL it hardly ever meets one.
const READER_PATIENCE: Duration = Duration::from_secs(5);
/// And one that wants the file for itself.
const ALONE_PATIENCE: Duration = Duration::from_secs(2);
/// What has a meaning in an SQLite URI.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
/// Prepared statements kept per connection; more than the project has.
const STATEMENTS: usize = 256;

/// A connection that may write: WAL, every commit synced. A file that is not ours is looked at and left as it is.
///
/// # Errors
/// [`StoreError::Foreign`], [`StoreError::Newer`] and [`StoreError::NotADatabase`] for a file that is not ours to use,
/// [`StoreError::Open`] when the file or its directory cannot be used.
pub fn for_writing(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    // Before SQLite has it, which would make it readable for all; -wal and -shm take their mode from it.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this is the place that opens")]
    let connection = Connection::open_with_flags(path, flags).map_err(|cause| {
        // Another user's, which may not even be read.
        if path.exists() && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
            return read_only(path);
        }
        failed(path, cause, busy_timeout)
    })?;
    wait_for_lock(&connection, busy_timeout)?;
    // SQLite opens a file that it may not write for reading, without a word.
    if connection.is_readonly("main")? {
        return Err(read_only(path));
    }
    let is_new = migrate::version(&connection, path)
        .map_err(|error| match error {
            StoreError::Sqlite(cause) | StoreError::Disk(cause) | StoreError::Damaged(cause) => {
                failed_by(path, cause, busy_timeout)
            }
            other => other,
        })?
        .is_none();
    let configure = || {
        if is_new {
            // These two take effect only while the file is empty, and cannot be changed later. On a file with content
            // they would still take the write lock.
            connection.pragma_update(None, "page_size", PAGE_BYTES)?;
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // A commit returns when the WAL is on the disk: 200 means that a power cut loses nothing.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Checkpoints are made by `writer`, after the answers are out, never inside a commit.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is overwritten: an erasure on demand must not leave bytes in free pages.
        connection.pragma_update(None, "secure_delete", true)?;
        // What VACUUM writes on its way goes nowhere else on the disk.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
        Ok(())
    };
    configure().map_err(|cause| failed(path, cause, busy_timeout))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// How long a writer waits for the lock, for all of this process, in ms.
static PATIENCE_MS: AtomicU64 = AtomicU64::new(0);
/// Between two looks at the lock.
const LOOK_EVERY: Duration = Duration::from_millis(2);

thread_local! {
    /// When this thread began to wait.
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Waits for the write lock as long as `patience`. SQLite's own way looks less and less often, in the end ten times a second: a process
/// beside a daemon that is at full load would find no gap, and the daemon would wait a tenth of a second for a lock that is free.
///
/// # Errors
/// When SQLite does not take the handler: never.
pub(super) fn wait_for_lock(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    PATIENCE_MS.store(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    connection.busy_handler(Some(|looks| {
        if looks == 0 {
            WAITING_SINCE.set(Some(Instant::now()));
        }
        let waited = WAITING_SINCE.get().map_or(Duration::ZERO, |since| since.elapsed());
        if waited >= Duration::from_millis(PATIENCE_MS.load(Ordering::Relaxed)) {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
        true
    }))
}

/// Why a file that is there cannot be written.
#[must_use]
pub fn read_only(path: &Path) -> StoreError {
    let path = path.to_owned();
    let flags = rustix::fs::statvfs(&path).map(|disk| disk.f_flag);
    if flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)) {
        return StoreError::ReadOnlyDisk { path };
    }
    StoreError::ReadOnly { path }
}

/// A connection that cannot write.
///
/// # Errors
/// [`StoreError::Missing`] when there is no file or nothing in it, what [`migrate::version`] gives for one that is not ours,
/// [`StoreError::Open`] when it cannot be read.
pub fn for_reading(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this is the place that opens")]
    let connection = Connection::open_with_flags(path, flags).map_err(|cause| failed(path, cause, READER_PATIENCE))?;
    prepare_reader(&connection).map_err(|cause| failed(path, cause, READER_PATIENCE))?;
    let version = migrate::version(&connection, path).map_err(|error| match error {
        StoreError::Sqlite(cause) | StoreError::Disk(cause) | StoreError::Damaged(cause) => {
            failed_by(path, cause, READER_PATIENCE)
        }
        other => other,
    })?;
    if version.is_none() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    Ok(connection)
}

/// A connection for `VACUUM INTO`, which writes another file and only reads this one.
///
/// # Errors
/// As [`for_reading`].
pub(super) fn for_copying(path: &Path) -> Result<Connection, StoreError> {
    let connection = for_reading(path)?;
    // It would forbid the other file too.
    connection.pragma_update(None, "query_only", false)?;
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// A connection to a file that nobody writes, such as a backup that is proved: nothing is made beside it, and it may lie where
/// nothing can be written.
///
/// # Errors
/// [`StoreError::Open`] when it cannot be read.
pub(super) fn immutable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let escaped = percent_encode(path.as_os_str().as_encoded_bytes(), PATH).to_string();
    #[expect(clippy::disallowed_methods, reason = "this is the place that opens")]
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .map_err(|cause| failed(path, cause, ALONE_PATIENCE))
}

/// A connection that has the file for itself and leaves nothing beside it.
///
/// # Errors
/// [`StoreError::Busy`] when somebody else has it open, [`StoreError::NotADatabase`], [`StoreError::Open`].
pub(super) fn alone(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this is the place that opens")]
    let connection = Connection::open_with_flags(path, flags).map_err(|cause| failed(path, cause, ALONE_PATIENCE))?;
    connection.busy_timeout(ALONE_PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "DELETE").map_err(|cause| failed(path, cause, ALONE_PATIENCE))?;
    Ok(connection)
}

/// The settings of a reading connection, for the pool too.
pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READER_PATIENCE)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn failed(path: &Path, cause: rusqlite::Error, waited: Duration) -> StoreError {
    failed_by(path, Arc::new(cause), waited)
}

fn failed_by(path: &Path, cause: Arc<rusqlite::Error>, waited: Duration) -> StoreError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { waited },
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
        _ => StoreError::Open { path, cause },
    }
}
