//! The audit trail: rows that are only ever added, each sealed by a hash over itself and the row before.
//!
//! `hash` is the lower-case hex SHA-256 of `prev_hash`, a line feed, and the compact JSON array of the row's columns from `id` to
//! `details` in the table's order (numbers as numbers, NULL as null). The first row's `prev_hash` is 64 zeros; after a cut it is
//! the hash of the last row that went, which the anchor of that cut keeps too. Triggers refuse changes; what gets past them, by
//! another program or a hex editor, breaks the chain, and [`verify`] says where.

use super::writer::Kind;
use super::{Store, StoreError, alerts};
use crate::clock;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params, params};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

/// What an event adds to the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: String,
    /// The column `type`.
    pub kind: String,
    pub realm: Option<String>,
    pub user_id: Option<String>,
    pub username: Option<String>,
    pub client_id: Option<String>,
    pub ip_address: Option<String>,
    pub session_id: Option<String>,
    pub operation: Option<String>,
    pub resource: Option<String>,
    pub resource_path: Option<String>,
    /// `ok` or `error`.
    pub result: &'static str,
    pub error: Option<String>,
    pub details: Option<String>,
}

/// A row of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logged {
    pub id: i64,
    pub event_id: i64,
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
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const COLUMNS: &str = "id, event_id, at, type, realm, user_id, username, client_id, ip_address, session_id, operation, \
                       resource, resource_path, result, error, details, prev_hash, hash";

fn logged(row: &Row<'_>) -> rusqlite::Result<Logged> {
    Ok(Logged {
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

impl Logged {
    /// The hash that this row must have.
    #[must_use]
    pub fn seal(&self) -> String {
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

/// Adds an entry, once for each event, and what it alerts to.
///
/// # Errors
/// When a statement fails.
pub fn append(
    connection: &Connection,
    event_id: i64,
    entry: &Entry,
    watch: &alerts::LoginErrors,
) -> Result<(), StoreError> {
    let known = connection.prepare_cached("SELECT 1 FROM system_log WHERE event_id = ?")?.exists([event_id])?;
    if known {
        return Ok(());
    }
    let (last, prev_hash) = end(connection)?;
    let mut row = Logged {
        id: last + 1,
        event_id,
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
    row.hash = row.seal();
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
    alerts::watch_logins(connection, &row, watch)
}

/// Number and hash of the last row; of the last cut when nothing stands behind it.
fn end(connection: &Connection) -> Result<(i64, String), StoreError> {
    let last = connection
        .prepare_cached("SELECT id, hash FROM system_log ORDER BY id DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(match last {
        Some(last) => last,
        None => cuts(connection)?.pop().map_or_else(|| (0, GENESIS.to_owned()), |cut| (cut.last_id, cut.last_hash)),
    })
}

/// A cut, as its anchor keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    pub at: String,
    pub by: String,
    pub rows: i64,
    pub last_id: i64,
    pub last_hash: String,
    /// Over the anchor before and the fields above.
    pub hash: String,
}

impl Cut {
    /// The hash that this anchor must have behind the one whose hash is `before`.
    fn seal(&self, before: &str) -> String {
        let columns = json!([self.at, self.by, self.rows, self.last_id, self.last_hash]);
        hex::encode(Sha256::digest(format!("{before}\n{columns}")))
    }
}

/// All cuts, the first one first.
///
/// # Errors
/// When the query fails.
pub fn cuts(connection: &Connection) -> Result<Vec<Cut>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, signed_off_by, rows, last_id, last_hash, hash FROM system_log_anchors ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Cut {
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

/// What is wrong with the anchors: each must follow on the one before, and account for every row that went.
fn broken_cut(cuts: &[Cut]) -> Option<Break> {
    let (mut hash, mut last_id) = (GENESIS.to_owned(), 0);
    for cut in cuts {
        if cut.hash != cut.seal(&hash) || cut.rows != cut.last_id - last_id {
            let what = format!("was not cut off as its anchor says (signed off by {}, {})", cut.by, cut.at);
            return Some(Break { id: cut.last_id, what });
        }
        (hash, last_id) = (cut.hash.clone(), cut.last_id);
    }
    None
}

/// Where the chain breaks, or how far it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub rows: i64,
    pub first_id: Option<i64>,
    pub last_id: Option<i64>,
    pub last_hash: Option<String>,
    pub cut: Option<Cut>,
    /// The first row that is not as it was written, and in what way.
    pub broken: Option<Break>,
}

/// A fault of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    pub id: i64,
    pub what: String,
}

/// Rows checked in one short read.
const PAGE: u32 = 1000;

/// Checks the anchors and every row, the oldest first. `read` gives the rows behind an id; from before the first it must give
/// all there are, also those that an anchor says went.
///
/// # Errors
/// When the file cannot be read.
pub fn verify(
    read: impl Fn(i64, u32) -> Result<Vec<Logged>, StoreError>,
    mut cuts: Vec<Cut>,
) -> Result<Verdict, StoreError> {
    let broken = broken_cut(&cuts);
    let mut verdict = Verdict { rows: 0, first_id: None, last_id: None, last_hash: None, cut: cuts.pop(), broken };
    if verdict.broken.is_some() {
        return Ok(verdict);
    }
    let (mut id, mut hash) =
        verdict.cut.as_ref().map_or_else(|| (0, GENESIS.to_owned()), |cut| (cut.last_id, cut.last_hash.clone()));
    if let Some(row) = read(i64::MIN, 1)?.first().filter(|row| row.id <= id) {
        verdict.broken =
            Some(Break { id: row.id, what: "is still here, though an anchor says that it was cut off".to_owned() });
        return Ok(verdict);
    }
    loop {
        let page = read(id, PAGE)?;
        for row in &page {
            let what = if row.id != id + 1 {
                Some((id + 1, format!("is missing: the row after {id} is {}", row.id)))
            } else if row.prev_hash != hash {
                Some((row.id, "does not follow the row before it: one of the two was replaced or moved".to_owned()))
            } else if row.hash != row.seal() {
                Some((row.id, "was altered: its columns do not give its hash".to_owned()))
            } else {
                None
            };
            if let Some((id, what)) = what {
                verdict.broken = Some(Break { id, what });
                return Ok(verdict);
            }
            verdict.rows += 1;
            verdict.first_id = verdict.first_id.or(Some(row.id));
            (id, hash) = (row.id, row.hash.clone());
            (verdict.last_id, verdict.last_hash) = (Some(id), Some(hash.clone()));
        }
        if page.len() < PAGE as usize {
            return Ok(verdict);
        }
    }
}

/// Which rows of the trail.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Id or name of the user.
    pub user: Option<String>,
    /// A glob: `LOGIN*`.
    pub kind: Option<String>,
    pub address: Option<String>,
    /// [`clock::text`]: this time or later.
    pub since: Option<String>,
    pub until: Option<String>,
}

/// A page of the trail, the newest first; `before` is the last id of the page before it.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &Connection, filter: &Filter, before: i64, limit: u32) -> Result<Vec<Logged>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM system_log WHERE id < :before AND (:user IS NULL OR :user IN (user_id, username)) \
         AND (:kind IS NULL OR type GLOB :kind) AND (:address IS NULL OR ip_address = :address) \
         AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until) ORDER BY id DESC LIMIT :limit"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":before": before,
            ":user": &filter.user as &dyn ToSql,
            ":kind": filter.kind,
            ":address": filter.address,
            ":since": filter.since,
            ":until": filter.until,
            ":limit": limit,
        },
        logged,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A page of the trail for [`verify`], the oldest first.
///
/// # Errors
/// When the query fails.
pub fn after(connection: &Connection, id: i64, limit: u32) -> Result<Vec<Logged>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM system_log WHERE id > ? ORDER BY id LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![id, limit], logged)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Store {
    /// Cuts off all rows before the first one at `before` or later, and keeps an anchor signed off by `by`. Gives the anchor;
    /// `None` when nothing is that old.
    ///
    /// # Errors
    /// When the transaction fails; then nothing was cut.
    pub async fn cut_system_log(&self, before: String, by: String) -> Result<Option<Cut>, StoreError> {
        let at = clock::text(self.clock.now());
        self.writer
            .submit(Kind::Upkeep, move |connection| {
                // Up to the last row before the first that stays: the chain is cut at one place.
                let last: Option<(i64, String)> = connection
                    .query_row(
                        "SELECT id, hash FROM system_log WHERE id < coalesce((SELECT min(id) FROM system_log WHERE at >= ?1), \
                         (SELECT max(id) + 1 FROM system_log)) ORDER BY id DESC LIMIT 1",
                        [&before],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()?;
                let Some((last_id, last_hash)) = last else { return Ok(None) };
                let rows: i64 =
                    connection.query_row("SELECT count(*) FROM system_log WHERE id <= ?", [last_id], |row| row.get(0))?;
                let before = cuts(connection)?.pop().map_or_else(|| GENESIS.to_owned(), |cut| cut.hash);
                let mut cut = Cut { at, by, rows, last_id, last_hash, hash: String::new() };
                cut.hash = cut.seal(&before);
                connection.execute(
                    "INSERT INTO system_log_anchors (at, signed_off_by, rows, last_id, last_hash, hash) VALUES (?, ?, ?, ?, ?, ?)",
                    params![cut.at, cut.by, cut.rows, cut.last_id, cut.last_hash, cut.hash],
                )?;
                connection.execute("DELETE FROM system_log WHERE id <= ?", [last_id])?;
                Ok(Some(cut))
            })
            .await
    }
}
