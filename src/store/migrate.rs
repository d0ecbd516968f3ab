//! Bringing a database file to this version's schema, forward only, a transaction a step.

use super::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// The schema of this version, for a new file.
pub const SCHEMA: &str = include_str!("../../schema.sql");
/// Marks the file as ours: the letters NVXI.
pub const APPLICATION_ID: i64 = 0x4E56_5849;
/// What turns a file of version n + 1 into one of version n + 2: `STEPS[n]`. Version 1 is the first.
const STEPS: &[&str] = &[];
/// The version that this program writes.
pub const VERSION: i64 = 1;

/// Creates the schema in an empty file, or brings an older one up to date.
///
/// # Errors
/// [`StoreError::Newer`] and [`StoreError::Foreign`] leave the file as it is.
pub fn run(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    if version(connection, path)? == Some(VERSION) {
        return Ok(());
    }
    // Immediate: two processes that start at once take turns, and the second finds the work done.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version(&transaction, path)? {
        None => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        Some(VERSION) => return Ok(()),
        Some(found) => {
            for step in &STEPS[usize::try_from(found - 1).unwrap_or(0)..] {
                transaction.execute_batch(step)?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
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
        run(&mut connection, &path).unwrap();
        run(&mut connection, &path).unwrap();
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("application_id"), APPLICATION_ID);
        assert_eq!(pragma("user_version"), VERSION);
        assert_eq!(pragma("auto_vacuum"), 2, "INCREMENTAL");
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let (_directory, path) = file();
        let mut connection = connect(&path);
        run(&mut connection, &path).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = run(&mut connection, &path).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found, .. } if found == VERSION + 1), "{error}");
    }

    #[test]
    fn another_programs_file_is_refused() {
        let (_directory, path) = file();
        let mut connection = connect(&path);
        connection.execute_batch("CREATE TABLE theirs (a)").unwrap();
        assert!(matches!(run(&mut connection, &path).unwrap_err(), StoreError::Foreign { .. }));
    }
}
