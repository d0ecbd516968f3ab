//! Bringing a database file to this version's schema, forward only, a transaction a step.

use super::backup;
use super::{StoreError, with_end};
use rusqlite::{Connection, TransactionBehavior};
use std::fs;
use std::path::Path;

/// The schema of this version, for a new file.
pub const SCHEMA: &str = include_str!("../../schema.sql");
/// Marks the file as ours: the letters NVXI.
pub const APPLICATION_ID: i64 = 0x4E56_5849;
/// What turns a file of version n + 1 into one of version n + 2: `STEPS[n]`. Version 1 is the first.
const STEPS: &[&str] = &[];
/// The version that this program writes.
pub const VERSION: i64 = 1;

/// Creates the schema in an empty file, or brings an older one up to date; of that a proved copy is made first, beside it, if so many
/// bytes stay free on the disk.
///
/// # Errors
/// [`StoreError::Newer`] and [`StoreError::Foreign`] leave the file as it is, and so does a step that fails.
pub fn run(connection: &mut Connection, path: &Path, reserve: u64) -> Result<(), StoreError> {
    run_to(connection, (path, reserve), STEPS, VERSION)
}

fn run_to(
    connection: &mut Connection,
    (path, reserve): (&Path, u64),
    steps: &[&str],
    wanted: i64,
) -> Result<(), StoreError> {
    let found = version(connection, path)?;
    if found == Some(wanted) {
        return Ok(());
    }
    if let Some(found) = found {
        copy_first(path, found, reserve)?;
    }
    // Immediate: two processes that start at once take turns, and the second finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version(&transaction, path)? {
        None => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        Some(found) if found == wanted => return Ok(()),
        Some(found) => {
            for step in &steps[usize::try_from(found - 1).unwrap_or(0)..] {
                transaction.execute_batch(step).map_err(|cause| StoreError::NotMigrated {
                    path: path.to_owned(),
                    said: format!("the step from schema {found} to {wanted} failed: {cause}"),
                })?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", wanted)?;
    transaction.commit()?;
    Ok(())
}

/// The way back: the version before this one can use the copy. One of an earlier attempt is used again if nothing was stored since.
fn copy_first(path: &Path, found: i64, reserve: u64) -> Result<(), StoreError> {
    let copy = with_end(path, &format!(".before-upgrade-from-{found}"));
    let new = with_end(path, &format!(".before-upgrade-from-{found}.new"));
    let written = |file: &Path| fs::metadata(file).and_then(|data| data.modified());
    if let Ok(copied) = written(&copy)
        && written(path).is_ok_and(|at| at < copied)
        && fs::metadata(with_end(path, "-wal")).map_or(0, |log| log.len()) == 0
    {
        return Ok(());
    }
    // Of an attempt that was killed.
    let _ = fs::remove_file(&new);
    let made = backup::make(path, &new, reserve).map_err(|error| error.to_string());
    made.and_then(|_| fs::rename(&new, &copy).map_err(|error| format!("{}: {error}", copy.display()))).map_err(|said| {
        StoreError::NotMigrated { path: path.to_owned(), said: format!("there is no copy of it: {said}") }
    })
}

/// The version of a file; `None` when it is empty. It only reads.
///
/// # Errors
/// [`StoreError::Newer`] and [`StoreError::Foreign`] for a file that [`run`] would not take.
pub fn version(connection: &Connection, path: &Path) -> Result<Option<i64>, StoreError> {
    // One statement is one snapshot: another process may be making the schema at this moment.
    let (application_id, found, objects): (i64, i64, i64) = connection.query_row(
        "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) \
         FROM pragma_application_id, pragma_user_version",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if application_id == 0 && found == 0 && objects == 0 {
        Ok(None)
    } else if application_id != APPLICATION_ID {
        Err(StoreError::Foreign { path: path.to_owned(), found: application_id })
    } else if found > VERSION {
        Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION })
    } else {
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_version_has_a_step_to_it() {
        assert_eq!(i64::try_from(STEPS.len()).unwrap(), VERSION - 1);
    }

    use super::super::open;
    use super::*;
    use std::time::Duration;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.db");
        (directory, path)
    }

    fn connect(path: &Path) -> Connection {
        open::for_writing(path, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn a_new_file_is_marked_and_set_up_for_good() {
        let (_directory, path) = file();
        let mut connection = connect(&path);
        run(&mut connection, &path, 0).unwrap();
        run(&mut connection, &path, 0).unwrap();
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("application_id"), APPLICATION_ID);
        assert_eq!(pragma("user_version"), VERSION);
        assert_eq!(pragma("auto_vacuum"), 2, "INCREMENTAL");
    }

    /// A copy is made before a step, a step that fails leaves the file as it was, and the version before it goes on with either.
    #[test]
    fn an_upgrade_has_its_way_back() {
        let (directory, path) = file();
        let mut connection = connect(&path);
        run(&mut connection, &path, 0).unwrap();
        let columns = |connection: &Connection| {
            let sql = "SELECT count(*) FROM pragma_table_info('write_probe') WHERE name = 'more'";
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let broken = ["ALTER TABLE write_probe ADD COLUMN more TEXT; SELECT * FROM nothing;"];
        let error = run_to(&mut connection, (&path, 0), &broken, VERSION + 1).unwrap_err();
        assert!(matches!(&error, StoreError::NotMigrated { said, .. } if said.contains("nothing")), "{error}");
        assert_eq!((version(&connection, &path).unwrap(), columns(&connection)), (Some(VERSION), 0));
        run(&mut connection, &path, 0).unwrap();
        run_to(&mut connection, (&path, 0), &["ALTER TABLE write_probe ADD COLUMN more TEXT"], VERSION + 1).unwrap();
        assert_eq!(
            (version(&connection, &path).unwrap_err().to_string().contains("newer version"), columns(&connection)),
            (true, 1)
        );
        let copy = directory.path().join("events.db.before-upgrade-from-1");
        assert_eq!(backup::prove(&copy).unwrap().version, VERSION);
        assert!(!directory.path().join("events.db.before-upgrade-from-1.new").exists());
    }

    /// One that failed does not copy again at each start, and a copy is never older than what it is the way back to.
    #[test]
    fn a_copy_of_an_earlier_attempt_is_used_only_while_it_is_true() {
        let (directory, path) = file();
        let mut connection = connect(&path);
        run(&mut connection, &path, 0).unwrap();
        let copy = directory.path().join("events.db.before-upgrade-from-1");
        let probes = |file: &Path| {
            let other = open::immutable(file).unwrap();
            other.query_row("SELECT count(*) FROM write_probe", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        run_to(&mut connection, (&path, 0), &["SELECT * FROM nothing"], VERSION + 1).unwrap_err();
        let first = fs::metadata(&copy).unwrap().modified().unwrap();
        run_to(&mut connection, (&path, 0), &["SELECT * FROM nothing"], VERSION + 1).unwrap_err();
        assert_eq!(fs::metadata(&copy).unwrap().modified().unwrap(), first, "it was not made again");
        connection.execute_batch("INSERT INTO write_probe VALUES (1, 'now')").unwrap();
        run_to(&mut connection, (&path, 0), &["SELECT * FROM nothing"], VERSION + 1).unwrap_err();
        assert_eq!(probes(&copy), 1, "what was stored since is in it");
        let full = run_to(&mut connection, (&path, u64::MAX / 2), &[""], VERSION + 1).unwrap_err();
        assert!(full.to_string().contains("bytes free"), "{full}");
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let (_directory, path) = file();
        let mut connection = connect(&path);
        run(&mut connection, &path, 0).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = run(&mut connection, &path, 0).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found, .. } if found == VERSION + 1), "{error}");
    }

    #[test]
    fn another_programs_file_is_refused() {
        let (_directory, path) = file();
        let mut connection = connect(&path);
        connection.execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(matches!(run(&mut connection, &path, 0).unwrap_err(), StoreError::Foreign { .. }));
    }
}
