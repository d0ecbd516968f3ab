//! Errors of the store, one variant for each consequence for events.

use crate::store::db::migrate::{APPLICATION_ID, SCHEMA_VERSION};
use rusqlite::ErrorCode;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// An error of the store. Cloneable, because one failed commit answers many requests.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error(
        "another program has locked the database for {waited:?}. The store wrote nothing; senders try again later. \
         Close any sqlite3 shell with an open transaction (BEGIN without COMMIT) on this file"
    )]
    Busy { waited: Duration },
    #[error(
        "the disk of the database is full: {detail}. The store wrote nothing; senders try again later. Free space on \
         this disk; the daemon then continues by itself"
    )]
    DiskFull { detail: String },
    #[error(
        "the write queue is full, because the disk is slower than the requests. The store wrote nothing; senders try \
         again later"
    )]
    Overloaded,
    #[error("the query took longer than {limit:?} and was stopped. Narrow the filter")]
    QueryTooSlow { limit: Duration },
    #[error("the store is shutting down. It wrote nothing; senders try again later")]
    ShuttingDown,
    #[error(
        "{path} has schema {found} from a newer version of novex-ingest; this version knows schemas up to {known}. The \
         file is unchanged. Install the newer version again, or restore a backup made by this one; the backup of the \
         upgrade ends in .before-upgrade-from-{known}"
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error(
        "{path} could not be upgraded: {reason}. The file is unchanged, and the previous version of novex-ingest can \
         use it. Install that version again and report this error"
    )]
    MigrationFailed { path: PathBuf, reason: String },
    #[error(
        "{path} is an SQLite database of another program (application id {found:#x}). The file is unchanged. \
         Set store.path to another file"
    )]
    ForeignDatabase { path: PathBuf, found: i64 },
    #[error(
        "{path} has the tables of novex-ingest without its marks, as sqlite3's .dump and .recover leave it; the store \
         accepts no events. The file is unchanged. If version {version} of novex-ingest wrote it, set the marks: \
         `sqlite3 {path} 'PRAGMA journal_mode = DELETE; PRAGMA application_id = {id}; PRAGMA user_version = {schema}; \
         PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; VACUUM'`. A backup is the better choice if it has \
         the same events",
        version = env!("CARGO_PKG_VERSION"),
        id = APPLICATION_ID,
        schema = SCHEMA_VERSION
    )]
    UnmarkedDatabase { path: PathBuf },
    #[error(
        "{path}: no database exists here yet. `novex-ingest serve` creates it; use --config if the daemon has another \
         configuration"
    )]
    DatabaseMissing { path: PathBuf },
    #[error(
        "{path} is not an SQLite database. The file is unchanged. Set store.path to another file, or restore a backup"
    )]
    NotADatabase { path: PathBuf },
    #[error(
        "this user cannot write {path}, so the store accepts no events. Give the file and the files beside it (-wal, \
         -shm) to the user that runs novex-ingest: chown novex-ingest: {path}*"
    )]
    ReadOnly { path: PathBuf },
    #[error(
        "the disk of {path} is mounted read-only, as Linux does after a disk error; the store accepts no events. Read \
         the cause in `dmesg`; when the disk is sound, mount it read-write or restart the machine"
    )]
    ReadOnlyDisk { path: PathBuf },
    #[error(
        "another program deleted or replaced {path} while the daemon had it open. Events would be lost with the old \
         file, so the daemon accepts none, copies the stored ones into a new file, and ends; the log names that file. \
         Stop the daemon before you restore a backup"
    )]
    FileReplaced { path: PathBuf },
    #[error(
        "this user may not read {path}. Run the command with sudo, or let the user into the group of the database: \
         sudo usermod -aG novex-ingest USER, then log in again"
    )]
    NotReadable { path: PathBuf },
    #[error("{path}: {cause}. Check that the directory exists and belongs to the user that runs novex-ingest")]
    OpenFailed { path: PathBuf, cause: Arc<rusqlite::Error> },
    #[error(
        "the database file is damaged: {0}. The store accepts no new events, and some stored events may be lost. Stop \
         the service (systemctl stop novex-ingest.socket novex-ingest) and restore the newest backup: novex-ingest \
         restore FILE"
    )]
    Damaged(Arc<rusqlite::Error>),
    #[error(
        "the disk of the database failed: {0}. Stored events are safe if the disk is; the store accepts new events \
         again after a write succeeds. Check `dmesg` and the health of the disk"
    )]
    DiskIo(Arc<rusqlite::Error>),
    #[error(
        "event {event_id}: another worker recovered the claim, so the result of this worker was not written; the other \
         worker handles the event"
    )]
    ClaimLost { event_id: i64 },
    #[error(
        "novex-ingest panicked during this write, which is a bug. The store wrote nothing of it. The log names the \
         place; report it"
    )]
    JobPanicked,
    #[error("no read-only connection became free within 5 s, because too many reads run at once. Try again")]
    NoFreeReader,
    #[error("SQLite refused the statement: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(Arc::new(error)),
            Some(ErrorCode::DiskFull) => Self::DiskFull { detail: error.to_string() },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Busy { waited: Duration::ZERO }
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Self::DiskIo(Arc::new(error))
            }
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}
