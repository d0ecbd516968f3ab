//! The rows of the ERP tables that an event became, and the orders that it is about.
//!
//! The subjects of an event lead to its rows: a table of the catalogue has a row of the event if the event has a
//! subject for each column of the table's key. Other tables name their event.

use crate::changes::catalogue::{ALL_TABLES, SALES_ORDERS};
use crate::changes::rows::TableSpec;
use crate::store::StoreError;
use crate::store::erp::event_subjects::{EVENT_TABLES, EventTable, find_subject_kind, read_event_subjects};
use crate::store::events::records::EventRecord;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Most subjects of an event that are looked up. A batch or a file of orders can have thousands.
const SUBJECTS_MAX: u32 = 200;
/// Most rows of an event that are returned.
pub const EVENT_ROWS_MAX: usize = 50;

/// A row that an event became.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowReference {
    pub table: &'static str,
    /// The columns of the key with their values.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// What people call it: the name of an order, the title of a product.
    pub name: Option<String>,
    /// True if the name is a person's, or an e-mail address.
    #[serde(skip)]
    pub is_name_personal: bool,
    /// The newest event of the row; None if the table has no such column.
    pub event_id: Option<i64>,
    #[serde(skip)]
    key_text: String,
    #[serde(skip)]
    columns: BTreeMap<String, SqlValue>,
}

impl RowReference {
    /// Returns the values of the key, separated by spaces.
    #[must_use]
    pub fn key_text(&self) -> &str {
        &self.key_text
    }

    fn text(&self, column: &str) -> Option<String> {
        match self.columns.get(column)? {
            SqlValue::Text(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            SqlValue::Integer(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// An order of a customer or a retailer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct EventOrder {
    pub number: Option<String>,
    pub customer: Option<String>,
    pub total: Option<String>,
    pub currency: Option<String>,
}

/// The rows of one event, with the orders and the customer that they are about.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventSummary {
    /// At most [`EVENT_ROWS_MAX`].
    pub rows: Vec<RowReference>,
    /// True if the event has more rows.
    pub has_more: bool,
    pub orders: Vec<EventOrder>,
    /// The customer of the first order, or the customer that the event itself is about.
    pub customer: Option<String>,
}

impl EventSummary {
    /// Leaves out rows that another event wrote: those of a test event's subject, and of an event that is not
    /// completed.
    pub fn keep_own_rows(&mut self, event: &EventRecord) {
        if event.status != "completed" || event.is_test {
            self.rows.retain(|row| row.event_id == Some(event.identity.id));
            self.has_more = false;
        }
    }
}

/// Returns the rows that an event of a shop became.
pub fn find_event_summary(
    connection: &Connection,
    event_id: i64,
    shop_domain: &str,
) -> Result<EventSummary, StoreError> {
    let mut subjects: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for subject in read_event_subjects(connection, event_id, SUBJECTS_MAX)? {
        subjects.entry(subject.kind).or_default().push(subject.key);
    }
    let mut rows = Vec::new();
    for table in ALL_TABLES.iter().copied() {
        if rows.len() <= EVENT_ROWS_MAX {
            find_rows_by_subjects(connection, table, &subjects, shop_domain, &mut rows)?;
        }
    }
    for EventTable { name, key, condition } in EVENT_TABLES {
        if rows.len() <= EVENT_ROWS_MAX {
            let sql = format!("SELECT * FROM {name} WHERE {condition} LIMIT ?2");
            read_rows(connection, name, key, &sql, vec![event_id.into(), row_limit()], &mut rows)?;
        }
    }
    let has_more = rows.len() > EVENT_ROWS_MAX;
    rows.truncate(EVENT_ROWS_MAX);
    let orders = find_orders(connection, &rows)?;
    let own_customer = rows.iter().find(|row| row.table == "customers").and_then(|row| row.name.clone());
    let customer = orders.iter().find_map(|order| order.customer.clone()).or(own_customer);
    Ok(EventSummary { rows, has_more, orders, customer })
}

/// Returns one row more than are returned, which shows that there are more.
fn row_limit() -> SqlValue {
    SqlValue::Integer(i64::try_from(EVENT_ROWS_MAX).map_or(i64::MAX, |limit| limit + 1))
}

fn find_rows_by_subjects(
    connection: &Connection,
    table: &'static TableSpec,
    subjects: &BTreeMap<String, Vec<String>>,
    shop_domain: &str,
    found: &mut Vec<RowReference>,
) -> Result<(), StoreError> {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    for column in table.key.iter().copied() {
        match find_subject_kind(table, column) {
            None if column == "mode" => conditions.push("mode IN ('production', 'test')".to_owned()),
            None => {
                conditions.push(format!("{column} = ?"));
                values.push(SqlValue::Text(shop_domain.to_owned()));
            }
            Some(kind) => {
                let Some(keys) = subjects.get(kind) else { return Ok(()) };
                conditions.push(format!("{column} IN ({})", vec!["?"; keys.len()].join(", ")));
                values.extend(keys.iter().cloned().map(SqlValue::Text));
            }
        }
    }
    let sql = format!("SELECT * FROM {} WHERE {} LIMIT ?", table.name, conditions.join(" AND "));
    values.push(row_limit());
    read_rows(connection, table.name, table.key, &sql, values, found)
}

fn read_rows(
    connection: &Connection,
    table: &'static str,
    key: &[&str],
    sql: &str,
    values: Vec<SqlValue>,
    found: &mut Vec<RowReference>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let mut columns = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            columns.insert(name.clone(), row.get(index)?);
        }
        found.push(build_row(table, key, columns));
    }
    Ok(())
}

fn build_row(table: &'static str, key: &[&str], columns: BTreeMap<String, SqlValue>) -> RowReference {
    let event_id = ["last_event_id", "event_id"].iter().find_map(|name| match columns.get(*name) {
        Some(SqlValue::Integer(id)) => Some(*id),
        _ => None,
    });
    let mut row = RowReference {
        table,
        key: serde_json::Map::new(),
        name: None,
        is_name_personal: false,
        event_id,
        key_text: String::new(),
        columns,
    };
    for column in key {
        let value = match row.columns.get(*column) {
            Some(SqlValue::Integer(number)) => (*number).into(),
            _ => row.text(column).into(),
        };
        row.key.insert((*column).to_owned(), value);
    }
    let values: Vec<String> = key.iter().filter_map(|column| row.text(column)).collect();
    row.key_text = values.join(" ");
    row.name = describe_row(&row);
    let is_person = row.text("first_name").is_some() || row.text("last_name").is_some();
    row.is_name_personal = row.name.is_some() && (is_person || row.name == row.text("email"));
    row
}

/// Returns what people call a row, from the columns that have names.
fn describe_row(row: &RowReference) -> Option<String> {
    let person = [row.text("first_name"), row.text("last_name")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if !person.is_empty() {
        return Some(person);
    }
    let columns = ["name", "title", "po_number", "tracking_code", "reference", "sku", "email", "type", "number"];
    columns.into_iter().find_map(|column| row.text(column))
}

/// Returns the orders of rows: the rows that are orders, and the sales orders that other rows name.
fn find_orders(connection: &Connection, rows: &[RowReference]) -> Result<Vec<EventOrder>, StoreError> {
    let mut seen = BTreeSet::new();
    let mut orders = Vec::new();
    for row in rows {
        match row.table {
            "purchase_orders" => orders.push(describe_purchase_order(row)),
            "edi_sent" => orders.push(describe_sent_document(connection, row)?),
            _ => {
                let (Some(shop_domain), Some(order_id)) = (row.text("shop_domain"), row.text("order_id")) else {
                    continue;
                };
                if seen.insert((shop_domain.clone(), order_id.clone())) {
                    orders.extend(find_sales_order(connection, &shop_domain, &order_id)?);
                }
            }
        }
    }
    Ok(orders)
}

fn describe_purchase_order(row: &RowReference) -> EventOrder {
    let partner = row.text("partner").unwrap_or_default();
    EventOrder {
        number: row.text("po_number").map(|number| match row.text("release") {
            Some(release) => format!("{number}, release {release}"),
            None => number,
        }),
        customer: Some(row.text("customer").map_or(partner.clone(), |customer| format!("{partner} ({customer})"))),
        total: row.text("lines_total").or_else(|| row.text("stated_total")),
        currency: row.text("currency"),
    }
}

fn describe_sent_document(connection: &Connection, row: &RowReference) -> Result<EventOrder, StoreError> {
    let number: Option<String> = connection
        .prepare_cached("SELECT min(po_number) FROM edi_sent_lines WHERE kind = ? AND partner = ? AND number = ?")?
        .query_row(params![row.text("kind"), row.text("partner"), row.text("number")], |row| row.get(0))?;
    Ok(EventOrder { number, customer: row.text("partner"), total: row.text("total"), currency: None })
}

fn find_sales_order(
    connection: &Connection,
    shop_domain: &str,
    order_id: &str,
) -> Result<Option<EventOrder>, StoreError> {
    let sql = format!(
        "SELECT o.name, {}, o.total, o.currency FROM {} o WHERE o.shop_domain = ?1 AND o.order_id = ?2",
        build_customer_expression(),
        SALES_ORDERS.name
    );
    let order = connection.prepare_cached(&sql)?.query_row(params![shop_domain, order_id], |row| {
        Ok(EventOrder { number: row.get(0)?, customer: row.get(1)?, total: row.get(2)?, currency: row.get(3)? })
    });
    Ok(order.optional()?)
}

/// Returns the SQL expression for the customer of the sales order `o`: the name, or else the email address.
pub(crate) fn build_customer_expression() -> String {
    format!(
        "coalesce((SELECT {PERSON} FROM customers p WHERE p.shop_domain = o.shop_domain AND p.customer_id = o.customer_id), \
         (SELECT coalesce({PERSON}, p.company) AS person FROM sales_order_addresses p WHERE p.shop_domain = o.shop_domain \
         AND p.order_id = o.order_id AND coalesce({PERSON}, p.company) IS NOT NULL ORDER BY p.kind LIMIT 1), o.email)"
    )
}

/// The name of a person in the row `p`, NULL if it has none.
const PERSON: &str = "nullif(trim(coalesce(p.first_name, '') || ' ' || coalesce(p.last_name, '')), '')";
