//! Creating the schema in a new file and migrating an older file to this version's schema. Migrations only go forward.
//!
//! All migrations of an upgrade run in one transaction, after a verified backup of the file.

use crate::files::{rename_and_sync, with_suffix};
use crate::store::StoreError;
use crate::store::db::backup;
use rusqlite::{Connection, TransactionBehavior};
use std::fs;
use std::path::Path;

/// Schema of this version, for a new file.
pub const SCHEMA: &str = include_str!("../../../schema.sql");
/// SQLite's application id of our files: the letters NVXI.
pub const APPLICATION_ID: i64 = 0x4E56_5849;
/// SQL of each migration. `MIGRATIONS[n]` turns schema version n + 1 into n + 2; the first version is 1.
const MIGRATIONS: &[&str] = &[];
/// Schema version that this program writes.
pub const SCHEMA_VERSION: i64 = 1;

/// Creates the schema in an empty file, or migrates an older file after a verified backup beside it.
///
/// The backup needs its own size and `reserve` more bytes on the disk.
///
/// # Errors
/// [`StoreError::NewerSchema`], [`StoreError::ForeignDatabase`] and [`StoreError::MigrationFailed`] leave the file
/// unchanged.
pub fn migrate_database(connection: &mut Connection, path: &Path, reserve: u64) -> Result<(), StoreError> {
    migrate_to_version(connection, path, reserve, MIGRATIONS, SCHEMA_VERSION)
}

fn migrate_to_version(
    connection: &mut Connection,
    path: &Path,
    reserve: u64,
    migrations: &[&str],
    target_version: i64,
) -> Result<(), StoreError> {
    let found = read_schema_version(connection, path)?;
    if found == Some(target_version) {
        return Ok(());
    }
    if let Some(found) = found {
        backup_before_upgrade(path, found, reserve)?;
    }
    // An immediate transaction takes the write lock: of two processes that start at once, the second finds the file
    // migrated.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match read_schema_version(&transaction, path)? {
        None => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        Some(found) if found == target_version => return Ok(()),
        Some(found) => {
            for migration in &migrations[usize::try_from(found - 1).unwrap_or(0)..] {
                transaction.execute_batch(migration).map_err(|cause| StoreError::MigrationFailed {
                    path: path.to_owned(),
                    reason: format!("the migration from schema {found} to {target_version} failed: {cause}"),
                })?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", target_version)?;
    transaction.commit()?;
    Ok(())
}

/// Makes a verified backup that the previous version can use. A backup of an earlier attempt serves if nothing was
/// stored since.
///
/// Its name ends in `.before-upgrade-from-` and the schema version.
fn backup_before_upgrade(path: &Path, found: i64, reserve: u64) -> Result<(), StoreError> {
    let backup = with_suffix(path, &format!(".before-upgrade-from-{found}"));
    let new_backup = with_suffix(path, &format!(".before-upgrade-from-{found}.new"));
    let modified_at = |file: &Path| fs::metadata(file).and_then(|data| data.modified());
    if let Ok(backup_at) = modified_at(&backup)
        && modified_at(path).is_ok_and(|at| at < backup_at)
        && fs::metadata(with_suffix(path, "-wal")).map_or(0, |log| log.len()) == 0
    {
        return Ok(());
    }
    // An attempt that was killed leaves this file.
    let _ = fs::remove_file(&new_backup);
    let create = || -> Result<(), String> {
        backup::create_backup(path, &new_backup, reserve).map_err(|error| error.to_string())?;
        rename_and_sync(&new_backup, &backup).map_err(|error| format!("{}: {error}", backup.display()))
    };
    create().map_err(|reason| StoreError::MigrationFailed {
        path: path.to_owned(),
        reason: format!("the backup before the upgrade failed: {reason}"),
    })
}

/// Returns the SQL that turns the schema of a version into the one of this version.
pub(crate) fn list_migrations_from(version: i64) -> &'static [&'static str] {
    let first = usize::try_from(version - 1).unwrap_or(0);
    MIGRATIONS.get(first..).unwrap_or_default()
}

/// Returns the schema version of a file, or None if the file is empty. It only reads.
///
/// # Errors
/// [`StoreError::NewerSchema`], [`StoreError::ForeignDatabase`] and [`StoreError::UnmarkedDatabase`] for a file that
/// [`migrate_database`] refuses.
pub fn read_schema_version(connection: &Connection, path: &Path) -> Result<Option<i64>, StoreError> {
    // One statement reads one snapshot: another process may be creating the schema at this moment.
    let (application_id, found, objects, has_own_tables): (i64, i64, i64, bool) = connection.query_row(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema), \
         (SELECT count(*) = 3 FROM sqlite_schema \
          WHERE type = 'table' AND name IN ('webhook_events', 'webhook_payloads', 'webhook_event_log')) \
         FROM pragma_application_id, pragma_user_version",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    match classify_version(path, application_id, found, objects) {
        Err(StoreError::ForeignDatabase { path, found: 0 }) if has_own_tables => {
            Err(StoreError::UnmarkedDatabase { path })
        }
        version => version,
    }
}

/// Returns the schema version of a file with these values in its header, or None if the file is empty.
pub(crate) fn classify_version(
    path: &Path,
    application_id: i64,
    found: i64,
    objects: i64,
) -> Result<Option<i64>, StoreError> {
    if application_id == 0 && found == 0 && objects == 0 {
        Ok(None)
    } else if application_id != APPLICATION_ID {
        Err(StoreError::ForeignDatabase { path: path.to_owned(), found: application_id })
    } else if found > SCHEMA_VERSION {
        Err(StoreError::NewerSchema { path: path.to_owned(), found, known: SCHEMA_VERSION })
    } else {
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::open;
    use std::time::Duration;

    #[test]
    fn every_schema_version_has_a_migration() {
        assert_eq!(i64::try_from(MIGRATIONS.len()).unwrap(), SCHEMA_VERSION - 1);
    }

    fn create_database_path() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.db");
        (directory, path)
    }

    fn open_database(path: &Path) -> Connection {
        open::open_for_writing(path, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn new_file_gets_application_id_and_schema() {
        let (_directory, path) = create_database_path();
        let mut connection = open_database(&path);
        migrate_database(&mut connection, &path, 0).unwrap();
        migrate_database(&mut connection, &path, 0).unwrap();
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("application_id"), APPLICATION_ID);
        assert_eq!(pragma("user_version"), SCHEMA_VERSION);
        assert_eq!(pragma("auto_vacuum"), 2, "INCREMENTAL");
    }

    /// A failed migration leaves the file unchanged, and the backup before it has the old schema version.
    #[test]
    fn failed_upgrade_keeps_file_and_backup() {
        let (directory, path) = create_database_path();
        let mut connection = open_database(&path);
        migrate_database(&mut connection, &path, 0).unwrap();
        let columns = |connection: &Connection| {
            let sql = "SELECT count(*) FROM pragma_table_info('write_probe') WHERE name = 'more'";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let broken = ["ALTER TABLE write_probe ADD COLUMN more TEXT; SELECT * FROM nothing;"];
        let error = migrate_to_version(&mut connection, &path, 0, &broken, SCHEMA_VERSION + 1).unwrap_err();
        assert!(matches!(&error, StoreError::MigrationFailed { reason, .. } if reason.contains("nothing")), "{error}");
        assert_eq!((read_schema_version(&connection, &path).unwrap(), columns(&connection)), (Some(SCHEMA_VERSION), 0));
        migrate_database(&mut connection, &path, 0).unwrap();
        migrate_to_version(
            &mut connection,
            &path,
            0,
            &["ALTER TABLE write_probe ADD COLUMN more TEXT"],
            SCHEMA_VERSION + 1,
        )
        .unwrap();
        assert_eq!(
            (
                read_schema_version(&connection, &path).unwrap_err().to_string().contains("newer version"),
                columns(&connection)
            ),
            (true, 1)
        );
        let backup = directory.path().join("events.db.before-upgrade-from-1");
        assert_eq!(backup::verify_backup(&backup).unwrap().schema_version, SCHEMA_VERSION);
        assert!(!directory.path().join("events.db.before-upgrade-from-1.new").exists());
    }

    /// A failed migration does not make a backup at each start, and the backup is never older than the last event.
    #[test]
    fn earlier_backup_is_reused_only_while_current() {
        let (directory, path) = create_database_path();
        let mut connection = open_database(&path);
        migrate_database(&mut connection, &path, 0).unwrap();
        let backup = directory.path().join("events.db.before-upgrade-from-1");
        let probes = |file: &Path| {
            let other = open::open_immutable(file).unwrap();
            other.query_row("SELECT count(*) FROM write_probe", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        migrate_to_version(&mut connection, &path, 0, &["SELECT * FROM nothing"], SCHEMA_VERSION + 1).unwrap_err();
        let first = fs::metadata(&backup).unwrap().modified().unwrap();
        migrate_to_version(&mut connection, &path, 0, &["SELECT * FROM nothing"], SCHEMA_VERSION + 1).unwrap_err();
        assert_eq!(fs::metadata(&backup).unwrap().modified().unwrap(), first, "the first backup is reused");
        connection.execute_batch("INSERT INTO write_probe VALUES (1, 'now')").unwrap();
        migrate_to_version(&mut connection, &path, 0, &["SELECT * FROM nothing"], SCHEMA_VERSION + 1).unwrap_err();
        assert_eq!(probes(&backup), 1, "the new backup holds the row stored since");
        let full = migrate_to_version(&mut connection, &path, u64::MAX / 2, &[""], SCHEMA_VERSION + 1).unwrap_err();
        assert!(full.to_string().contains("bytes free"), "{full}");
    }

    #[test]
    fn newer_schema_is_refused_and_left_unchanged() {
        let (_directory, path) = create_database_path();
        let mut connection = open_database(&path);
        migrate_database(&mut connection, &path, 0).unwrap();
        connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
        let error = migrate_database(&mut connection, &path, 0).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found, .. } if found == SCHEMA_VERSION + 1), "{error}");
    }

    #[test]
    fn foreign_database_is_refused() {
        let (_directory, path) = create_database_path();
        let mut connection = open_database(&path);
        connection.execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(matches!(migrate_database(&mut connection, &path, 0).unwrap_err(), StoreError::ForeignDatabase { .. }));
    }
}
