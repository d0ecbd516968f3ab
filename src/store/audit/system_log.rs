//! The audit trail: append-only rows in a hash chain. The hash of a row covers the row and the hash of the previous
//! row.
//!
//! `hash` is the lower-case hex SHA-256 of `prev_hash`, a line feed, and the compact JSON array of the row's columns
//! from `id` to `details` in the table's order (numbers as numbers, NULL as null). `prev_hash` of the first row is 64
//! zeros. After a truncation it is the hash of the last deleted row, which `system_log_truncations` also stores. The
//! truncations have a hash chain too.
//!
//! Triggers refuse changes of the rows. A change past the triggers, by another program or a hex editor, breaks the
//! chain, and [`verify_chain`] returns the place.

use crate::changes::audit::AuditEntry;
use crate::clock;
use crate::store::audit::alerts;
use crate::store::db::reader::Reader;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

/// A row of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    pub id: i64,
    /// None for an operator's action.
    pub event_id: Option<i64>,
    pub at: String,
    pub r#type: String,
    pub realm: Option<String>,
    pub user_id: Option<String>,
    pub username: Option<String>,
    pub client_id: Option<String>,
    pub ip_address: Option<String>,
    pub session_id: Option<String>,
    pub operation: Option<String>,
    pub resource: Option<String>,
    pub resource_path: Option<String>,
    pub result: String,
    pub error: Option<String>,
    pub details: Option<String>,
    pub prev_hash: String,
    pub hash: String,
}

/// `prev_hash` of the first row.
pub const GENESIS_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(super) const COLUMNS: &str = "id, event_id, at, type, realm, user_id, username, client_id, ip_address, session_id, operation, \
                       resource, resource_path, result, error, details, prev_hash, hash";

pub(super) fn read_audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        id: row.get(0)?,
        event_id: row.get(1)?,
        at: row.get(2)?,
        r#type: row.get(3)?,
        realm: row.get(4)?,
        user_id: row.get(5)?,
        username: row.get(6)?,
        client_id: row.get(7)?,
        ip_address: row.get(8)?,
        session_id: row.get(9)?,
        operation: row.get(10)?,
        resource: row.get(11)?,
        resource_path: row.get(12)?,
        result: row.get(13)?,
        error: row.get(14)?,
        details: row.get(15)?,
        prev_hash: row.get(16)?,
        hash: row.get(17)?,
    })
}

impl AuditRecord {
    /// Returns the hash that this row must have.
    #[must_use]
    pub fn compute_hash(&self) -> String {
        let columns = json!([
            self.id,
            self.event_id,
            self.at,
            self.r#type,
            self.realm,
            self.user_id,
            self.username,
            self.client_id,
            self.ip_address,
            self.session_id,
            self.operation,
            self.resource,
            self.resource_path,
            self.result,
            self.error,
            self.details
        ]);
        hex::encode(Sha256::digest(format!("{}\n{columns}", self.prev_hash)))
    }
}

/// Appends the entry of an event, unless the event has one, and raises alerts for it.
pub fn append_audit_entry(
    connection: &Connection,
    event_id: i64,
    entry: &AuditEntry,
    threshold: &alerts::LoginErrorThreshold,
) -> Result<(), StoreError> {
    let is_known = connection.prepare_cached("SELECT 1 FROM system_log WHERE event_id = ?")?.exists([event_id])?;
    if is_known {
        return Ok(());
    }
    let (last_id, prev_hash) = read_chain_end(connection)?;
    let mut row = AuditRecord {
        id: last_id + 1,
        event_id: Some(event_id),
        at: entry.at.clone(),
        r#type: entry.kind.clone(),
        realm: entry.realm.clone(),
        user_id: entry.user_id.clone(),
        username: entry.username.clone(),
        client_id: entry.client_id.clone(),
        ip_address: entry.ip_address.clone(),
        session_id: entry.session_id.clone(),
        operation: entry.operation.clone(),
        resource: entry.resource.clone(),
        resource_path: entry.resource_path.clone(),
        result: entry.result.to_owned(),
        error: entry.error.clone(),
        details: entry.details.clone(),
        prev_hash,
        hash: String::new(),
    };
    row.hash = row.compute_hash();
    insert_audit_row(connection, &row)?;
    alerts::raise_login_alerts(connection, &row, threshold)
}

/// What a person did in the console or with a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OperatorAction<'a> {
    /// `user@host` of a command, or the name of a console user.
    pub by: &'a str,
    /// `EVENT`, `CONSOLE-USER`, `API-TOKEN`.
    pub resource: &'static str,
    /// `DISMISS`, `ADD`, `LOGIN`.
    pub operation: &'a str,
    /// What it was done to: `events/17`.
    pub path: &'a str,
    /// Address of the browser; None for a command.
    pub address: Option<&'a str>,
    /// Why it was refused; None if it was done.
    pub error: Option<&'a str>,
}

/// Appends the action of a person.
pub(crate) fn append_operator_action(
    connection: &Connection,
    at: &str,
    action: OperatorAction<'_>,
) -> Result<(), StoreError> {
    let (last_id, prev_hash) = read_chain_end(connection)?;
    let mut row = AuditRecord {
        id: last_id + 1,
        event_id: None,
        at: at.to_owned(),
        r#type: format!("{}-{}", action.resource, action.operation),
        realm: None,
        user_id: None,
        username: Some(action.by.to_owned()),
        client_id: None,
        ip_address: action.address.map(str::to_owned),
        session_id: None,
        operation: Some(action.operation.to_owned()),
        resource: Some(action.resource.to_owned()),
        resource_path: Some(action.path.to_owned()),
        result: if action.error.is_none() { "ok" } else { "error" }.to_owned(),
        error: action.error.map(str::to_owned),
        details: None,
        prev_hash,
        hash: String::new(),
    };
    row.hash = row.compute_hash();
    insert_audit_row(connection, &row)
}

/// Appends the action of an operator on the event or delivery that `path` names.
pub(crate) fn append_operator_entry(
    connection: &Connection,
    at: &str,
    operator: &str,
    operation: &str,
    path: &str,
) -> Result<(), StoreError> {
    let action = OperatorAction { by: operator, resource: "EVENT", operation, path, address: None, error: None };
    append_operator_action(connection, at, action)
}

fn insert_audit_row(connection: &Connection, row: &AuditRecord) -> Result<(), StoreError> {
    let sql =
        format!("INSERT INTO system_log ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    connection.prepare_cached(&sql)?.execute(params![
        row.id,
        row.event_id,
        row.at,
        row.r#type,
        row.realm,
        row.user_id,
        row.username,
        row.client_id,
        row.ip_address,
        row.session_id,
        row.operation,
        row.resource,
        row.resource_path,
        row.result,
        row.error,
        row.details,
        row.prev_hash,
        row.hash
    ])?;
    Ok(())
}

/// Returns id and hash of the last row, or of the last truncation if there is no later row.
fn read_chain_end(connection: &Connection) -> Result<(i64, String), StoreError> {
    let last = connection
        .prepare_cached("SELECT id, hash FROM system_log ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match last {
        Some(last) => last,
        None => list_truncations(connection)?
            .pop()
            .map_or_else(|| (0, GENESIS_HASH.to_owned()), |truncation| (truncation.last_id, truncation.last_hash)),
    })
}

/// A truncation of the audit trail: how many rows it deleted, and id and hash of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truncation {
    pub at: String,
    pub by: String,
    pub rows: i64,
    pub last_id: i64,
    pub last_hash: String,
    /// Hash of the previous truncation's hash and the fields above.
    pub hash: String,
}

impl Truncation {
    /// Returns the hash that this truncation must have after the one with the hash `prev_hash`.
    fn compute_hash(&self, prev_hash: &str) -> String {
        let columns = json!([self.at, self.by, self.rows, self.last_id, self.last_hash]);
        hex::encode(Sha256::digest(format!("{prev_hash}\n{columns}")))
    }
}

/// Returns all truncations, the oldest first.
pub fn list_truncations(connection: &Connection) -> Result<Vec<Truncation>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, signed_off_by, rows, last_id, last_hash, hash FROM system_log_truncations ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Truncation {
            at: row.get(0)?,
            by: row.get(1)?,
            rows: row.get(2)?,
            last_id: row.get(3)?,
            last_hash: row.get(4)?,
            hash: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the first truncation that does not follow the previous one, or does not account for all deleted rows.
fn find_broken_truncation(truncations: &[Truncation]) -> Option<ChainBreak> {
    let (mut hash, mut last_id) = (GENESIS_HASH.to_owned(), 0);
    for truncation in truncations {
        if truncation.hash != truncation.compute_hash(&hash) || truncation.rows != truncation.last_id - last_id {
            let problem = format!(
                "was not deleted as system_log_truncations states (signed off by {}, {})",
                truncation.by, truncation.at
            );
            return Some(ChainBreak { id: truncation.last_id, problem });
        }
        (hash, last_id) = (truncation.hash.clone(), truncation.last_id);
    }
    None
}

/// Result of a check of the hash chain: the number of sound rows, and the first break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditVerification {
    pub rows: i64,
    pub first_id: Option<i64>,
    pub last_id: Option<i64>,
    pub last_hash: Option<String>,
    pub truncation: Option<Truncation>,
    /// The first row that differs from its written state.
    pub broken: Option<ChainBreak>,
}

/// A break of the hash chain: the row's id and the problem, which follows the words "row 17".
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainBreak {
    pub id: i64,
    pub problem: String,
}

/// Most rows of one read, so that each read is short.
const ROWS_PER_READ: u32 = 1000;

/// Checks the truncations and every row, the oldest first.
///
/// `read` returns at most the given number of rows after an id. Before the first id it must return all existing rows,
/// also those that a truncation claims to have deleted.
pub fn verify_chain(
    read: impl Fn(i64, u32) -> Result<Vec<AuditRecord>, StoreError>,
    mut truncations: Vec<Truncation>,
) -> Result<AuditVerification, StoreError> {
    let broken = find_broken_truncation(&truncations);
    let truncation = truncations.pop();
    let mut verification =
        AuditVerification { rows: 0, first_id: None, last_id: None, last_hash: None, truncation, broken };
    if verification.broken.is_some() {
        return Ok(verification);
    }
    let (mut id, mut hash) = verification
        .truncation
        .as_ref()
        .map_or_else(|| (0, GENESIS_HASH.to_owned()), |truncation| (truncation.last_id, truncation.last_hash.clone()));
    if let Some(row) = read(i64::MIN, 1)?.first().filter(|row| row.id <= id) {
        verification.broken = Some(ChainBreak {
            id: row.id,
            problem: "still exists, but system_log_truncations states that it was deleted".to_owned(),
        });
        return Ok(verification);
    }
    loop {
        let page = read(id, ROWS_PER_READ)?;
        for row in &page {
            verification.broken = find_row_break(row, id, &hash);
            if verification.broken.is_some() {
                return Ok(verification);
            }
            verification.rows += 1;
            verification.first_id = verification.first_id.or(Some(row.id));
            (id, hash) = (row.id, row.hash.clone());
            (verification.last_id, verification.last_hash) = (Some(id), Some(hash.clone()));
        }
        if page.len() < ROWS_PER_READ as usize {
            return Ok(verification);
        }
    }
}

/// Checks the whole stored chain in short reads.
pub fn verify_stored_chain(reader: &Reader) -> Result<AuditVerification, StoreError> {
    loop {
        let truncations = reader.read(list_truncations)?;
        let read = |id, limit| reader.read(|connection| list_audit_records_after(connection, id, limit));
        let verification = verify_chain(read, truncations.clone())?;
        // A truncation while the rows are read looks like tampering: verify again.
        if verification.broken.is_none() || reader.read(list_truncations)? == truncations {
            return Ok(verification);
        }
    }
}

/// Returns the break between a row and the previous row with the given id and hash.
fn find_row_break(row: &AuditRecord, prev_id: i64, prev_hash: &str) -> Option<ChainBreak> {
    let (id, problem) = if row.id != prev_id + 1 {
        (prev_id + 1, format!("is missing: the row after {prev_id} is {}", row.id))
    } else if row.prev_hash != prev_hash {
        (row.id, "does not follow the previous row: one of the two was replaced or moved".to_owned())
    } else if row.hash != row.compute_hash() {
        (row.id, "was altered: its columns do not match its hash".to_owned())
    } else {
        return None;
    };
    Some(ChainBreak { id, problem })
}

/// Returns a page of audit records for [`verify_chain`], the oldest first.
pub fn list_audit_records_after(connection: &Connection, id: i64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM system_log WHERE id > ? ORDER BY id LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![id, limit], read_audit_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// Deletes all rows before the first row at `before` or later, and stores the truncation, signed off by `by`.
    ///
    /// Returns the truncation, or None if no row is that old.
    pub async fn truncate_audit_trail(&self, before: String, by: String) -> Result<Option<Truncation>, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                // Rows go up to the one before the first that stays, so the chain is cut at one place.
                let last: Option<(i64, String)> = connection
                    .query_row(
                        "SELECT id, hash FROM system_log WHERE id < coalesce((SELECT min(id) FROM system_log WHERE at \
                         >= ?1), (SELECT max(id) + 1 FROM system_log)) ORDER BY id DESC LIMIT 1",
                        [&before],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()?;
                let Some((last_id, last_hash)) = last else { return Ok(None) };
                let rows: i64 =
                    connection
                        .query_row("SELECT count(*) FROM system_log WHERE id <= ?", [last_id], |row| row.get(0))?;
                let prev_hash = list_truncations(connection)?
                    .pop()
                    .map_or_else(|| GENESIS_HASH.to_owned(), |previous| previous.hash);
                let mut truncation = Truncation { at, by, rows, last_id, last_hash, hash: String::new() };
                truncation.hash = truncation.compute_hash(&prev_hash);
                connection.execute(
                    "INSERT INTO system_log_truncations (at, signed_off_by, rows, last_id, last_hash, hash) VALUES (?, \
                     ?, ?, ?, ?, ?)",
                    params![
                        truncation.at,
                        truncation.by,
                        truncation.rows,
                        truncation.last_id,
                        truncation.last_hash,
                        truncation.hash
                    ],
                )?;
                connection.execute("DELETE FROM system_log WHERE id <= ?", [last_id])?;
                Ok(Some(truncation))
            })
            .await
    }
}
