//! A copy of the database while it is used, and putting one back.
//!
//! `VACUUM INTO` reads one state of the database, whoever writes meanwhile, and writes it without gaps into a new file. The copy is
//! proved before it has its name: SQLite's own check of every page and index, the references between the tables, and the kept
//! counts against the counted ones.

use super::{StoreError, migrate, open};
use rusqlite::Connection;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub bytes: u64,
    pub events: u64,
    /// When the newest of them came.
    pub newest: Option<String>,
    /// The schema's version.
    pub version: i64,
}

/// Why there is no copy, or it is not used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: io::Error },
    #[error("{path} exists already, and is not written over")]
    Exists { path: PathBuf },
    #[error("{path} is damaged: {said}. Do not use it; take an older backup")]
    Damaged { path: PathBuf, said: String },
    #[error("{path} is on a disk with {free} bytes free, and the copy needs up to {needed}")]
    NoRoom { path: PathBuf, free: u64, needed: u64 },
    #[error(
        "{path} is in use. Stop what uses it first: systemctl stop novex-ingest.socket novex-ingest novex-ingest-work.timer, and \
         any sqlite3 shell"
    )]
    InUse { path: PathBuf },
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |cause| BackupError::File { path: path.to_owned(), cause }
}

/// The file beside `path` under which it is made before it is whole.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

/// Copies the database into a new file, proves the copy, and syncs it.
///
/// # Errors
/// When there is no room, a file of the name, or the copy is not sound: then nothing is left.
pub fn make(database: &Path, target: &Path) -> Result<Proof, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists { path: target.to_owned() });
    }
    let connection = open::for_copying(database)?;
    enough_room(&connection, target)?;
    let part = unfinished(target);
    // What an earlier one left that was killed.
    let _ = fs::remove_file(&part);
    let result = (|| {
        connection.execute("VACUUM INTO ?", [part.to_string_lossy()])?;
        let file = File::open(&part).map_err(file_error(&part))?;
        // Whose data is in it nobody else may read, as in the database itself.
        fs::set_permissions(&part, fs::Permissions::from_mode(0o600)).map_err(file_error(&part))?;
        file.sync_all().map_err(file_error(&part))?;
        let proof = prove(&part)?;
        fs::rename(&part, target).map_err(file_error(target))?;
        sync_directory(target)?;
        Ok(proof)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

/// The copy is never larger than the database without its free pages, and the disk keeps something for others.
fn enough_room(connection: &Connection, target: &Path) -> Result<(), BackupError> {
    let needed: u64 = connection.query_row(
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        [],
        |row| row.get(0),
    )?;
    let directory = directory_of(target);
    let disk = rustix::fs::statvfs(directory).map_err(|error| file_error(directory)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        return Err(BackupError::NoRoom { path: target.to_owned(), free, needed });
    }
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> Result<(), BackupError> {
    let directory = directory_of(path);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(file_error(directory))
}

/// Proves a copy: it is ours, of a version that is known here, and sound in every part.
///
/// # Errors
/// What is wrong with it.
pub fn prove(path: &Path) -> Result<Proof, BackupError> {
    let damaged = |said: String| BackupError::Damaged { path: path.to_owned(), said };
    let connection = open::immutable(path)?;
    let version = migrate::version(&connection, path).map_err(|error| match error {
        StoreError::Sqlite(cause) | StoreError::Disk(cause) => damaged(cause.to_string()),
        other => other.into(),
    })?;
    let version = version.ok_or_else(|| damaged("it is empty".to_owned()))?;
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let checked = text("PRAGMA integrity_check(1)").map_err(|error| damaged(error.to_string()))?;
    if checked != "ok" {
        return Err(damaged(checked));
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let loose = count("SELECT count(*) FROM pragma_foreign_key_check")?;
    if loose > 0 {
        return Err(damaged(format!("{loose} rows belong to nothing")));
    }
    let (kept, counted) =
        (count("SELECT coalesce(sum(events), 0) FROM event_counts")?, count("SELECT count(*) FROM webhook_events")?);
    if kept != counted {
        return Err(damaged(format!("{counted} events are there, and {kept} were counted when they came")));
    }
    let newest = connection.query_row("SELECT max(received_at) FROM webhook_events", [], |row| row.get(0))?;
    let bytes = fs::metadata(path).map_err(file_error(path))?.len();
    Ok(Proof { bytes, events: counted, newest, version })
}

/// Puts a proved copy in the place of the database, which stays beside it under the name that is given back; `None` when there
/// was none.
///
/// # Errors
/// When the copy is not sound or the database is in use: then nothing was changed.
pub fn restore(backup: &Path, database: &Path, stamp: &str) -> Result<(Proof, Option<PathBuf>), BackupError> {
    let part = unfinished(database);
    fs::copy(backup, &part).map_err(file_error(backup))?;
    let result = (|| {
        File::open(&part).and_then(|file| file.sync_all()).map_err(file_error(&part))?;
        let proof = prove(&part)?;
        give_to_owner(&part, database);
        let aside = set_aside(database, stamp)?;
        fs::rename(&part, database).map_err(file_error(database))?;
        sync_directory(database)?;
        Ok((proof, aside))
    })();
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

/// What root restores must be the service's to write.
fn give_to_owner(file: &Path, database: &Path) {
    let owner = fs::metadata(database).or_else(|_| fs::metadata(directory_of(database)));
    if let Ok(owner) = owner {
        // Only root may; for anybody else it is his own file already.
        let _ = std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid()));
    }
}

/// Moves the database away, all of it in one file.
fn set_aside(database: &Path, stamp: &str) -> Result<Option<PathBuf>, BackupError> {
    if !database.exists() {
        return Ok(None);
    }
    // Leaving the WAL needs the file for oneself: whoever has it open is found by that.
    match open::alone(database) {
        Ok(connection) => drop(connection),
        Err(StoreError::Busy { .. }) => return Err(BackupError::InUse { path: database.to_owned() }),
        // What is no database any more is what a backup is for.
        Err(StoreError::NotADatabase { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut aside = database.as_os_str().to_owned();
    aside.push(format!(".before-restore-{stamp}"));
    let aside = PathBuf::from(aside);
    fs::rename(database, &aside).map_err(file_error(&aside))?;
    Ok(Some(aside))
}
