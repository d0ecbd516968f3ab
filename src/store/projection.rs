//! The ERP's tables as projections of events: whatever order events come in, and however often, the same rows stand in the end.
//!
//! A handler says what its event states about one entity: a [`Row`], with the `version` it is as of. Each column is a register
//! that the greatest version wins. A column that an event leaves out keeps what an earlier one said, and the row's `earlier`
//! remembers as of which version: so an event that arrives late still fills in what newer ones did not speak of, and nothing
//! else. Merging is commutative, associative and idempotent; `tests/it/projection.rs` holds it to that.
//!
//! A [`List`] (an order's lines) is one register: its rows are replaced as a whole. A [`Scan`] is a fact that only adds up.

use super::StoreError;
use rusqlite::types::{ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A table of entities, as `schema.sql` has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    pub key: &'static [&'static str],
    /// Tables whose rows belong to a row of this one, by the same key; `table:part` for each part of one that has parts.
    pub lists: &'static [&'static str],
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqlValue::Null),
            Self::Integer(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        })
    }
}

/// What one event states about one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub table: &'static Table,
    /// One cell for each column of the table's key.
    pub key: Vec<Cell>,
    /// Compared as text; the greater is the newer.
    pub version: String,
    pub columns: Vec<(&'static str, Cell)>,
    pub lists: Vec<List>,
}

/// All rows that an entity has in another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub table: &'static str,
    /// Where several fields of a body fill one table: the column and the value that tell this one's rows. It is a register of
    /// its own, so that a body with one of the fields leaves the rows of the others.
    pub part: Option<(&'static str, &'static str)>,
    /// Beside the entity's key and the part.
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
}

/// A row that is there or is not, and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub table: &'static str,
    pub columns: Vec<(&'static str, Cell)>,
}

impl List {
    fn register(&self) -> String {
        self.part.map_or_else(|| self.table.to_owned(), |(_, part)| format!("{}:{part}", self.table))
    }
}

/// Column or list → the version it is as of, for those that the newest event did not state. Empty: it was never stated.
type Earlier = BTreeMap<String, String>;

/// Merges what an event states into the table.
///
/// # Errors
/// When a statement fails.
pub fn merge(connection: &Connection, event_id: i64, row: &Row) -> Result<(), StoreError> {
    match stored(connection, row)? {
        None => insert(connection, event_id, row),
        Some((version, earlier)) if row.version >= version => newer(connection, event_id, row, &version, earlier),
        Some((_, earlier)) => older(connection, row, earlier),
    }
}

/// Adds a fact, if it is not there.
///
/// # Errors
/// When the statement fails.
pub fn add(connection: &Connection, event_id: i64, scan: &Scan) -> Result<(), StoreError> {
    let names: Vec<&str> = scan.columns.iter().map(|(name, _)| *name).chain(["event_id"]).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        scan.table,
        names.join(", "),
        marks(names.len())
    );
    let cells = scan.columns.iter().map(|(_, cell)| cell.clone()).chain([Cell::Integer(event_id)]);
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    Ok(())
}

fn stored(connection: &Connection, row: &Row) -> Result<Option<(String, Earlier)>, StoreError> {
    let sql = format!("SELECT version, earlier FROM {} WHERE {}", row.table.name, condition(row.table));
    let found: Option<(String, Option<String>)> = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(&row.key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // Written by `text` below; what somebody wrote there by hand counts as nothing earlier.
    Ok(found.map(|(version, earlier)| {
        (version, earlier.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }))
}

fn insert(connection: &Connection, event_id: i64, row: &Row) -> Result<(), StoreError> {
    let earlier = registers(connection, row.table)?.into_iter().filter(|name| !states(row, name));
    let earlier: Earlier = earlier.map(|name| (name, String::new())).collect();
    let names = row.table.key.iter().copied().chain(row.columns.iter().map(|(name, _)| *name));
    let names: Vec<&str> = names.chain(["version", "earlier", "event_id"]).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES ({})", row.table.name, names.join(", "), marks(names.len()));
    let cells = row.key.iter().chain(row.columns.iter().map(|(_, cell)| cell)).cloned();
    let cells = cells.chain([row.version.clone().into(), text(&earlier), event_id.into()]);
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    row.lists.iter().try_for_each(|list| replace(connection, row, list))
}

fn newer(connection: &Connection, event_id: i64, row: &Row, was: &str, mut earlier: Earlier) -> Result<(), StoreError> {
    for name in registers(connection, row.table)? {
        if states(row, &name) {
            earlier.remove(&name);
        } else {
            earlier.entry(name).or_insert_with(|| was.to_owned());
        }
    }
    let columns: Vec<_> = row.columns.iter().map(|(name, cell)| (*name, cell.clone())).collect();
    let own = [("version", row.version.clone().into()), ("earlier", text(&earlier)), ("event_id", event_id.into())];
    update(connection, row, columns.into_iter().chain(own).collect())?;
    row.lists.iter().try_for_each(|list| replace(connection, row, list))
}

fn older(connection: &Connection, row: &Row, mut earlier: Earlier) -> Result<(), StoreError> {
    let mut wins = |name: &str| match earlier.get_mut(name) {
        Some(version) if row.version > *version => {
            version.clone_from(&row.version);
            true
        }
        _ => false,
    };
    let mut columns: Vec<_> =
        row.columns.iter().filter(|(name, _)| wins(name)).map(|(name, cell)| (*name, cell.clone())).collect();
    let lists: Vec<_> = row.lists.iter().filter(|list| wins(&list.register())).collect();
    if columns.is_empty() && lists.is_empty() {
        return Ok(());
    }
    columns.push(("earlier", text(&earlier)));
    update(connection, row, columns)?;
    lists.into_iter().try_for_each(|list| replace(connection, row, list))
}

fn update(connection: &Connection, row: &Row, columns: Vec<(&'static str, Cell)>) -> Result<(), StoreError> {
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("{name} = ?")).collect();
    let sql = format!("UPDATE {} SET {} WHERE {}", row.table.name, names.join(", "), condition(row.table));
    let cells = columns.into_iter().map(|(_, cell)| cell).chain(row.key.iter().cloned());
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    Ok(())
}

fn replace(connection: &Connection, row: &Row, list: &List) -> Result<(), StoreError> {
    let (part, value) = list.part.unzip();
    let value = value.map(Cell::from);
    let only = part.map_or(String::new(), |part| format!(" AND {part} = ?"));
    let sql = format!("DELETE FROM {} WHERE {}{only}", list.table, condition(row.table));
    connection.prepare_cached(&sql)?.execute(params_from_iter(row.key.iter().chain(&value)))?;
    let names: Vec<&str> = row.table.key.iter().copied().chain(part).chain(list.columns.iter().copied()).collect();
    // A body that names one line twice is the provider's fault; the last one stands.
    let sql = format!("INSERT OR REPLACE INTO {} ({}) VALUES ({})", list.table, names.join(", "), marks(names.len()));
    let mut statement = connection.prepare_cached(&sql)?;
    for cells in &list.rows {
        statement.execute(params_from_iter(row.key.iter().chain(&value).chain(cells)))?;
    }
    Ok(())
}

fn states(row: &Row, register: &str) -> bool {
    row.columns.iter().any(|(name, _)| *name == register) || row.lists.iter().any(|list| list.register() == register)
}

/// Everything of a row that an event may state: its columns beside the key and the store's own, and its lists.
fn registers(connection: &Connection, table: &Table) -> Result<Vec<String>, StoreError> {
    /// Found by triggers, not stated by events of this table.
    const DERIVED: [(&str, &str); 3] =
        [("shipments", "shop_domain"), ("shipments", "order_id"), ("shipments", "linked_by")];
    let statement = connection.prepare_cached(&format!("SELECT * FROM {} LIMIT 0", table.name))?;
    let own = |name: &&str| {
        !table.key.contains(name)
            && !["version", "earlier", "event_id"].contains(name)
            && !DERIVED.contains(&(table.name, *name))
    };
    let columns = statement.column_names();
    Ok(columns.into_iter().filter(own).chain(table.lists.iter().copied()).map(str::to_owned).collect())
}

fn condition(table: &Table) -> String {
    let mut text = String::new();
    for name in table.key {
        let and = if text.is_empty() { "" } else { " AND " };
        let _ = write!(text, "{and}{name} = ?");
    }
    text
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn text(earlier: &Earlier) -> Cell {
    (!earlier.is_empty()).then(|| serde_json::to_string(earlier).expect("a map of texts")).into()
}
