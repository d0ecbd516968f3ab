//! The current ERP rows of an event: those about its subjects, for destinations that get rows in place of the body.
//!
//! A subject leads to tables by the catalogue: an order to every table with its number, a refund to the refund with its
//! lines. An entity that names an order also leads to that order. Everything is read in one transaction, so the rows
//! are of one moment.

use crate::changes::catalogue::{ALL_TABLES, NORMAL_FORM_COLUMNS};
use crate::changes::privacy::PersonalColumn;
use crate::changes::rows::TableSpec;
use crate::clock;
use crate::event::Source;
use crate::store::erp::event_subjects::{
    EVENT_TABLES, EventSubject, PURCHASE_ORDER_CONDITION, find_main_table, read_event_subjects,
};
use crate::store::events::records::{EventRecord, find_event};
use crate::store::privacy::personal_columns::list_row_conditions;
use crate::store::{Store, StoreError};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Tables of purchase orders, each with the columns `partner`, `po_number` and `release`.
const PURCHASE_ORDER_TABLES: [&str; 5] = [
    "purchase_orders",
    "purchase_order_lines",
    "purchase_order_parts",
    "purchase_order_extras",
    "purchase_order_changes",
];

/// Columns that the payload leaves out: the versions of single columns matter only to the store.
const STORE_COLUMNS: [&str; 1] = ["column_versions"];

/// The rows of one event at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRows {
    pub event: EventRecord,
    pub read_at: String,
    /// JSON object: the rows of each table.
    pub tables: String,
    pub deleted: Vec<DeletedEntity>,
    pub redacted: Vec<RedactedEntity>,
}

/// An entity that was deleted at the provider; its row stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeletedEntity {
    pub table: &'static str,
    pub key: Map<String, Value>,
    pub deleted_at: String,
}

/// A subject of the event whose personal data was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedactedEntity {
    pub kind: String,
    pub key: String,
    pub redacted_at: String,
}

/// Result of reading the rows of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventRowsResult {
    Rows(Box<EventRows>),
    /// The rows have more bytes than the limit.
    TooLarge,
    /// The event does not exist.
    NoEvent,
}

impl Store {
    /// Reads the rows of an event. Reading stops when they have more than `bytes_max` bytes as JSON.
    pub fn read_event_rows(&self, event_id: i64, bytes_max: usize) -> Result<EventRowsResult, StoreError> {
        let read_at = clock::format_timestamp(self.clock.now());
        self.reader.read(|connection| {
            let transaction = connection.unchecked_transaction()?;
            read_event_rows(&transaction, event_id, &read_at, bytes_max)
        })
    }
}

fn read_event_rows(
    connection: &Connection,
    event_id: i64,
    read_at: &str,
    bytes_max: usize,
) -> Result<EventRowsResult, StoreError> {
    let Some(event) = find_event(connection, event_id)? else { return Ok(EventRowsResult::NoEvent) };
    let subjects = read_subjects(connection, &event)?;
    let mut selection = RowSelection::default();
    for subject in &subjects {
        selection.add_subject(subject);
    }
    selection.add_rows_of_event(&event);
    let mut writer = RowWriter { text: "{".to_owned(), deleted: Vec::new(), bytes_max };
    for table in &selection.tables {
        if !writer.write_table(connection, table)? {
            return Ok(EventRowsResult::TooLarge);
        }
    }
    writer.text.push('}');
    let redacted = read_redacted_subjects(connection, &subjects)?;
    let (tables, deleted) = (writer.text, writer.deleted);
    Ok(EventRowsResult::Rows(Box::new(EventRows { event, read_at: read_at.to_owned(), tables, deleted, redacted })))
}

/// Returns the subjects of an event, and the orders that its entities name.
fn read_subjects(connection: &Connection, event: &EventRecord) -> Result<BTreeSet<EventSubject>, StoreError> {
    let mut subjects = read_event_subjects(connection, event.identity.id, u32::MAX)?;
    let mut orders = BTreeSet::new();
    for subject in &subjects {
        let Some((table, column)) = find_main_table(&subject.kind) else { continue };
        if !has_column(connection, table.name, "order_id")? {
            continue;
        }
        let condition = build_key_condition(table, column);
        let sql = format!(
            "SELECT shop_domain, CAST(order_id AS TEXT) FROM {} WHERE {condition} AND order_id IS NOT NULL",
            table.name
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_map(params![subject.shop_domain, subject.key], |row| {
            Ok(EventSubject { kind: "order".to_owned(), key: row.get(1)?, shop_domain: row.get(0)? })
        })?;
        for order in found {
            orders.insert(order?);
        }
    }
    subjects.extend(orders);
    Ok(subjects)
}

fn has_column(connection: &Connection, table: &str, column: &str) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM pragma_table_info(?) WHERE name = ?")?
        .exists(params![table, column])?)
}

/// Returns the condition of an entity's rows; `?1` is the shop, `?2` the key. A table of EasyPost has the mode in place
/// of the shop.
fn build_key_condition(table: &TableSpec, column: &str) -> String {
    if column == "shop_domain" {
        return "shop_domain = ?2".to_owned();
    }
    let owner = if table.key[0] == "mode" { "mode IN ('production', 'test') AND ?1 = ''" } else { "shop_domain = ?1" };
    format!("{owner} AND {column} = ?2")
}

/// Rows of one table: those that fit any of the conditions.
#[derive(Debug)]
struct TableSelection {
    table: &'static str,
    conditions: Vec<(String, [String; 2])>,
}

/// Tables to read, in the order in which they were selected first.
#[derive(Debug, Default)]
struct RowSelection {
    tables: Vec<TableSelection>,
}

impl RowSelection {
    fn add(&mut self, table: &'static str, condition: String, parameters: [String; 2]) {
        match self.tables.iter_mut().find(|selection| selection.table == table) {
            Some(selection) => selection.conditions.push((condition, parameters)),
            None => self.tables.push(TableSelection { table, conditions: vec![(condition, parameters)] }),
        }
    }

    fn add_subject(&mut self, subject: &EventSubject) {
        let parameters = || [subject.shop_domain.clone(), subject.key.clone()];
        let personal = match subject.kind.as_str() {
            "order" => Some(PersonalColumn::Order),
            "customer" => Some(PersonalColumn::Customer),
            "tracking_code" => Some(PersonalColumn::TrackingCode),
            _ => None,
        };
        for (table, condition) in personal.into_iter().flat_map(list_row_conditions) {
            self.add(table, condition, parameters());
        }
        if subject.kind == "easypost" {
            // A batch also writes the state of its shipments.
            self.add("easypost_objects", "?1 = '' AND batch_id = ?2".to_owned(), parameters());
        }
        if personal.is_some() {
            return;
        }
        let Some((main, column)) = find_main_table(&subject.kind) else { return };
        for table in ALL_TABLES.iter().filter(|table| is_part_of(table, main) || has_parent(table, main)) {
            self.add(table.name, build_key_condition(table, column), parameters());
        }
    }

    fn add_rows_of_event(&mut self, event: &EventRecord) {
        let (id, source) = (event.identity.id.to_string(), event.identity.key.source);
        let parameters = || [id.clone(), String::new()];
        let own_tables: &[&str] = match source {
            Source::Sps => &["edi_sent", "edi_answers", "edi_messages"],
            Source::Keycloak => &["system_log"],
            Source::Shopify if event.identity.key.topic == "customers/data_request" => &["data_requests"],
            Source::Shopify | Source::EasyPost | Source::Local => &[],
        };
        if source == Source::Sps {
            self.add("edi_faults", "event_id = ?1 AND ?2 = ''".to_owned(), parameters());
            let answered =
                "event_id = ?1 AND ?2 = '' OR event_id IN (SELECT sent_event_id FROM edi_answers WHERE event_id = ?1)";
            self.add("edi_transmissions", answered.to_owned(), parameters());
            for table in PURCHASE_ORDER_TABLES {
                self.add(table, format!("{PURCHASE_ORDER_CONDITION} AND ?2 = ''"), parameters());
            }
        }
        for table in EVENT_TABLES.iter().filter(|table| own_tables.contains(&table.name)) {
            self.add(table.name, format!("{} AND ?2 = ''", table.condition), parameters());
        }
        if source == Source::Sps {
            let lines = "(kind, partner, number) IN (SELECT kind, partner, number FROM edi_sent WHERE event_id = ?1) \
                         AND ?2 = ''";
            self.add("edi_sent_lines", lines.to_owned(), parameters());
        }
    }
}

/// Returns true for the table itself, and for tables whose key begins with its key.
fn is_part_of(table: &TableSpec, main: &TableSpec) -> bool {
    table.name == main.name || main.key.len() > 1 && table.key.starts_with(main.key)
}

fn has_parent(table: &TableSpec, main: &TableSpec) -> bool {
    table.personal_rows.iter().any(|rows| rows.parent.is_some_and(|parent| parent.name == main.name))
}

struct RowWriter {
    text: String,
    deleted: Vec<DeletedEntity>,
    bytes_max: usize,
}

impl RowWriter {
    /// Writes the rows of a table; returns false if all rows together are too large.
    fn write_table(&mut self, connection: &Connection, selection: &TableSelection) -> Result<bool, StoreError> {
        let table = selection.table;
        let mut parameters: Vec<&str> = Vec::new();
        let mut selects = Vec::new();
        for (condition, values) in &selection.conditions {
            // Each condition has two parameters of its own.
            let (first, second) = (parameters.len() + 1, parameters.len() + 2);
            let condition = condition.replace("?1", &format!("?{{{first}}}")).replace("?2", &format!("?{second}"));
            let condition = condition.replace(&format!("?{{{first}}}"), &format!("?{first}"));
            selects.push(format!("SELECT rowid FROM {table} WHERE {condition}"));
            parameters.extend(values.iter().map(String::as_str));
        }
        let sql = format!("SELECT * FROM {table} WHERE rowid IN ({}) ORDER BY rowid", selects.join(" UNION "));
        let mut statement = connection.prepare_cached(&sql)?;
        let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
        let _ = write!(self.text, "{}{}:[", if self.text.len() > 1 { "," } else { "" }, Value::from(table));
        let mut rows = statement.query(rusqlite::params_from_iter(parameters))?;
        let mut is_first = true;
        while let Some(row) = rows.next()? {
            self.text.push_str(if is_first { "{" } else { ",{" });
            is_first = false;
            let mut deleted_at = None;
            let is_stored = |name: &str| STORE_COLUMNS.contains(&name) || NORMAL_FORM_COLUMNS.contains(&name);
            for (index, name) in names.iter().enumerate().filter(|(_, name)| !is_stored(name)) {
                let value = to_json(row.get_ref(index)?);
                let _ = write!(self.text, "{}{}:{value}", if index > 0 { "," } else { "" }, Value::from(name.as_str()));
                if name == "deleted_at" {
                    deleted_at = value.as_str().map(str::to_owned);
                }
            }
            self.text.push('}');
            if self.text.len() > self.bytes_max {
                return Ok(false);
            }
            if let Some(deleted_at) = deleted_at {
                let key = ALL_TABLES.iter().find(|spec| spec.name == table).map_or(&[][..], |spec| spec.key);
                let cells = key.iter().filter_map(|column| {
                    let index = names.iter().position(|name| name == column)?;
                    Some(((*column).to_owned(), to_json(row.get_ref(index).ok()?)))
                });
                self.deleted.push(DeletedEntity { table, key: cells.collect(), deleted_at });
            }
        }
        self.text.push(']');
        Ok(true)
    }
}

fn to_json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        // The ERP tables have no other types.
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
    }
}

fn read_redacted_subjects(
    connection: &Connection,
    subjects: &BTreeSet<EventSubject>,
) -> Result<Vec<RedactedEntity>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT at FROM redacted_subjects WHERE shop_domain = ? AND kind = ? AND key = ?")?;
    let mut redacted = Vec::new();
    for EventSubject { kind, key, shop_domain } in subjects {
        let at: Option<String> = statement.query_row(params![shop_domain, kind, key], |row| row.get(0)).optional()?;
        redacted.extend(at.map(|redacted_at| RedactedEntity { kind: kind.clone(), key: key.clone(), redacted_at }));
    }
    Ok(redacted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::migrate::SCHEMA;
    use crate::store::erp::event_subjects::find_subject_kind;

    fn open_empty_database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    /// Prepares every statement, so that a column that no longer exists fails here.
    #[test]
    fn every_subject_leads_to_tables_of_the_schema() {
        let connection = open_empty_database();
        let kinds =
            ALL_TABLES.iter().flat_map(|table| table.key.iter().filter_map(|key| find_subject_kind(table, key)));
        let kinds: BTreeSet<&str> =
            kinds.filter(|kind| find_main_table(kind).is_some()).chain(["tracking_code"]).collect();
        assert!(["order", "customer", "refund", "tracker", "easypost", "shop"].iter().all(|kind| kinds.contains(kind)));
        for kind in kinds {
            let mut selection = RowSelection::default();
            let subject = EventSubject { kind: kind.into(), key: "1".into(), shop_domain: String::new() };
            selection.add_subject(&subject);
            assert!(!selection.tables.is_empty(), "{kind}");
            let mut writer = RowWriter { text: "{".into(), deleted: Vec::new(), bytes_max: 1 << 20 };
            for table in &selection.tables {
                assert!(writer.write_table(&connection, table).unwrap());
            }
        }
    }

    /// Another table of purchase orders must be delivered too, or be named here.
    #[test]
    fn every_table_of_purchase_orders_is_delivered() {
        // The first leads to the orders of an event; the second is delivered with its document.
        const OTHER_KEY: [&str; 2] = ["purchase_order_documents", "edi_sent_lines"];
        let connection = open_empty_database();
        let sql = "SELECT name FROM sqlite_schema m WHERE type = 'table' AND (SELECT count(*) FROM \
                   pragma_table_info(m.name) WHERE name IN ('partner', 'po_number', 'release')) = 3";
        let mut statement = connection.prepare(sql).unwrap();
        let names: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for name in names {
            let is_known = PURCHASE_ORDER_TABLES.contains(&&*name) || OTHER_KEY.contains(&&*name);
            assert!(is_known, "{name} has rows of purchase orders: add it to PURCHASE_ORDER_TABLES");
        }
    }

    #[test]
    fn rows_above_the_limit_are_too_large() {
        let connection = open_empty_database();
        connection
            .execute_batch(
                "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
                 VALUES (1, 'shopify', 's', 'orders/create', 'w', '', '');
                 INSERT INTO event_subjects (kind, key, shop_domain, event_id) VALUES ('order', '7', 's', 1);
                 INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, quantity, title) \
                 SELECT 's', 7, value, value, 1, 'Jam' FROM (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 50) SELECT value FROM n);",
            )
            .unwrap();
        let read = |bytes_max| read_event_rows(&connection, 1, "now", bytes_max).unwrap();
        let EventRowsResult::Rows(rows) = read(1 << 20) else { panic!("the rows fit") };
        let lines = serde_json::from_str::<Value>(&rows.tables).unwrap()["sales_order_lines"].as_array().unwrap().len();
        assert_eq!(lines, 50);
        assert_eq!(read(rows.tables.len() / 2), EventRowsResult::TooLarge);
        assert_eq!(read_event_rows(&connection, 2, "now", 1 << 20).unwrap(), EventRowsResult::NoEvent);
    }
}
