//! Backups: copying the database while it is in use, verifying a copy, and restoring one.
//!
//! `VACUUM INTO` reads one state of the database while other connections write, and writes it into a new file without
//! free pages. The copy gets its name only after [`verify_backup`]: SQLite checks every page and index, the references
//! between tables, and the stored event counts against the counted ones.

use crate::files::{parent_directory, rename_and_sync, sync_directory, with_suffix};
use crate::store::StoreError;
use crate::store::db::{content_check, migrate, open};
use crate::text::format_count;
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The content of a verified backup, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSummary {
    pub bytes: u64,
    pub events: u64,
    /// When the newest event was received.
    pub newest_received_at: Option<String>,
    pub schema_version: i64,
}

/// An error of a backup or a restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path}: {cause}")]
    Io { path: PathBuf, cause: io::Error },
    #[error("{path} cannot be the name of a backup: {reason}. Choose another name")]
    InvalidName { path: PathBuf, reason: &'static str },
    #[error("{path} exists already, and a backup never overwrites a file. Choose another name, or remove the file")]
    AlreadyExists { path: PathBuf },
    #[error("{path} is not a backup: {reason}. Name a file that `backup` made")]
    NotABackup { path: PathBuf, reason: &'static str },
    #[error("{path} is damaged: {reason}. Do not restore it; use an older backup")]
    Damaged { path: PathBuf, reason: String },
    #[error(
        "the schema of {path} is not the one that novex-ingest makes: {differences}. It could change events after a \
         restore. Use an older backup; or, if you made these changes yourself, undo them in a copy of the file with \
         sqlite3, such as DROP TRIGGER NAME, and restore the copy"
    )]
    ForeignSchema { path: PathBuf, differences: String },
    #[error("{path} is a directory. Name a backup in it: its newest file that ends in .db")]
    IsDirectory { path: PathBuf },
    #[error(
        "the disk of {path} has {free} bytes free, and the copy needs up to {needed}. Free space, or use another disk"
    )]
    InsufficientSpace { path: PathBuf, free: u64, needed: u64 },
    #[error(
        "{path} is in use. Stop the programs that use it first: systemctl stop novex-ingest.socket novex-ingest \
         novex-ingest-work.timer, and close any sqlite3 shell"
    )]
    InUse { path: PathBuf },
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn to_backup_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |cause| BackupError::Io { path: path.to_owned(), cause }
}

/// Mode of a backup: only its owner may read it, wherever it is copied.
const BACKUP_MODE: u32 = 0o600;
/// Part of the name of a file with rescued events, after the name of the database.
const RESCUED_INFIX: &str = ".rescued-";
/// Suffixes of the files that SQLite keeps beside a database.
const SQLITE_SIDECAR_SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A new file with [`BACKUP_MODE`] and a random name. It is removed when the value is dropped, unless it was renamed.
struct UnfinishedFile(PathBuf);

impl UnfinishedFile {
    /// Creates the file in the directory of `path`.
    fn create_beside(path: &Path) -> Result<(Self, File), BackupError> {
        let unfinished = with_suffix(path, &format!(".unfinished-{:016x}", fastrand::u64(..)));
        // `create_new` follows no link that somebody put there.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(BACKUP_MODE).open(&unfinished);
        let file = file.map_err(to_backup_error(&unfinished))?;
        let unfinished = Self(unfinished);
        // The umask took bits away.
        file.set_permissions(Permissions::from_mode(BACKUP_MODE)).map_err(to_backup_error(&unfinished.0))?;
        Ok((unfinished, file))
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        for suffix in ["", "-journal"] {
            let _ = fs::remove_file(with_suffix(&self.0, suffix));
        }
    }
}

/// Copies the database into a new file, verifies the copy, and syncs it.
///
/// `reserve` is the number of bytes that stay free on the database's own disk. If it fails, no file is left.
pub fn create_backup(database: &Path, target: &Path, reserve: u64) -> Result<BackupSummary, BackupError> {
    // SQLite could read a relative name as a URI.
    let target = &std::path::absolute(target).map_err(to_backup_error(target))?;
    let database = &std::path::absolute(database).map_err(to_backup_error(database))?;
    check_backup_name(database, target)?;
    let connection = open::open_for_backup(database)?;
    copy_database(&connection, database, target, reserve)
}

/// Copies what an open connection reads, although its file may have been deleted, into a new file beside `database`.
///
/// Returns the file, whose name contains `stamp`.
pub(crate) fn rescue_database(connection: &Connection, database: &Path, stamp: &str) -> Result<PathBuf, BackupError> {
    let database = &std::path::absolute(database).map_err(to_backup_error(database))?;
    let target = with_suffix(database, &format!("{RESCUED_INFIX}{stamp}-{}", std::process::id()));
    copy_database(connection, database, &target, 0)?;
    Ok(target)
}

/// Returns the files with events that a daemon rescued when its database was deleted or replaced, the oldest first.
#[must_use]
pub fn list_rescued_files(database: &Path) -> Vec<PathBuf> {
    let Some(start) = database.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let start = format!("{start}{RESCUED_INFIX}");
    let files = fs::read_dir(parent_directory(database)).into_iter().flatten().flatten();
    let mut rescued: Vec<PathBuf> = files
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| {
                name.starts_with(&start) && !name.contains(".unfinished-") && !name.ends_with("-journal")
            })
        })
        .map(|entry| entry.path())
        .collect();
    rescued.sort();
    rescued
}

/// Copies the state of an open database into the new file `target`, verifies the copy, and syncs it.
fn copy_database(
    connection: &Connection,
    database: &Path,
    target: &Path,
    reserve: u64,
) -> Result<BackupSummary, BackupError> {
    let needed: u64 = connection.query_row(
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, \
         pragma_page_size",
        [],
        |row| row.get(0),
    )?;
    let device = |path: &Path| fs::metadata(parent_directory(path)).map(|data| data.dev()).ok();
    let reserve = if device(target) == device(database) { reserve } else { 0 };
    check_free_space(target, needed.saturating_add(reserve))?;
    let (unfinished, file) = UnfinishedFile::create_beside(target)?;
    connection.execute("VACUUM INTO ?", [unfinished.0.to_string_lossy()])?;
    give_to_database_owner(&file, database, target).map_err(to_backup_error(&unfinished.0))?;
    file.sync_all().map_err(to_backup_error(&unfinished.0))?;
    let summary = verify_backup(&unfinished.0)?;
    // A hard link never replaces a file that appeared meanwhile. A USB stick (FAT) has no links, so a rename must do.
    match fs::hard_link(&unfinished.0, target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::AlreadyExists { path: target.to_owned() });
        }
        Err(_no_links) => fs::rename(&unfinished.0, target).map_err(to_backup_error(target))?,
        Ok(()) => {}
    }
    drop(unfinished);
    sync_directory(parent_directory(target)).map_err(to_backup_error(target))?;
    Ok(summary)
}

/// Gives a file that root made in a directory of the service to the service, which must be able to read its backups.
fn give_to_database_owner(file: &File, database: &Path, target: &Path) -> io::Result<()> {
    let directory = fs::metadata(parent_directory(target))?;
    let Ok(owner) = fs::metadata(database) else { return Ok(()) };
    if rustix::process::geteuid().is_root() && owner.uid() == directory.uid() {
        std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// Checks that `target` is a free name that neither the database nor SQLite uses. Both paths are absolute.
fn check_backup_name(database: &Path, target: &Path) -> Result<(), BackupError> {
    if target.to_str().is_none() {
        return Err(BackupError::InvalidName { path: target.to_owned(), reason: "it is not UTF-8" });
    }
    if SQLITE_SIDECAR_SUFFIXES.iter().any(|suffix| *target == with_suffix(database, suffix)) {
        return Err(BackupError::InvalidName { path: target.to_owned(), reason: "the database itself uses it" });
    }
    if fs::symlink_metadata(target).is_ok() {
        return Err(BackupError::AlreadyExists { path: target.to_owned() });
    }
    Ok(())
}

fn check_free_space(target: &Path, needed: u64) -> Result<(), BackupError> {
    let directory = parent_directory(target);
    let disk = rustix::fs::statvfs(directory).map_err(|error| to_backup_error(directory)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        return Err(BackupError::InsufficientSpace { path: target.to_owned(), free, needed });
    }
    Ok(())
}

fn to_damaged_error(path: &Path, reason: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), reason: reason.into() }
}

/// Returns the schema version of a backup.
///
/// # Errors
/// [`BackupError::Damaged`] if the file is empty or unreadable. [`StoreError::ForeignDatabase`] and
/// [`StoreError::NewerSchema`] for a file that this version cannot use.
fn read_backup_version(connection: &Connection, path: &Path) -> Result<i64, BackupError> {
    // PRAGMA statements, because a view of the file could have the name of a pragma's table.
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let version = (|| {
        let objects = connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |row| row.get(0))?;
        migrate::classify_version(path, pragma("application_id")?, pragma("user_version")?, objects)
    })();
    match version {
        Ok(Some(version)) => Ok(version),
        Ok(None) => Err(to_damaged_error(path, "it is empty")),
        Err(StoreError::Sqlite(cause) | StoreError::DiskIo(cause) | StoreError::Damaged(cause)) => {
            Err(to_damaged_error(path, cause.to_string()))
        }
        Err(other) => Err(other.into()),
    }
}

/// Verifies a backup: novex-ingest wrote it, this version knows its schema, and every part of it is sound.
pub fn verify_backup(path: &Path) -> Result<BackupSummary, BackupError> {
    let connection = open::open_immutable(path)?;
    let version = read_backup_version(&connection, path)?;
    let integrity = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
        .map_err(|error| to_damaged_error(path, error.to_string()))?;
    if integrity != "ok" {
        return Err(to_damaged_error(path, integrity));
    }
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let orphans = count("SELECT count(*) FROM pragma_foreign_key_check")?;
    if orphans > 0 {
        return Err(to_damaged_error(
            path,
            format!("{} to a row that does not exist", format_count(orphans, "row refers", "rows refer")),
        ));
    }
    let (stored, counted) = (
        count("SELECT coalesce(sum(events), 0) FROM event_counts")?,
        count("SELECT count(*) FROM webhook_events WHERE test = 0")?,
    );
    if stored != counted {
        let reason = format!(
            "it holds {}, but its table event_counts adds up to {stored}",
            format_count(counted, "event", "events")
        );
        return Err(to_damaged_error(path, reason));
    }
    let newest = connection.query_row("SELECT max(received_at) FROM webhook_events", [], |row| row.get(0))?;
    let bytes = fs::metadata(path).map_err(to_backup_error(path))?.len();
    Ok(BackupSummary { bytes, events: counted, newest_received_at: newest, schema_version: version })
}

/// Verifies that a backup could replace the database. Returns its summary and the number of bodies whose hash is right.
pub fn verify_restorable(backup: &Path, database: &Path) -> Result<(BackupSummary, u64), BackupError> {
    check_standalone_file(backup, database)?;
    let bodies = check_content(backup, backup)?;
    Ok((verify_backup(backup)?, bodies))
}

/// Checks the schema and the bodies of a file that may come from anybody, and returns the number of bodies. Errors name
/// the file `shown`.
fn check_content(file: &Path, shown: &Path) -> Result<u64, BackupError> {
    let connection = open::open_immutable(file)?;
    let version = read_backup_version(&connection, shown)?;
    let checked = content_check::check_schema(&connection, shown, version)
        .and_then(|()| content_check::check_bodies(&connection, shown));
    checked.map_err(|error| match error {
        BackupError::Store(cause) => to_damaged_error(shown, cause.to_string()),
        other => other,
    })
}

/// Returns the backups in the directory where the package's timer puts them.
#[must_use]
pub fn list_backups(database: &Path) -> Vec<PathBuf> {
    list_backups_in(&parent_directory(database).join("backups"))
}

/// Returns the backups in a directory.
#[must_use]
pub fn list_backups_in(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect()
}

/// Returns the lineage of a backup, or None if it cannot be read. All copies of one database have the same one.
#[must_use]
pub fn read_backup_lineage(backup: &Path) -> Option<String> {
    query_lineage(&open::open_immutable(backup).ok()?).ok()
}

/// Returns the lineage of the database.
pub fn read_database_lineage(database: &Path) -> Result<String, StoreError> {
    Ok(query_lineage(&open::open_for_reading(database)?)?)
}

fn query_lineage(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT id FROM database_lineage", [], |row| row.get(0))
}

/// Returns the last event id that a backup gave out, or None if it cannot be read.
#[must_use]
pub fn read_last_event_id(backup: &Path) -> Option<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'webhook_events'";
    open::open_immutable(backup).ok()?.query_row(sql, [], |row| row.get(0)).ok()
}

/// Checks the schema version and the file size of a backup, without a read of the whole file.
pub fn check_backup_header(backup: &Path) -> Result<(), BackupError> {
    let connection = open::open_immutable(backup)?;
    read_backup_version(&connection, backup)?;
    let expected: u64 =
        connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
            row.get(0)
        })?;
    let bytes = fs::metadata(backup).map_err(to_backup_error(backup))?.len();
    if bytes < expected {
        return Err(to_damaged_error(backup, format!("it has {bytes} of {expected} bytes")));
    }
    Ok(())
}

/// Result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredBackup {
    pub summary: BackupSummary,
    /// Number of bodies whose hash was checked.
    pub bodies: u64,
    /// Path of the replaced database, if there was one.
    pub replaced: Option<PathBuf>,
}

/// Replaces the database by a verified copy of `backup`.
///
/// The replaced database stays beside the new one; its name contains `stamp`. If the process is killed at any moment,
/// the database is the old one or the new one. If the backup is damaged or the database is in use, nothing is changed.
pub fn restore_backup(backup: &Path, database: &Path, stamp: &str) -> Result<RestoredBackup, BackupError> {
    // If the path is a link, the restore replaces the file that it leads to.
    let database =
        &fs::canonicalize(database).or_else(|_| std::path::absolute(database)).map_err(to_backup_error(database))?;
    check_standalone_file(backup, database)?;
    // The lock lasts until the end, so that no process opens the database meanwhile.
    let lock = lock_database_exclusively(database)?;
    let mut source = File::open(backup).map_err(to_backup_error(backup))?;
    check_free_space(database, source.metadata().map_err(to_backup_error(backup))?.len())?;
    let (unfinished, mut file) = UnfinishedFile::create_beside(database)?;
    io::copy(&mut source, &mut file).and_then(|_| file.sync_all()).map_err(to_backup_error(&unfinished.0))?;
    let bodies = check_content(&unfinished.0, backup)?;
    let summary = verify_backup(&unfinished.0)?;
    advance_sequences(&unfinished.0, lock.as_ref())?;
    file.sync_all().map_err(to_backup_error(&unfinished.0))?;
    let mode = fs::metadata(database).map_or(open::DATABASE_MODE, |data| data.mode() & 0o777);
    file.set_permissions(Permissions::from_mode(mode)).map_err(to_backup_error(&unfinished.0))?;
    // If root restores, the service must be able to write the file. Another user may not change owners and need not.
    if let Ok(owner) = fs::metadata(database).or_else(|_| fs::metadata(parent_directory(database))) {
        let _ = std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    let replaced = move_database_aside(database, stamp)?;
    rename_and_sync(&unfinished.0, database).map_err(to_backup_error(database))?;
    drop(lock);
    Ok(RestoredBackup { summary, bodies, replaced })
}

/// Gap above the last known event id where nobody knows how many ids were given out.
pub const EVENT_ID_GAP: i64 = 1_000_000;
/// The same for EDI control numbers.
const CONTROL_NUMBER_GAP: i64 = 1_000;

/// Advances the event ids and control numbers of `copy` beyond all that were given out.
///
/// The replaced database gave out numbers after the backup was made, and others know them. Each number is used once: an
/// ERP ignores an event whose id it has, and a retailer an interchange whose number it has. So the numbers continue
/// above those of the replaced database, or above a gap if it cannot be read.
fn advance_sequences(copy: &Path, replaced: Option<&Connection>) -> Result<(), BackupError> {
    let read_last = |sql: &str| -> Option<Vec<(String, String, i64)>> {
        let mut statement = replaced?.prepare(sql).ok()?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).ok()?;
        rows.collect::<Result<_, _>>().ok()
    };
    let event_ids = read_last("SELECT name, '', seq FROM sqlite_sequence");
    let control_numbers = read_last("SELECT partner, kind, last FROM edi_control_numbers");
    let connection = open::open_exclusive(copy)?;
    if let Some(sequences) = &event_ids {
        for (name, _, last) in sequences {
            let raise = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
            connection.execute(raise, rusqlite::params![name, last])?;
            let insert = "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2 WHERE NOT EXISTS \
                          (SELECT 1 FROM sqlite_sequence WHERE name = ?1)";
            connection.execute(insert, rusqlite::params![name, last])?;
        }
    } else {
        connection.execute("UPDATE sqlite_sequence SET seq = seq + ?1", [EVENT_ID_GAP])?;
    }
    if let Some(numbers) = &control_numbers {
        for (partner, kind, last) in numbers {
            connection.execute(
                "INSERT INTO edi_control_numbers (partner, kind, last) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET last = max(last, ?3)",
                rusqlite::params![partner, kind, last],
            )?;
        }
    } else {
        connection.execute("UPDATE edi_control_numbers SET last = last + ?1", [CONTROL_NUMBER_GAP])?;
    }
    Ok(())
}

/// Checks that the backup is complete in one plain file, is not the database itself, and has no log beside it.
fn check_standalone_file(backup: &Path, database: &Path) -> Result<(), BackupError> {
    let data = fs::metadata(backup).map_err(to_backup_error(backup))?;
    let refuse = |reason: &'static str| Err(BackupError::NotABackup { path: backup.to_owned(), reason });
    if data.is_dir() {
        return Err(BackupError::IsDirectory { path: backup.to_owned() });
    }
    if !data.is_file() {
        return refuse("it is not a plain file");
    }
    if fs::metadata(database).is_ok_and(|other| (other.dev(), other.ino()) == (data.dev(), data.ino())) {
        return refuse("it is the database itself");
    }
    let has_log = |suffix: &&str| fs::metadata(with_suffix(backup, suffix)).is_ok_and(|log| log.len() > 0);
    if ["-wal", "-journal"].iter().any(has_log) {
        return refuse("a log beside it holds a part of it, so it is a database in use");
    }
    Ok(())
}

/// Locks the database for this process alone and moves its WAL into the file.
///
/// Returns None if there is no database, or none that SQLite can read: a restore replaces that one too.
fn lock_database_exclusively(database: &Path) -> Result<Option<Connection>, BackupError> {
    // SQLite would delete the log beside an empty file.
    if fs::metadata(database).map_or(0, |data| data.len()) == 0 {
        return Ok(None);
    }
    // SQLite leaves WAL mode only if no other connection is open. So this finds every other user of the file.
    let locked = open::open_exclusive(database).and_then(|connection| {
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(connection)
    });
    match locked {
        Ok(connection) => Ok(Some(connection)),
        Err(StoreError::Busy { .. }) => Err(BackupError::InUse { path: database.to_owned() }),
        Err(_damaged) => Ok(None),
    }
}

/// Gives the database a second name and returns it, and renames the sidecar files.
///
/// SQLite would otherwise read the old sidecar files as parts of the restored database.
fn move_database_aside(database: &Path, stamp: &str) -> Result<Option<PathBuf>, BackupError> {
    let exists = database.exists();
    let is_free = |name: &PathBuf| {
        fs::symlink_metadata(name).is_err() && fs::symlink_metadata(with_suffix(name, "-wal")).is_err()
    };
    let mut names = (0..1_000).map(|number| {
        let counter = if number == 0 { String::new() } else { format!("-{number}") };
        with_suffix(database, &format!(".before-restore-{stamp}{counter}"))
    });
    let aside = names.find(is_free).ok_or_else(|| BackupError::AlreadyExists { path: database.to_owned() })?;
    if exists {
        fs::hard_link(database, &aside).map_err(to_backup_error(&aside))?;
    }
    for suffix in SQLITE_SIDECAR_SUFFIXES {
        let sidecar = with_suffix(database, suffix);
        match fs::rename(&sidecar, with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(to_backup_error(&sidecar)(error)),
            _ => {}
        }
    }
    Ok(exists.then_some(aside))
}
