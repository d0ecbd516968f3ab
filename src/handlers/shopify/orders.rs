//! `orders/…` → `sales_orders` and its lists; the fulfillments and refunds that an order carries go to their own tables.

use super::{ADDRESS, fact, fulfillments, list, payments, position, required, resource};
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{items, parse, text};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::{Cell, List};
use crate::store::tables::{SALES_ORDER_EDITS, SALES_ORDERS};
use serde_json::Value;

const ORDER: &[Field] = &[
    Field("name", Kind::Text, "name"),
    Field("currency", Kind::Text, "currency"),
    Field("presentment_currency", Kind::Text, "presentment_currency"),
    Field("total", Kind::Money, "total_price"),
    Field("current_total", Kind::Money, "current_total_price"),
    Field("subtotal", Kind::Money, "subtotal_price"),
    Field("total_tax", Kind::Money, "total_tax"),
    Field("total_discounts", Kind::Money, "total_discounts"),
    Field("total_shipping", Kind::Money, "total_shipping_price_set.shop_money.amount"),
    Field("total_outstanding", Kind::Money, "total_outstanding"),
    Field("taxes_included", Kind::Flag, "taxes_included"),
    Field("financial_status", Kind::Text, "financial_status"),
    Field("fulfillment_status", Kind::Text, "fulfillment_status"),
    Field("po_number", Kind::Text, "po_number"),
    Field("customer_id", Kind::Id, "customer.id"),
    Field("email", Kind::Text, "email"),
    Field("phone", Kind::Text, "phone"),
    Field("note", Kind::Text, "note"),
    Field("tags", Kind::Text, "tags"),
    Field("source_name", Kind::Text, "source_name"),
    Field("location_id", Kind::Id, "location_id"),
    Field("total_weight", Kind::Integer, "total_weight"),
    Field("test", Kind::Flag, "test"),
    Field("cancel_reason", Kind::Text, "cancel_reason"),
    Field("created_at", Kind::Time, "created_at"),
    Field("processed_at", Kind::Time, "processed_at"),
    Field("updated_at", Kind::Time, "updated_at"),
    Field("cancelled_at", Kind::Time, "cancelled_at"),
    Field("closed_at", Kind::Time, "closed_at"),
];

const LINE: &[Field] = &[
    Field("line_id", Kind::Id, "id"),
    Field("quantity", Kind::Integer, "quantity"),
    Field("sku", Kind::Text, "sku"),
    Field("product_id", Kind::Id, "product_id"),
    Field("variant_id", Kind::Id, "variant_id"),
    Field("title", Kind::Text, "title"),
    Field("variant_title", Kind::Text, "variant_title"),
    Field("vendor", Kind::Text, "vendor"),
    Field("current_quantity", Kind::Integer, "current_quantity"),
    Field("fulfillable_quantity", Kind::Integer, "fulfillable_quantity"),
    Field("fulfillment_status", Kind::Text, "fulfillment_status"),
    Field("price", Kind::Money, "price"),
    Field("total_discount", Kind::Money, "total_discount"),
    Field("grams", Kind::Integer, "grams"),
    Field("requires_shipping", Kind::Flag, "requires_shipping"),
    Field("taxable", Kind::Flag, "taxable"),
    Field("gift_card", Kind::Flag, "gift_card"),
    Field("properties", Kind::Json, "properties"),
];

const SHIPPING_LINE: &[Field] = &[
    Field("line_id", Kind::Id, "id"),
    Field("title", Kind::Text, "title"),
    Field("code", Kind::Text, "code"),
    Field("source", Kind::Text, "source"),
    Field("carrier", Kind::Text, "carrier_identifier"),
    Field("price", Kind::Money, "price"),
    Field("discounted_price", Kind::Money, "discounted_price"),
];

const TAX: &[Field] =
    &[Field("title", Kind::Text, "title"), Field("rate", Kind::Text, "rate"), Field("price", Kind::Money, "price")];

const CODE: &[Field] =
    &[Field("code", Kind::Text, "code"), Field("type", Kind::Text, "type"), Field("amount", Kind::Money, "amount")];

const APPLICATION: &[Field] = &[
    Field("code", Kind::Text, "code"),
    Field("title", Kind::Text, "title"),
    Field("type", Kind::Text, "type"),
    Field("value", Kind::Text, "value"),
    Field("value_type", Kind::Text, "value_type"),
];

/// The six topics that carry a whole order, from `orders/create` to `orders/fulfilled`.
pub struct Orders;

impl Handler for Orders {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let mut body = parse(event.body)?;
        let mut row = resource(event, SALES_ORDERS, &body, ORDER)?;
        let order_id = required(&body, "id", SALES_ORDERS)?;
        if text(&body, "email").is_none()
            && let Some(email) = text(&body, "contact_email")
        {
            row.columns.retain(|(name, _)| *name != "email");
            row.columns.push(("email", email.into()));
        }
        let mut notes = Vec::new();
        if !whole_lines(&body) {
            // As if it had not spoken of them, nor of what stands on them.
            body.as_object_mut().and_then(|body| body.remove("line_items"));
            notes.push("its lines were left as they were: one has no id or no whole quantity");
        }
        row.lists.extend(list("sales_order_lines", body.get("line_items"), LINE, true)?);
        row.lists.extend(list("sales_order_shipping_lines", body.get("shipping_lines"), SHIPPING_LINE, true)?);
        row.lists.extend(addresses(&body)?);
        row.lists.extend(taxes(&body)?);
        row.lists.extend(discounts(&body)?);
        let mut done = Done { subjects: vec![Subject::new("order", order_id)], ..Done::default() };
        done.subjects.extend(customer_of(&body));
        done.changes.push(Change::Row(row));
        let named = |item: &&Value| item.get("id").and_then(fields::id).is_some();
        for fulfillment in items(&body, "fulfillments").filter(named) {
            fulfillments::add(event, fulfillment, Some(order_id), &mut done)?;
        }
        for refund in items(&body, "refunds").filter(named) {
            payments::add_refund(event, refund, Some(order_id), &mut done)?;
        }
        if !items(&body, "fulfillments").chain(items(&body, "refunds")).all(|item| named(&item)) {
            notes.push("a fulfillment or refund in it has no id and was left out");
        }
        done.note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(done)
    }
}

/// The customer that an order or another resource names.
pub(super) fn customer_of(body: &Value) -> Option<Subject> {
    let id = body.get("customer")?.get("id").and_then(fields::id)?;
    Some(Subject::new("customer", id))
}

/// Whether every line has its number and a whole number of units. If one has not, the lines are not taken: a pallet by half of
/// an order is worse than an order that waits.
fn whole_lines(body: &Value) -> bool {
    let count = |line: &Value| match line.get("quantity") {
        Some(Value::Number(number)) => fields::whole(&number.to_string()),
        Some(Value::String(text)) => fields::whole(text),
        _ => None,
    };
    items(body, "line_items").all(|line| line.get("id").and_then(fields::id).is_some() && count(line).is_some())
}

/// Each address is stated by itself.
fn addresses(body: &Value) -> Result<Vec<List>, Trouble> {
    let mut lists = Vec::new();
    for (kind, field) in [("shipping", "shipping_address"), ("billing", "billing_address")] {
        let Some(address) = body.get(field) else { continue };
        let rows = if address.is_object() { vec![fields::all(address, &ADDRESS)?] } else { Vec::new() };
        let columns = fields::names(&ADDRESS).collect();
        lists.push(List { table: "sales_order_addresses", part: Some(("kind", kind)), columns, rows });
    }
    Ok(lists)
}

/// Where taxes and discounts stand in an order, with the scope that they are there.
const INSIDE: [(&str, &str); 2] = [("line", "line_items"), ("shipping", "shipping_lines")];

/// The number of the line that something stands on, and its place among those of its scope.
fn head(rows: &[Vec<Cell>], line: Option<&Value>) -> [Cell; 2] {
    [position(rows.len()), line.and_then(|line| line.get("id")).and_then(fields::id).into()]
}

fn taxes(body: &Value) -> Result<Vec<List>, Trouble> {
    let mut lists = Vec::new();
    let mut take = |scope: &'static str, holders: Vec<(&Value, Option<&Value>)>| -> Result<(), Trouble> {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for (holder, line) in holders {
            for tax in items(holder, "tax_lines") {
                rows.push(head(&rows, line).into_iter().chain(fields::all(tax, TAX)?).collect());
            }
        }
        let columns = ["position", "line_id"].into_iter().chain(fields::names(TAX)).collect();
        lists.push(List { table: "sales_order_taxes", part: Some(("scope", scope)), columns, rows });
        Ok(())
    };
    if body.get("tax_lines").is_some() {
        take("order", vec![(body, None)])?;
    }
    for (scope, field) in INSIDE {
        if body.get(field).is_some() {
            take(scope, items(body, field).map(|line| (line, Some(line))).collect())?;
        }
    }
    Ok(lists)
}

fn discounts(body: &Value) -> Result<Vec<List>, Trouble> {
    let list = |scope: &'static str, columns: Vec<&'static str>, rows| List {
        table: "sales_order_discounts",
        part: Some(("scope", scope)),
        columns: ["position", "line_id"].into_iter().chain(columns).collect(),
        rows,
    };
    let mut lists = Vec::new();
    for (scope, field, columns) in
        [("code", "discount_codes", CODE), ("application", "discount_applications", APPLICATION)]
    {
        if body.get(field).is_some() {
            let mut rows: Vec<Vec<Cell>> = Vec::new();
            for item in items(body, field) {
                rows.push(head(&rows, None).into_iter().chain(fields::all(item, columns)?).collect());
            }
            lists.push(list(scope, fields::names(columns).collect(), rows));
        }
    }
    let applications: Vec<&Value> = items(body, "discount_applications").collect();
    for (scope, field) in INSIDE {
        if body.get(field).is_none() {
            continue;
        }
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        for line in items(body, field) {
            for allocation in items(line, "discount_allocations") {
                let place = allocation.get("discount_application_index").and_then(fields::id);
                let of = place.and_then(|place| applications.get(usize::try_from(place).ok()?));
                let application =
                    of.map_or(Ok(vec![Cell::Null; APPLICATION.len()]), |of| fields::all(of, APPLICATION))?;
                let amount = fields::all(allocation, &[Field("amount", Kind::Money, "amount")])?;
                rows.push(head(&rows, Some(line)).into_iter().chain(application).chain(amount).collect());
            }
        }
        lists.push(list(scope, fields::names(APPLICATION).chain(["amount"]).collect(), rows));
    }
    Ok(lists)
}

/// `orders/edited`: what was added and removed. The order itself comes with its `orders/updated`.
pub struct Edited;

const EDIT: &[Field] = &[
    Field("order_id", Kind::Id, "order_id"),
    Field("staff_note", Kind::Text, "staff_note"),
    Field("user_id", Kind::Id, "user_id"),
    Field("app_id", Kind::Id, "app_id"),
    Field("created_at", Kind::Time, "created_at"),
    Field("committed_at", Kind::Time, "committed_at"),
];

const EDIT_LINE: &[Field] = &[Field("line_id", Kind::Id, "id"), Field("quantity", Kind::Integer, "delta")];

impl Handler for Edited {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let edit = body.get("order_edit").unwrap_or(&body);
        let id = required(edit, "id", SALES_ORDER_EDITS)?;
        let mut row = fact(event, SALES_ORDER_EDITS, vec![id.into()], fields::stated(edit, EDIT)?);
        let lines = edit.get("line_items");
        let mut rows = Vec::new();
        for (change, field) in [("added", "additions"), ("removed", "removals")] {
            for line in lines.into_iter().flat_map(|lines| items(lines, field)) {
                let cells = fields::all(line, EDIT_LINE)?;
                if cells[0] != Cell::Null {
                    rows.push(std::iter::once(change.into()).chain(cells).collect());
                }
            }
        }
        if lines.is_some() {
            let columns = std::iter::once("change").chain(fields::names(EDIT_LINE)).collect();
            row.lists.push(List { table: "sales_order_edit_lines", part: None, columns, rows });
        }
        let order = edit.get("order_id").and_then(fields::id).map(|order| Subject::new("order", order));
        Ok(Done { changes: vec![Change::Row(row)], subjects: order.into_iter().collect(), ..Done::default() })
    }
}
