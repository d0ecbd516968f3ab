//! Opening the database file. No other module opens it, not even to read a byte.
//!
//! If a process closes a second descriptor of the file, it loses the POSIX locks that SQLite has on it
//! (sqlite.org/howtocorrupt.html, section 2.2).

use crate::store::StoreError;
use crate::store::db::{lost_file, migrate};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::cell::Cell;
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Mode of a new database: members of the file's group may read it without root. Others may not.
pub const DATABASE_MODE: u32 = 0o640;
/// Page size of a new file. A Shopify order fits in 8 KiB, so a commit writes fewer pages.
const PAGE_BYTES: u32 = 8192;
/// Page cache of the writer's connection, in KiB. It holds the upper index pages of about ten million events.
const WRITER_CACHE_KIB: u32 = 65_536;
/// Page cache of each read-only connection, in KiB.
const READER_CACHE_KIB: u32 = 8_192;
/// Longest wait of a read for a lock. In WAL mode a read rarely meets one.
const READER_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for exclusive access to the file.
const EXCLUSIVE_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Characters with a meaning in an SQLite URI.
const URI_PATH_ESCAPES: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');
/// Prepared statements that each connection keeps; more than the project has.
const STATEMENT_CACHE_SIZE: usize = 256;

/// Returns a connection that may write, in WAL mode, with a sync at each commit.
///
/// # Errors
/// [`StoreError::ForeignDatabase`], [`StoreError::NewerSchema`] and [`StoreError::NotADatabase`] leave the file
/// unchanged. [`StoreError::OpenFailed`] if the file or its directory cannot be used.
pub fn open_for_writing(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    lost_file::set_orphaned_wal_aside(path);
    create_database_file(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this module opens all connections")]
    let connection = Connection::open_with_flags(path, flags).map_err(|cause| {
        // Another user's file may not even be readable.
        if path.exists() && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
            return to_read_only_error(path);
        }
        to_open_error(path, cause, busy_timeout)
    })?;
    install_busy_handler(&connection, busy_timeout)?;
    // SQLite opens a file that it may not write as read-only, without an error.
    if connection.is_readonly("main")? {
        return Err(to_read_only_error(path));
    }
    let is_new = read_version_of_opened(&connection, path, busy_timeout)?.is_none();
    configure_writer(&connection, is_new).map_err(|cause| to_open_error(path, cause, busy_timeout))?;
    Ok(connection)
}

/// Creates the file with [`DATABASE_MODE`] unless it exists. SQLite gives -wal and -shm the mode of the database.
///
/// Only a new file is opened and closed here: no connection of this process can have locks on it yet.
fn create_database_file(path: &Path) {
    if let Ok(file) = OpenOptions::new().write(true).create_new(true).mode(DATABASE_MODE).open(path) {
        // The umask took bits away.
        let _ = file.set_permissions(Permissions::from_mode(DATABASE_MODE));
    }
}

/// Sets the pragmas that make a commit durable.
fn configure_writer(connection: &Connection, is_new: bool) -> rusqlite::Result<()> {
    if is_new {
        // These two take effect only while the file is empty, and cannot be changed later. On a file with content they
        // would still take the write lock.
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit returns after the WAL is on the disk. So a power cut after an answer of 200 loses nothing.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The writer makes checkpoints after it sent the answers, never inside a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // SQLite overwrites deleted content with zeros: a redaction must leave no bytes in free pages.
    connection.pragma_update(None, "secure_delete", true)?;
    // VACUUM must not write its temporary copy elsewhere on the disk.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -i64::from(WRITER_CACHE_KIB))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_SIZE);
    Ok(())
}

/// Returns the schema version of a file that was just opened, or None if the file is empty.
fn read_version_of_opened(
    connection: &Connection,
    path: &Path,
    busy_timeout: Duration,
) -> Result<Option<i64>, StoreError> {
    migrate::read_schema_version(connection, path).map_err(|error| match error {
        StoreError::Sqlite(cause) | StoreError::DiskIo(cause) | StoreError::Damaged(cause) => {
            to_shared_open_error(path, cause, busy_timeout)
        }
        other => other,
    })
}

/// Longest wait of a write for the lock, in ms, the same for all connections of this process.
static BUSY_TIMEOUT_MS: AtomicU64 = AtomicU64::new(0);
/// Wait between two attempts to get the lock.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(2);

thread_local! {
    /// When this thread started to wait.
    static WAITING_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes the connection wait for the write lock for at most `timeout`, and look for it every 2 ms.
///
/// SQLite's own busy handler looks less and less often, in the end ten times a second. A process beside a daemon at
/// full load would then find no gap, and the daemon would wait a tenth of a second for a free lock.
pub(crate) fn install_busy_handler(connection: &Connection, timeout: Duration) -> rusqlite::Result<()> {
    BUSY_TIMEOUT_MS.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    connection.busy_handler(Some(|attempts| {
        if attempts == 0 {
            WAITING_SINCE.set(Some(Instant::now()));
        }
        let waited = WAITING_SINCE.get().map_or(Duration::ZERO, |since| since.elapsed());
        if waited >= Duration::from_millis(BUSY_TIMEOUT_MS.load(Ordering::Relaxed)) {
            return false;
        }
        std::thread::sleep(LOCK_RETRY_INTERVAL);
        true
    }))
}

/// Returns the reason why an existing file cannot be written: its disk is read-only, or this user has no permission.
#[must_use]
pub fn to_read_only_error(path: &Path) -> StoreError {
    let path = path.to_owned();
    let flags = rustix::fs::statvfs(&path).map(|disk| disk.f_flag);
    if flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)) {
        return StoreError::ReadOnlyDisk { path };
    }
    StoreError::ReadOnly { path }
}

/// Returns a connection that cannot write.
///
/// # Errors
/// [`StoreError::DatabaseMissing`] if the file does not exist or is empty, the errors of
/// [`migrate::read_schema_version`] for a file that this version cannot use, [`StoreError::OpenFailed`] if it cannot be
/// read.
pub fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    check_database_exists(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this module opens all connections")]
    let connection =
        Connection::open_with_flags(path, flags).map_err(|cause| to_open_error(path, cause, READER_BUSY_TIMEOUT))?;
    configure_reader(&connection).map_err(|cause| to_open_error(path, cause, READER_BUSY_TIMEOUT))?;
    if read_version_of_opened(&connection, path, READER_BUSY_TIMEOUT)?.is_none() {
        return Err(StoreError::DatabaseMissing { path: path.to_owned() });
    }
    Ok(connection)
}

/// Checks that the file exists and is not empty. Beside an empty file SQLite would delete the WAL, which may be the
/// only copy of events.
///
/// # Errors
/// [`StoreError::DatabaseMissing`], or [`StoreError::NotReadable`] if this user may not find out.
pub fn check_database_exists(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(data) if data.len() > 0 => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(StoreError::NotReadable { path: path.to_owned() })
        }
        _ => Err(StoreError::DatabaseMissing { path: path.to_owned() }),
    }
}

/// Returns a connection for `VACUUM INTO`, which reads this file and writes another one. Errors are those of
/// [`open_for_reading`].
pub(crate) fn open_for_backup(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_for_reading(path)?;
    // This pragma would forbid writes to the other file too.
    connection.pragma_update(None, "query_only", false)?;
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Returns a connection to a file that no process writes, such as a backup.
///
/// SQLite creates no files beside it, so the file may be on a read-only disk.
pub(crate) fn open_immutable(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let escaped = percent_encode(path.as_os_str().as_encoded_bytes(), URI_PATH_ESCAPES).to_string();
    #[expect(clippy::disallowed_methods, reason = "this module opens all connections")]
    let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .map_err(|cause| to_open_error(path, cause, EXCLUSIVE_BUSY_TIMEOUT))?;
    distrust_content(&connection)?;
    Ok(connection)
}

/// Returns a connection to an empty database in memory.
pub(crate) fn open_empty() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    distrust_content(&connection)?;
    Ok(connection)
}

/// Makes SQLite expect that somebody crafted the file: its schema may not call functions with effects, and each page is
/// checked when it is read.
fn distrust_content(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.pragma_update(None, "cell_size_check", true)
}

/// Returns a connection that has the file for itself and leaves no files beside it.
///
/// # Errors
/// [`StoreError::Busy`] if another connection has the file open.
pub(crate) fn open_exclusive(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    #[expect(clippy::disallowed_methods, reason = "this module opens all connections")]
    let connection =
        Connection::open_with_flags(path, flags).map_err(|cause| to_open_error(path, cause, EXCLUSIVE_BUSY_TIMEOUT))?;
    connection.busy_timeout(EXCLUSIVE_BUSY_TIMEOUT)?;
    connection
        .pragma_update(None, "journal_mode", "DELETE")
        .map_err(|cause| to_open_error(path, cause, EXCLUSIVE_BUSY_TIMEOUT))?;
    Ok(connection)
}

/// Sets the pragmas of a read-only connection. The pool uses it too.
pub(crate) fn configure_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READER_BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE_SIZE);
    Ok(())
}

fn to_open_error(path: &Path, cause: rusqlite::Error, waited: Duration) -> StoreError {
    to_shared_open_error(path, Arc::new(cause), waited)
}

fn to_shared_open_error(path: &Path, cause: Arc<rusqlite::Error>, waited: Duration) -> StoreError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy { waited }
        }
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged(cause),
        Some(ErrorCode::CannotOpen)
            if rustix::fs::access(&path, rustix::fs::Access::READ_OK) == Err(rustix::io::Errno::ACCESS) =>
        {
            StoreError::NotReadable { path }
        }
        _ => StoreError::OpenFailed { path, cause },
    }
}
