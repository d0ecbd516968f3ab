//! Shopify's events, one file for each family of topics.
//!
//! Bodies are resources of the REST Admin API (Shopify/shopify-app-js, `packages/apps/shopify-api/rest/admin`). Newer
//! topics have `gid://shopify/…` ids. `include_fields` of a subscription can reduce a body, so handlers rely only on
//! the id. [`body_shapes`] states what a body of each topic must have beside it, and must not have. A column that a
//! body leaves out keeps its value. `null` is a value, ids have up to 64 bits, money is decimal text.

pub mod body_shapes;
pub mod customers;
pub mod fulfillment_orders;
pub mod fulfillments;
mod money;
mod order_amounts;
mod order_parts;
pub mod orders;
pub mod payments;
pub mod privacy;
pub mod products;
mod refund_amounts;
mod refund_lines;
pub mod refunds;
pub mod repeated_bodies;
pub mod returns;
pub mod shops;

use crate::changes::Change;
use crate::changes::catalogue::{ORDER_TRANSACTIONS, REFUNDS};
use crate::changes::rows::{CellValue, ListChange, ListRows, RowChange, TableSpec};
use crate::clock;
use crate::event::Subject;
use crate::handlers::extras::{add_extras, collect_extras, has_extras};
use crate::handlers::fallback::find_subjects;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::read_time;
use crate::handlers::shopify::body_shapes::{read_body, states_no_resource};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

/// Completes an event of Shopify's Events preview whose body no handler reads. Such a body has another shape than the
/// REST resource of the topic.
///
/// Nobody signs the headers of the preview. So an event whose body has a field of a resource fails as without them.
pub fn note_unread_preview(event: &Event<'_>, result: Result<Plan, HandlerError>) -> Result<Plan, HandlerError> {
    match result {
        Err(HandlerError::Permanent(reason)) if states_no_resource(event.body) => {
            let note = format!("stored only: the body of the Events preview is not read: {reason}");
            let subjects = find_subjects(event.source(), event.topic(), event.body);
            Ok(Plan { subjects, ..Plan::note_only(note) })
        }
        result => result,
    }
}

/// Builds the row of a resource, whose key is its id.
///
/// # Errors
/// [`HandlerError::Permanent`] if it has no id, or if money in it is not a decimal number.
fn build_resource_row(
    event: &Event<'_>,
    table: &'static TableSpec,
    body: &JsonValue,
    columns: &[JsonField],
) -> Result<RowChange, HandlerError> {
    let id = require_entity_id(body, "id", table)?;
    build_resource_row_with_key(event, table, vec![id.into()], body, columns)
}

/// Builds the row of a resource with another key, without the shop domain.
///
/// # Errors
/// [`HandlerError::Permanent`] if money in it is not a decimal number.
fn build_resource_row_with_key(
    event: &Event<'_>,
    table: &'static TableSpec,
    key: Vec<CellValue>,
    body: &JsonValue,
    columns: &[JsonField],
) -> Result<RowChange, HandlerError> {
    let mut row = build_row(event, table, key, fields::read_stated_columns(body, columns)?);
    add_extras(&mut row.columns, table, body, columns)?;
    // Refunds and transactions never change, so `created_at` is their version. Other resources without `updated_at`
    // have the version of the time of sending.
    let is_immutable = [&REFUNDS, &ORDER_TRANSACTIONS].contains(&&table);
    if let Some(entity_time) = read_time(body, if is_immutable { "created_at" } else { "updated_at" }) {
        row.row_version = event.row_version(Some(&entity_time));
    }
    Ok(row)
}

/// Builds a row with the version of the time of sending, for events without a time of the entity itself.
fn build_row(
    event: &Event<'_>,
    table: &'static TableSpec,
    key: Vec<CellValue>,
    columns: Vec<(&'static str, CellValue)>,
) -> RowChange {
    let key = std::iter::once(event.shop_domain().into()).chain(key).collect();
    RowChange { table, key, row_version: event.row_version(None), columns, lists: Vec::new() }
}

/// Returns the entity's id.
///
/// # Errors
/// [`HandlerError::Permanent`] if the body has no id.
fn require_entity_id(body: &JsonValue, field: &str, table: &TableSpec) -> Result<i64, HandlerError> {
    body.get(field).and_then(fields::parse_entity_id).ok_or_else(|| {
        HandlerError::Permanent(format!("the body has no {field}, which identifies the row of {}", table.name))
    })
}

/// Builds the rows of an array field; `None` if the body does not have it.
///
/// An element without a value for the first column is left out, because that column is part of the table's key.
///
/// # Errors
/// [`HandlerError::Permanent`] if money in it is not a decimal number.
fn build_list(
    table: &'static str,
    items: Option<&JsonValue>,
    columns: &[JsonField],
    numbered: bool,
) -> Result<Option<ListChange>, HandlerError> {
    let Some(items) = items.and_then(JsonValue::as_array) else { return Ok(None) };
    let mut rows = ListRows::default();
    for item in items {
        let mut cells = fields::read_all_columns(item, columns)?;
        if cells.first() == Some(&CellValue::Null) {
            continue;
        }
        if numbered {
            cells.push(to_position(rows.len()));
        }
        if has_extras(table) {
            cells.push(collect_extras(table, item, columns)?);
        }
        rows.push(cells);
    }
    let columns = fields::list_column_names(columns).chain(numbered.then_some("position"));
    let columns = columns.chain(has_extras(table).then_some("extras")).collect();
    Ok(Some(ListChange { table, partition: None, columns, rows, is_partial: false }))
}

/// Builds the rows of an array field whose place is their key, because not every element has an id.
///
/// # Errors
/// [`HandlerError::Permanent`] if money in it is not a decimal number.
fn build_numbered_list(
    table: &'static str,
    items: Option<&JsonValue>,
    columns: &[JsonField],
) -> Result<Option<ListChange>, HandlerError> {
    let Some(items) = items.and_then(JsonValue::as_array) else { return Ok(None) };
    let mut rows = ListRows::default();
    for item in items.iter().filter(|item| item.is_object()) {
        let mut cells = fields::read_all_columns(item, columns)?;
        if has_extras(table) {
            cells.push(collect_extras(table, item, columns)?);
        }
        rows.push(std::iter::once(to_position(rows.len())).chain(cells));
    }
    let columns = std::iter::once("position").chain(fields::list_column_names(columns));
    let columns = columns.chain(has_extras(table).then_some("extras")).collect();
    Ok(Some(ListChange { table, partition: None, columns, rows, is_partial: false }))
}

/// Returns the position in a list, from 1, for an index from 0.
fn to_position(index: usize) -> CellValue {
    CellValue::Integer(i64::try_from(index).map_or(i64::MAX, |index| index + 1))
}

/// Handles the deletion of an entity. Topics: `orders/delete`, `customers/delete`, `products/delete`,
/// `inventory_items/delete`, `locations/delete`.
///
/// Writes `deleted_at` in the table of the entity: `sales_orders`, `customers`, `products`, `inventory_items` or
/// `locations`. The body has only the id. A later update does not clear `deleted_at`.
pub struct DeletionHandler {
    pub table: &'static TableSpec,
    pub subject: &'static str,
}

impl Handler for DeletionHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let id = require_entity_id(&read_body(event)?, "id", self.table)?;
        let deleted_at = clock::format_timestamp(event.sent_at());
        let row = build_row(event, self.table, vec![id.into()], vec![("deleted_at", deleted_at.into())]);
        Ok(Plan { changes: vec![Change::Row(row)], subjects: vec![Subject::new(self.subject, id)], ..Plan::default() })
    }
}

/// Fields of a postal address, the same in orders, customers and fulfillments.
const ADDRESS_FIELDS: [JsonField; 12] = [
    JsonField("first_name", FieldKind::Text, "first_name"),
    JsonField("last_name", FieldKind::Text, "last_name"),
    JsonField("company", FieldKind::Text, "company"),
    JsonField("address1", FieldKind::Text, "address1"),
    JsonField("address2", FieldKind::Text, "address2"),
    JsonField("city", FieldKind::Text, "city"),
    JsonField("province", FieldKind::Text, "province"),
    JsonField("province_code", FieldKind::Text, "province_code"),
    JsonField("zip", FieldKind::Text, "zip"),
    JsonField("country", FieldKind::Text, "country"),
    JsonField("country_code", FieldKind::Text, "country_code"),
    JsonField("phone", FieldKind::Text, "phone"),
];
