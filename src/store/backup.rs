//! A copy of the database while it is used, and putting one back.
//!
//! `VACUUM INTO` reads one state of the database, whoever writes meanwhile, and writes it without gaps into a new file. The copy is
//! proved before it has its name: SQLite's own check of every page and index, the references between the tables, and the kept
//! counts against the counted ones.

use super::{StoreError, migrate, open, with_end};
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
    #[error("{path} cannot be the name of a backup: {said}")]
    Name { path: PathBuf, said: &'static str },
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

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A new file beside `path` under a name that nobody knows, for its owner only; removed when it goes, unless it was renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Result<(Self, File), BackupError> {
        let part = with_end(path, &format!(".unfinished-{:016x}", fastrand::u64(..)));
        // Never through a link that somebody laid there.
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&part);
        Ok((Self(part.clone()), file.map_err(file_error(&part))?))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for end in ["", "-journal"] {
            let _ = fs::remove_file(with_end(&self.0, end));
        }
    }
}

/// Copies the database into a new file, proves the copy, and syncs it. `reserve`: what must stay free on the database's own disk.
///
/// # Errors
/// When there is no room, a file of the name, or the copy is not sound: then nothing is left.
pub fn make(database: &Path, target: &Path, reserve: u64) -> Result<Proof, BackupError> {
    // Not by a relative name, which could be read as an address of SQLite's.
    let target = &std::path::absolute(target).map_err(file_error(target))?;
    if target.to_str().is_none() {
        return Err(BackupError::Name { path: target.clone(), said: "it is no UTF-8" });
    }
    let own = std::path::absolute(database).map_err(file_error(database))?;
    if COMPANIONS.iter().any(|end| *target == with_end(&own, end)) {
        return Err(BackupError::Name { path: target.clone(), said: "the database itself uses it" });
    }
    if fs::symlink_metadata(target).is_ok() {
        return Err(BackupError::Exists { path: target.clone() });
    }
    let connection = open::for_copying(database)?;
    let needed: u64 = connection.query_row(
        "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        [],
        |row| row.get(0),
    )?;
    let device = |path: &Path| fs::metadata(directory_of(path)).map(|data| data.dev()).ok();
    let reserve = if device(target) == device(&own) { reserve } else { 0 };
    enough_room(target, needed.saturating_add(reserve))?;
    let (part, file) = Unfinished::beside(target)?;
    connection.execute("VACUUM INTO ?", [part.0.to_string_lossy()])?;
    file.sync_all().map_err(file_error(&part.0))?;
    let proof = prove(&part.0)?;
    // A link, which is never laid over what is there by now; a USB stick has none, and a rename must do.
    match fs::hard_link(&part.0, target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists { path: target.clone() });
        }
        Err(_no_links) => fs::rename(&part.0, target).map_err(file_error(target))?,
        Ok(()) => {}
    }
    drop(part);
    sync_directory(target)?;
    Ok(proof)
}

fn enough_room(target: &Path, needed: u64) -> Result<(), BackupError> {
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
        StoreError::Sqlite(cause) | StoreError::Disk(cause) | StoreError::Damaged(cause) => damaged(cause.to_string()),
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

/// Proves that a backup could be put in the place of the database.
///
/// # Errors
/// What is wrong with it.
pub fn check(backup: &Path, database: &Path) -> Result<Proof, BackupError> {
    whole(backup, database)?;
    prove(backup)
}

/// The copies that lie where the package's timer puts them.
#[must_use]
pub fn beside(database: &Path) -> Vec<PathBuf> {
    let files =
        fs::read_dir(directory_of(database).join("backups")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "db")).collect()
}

/// The last number that an event of a copy has; `None` if it cannot be read.
#[must_use]
pub fn last_event(copy: &Path) -> Option<i64> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'webhook_events'";
    open::immutable(copy).ok()?.query_row(sql, [], |row| row.get(0)).ok()
}

/// Whether a copy is one at all, without reading it whole.
///
/// # Errors
/// When it is not, or is of a later version.
pub fn look(backup: &Path) -> Result<(), BackupError> {
    let connection = open::immutable(backup)?;
    let damaged = |said: String| BackupError::Damaged { path: backup.to_owned(), said };
    match migrate::version(&connection, backup) {
        Ok(Some(_)) => {}
        Ok(None) => return Err(damaged("it is empty".to_owned())),
        Err(StoreError::Sqlite(cause) | StoreError::Disk(cause) | StoreError::Damaged(cause)) => {
            return Err(damaged(cause.to_string()));
        }
        Err(other) => return Err(other.into()),
    }
    let pages: u64 =
        connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| {
            row.get(0)
        })?;
    let bytes = fs::metadata(backup).map_err(file_error(backup))?.len();
    if bytes < pages {
        return Err(damaged(format!("it has {bytes} of {pages} bytes")));
    }
    Ok(())
}

/// Puts a proved copy in the place of the database, which stays beside it under the name that is given back; `None` when there
/// was none. Whenever it is killed, the database is the old one or the new one.
///
/// # Errors
/// When the copy is not sound or the database is in use: then nothing was changed.
pub fn restore(backup: &Path, database: &Path, stamp: &str) -> Result<(Proof, Option<PathBuf>), BackupError> {
    // The file itself, where a link leads to it.
    let database =
        &fs::canonicalize(database).or_else(|_| std::path::absolute(database)).map_err(file_error(database))?;
    whole(backup, database)?;
    // Held until the end: nobody opens it meanwhile.
    let lock = take_alone(database)?;
    let mut from = File::open(backup).map_err(file_error(backup))?;
    enough_room(database, from.metadata().map_err(file_error(backup))?.len())?;
    let (part, mut file) = Unfinished::beside(database)?;
    io::copy(&mut from, &mut file).and_then(|_| file.sync_all()).map_err(file_error(&part.0))?;
    let proof = prove(&part.0)?;
    carry_on(&part.0, lock.as_ref())?;
    file.sync_all().map_err(file_error(&part.0))?;
    // What root restores must be the service's to write; anybody else may not change owners, and has no need to.
    if let Ok(owner) = fs::metadata(database).or_else(|_| fs::metadata(directory_of(database))) {
        let _ = std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    let aside = set_aside(database, stamp)?;
    fs::rename(&part.0, database).map_err(file_error(database))?;
    sync_directory(database)?;
    drop(lock);
    Ok((proof, aside))
}

/// Left between events' numbers where it is not known how many were given out.
pub const GAP: i64 = 1_000_000;

/// Numbers that others know were given out since the copy was made, and are given out once: an ERP drops an event whose number it
/// has, and a retailer an interchange. So they go on above those of the database that is replaced; where that cannot be read, above a gap.
fn carry_on(copy: &Path, replaced: Option<&Connection>) -> Result<(), BackupError> {
    const CONTROL_GAP: i64 = 1_000;
    let known = |sql: &str, end: &[&str]| -> Option<Vec<(String, String, i64)>> {
        let mut statement = replaced?.prepare(sql).ok()?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let rows = statement.query_map(rusqlite::params_from_iter(end), row).ok()?;
        rows.collect::<Result<_, _>>().ok()
    };
    let sequences = known("SELECT name, '', seq FROM sqlite_sequence", &[]);
    let controls = known("SELECT partner, kind, last FROM edi_control_numbers", &[]);
    let connection = open::alone(copy)?;
    let raise = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
    match &sequences {
        Some(sequences) => {
            for (name, _, last) in sequences {
                connection.execute(raise, rusqlite::params![name, last])?;
                let insert = "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2 WHERE NOT EXISTS \
                              (SELECT 1 FROM sqlite_sequence WHERE name = ?1)";
                connection.execute(insert, rusqlite::params![name, last])?;
            }
        }
        None => {
            connection.execute("UPDATE sqlite_sequence SET seq = seq + ?1", [GAP])?;
        }
    }
    match &controls {
        Some(controls) => {
            for (partner, kind, last) in controls {
                connection.execute(
                    "INSERT INTO edi_control_numbers (partner, kind, last) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET last = max(last, ?3)",
                    rusqlite::params![partner, kind, last],
                )?;
            }
        }
        None => {
            connection.execute("UPDATE edi_control_numbers SET last = last + ?1", [CONTROL_GAP])?;
        }
    }
    Ok(())
}

/// Whether a backup is all there is of it: a plain file, not the database itself, and without a log beside it.
fn whole(backup: &Path, database: &Path) -> Result<(), BackupError> {
    let damaged = |said: &str| BackupError::Damaged { path: backup.to_owned(), said: said.to_owned() };
    let own = fs::metadata(backup).map_err(file_error(backup))?;
    if !own.is_file() {
        return Err(damaged("it is no plain file"));
    }
    if fs::metadata(database).is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino())) {
        return Err(damaged("it is the database itself"));
    }
    let has_more = |end: &&str| fs::metadata(with_end(backup, end)).is_ok_and(|data| data.len() > 0);
    if ["-wal", "-journal"].iter().any(has_more) {
        return Err(damaged("part of it is in a log beside it: it is a database in use, and no backup"));
    }
    Ok(())
}

/// The database for oneself, all of it in one file; `None` where there is none, or none that SQLite can read, which is what a
/// backup is for.
fn take_alone(database: &Path) -> Result<Option<Connection>, BackupError> {
    // Of an empty file SQLite would throw away the log beside it.
    if fs::metadata(database).map_or(0, |data| data.len()) == 0 {
        return Ok(None);
    }
    // Leaving the WAL needs the file for oneself: whoever has it open is found by that.
    let taken = open::alone(database).and_then(|connection| {
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(connection)
    });
    match taken {
        Ok(connection) => Ok(Some(connection)),
        Err(StoreError::Busy { .. }) => Err(BackupError::InUse { path: database.to_owned() }),
        Err(_damaged) => Ok(None),
    }
}

/// Gives the database a second name, and takes away what SQLite would take for a part of the new one.
fn set_aside(database: &Path, stamp: &str) -> Result<Option<PathBuf>, BackupError> {
    let is_there = database.exists();
    let free =
        |name: &PathBuf| fs::symlink_metadata(name).is_err() && fs::symlink_metadata(with_end(name, "-wal")).is_err();
    let names = (0..1_000).map(|number| {
        let end = if number == 0 { String::new() } else { format!("-{number}") };
        with_end(database, &format!(".before-restore-{stamp}{end}"))
    });
    let aside = names.into_iter().find(free).ok_or_else(|| BackupError::Exists { path: database.to_owned() })?;
    if is_there {
        fs::hard_link(database, &aside).map_err(file_error(&aside))?;
    }
    for end in COMPANIONS {
        let companion = with_end(database, end);
        match fs::rename(&companion, with_end(&aside, end)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error(&companion)(error)),
            _ => {}
        }
    }
    Ok(is_there.then_some(aside))
}
