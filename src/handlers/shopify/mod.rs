//! Shopify's events: one file a family of topics.
//!
//! Bodies are the REST Admin API's resources (Shopify/shopify-app-js, `packages/apps/shopify-api/rest/admin`), newer topics
//! have `gid://shopify/…` ids. `include_fields` on a subscription may cut a body down, so only the id may be assumed; a
//! column that a body leaves out keeps what it was. `null` is a value, ids have up to 64 bits, money is decimal text.

pub mod catalogue;
pub mod customers;
pub mod fulfillment_orders;
pub mod fulfillments;
pub mod orders;
pub mod payments;
pub mod privacy;
pub mod returns;
pub mod shops;

use super::fields::{self, Field, Kind};
use super::json::{parse, time};
use super::{Done, Event, Handler, Trouble};
use crate::clock;
use crate::store::changes::{Change, Subject};
use crate::store::projection::{Cell, List, Row, Table};
use crate::store::tables::{ORDER_TRANSACTIONS, REFUNDS};
use serde_json::Value;

/// A resource with its own id, and most with its own `updated_at`.
///
/// # Errors
/// [`Trouble::Permanent`] when it has no id, or money or a time in it is none.
fn resource(event: &Event<'_>, table: &'static Table, body: &Value, columns: &[Field]) -> Result<Row, Trouble> {
    let id = required(body, "id", table)?;
    resource_of(event, table, vec![id.into()], body, columns)
}

/// The same with another key, less the shop's domain.
///
/// # Errors
/// As [`resource`].
fn resource_of(
    event: &Event<'_>,
    table: &'static Table,
    key: Vec<Cell>,
    body: &Value,
    columns: &[Field],
) -> Result<Row, Trouble> {
    let mut row = fact(event, table, key, fields::stated(body, columns)?);
    // What is never updated is as old as it is; anything else that does not say so is as of when it was sent.
    let fixed = [&REFUNDS, &ORDER_TRANSACTIONS].contains(&&table);
    if let Some(own_time) = time(body, if fixed { "created_at" } else { "updated_at" }) {
        row.version = event.version(Some(&own_time));
    }
    Ok(row)
}

/// Columns of an entity as of when the event was sent: for events that carry no time of the entity's own.
fn fact(event: &Event<'_>, table: &'static Table, key: Vec<Cell>, columns: Vec<(&'static str, Cell)>) -> Row {
    let key = std::iter::once(event.shop_domain.into()).chain(key).collect();
    Row { table, key, version: event.version(None), columns, lists: Vec::new() }
}

/// The entity's number; nothing can be done without it.
fn required(body: &Value, field: &str, table: &Table) -> Result<i64, Trouble> {
    body.get(field).and_then(fields::id).ok_or_else(|| {
        Trouble::Permanent(format!("the body has no {field}: it cannot be told which of {} it is", table.name))
    })
}

/// The rows of an array field; `None` when the body does not have it. An element without the first column's value has no
/// place in the table and is left out.
///
/// # Errors
/// [`Trouble::Permanent`] for money that is no decimal number and a time that is none.
fn list(
    table: &'static str,
    items: Option<&Value>,
    columns: &[Field],
    numbered: bool,
) -> Result<Option<List>, Trouble> {
    let Some(items) = items.and_then(Value::as_array) else { return Ok(None) };
    let mut rows = Vec::with_capacity(items.len());
    for item in items {
        let mut cells = fields::all(item, columns)?;
        if cells.first() == Some(&Cell::Null) {
            continue;
        }
        if numbered {
            cells.push(position(rows.len()));
        }
        rows.push(cells);
    }
    let columns = fields::names(columns).chain(numbered.then_some("position")).collect();
    Ok(Some(List { table, part: None, columns, rows }))
}

/// The place in a list, from 1.
fn position(before: usize) -> Cell {
    Cell::Integer(i64::try_from(before).map_or(i64::MAX, |before| before + 1))
}

/// `orders/delete`, `products/delete` and so on: the body is the id, and no later update brings it back.
pub struct Deleted {
    pub table: &'static Table,
    pub subject: &'static str,
}

impl Handler for Deleted {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let id = required(&parse(event.body)?, "id", self.table)?;
        let at = clock::text(event.sent_at());
        let row = fact(event, self.table, vec![id.into()], vec![("deleted_at", at.into())]);
        Ok(Done { changes: vec![Change::Row(row)], subjects: vec![Subject::new(self.subject, id)], ..Done::default() })
    }
}

/// A postal address, as orders, customers and fulfillments write it.
const ADDRESS: [Field; 12] = [
    Field("first_name", Kind::Text, "first_name"),
    Field("last_name", Kind::Text, "last_name"),
    Field("company", Kind::Text, "company"),
    Field("address1", Kind::Text, "address1"),
    Field("address2", Kind::Text, "address2"),
    Field("city", Kind::Text, "city"),
    Field("province", Kind::Text, "province"),
    Field("province_code", Kind::Text, "province_code"),
    Field("zip", Kind::Text, "zip"),
    Field("country", Kind::Text, "country"),
    Field("country_code", Kind::Text, "country_code"),
    Field("phone", Kind::Text, "phone"),
];
