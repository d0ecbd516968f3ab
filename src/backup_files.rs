//! Files of backups: their names, and the making of a verified one.

use crate::backup_target::BackupTarget;
use crate::clock::{self, Clock};
use crate::store::db::backup::{self, BackupSummary};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Start and end of the name of a backup in a directory. The time between them makes names sort by age.
pub(crate) const BACKUP_NAME_PREFIX: &str = "novex-ingest-";
const BACKUP_NAME_SUFFIX: &str = ".db";

/// A verified backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedBackup {
    pub file: PathBuf,
    pub summary: BackupSummary,
}

/// Makes a backup at `place` and verifies it. Keeps at least `min_free_bytes` free on its disk.
///
/// # Errors
/// The message with the consequence.
pub(crate) fn make_backup(
    database: &Path,
    place: BackupTarget,
    lineage: &str,
    min_free_bytes: u64,
) -> anyhow::Result<FinishedBackup> {
    let file = match place {
        BackupTarget::Directory(directory) => find_free_name(&directory, lineage),
        BackupTarget::File(file) => file,
    };
    let summary = backup::create_backup(database, &file, min_free_bytes)
        .map_err(|error| anyhow::anyhow!("no backup was made: {error}"))?;
    // A restore would refuse it, so it must not push out older ones.
    backup::verify_restorable(&file, database)
        .map_err(|error| anyhow::anyhow!("a copy was made, and all older backups stay, but {error}"))?;
    Ok(FinishedBackup { file, summary })
}

/// Returns the lineage of the database, which the names of its backups have.
///
/// # Errors
/// If the database cannot be read.
pub(crate) fn read_lineage(database: &Path) -> anyhow::Result<String> {
    backup::read_database_lineage(database).map_err(|error| anyhow::anyhow!("no backup was made: {error}"))
}

/// Returns a name with the time and the lineage of the database: `novex-ingest-20261124T133059Z-1a2b3c4d.db`.
pub(crate) fn build_backup_name(lineage: &str) -> String {
    let time = clock::format_file_timestamp(Clock::system().now());
    format!("{BACKUP_NAME_PREFIX}{time}-{lineage}{BACKUP_NAME_SUFFIX}")
}

/// Returns a free name in a directory. It waits for the next second if a backup of this second exists.
fn find_free_name(directory: &Path, lineage: &str) -> PathBuf {
    const ROUNDS_MAX: usize = 100;
    let mut path = directory.join(build_backup_name(lineage));
    for _ in 0..ROUNDS_MAX {
        if fs::symlink_metadata(&path).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        path = directory.join(build_backup_name(lineage));
    }
    path
}

/// Returns true for the name of a backup of this database. A backup of another one may hold the only copy of its
/// events.
pub(crate) fn is_backup_name(name: &str, lineage: &str) -> bool {
    let end = format!("-{lineage}{BACKUP_NAME_SUFFIX}");
    let time = name.strip_prefix(BACKUP_NAME_PREFIX).and_then(|name| name.strip_suffix(&end));
    time.is_some_and(|time| time.len() == 16 && time.ends_with('Z'))
}
