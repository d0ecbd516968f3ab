//! Projection of events to the ERP tables: any order and any repetition of the same events ends in the same rows.
//!
//! A handler states the columns of one entity in a [`RowChange`], with a row version. Each column is a register, and
//! the greatest version wins. A column that an event leaves out keeps its value; `column_versions` records the version
//! of that value. So a late event still fills in the columns that newer events left out, and no others. The merge is
//! commutative, associative and idempotent; `tests/it/projection.rs` checks this.
//!
//! A [`ListChange`] (the lines of an order) is one register: it replaces its rows as a whole. A partial one (the first
//! hundred variants of a product) replaces only the rows that it states, so each of these rows has a version. A
//! [`FactChange`] is added once and never changes.

use crate::changes::catalogue::{ALL_TABLES, NORMAL_FORM_COLUMNS, VERSIONED_LISTS};
use crate::changes::rows::{CellValue, FactChange, ListChange, RowChange, TableSpec};
use crate::store::StoreError;
use rusqlite::types::{ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};
use std::collections::BTreeMap;
use std::fmt::Write;

impl ToSql for CellValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqlValue::Null),
            Self::Integer(value) => (*value).into(),
            Self::Text(value) => value.as_str().into(),
        })
    }
}

/// Version of each column or list that the newest event left out. An empty version: no event stated it.
type ColumnVersions = BTreeMap<String, String>;

/// Merges the columns and lists that an event states into the table.
pub fn merge_row(connection: &Connection, event_id: i64, row: &RowChange) -> Result<(), StoreError> {
    match read_row_versions(connection, row)? {
        None => insert_row(connection, event_id, row),
        Some((version, column_versions)) if row.row_version >= version => {
            apply_newer_row(connection, event_id, row, &version, column_versions)
        }
        Some((_, column_versions)) => apply_older_row(connection, row, column_versions),
    }
}

/// Adds a fact, unless the table has it.
pub fn insert_fact(connection: &Connection, event_id: i64, fact: &FactChange) -> Result<(), StoreError> {
    let names: Vec<&str> = fact.columns.iter().map(|(name, _)| *name).chain(["event_id"]).collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        fact.table.name,
        names.join(", "),
        build_placeholders(names.len())
    );
    let cells = fact.columns.iter().map(|(_, cell)| cell.clone()).chain([CellValue::Integer(event_id)]);
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    Ok(())
}

fn read_row_versions(connection: &Connection, row: &RowChange) -> Result<Option<(String, ColumnVersions)>, StoreError> {
    let sql =
        format!("SELECT row_version, column_versions FROM {} WHERE {}", row.table.name, build_key_condition(row.table));
    let found: Option<(String, Option<String>)> = connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(&row.key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // `encode_column_versions` writes this text. Text that an operator wrote and that is not valid counts as none.
    Ok(found
        .map(|(version, text)| (version, text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())))
}

fn insert_row(connection: &Connection, event_id: i64, row: &RowChange) -> Result<(), StoreError> {
    let left_out = list_registers(connection, row.table)?.into_iter().filter(|name| !has_register(row, name));
    let column_versions: ColumnVersions = left_out.map(|name| (name, String::new())).collect();
    let names = row.table.key.iter().copied().chain(row.columns.iter().map(|(name, _)| *name));
    let names: Vec<&str> = names.chain(["row_version", "column_versions", "event_id"]).collect();
    let sql =
        format!("INSERT INTO {} ({}) VALUES ({})", row.table.name, names.join(", "), build_placeholders(names.len()));
    let cells = row.key.iter().chain(row.columns.iter().map(|(_, cell)| cell)).cloned();
    let cells =
        cells.chain([row.row_version.clone().into(), encode_column_versions(&column_versions), event_id.into()]);
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    row.lists.iter().try_for_each(|list| replace_list(connection, row, list))
}

fn apply_newer_row(
    connection: &Connection,
    event_id: i64,
    row: &RowChange,
    previous_version: &str,
    mut column_versions: ColumnVersions,
) -> Result<(), StoreError> {
    for name in list_registers(connection, row.table)? {
        if has_register(row, &name) {
            column_versions.remove(&name);
        } else {
            column_versions.entry(name).or_insert_with(|| previous_version.to_owned());
        }
    }
    let columns: Vec<_> = row.columns.iter().map(|(name, cell)| (*name, cell.clone())).collect();
    let own = [
        ("row_version", row.row_version.clone().into()),
        ("column_versions", encode_column_versions(&column_versions)),
        ("event_id", event_id.into()),
    ];
    update_row(connection, row, columns.into_iter().chain(own).collect())?;
    row.lists.iter().try_for_each(|list| replace_list(connection, row, list))
}

fn apply_older_row(
    connection: &Connection,
    row: &RowChange,
    mut column_versions: ColumnVersions,
) -> Result<(), StoreError> {
    // A partial list adds to the rows of the newest whole list, so it must be newer than that.
    let is_newer_part = |list: &ListChange, versions: &ColumnVersions| {
        list.is_partial && versions.get(&list.register_name()).is_some_and(|whole| row.row_version > *whole)
    };
    let newer_parts: Vec<_> = row.lists.iter().filter(|list| is_newer_part(list, &column_versions)).collect();
    let mut wins = |name: &str| match column_versions.get_mut(name) {
        Some(version) if row.row_version > *version => {
            version.clone_from(&row.row_version);
            true
        }
        _ => false,
    };
    let mut columns: Vec<_> =
        row.columns.iter().filter(|(name, _)| wins(name)).map(|(name, cell)| (*name, cell.clone())).collect();
    let whole_lists = row.lists.iter().filter(|list| !list.is_partial && wins(&list.register_name()));
    let lists: Vec<_> = whole_lists.chain(newer_parts).collect();
    if columns.is_empty() && lists.is_empty() {
        return Ok(());
    }
    columns.push(("column_versions", encode_column_versions(&column_versions)));
    update_row(connection, row, columns)?;
    lists.into_iter().try_for_each(|list| replace_list(connection, row, list))
}

fn update_row(
    connection: &Connection,
    row: &RowChange,
    columns: Vec<(&'static str, CellValue)>,
) -> Result<(), StoreError> {
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("{name} = ?")).collect();
    let sql = format!("UPDATE {} SET {} WHERE {}", row.table.name, names.join(", "), build_key_condition(row.table));
    let cells = columns.into_iter().map(|(_, cell)| cell).chain(row.key.iter().cloned());
    connection.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
    Ok(())
}

fn replace_list(connection: &Connection, row: &RowChange, list: &ListChange) -> Result<(), StoreError> {
    if VERSIONED_LISTS.contains(&list.table) {
        return merge_versioned_list(connection, row, list);
    }
    let (column, value) = list.partition.unzip();
    let value = value.map(CellValue::from);
    let partition_condition = column.map_or(String::new(), |column| format!(" AND {column} = ?"));
    let sql = format!("DELETE FROM {} WHERE {}{partition_condition}", list.table, build_key_condition(row.table));
    connection.prepare_cached(&sql)?.execute(params_from_iter(row.key.iter().chain(&value)))?;
    let names: Vec<&str> = row.table.key.iter().copied().chain(column).chain(list.columns.iter().copied()).collect();
    // A body may state one line twice: the last one counts, and `describe_repeated_rows` adds the note.
    let sql = format!(
        "INSERT OR REPLACE INTO {} ({}) VALUES ({})",
        list.table,
        names.join(", "),
        build_placeholders(names.len())
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for cells in list.rows.iter() {
        statement.execute(params_from_iter(row.key.iter().chain(&value).chain(&cells)))?;
    }
    Ok(())
}

/// Writes a list whose rows have versions: a whole list deletes older rows, and no list overwrites a newer row.
fn merge_versioned_list(connection: &Connection, row: &RowChange, list: &ListChange) -> Result<(), StoreError> {
    if !list.is_partial {
        let sql = format!("DELETE FROM {} WHERE {} AND row_version < ?", list.table, build_key_condition(row.table));
        let version = CellValue::from(row.row_version.as_str());
        connection.prepare_cached(&sql)?.execute(params_from_iter(row.key.iter().chain([&version])))?;
    }
    let key = ALL_TABLES.iter().find(|spec| spec.name == list.table).map_or(&[][..], |spec| spec.key);
    let columns = list.columns.iter().copied().chain(["row_version"]);
    let updates: Vec<String> = columns.clone().map(|name| format!("{name} = excluded.{name}")).collect();
    let names: Vec<&str> = row.table.key.iter().copied().chain(columns).collect();
    let sql = format!(
        "INSERT INTO {0} ({1}) VALUES ({2}) ON CONFLICT ({3}) DO UPDATE SET {4} \
         WHERE excluded.row_version >= {0}.row_version",
        list.table,
        names.join(", "),
        build_placeholders(names.len()),
        key.join(", "),
        updates.join(", ")
    );
    let version = [CellValue::from(row.row_version.as_str())];
    let mut statement = connection.prepare_cached(&sql)?;
    for cells in list.rows.iter() {
        statement.execute(params_from_iter(row.key.iter().chain(&cells).chain(&version)))?;
    }
    Ok(())
}

fn has_register(row: &RowChange, register: &str) -> bool {
    row.columns.iter().any(|(name, _)| *name == register)
        || row.lists.iter().any(|list| !list.is_partial && list.register_name() == register)
}

/// Returns the registers of a table: its columns except the key and the store's own, and its lists.
fn list_registers(connection: &Connection, table: &TableSpec) -> Result<Vec<String>, StoreError> {
    // Triggers maintain these; no event states them.
    const DERIVED_COLUMNS: [(&str, &str); 3] =
        [("shipments", "shop_domain"), ("shipments", "order_id"), ("shipments", "linked_by")];
    let statement = connection.prepare_cached(&format!("SELECT * FROM {} LIMIT 0", table.name))?;
    let own = |name: &&str| {
        !table.key.contains(name)
            && !["row_version", "column_versions", "event_id"].contains(name)
            && !DERIVED_COLUMNS.contains(&(table.name, *name))
            && !NORMAL_FORM_COLUMNS.contains(name)
    };
    let columns = statement.column_names();
    Ok(columns.into_iter().filter(own).chain(table.lists.iter().copied()).map(str::to_owned).collect())
}

fn build_key_condition(table: &TableSpec) -> String {
    let mut text = String::new();
    for name in table.key {
        let and = if text.is_empty() { "" } else { " AND " };
        let _ = write!(text, "{and}{name} = ?");
    }
    text
}

fn build_placeholders(count: usize) -> String {
    vec!["?"; count].join(", ")
}

fn encode_column_versions(versions: &ColumnVersions) -> CellValue {
    (!versions.is_empty()).then(|| serde_json::to_string(versions).expect("a map of texts")).into()
}
