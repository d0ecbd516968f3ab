//! What can go wrong with the database, sorted by what it means for the events.

use rusqlite::ErrorCode;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Why the store did not do something. Cloneable, because one failed commit answers many deliveries.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error(
        "another program has kept the database locked for {waited:?}. Nothing was stored; senders are asked to send \
         again. Close any sqlite3 shell with an open transaction (BEGIN without COMMIT) on this file"
    )]
    Busy { waited: Duration },
    #[error(
        "the disk is full: {detail}. Nothing was stored; senders are asked to send again. Free space on the disk of the \
         database; it goes on by itself then"
    )]
    DiskFull { detail: String },
    #[error(
        "more is waiting to be stored than the disk keeps up with. Nothing was stored; senders are asked to send again"
    )]
    Overloaded,
    #[error("the store is shutting down. Nothing was stored; senders are asked to send again")]
    ShuttingDown,
    #[error(
        "{path} is from a newer version of novex-ingest (schema {found}, this version knows up to {known}). \
             It was not touched. Install that version again, or restore a backup made by this one: beside it may be one that ends in \
             .before-upgrade-from-{known}"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{path} could not be brought up to date: {said}. It is as it was, and the version before this one can go on with it: \
             install that again, and report this"
    )]
    NotMigrated { path: PathBuf, said: String },
    #[error(
        "{path} is an SQLite database of another program (application id {found:#x}). It was not touched. \
             Set store.path to another file"
    )]
    Foreign { path: PathBuf, found: i64 },
    #[error(
        "{path}: there is no database yet. `novex-ingest serve` makes it; with another configuration name it by --config"
    )]
    Missing { path: PathBuf },
    #[error("{path} is no SQLite database. It was not touched. Set store.path to another file, or restore a backup")]
    NotADatabase { path: PathBuf },
    #[error(
        "{path} cannot be written by this user, so nothing can be stored. Give the file and those beside it (-wal, -shm) to \
         the user that runs novex-ingest: chown novex-ingest: {path}*"
    )]
    ReadOnly { path: PathBuf },
    #[error(
        "the disk of {path} is mounted read-only, which Linux does when a disk fails: nothing can be stored. `dmesg` says why; when the \
         disk is sound, mount it for writing or restart the box"
    )]
    ReadOnlyDisk { path: PathBuf },
    #[error(
        "{path} was deleted or replaced while it was open: what is stored now would be lost with the old file, so nothing \
         more is taken. The daemon ends and starts again with the file that is there; stop it before you restore a backup"
    )]
    Replaced { path: PathBuf },
    #[error("{path}: {cause}. Check that the directory exists and belongs to the user that runs novex-ingest")]
    Open { path: PathBuf, cause: Arc<rusqlite::Error> },
    #[error(
        "the database file is damaged: {0}. Nothing new is taken, and part of what was acknowledged may be lost. Stop the service \
         (systemctl stop novex-ingest.socket novex-ingest) and put the newest backup in its place: novex-ingest restore FILE"
    )]
    Damaged(Arc<rusqlite::Error>),
    #[error(
        "the disk of the database failed: {0}. What was acknowledged before is safe if the disk is; nothing new is \
             taken until a write succeeds. Look at `dmesg` and the disk's health"
    )]
    Disk(Arc<rusqlite::Error>),
    #[error(
        "the claim on event {event_id} was lost: another worker has taken it over, and this one's result was not written"
    )]
    ClaimLost { event_id: i64 },
    #[error(
        "a fault in novex-ingest itself: it panicked while writing this; the log has the place. Nothing of it was written"
    )]
    Panicked,
    #[error("no reader was free for 5 s: too much is read at once")]
    NoReader,
    #[error("the database refused: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(Arc::new(error)),
            Some(ErrorCode::DiskFull) => Self::DiskFull { detail: error.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { waited: Duration::ZERO },
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::Disk(Arc::new(error))
            }
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}
