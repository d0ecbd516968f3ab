//! A database file that another program deletes, moves, replaces or empties while this process has it open.
//!
//! A commit into such a file would be lost with it. The open file still has all events, and its WAL may be the only
//! copy of the newest. So the writer acknowledges nothing more and copies the open state into a new file; a later start
//! never writes over a WAL that belongs to another file.

use crate::clock::{self, Clock};
use crate::files::with_suffix;
use crate::store::StoreError;
use crate::store::db::backup;
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tracing::{error, warn};

/// Suffixes of the database, its WAL and the index of the WAL.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Device and inode of a file.
type FileId = (u64, u64);

/// The files of an open database, as they were when the writer started.
pub(crate) struct OpenFiles {
    path: PathBuf,
    ids: [Option<FileId>; 3],
    /// Smallest size of the database: that of one page, unless it was still empty.
    bytes_min: u64,
}

impl OpenFiles {
    /// Remembers the files of a database that this process has open.
    pub fn remember_files(path: &Path, page_bytes: u64) -> Self {
        let bytes_min = if read_file_size(path) >= page_bytes { page_bytes } else { 0 };
        Self { path: path.to_owned(), ids: read_file_ids(path), bytes_min }
    }

    /// Checks that the path still leads to the open files, and that nobody emptied the database.
    pub fn check_same_files(&self) -> Result<(), StoreError> {
        if read_file_ids(&self.path) == self.ids && read_file_size(&self.path) >= self.bytes_min {
            return Ok(());
        }
        Err(StoreError::FileReplaced { path: self.path.clone() })
    }

    /// Saves the events that only the open files have, before the process gives them up.
    pub fn save_open_state(&self, connection: &Connection) {
        let [database, wal, _] = read_file_ids(&self.path);
        let is_same_database = database == self.ids[0] && read_file_size(&self.path) >= self.bytes_min;
        if is_same_database && wal == self.ids[1] {
            // The next start reads both files.
            return;
        }
        if is_same_database && wal.is_none() && is_wal_copied(connection) {
            warn!("the WAL of {} was deleted; its content is in the database now", self.path.display());
            return;
        }
        match backup::rescue_database(connection, &self.path, &format_stamp()) {
            Ok(file) => error!(
                rescued = %file.display(),
                "all events of the deleted or replaced database are in {}. Stop the service, run `novex-ingest restore \
                 {}`, and start the service",
                file.display(),
                file.display()
            ),
            Err(error) => error!("the events of the deleted or replaced database cannot be copied: {error}"),
        }
        if !is_same_database && wal == self.ids[1] {
            set_wal_aside(&self.path);
        }
    }
}

/// Copies the WAL into the open database. Returns true if all of it was copied.
fn is_wal_copied(connection: &Connection) -> bool {
    let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    result.is_ok_and(|(busy, pages, copied)| busy == 0 && pages == copied)
}

/// Renames a WAL that has no database beside it. SQLite would delete it, or read it as part of a new database.
pub(crate) fn set_orphaned_wal_aside(path: &Path) {
    if read_file_size(path) == 0 && read_file_size(&with_suffix(path, "-wal")) > 0 {
        set_wal_aside(path);
    }
}

fn set_wal_aside(path: &Path) {
    let aside = with_suffix(path, &format!(".lost-{}-{}", format_stamp(), std::process::id()));
    let (wal, kept) = (with_suffix(path, "-wal"), with_suffix(&aside, "-wal"));
    match fs::rename(&wal, &kept) {
        Ok(()) => {
            let _ = fs::remove_file(with_suffix(path, "-shm"));
            warn!(
                "{} belongs to a database that is not at {} any more, so it is {} now. If you still have that \
                 database, put both beside each other under one name",
                wal.display(),
                path.display(),
                kept.display()
            );
        }
        Err(error) => error!("{} cannot be renamed to {}: {error}", wal.display(), kept.display()),
    }
}

fn format_stamp() -> String {
    clock::format_file_timestamp(Clock::system().now())
}

fn read_file_ids(path: &Path) -> [Option<FileId>; 3] {
    SUFFIXES.map(|suffix| fs::metadata(with_suffix(path, suffix)).ok().map(|file| (file.dev(), file.ino())))
}

fn read_file_size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}
