//! Checks of a file that may come from anybody, before a restore uses it.
//!
//! A trigger or view that novex-ingest did not make could change the events of a restored database, so the schema must
//! be exactly the one of this version. Until it is checked, no statement reads a table or view of the file.

use crate::store::db::backup::BackupError;
use crate::store::db::types::to_body_hash;
use crate::store::db::{migrate, open};
use crate::text::{escape_hidden_chars, keep_first_chars};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Most differences that an error lists.
const DIFFERENCES_MAX: usize = 5;
/// Most characters of a name that an error shows.
const NAME_CHARS_MAX: usize = 60;

/// Kind and name of each object of a schema, with its SQL.
type SchemaObjects = BTreeMap<(String, String), String>;

/// Checks that tables, indexes, triggers and views of a file are those of its schema version, and no others.
///
/// # Errors
/// [`BackupError::ForeignSchema`] with each object that is foreign, missing or different.
pub(crate) fn check_schema(connection: &Connection, path: &Path, version: i64) -> Result<(), BackupError> {
    let mut found = Vec::new();
    let mut statement = connection.prepare("SELECT type, name, sql FROM main.sqlite_schema ORDER BY rowid")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let sql: Option<String> = row.get(2)?;
        found.push((row.get::<_, String>(0)?, row.get::<_, String>(1)?, sql.unwrap_or_default()));
    }
    let differences = compare_schemas(&upgrade_schema(found, version)?, &read_own_schema()?);
    if differences.is_empty() {
        return Ok(());
    }
    let others = differences.len().saturating_sub(DIFFERENCES_MAX);
    let mut listed: Vec<String> = differences.into_iter().take(DIFFERENCES_MAX).collect();
    if others > 0 {
        listed.push(format!("{others} more"));
    }
    Err(BackupError::ForeignSchema { path: path.to_owned(), differences: listed.join("; ") })
}

/// Returns the objects of a file as they are after the migrations to this version.
fn upgrade_schema(found: Vec<(String, String, String)>, version: i64) -> Result<SchemaObjects, BackupError> {
    let migrations = migrate::list_migrations_from(version);
    if migrations.is_empty() {
        return Ok(index_objects(found));
    }
    let empty = open::open_empty()?;
    // A statement without text belongs to an object that SQLite makes itself.
    for (_, name, sql) in found.iter().filter(|(_, name, sql)| !sql.is_empty() && !name.starts_with("sqlite_")) {
        empty.execute(sql, []).map_err(|_| BackupError::ForeignSchema {
            path: name.into(),
            differences: format!("`{}` cannot be made", show_name(name)),
        })?;
    }
    for migration in migrations {
        empty.execute_batch(migration)?;
    }
    read_objects(&empty)
}

/// Returns the objects of an empty database of this version.
fn read_own_schema() -> Result<SchemaObjects, BackupError> {
    let empty = open::open_empty()?;
    empty.execute_batch(migrate::SCHEMA)?;
    read_objects(&empty)
}

fn read_objects(connection: &Connection) -> Result<SchemaObjects, BackupError> {
    let mut statement = connection.prepare("SELECT type, name, coalesce(sql, '') FROM main.sqlite_schema")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(index_objects(rows.collect::<Result<_, _>>()?))
}

fn index_objects(rows: Vec<(String, String, String)>) -> SchemaObjects {
    // ANALYZE makes these; they hold figures for the query planner alone.
    let rows = rows.into_iter().filter(|(kind, name, _)| !(kind == "table" && name.starts_with("sqlite_stat")));
    rows.map(|(kind, name, sql)| ((kind, name), normalise_sql(&sql))).collect()
}

/// Returns a sentence part for each difference: foreign and changed objects first, then missing ones.
fn compare_schemas(found: &SchemaObjects, own: &SchemaObjects) -> Vec<String> {
    let mut differences = Vec::new();
    for ((kind, name), sql) in found {
        let (kind, shown) = (show_name(kind), show_name(name));
        match own.get(&(kind.clone(), name.clone())) {
            None => differences.push(format!("the {kind} `{shown}` is foreign")),
            Some(expected) if expected != sql => differences.push(format!("the {kind} `{shown}` is changed")),
            Some(_) => {}
        }
    }
    let missing = own.keys().filter(|key| !found.contains_key(*key));
    differences.extend(missing.map(|(kind, name)| format!("the {kind} `{name}` is missing")));
    differences
}

fn show_name(name: &str) -> String {
    keep_first_chars(&escape_hidden_chars(name), NAME_CHARS_MAX)
}

/// Returns SQL without comments, and with one space in place of each other gap. Quoted text stays.
fn normalise_sql(sql: &str) -> String {
    let mut normalised = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            letter if letter.is_ascii_whitespace() => letter.len_utf8(),
            '\'' | '"' | '`' | '[' => {
                let end = if letter == '[' { ']' } else { letter };
                let length = rest[1..].find(end).map_or(rest.len(), |at| at + 2);
                normalised.push_str(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
            letter => {
                normalised.push(letter);
                rest = &rest[letter.len_utf8()..];
                continue;
            }
        };
        if !normalised.ends_with(' ') {
            normalised.push(' ');
        }
        rest = &rest[length..];
    }
    normalised.trim().to_owned()
}

/// Checks each stored body against its stored hash, and returns the number of bodies.
///
/// # Errors
/// [`BackupError::Damaged`] with the number of other bodies and the first event.
pub(crate) fn check_bodies(connection: &Connection, path: &Path) -> Result<u64, BackupError> {
    let (mut bodies, mut changed, mut first) = (0, 0_u64, None);
    let mut statement = connection.prepare(
        "SELECT p.event_id, p.body, e.body_hash FROM main.webhook_payloads p \
         JOIN main.webhook_events e ON e.id = p.event_id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        bodies += 1;
        let digest: [u8; 32] = Sha256::digest(row.get_ref(1)?.as_blob().unwrap_or_default()).into();
        if row.get::<_, Option<i64>>(2)? != Some(to_body_hash(&digest)) {
            changed += 1;
            first = first.or(Some(row.get::<_, i64>(0)?));
        }
    }
    let mut statement = connection.prepare("SELECT event_id, body, body_sha256 FROM main.webhook_conflicts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        bodies += 1;
        if hex::encode(Sha256::digest(row.get_ref(1)?.as_blob().unwrap_or_default())) != row.get::<_, String>(2)? {
            changed += 1;
            first = first.or(Some(row.get::<_, i64>(0)?));
        }
    }
    match first {
        None => Ok(bodies),
        Some(event) => {
            let reason =
                format!("{changed} of {bodies} bodies do not fit their stored hash, the first of event {event}");
            Err(BackupError::Damaged { path: path.to_owned(), reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_gaps_do_not_count_but_quoted_text_does() {
        let sql = "CREATE TABLE t (\n  -- it's a comment\n  a TEXT, /* b */\n  b TEXT DEFAULT '--  x'  -- end\n)";
        assert_eq!(normalise_sql(sql), "CREATE TABLE t ( a TEXT, b TEXT DEFAULT '--  x' )");
        assert_ne!(normalise_sql("SELECT ' a'"), normalise_sql("SELECT '  a'"));
        assert_eq!(normalise_sql("SELECT [a  b]  ,\"c  \" -- d"), "SELECT [a  b] ,\"c  \"");
    }
}
