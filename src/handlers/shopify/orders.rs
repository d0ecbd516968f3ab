//! Orders of a shop, and edits of orders.

use crate::changes::Change;
use crate::changes::catalogue::{SALES_ORDER_EDITS, SALES_ORDERS};
use crate::changes::rows::{CellValue, ListChange, ListRows};
use crate::event::Subject;
use crate::handlers::extras::{add_extras, collect_extras};
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{iter_array, read_text, read_time};
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::order_amounts::{AmountCheck, check_order_amounts};
use crate::handlers::shopify::{
    ADDRESS_FIELDS, build_list, build_numbered_list, build_resource_row, build_row, fulfillments, refunds,
    require_entity_id, to_position,
};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

const ORDER_FIELDS: &[JsonField] = &[
    JsonField("name", FieldKind::Text, "name"),
    JsonField("currency", FieldKind::Text, "currency"),
    JsonField("presentment_currency", FieldKind::Text, "presentment_currency"),
    JsonField("total", FieldKind::Money, "total_price"),
    JsonField("current_total", FieldKind::Money, "current_total_price"),
    JsonField("presentment_total", FieldKind::Money, "total_price_set.presentment_money.amount"),
    JsonField("presentment_current_total", FieldKind::Money, "current_total_price_set.presentment_money.amount"),
    JsonField("subtotal", FieldKind::Money, "subtotal_price"),
    JsonField("total_items", FieldKind::Money, "total_line_items_price"),
    JsonField("total_tax", FieldKind::Money, "total_tax"),
    JsonField("total_discounts", FieldKind::Money, "total_discounts"),
    JsonField("total_shipping", FieldKind::Money, "total_shipping_price_set.shop_money.amount"),
    JsonField("total_tip", FieldKind::Money, "total_tip_received"),
    JsonField("total_duties", FieldKind::Money, "original_total_duties_set.shop_money.amount"),
    JsonField("total_additional_fees", FieldKind::Money, "original_total_additional_fees_set.shop_money.amount"),
    JsonField("cash_rounding", FieldKind::Money, "total_cash_rounding_payment_adjustment_set.shop_money.amount"),
    JsonField("refund_cash_rounding", FieldKind::Money, "total_cash_rounding_refund_adjustment_set.shop_money.amount"),
    JsonField("current_subtotal", FieldKind::Money, "current_subtotal_price"),
    JsonField("current_tax", FieldKind::Money, "current_total_tax"),
    JsonField("current_discounts", FieldKind::Money, "current_total_discounts"),
    JsonField("current_shipping", FieldKind::Money, "current_shipping_price_set.shop_money.amount"),
    JsonField("current_duties", FieldKind::Money, "current_total_duties_set.shop_money.amount"),
    JsonField("current_additional_fees", FieldKind::Money, "current_total_additional_fees_set.shop_money.amount"),
    JsonField("total_outstanding", FieldKind::Money, "total_outstanding"),
    JsonField("taxes_included", FieldKind::Boolean, "taxes_included"),
    JsonField("duties_included", FieldKind::Boolean, "duties_included"),
    JsonField("financial_status", FieldKind::Text, "financial_status"),
    JsonField("fulfillment_status", FieldKind::Text, "fulfillment_status"),
    JsonField("po_number", FieldKind::Text, "po_number"),
    JsonField("customer_id", FieldKind::Id, "customer.id"),
    JsonField("email", FieldKind::Text, "email"),
    JsonField("phone", FieldKind::Text, "phone"),
    JsonField("note", FieldKind::Text, "note"),
    JsonField("note_attributes", FieldKind::Json, "note_attributes"),
    JsonField("payment_terms", FieldKind::Json, "payment_terms"),
    JsonField("company", FieldKind::Json, "company"),
    JsonField("tags", FieldKind::Text, "tags"),
    JsonField("source_name", FieldKind::Text, "source_name"),
    JsonField("location_id", FieldKind::Id, "location_id"),
    JsonField("total_weight", FieldKind::Integer, "total_weight"),
    JsonField("test", FieldKind::Boolean, "test"),
    JsonField("cancel_reason", FieldKind::Text, "cancel_reason"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("processed_at", FieldKind::Time, "processed_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
    JsonField("cancelled_at", FieldKind::Time, "cancelled_at"),
    JsonField("closed_at", FieldKind::Time, "closed_at"),
];

const LINE_FIELDS: &[JsonField] = &[
    JsonField("line_id", FieldKind::Id, "id"),
    JsonField("quantity", FieldKind::Integer, "quantity"),
    JsonField("sku", FieldKind::Code, "sku"),
    JsonField("product_id", FieldKind::Id, "product_id"),
    JsonField("variant_id", FieldKind::Id, "variant_id"),
    JsonField("title", FieldKind::Text, "title"),
    JsonField("variant_title", FieldKind::Text, "variant_title"),
    JsonField("vendor", FieldKind::Text, "vendor"),
    JsonField("current_quantity", FieldKind::Integer, "current_quantity"),
    JsonField("fulfillable_quantity", FieldKind::Integer, "fulfillable_quantity"),
    JsonField("fulfillment_status", FieldKind::Text, "fulfillment_status"),
    JsonField("price", FieldKind::Money, "price"),
    JsonField("total_discount", FieldKind::Money, "total_discount"),
    JsonField("grams", FieldKind::Integer, "grams"),
    JsonField("requires_shipping", FieldKind::Boolean, "requires_shipping"),
    JsonField("taxable", FieldKind::Boolean, "taxable"),
    JsonField("gift_card", FieldKind::Boolean, "gift_card"),
    JsonField("properties", FieldKind::Json, "properties"),
    JsonField("duties", FieldKind::Json, "duties"),
];

const SHIPPING_LINE_FIELDS: &[JsonField] = &[
    // Imported orders and some apps give a shipping line no id, and its price counts all the same.
    JsonField("line_id", FieldKind::Id, "id"),
    JsonField("title", FieldKind::Text, "title"),
    JsonField("code", FieldKind::Text, "code"),
    JsonField("source", FieldKind::Text, "source"),
    JsonField("carrier", FieldKind::Text, "carrier_identifier"),
    JsonField("price", FieldKind::Money, "price"),
    JsonField("discounted_price", FieldKind::Money, "discounted_price|discounted_price_set.shop_money.amount"),
    JsonField("is_removed", FieldKind::Boolean, "is_removed"),
];

const TAX_FIELDS: &[JsonField] = &[
    JsonField("title", FieldKind::Text, "title"),
    JsonField("rate", FieldKind::Text, "rate"),
    JsonField("price", FieldKind::Money, "price"),
];

const DISCOUNT_CODE_FIELDS: &[JsonField] = &[
    JsonField("code", FieldKind::Text, "code"),
    JsonField("type", FieldKind::Text, "type"),
    JsonField("amount", FieldKind::Money, "amount"),
];

const DISCOUNT_APPLICATION_FIELDS: &[JsonField] = &[
    JsonField("code", FieldKind::Text, "code"),
    JsonField("title", FieldKind::Text, "title"),
    JsonField("type", FieldKind::Text, "type"),
    JsonField("value", FieldKind::Text, "value"),
    JsonField("value_type", FieldKind::Text, "value_type"),
    JsonField("target_type", FieldKind::Text, "target_type"),
    JsonField("target_selection", FieldKind::Text, "target_selection"),
    JsonField("allocation_method", FieldKind::Text, "allocation_method"),
];

const ALLOCATION_FIELDS: &[JsonField] = &[
    JsonField("amount", FieldKind::Money, "amount"),
    JsonField("discount_application", FieldKind::Integer, "discount_application_index"),
];

/// Handles a whole order. Topics: `orders/create`, `orders/updated`, `orders/paid`, `orders/cancelled`,
/// `orders/fulfilled`, `orders/partially_fulfilled`.
///
/// Writes `sales_orders` with `sales_order_lines`, `sales_order_shipping_lines`, `sales_order_addresses`,
/// `sales_order_taxes` and `sales_order_discounts`. Fulfillments and refunds inside the order are written to the tables
/// of [`FulfillmentHandler`](fulfillments::FulfillmentHandler) and [`RefundHandler`](refunds::RefundHandler).
pub struct OrderHandler;

impl Handler for OrderHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let mut body = read_body(event)?;
        let mut row = build_resource_row(event, SALES_ORDERS, &body, ORDER_FIELDS)?;
        let order_id = require_entity_id(&body, "id", SALES_ORDERS)?;
        if read_text(&body, "email").is_none()
            && let Some(email) = read_text(&body, "contact_email")
        {
            row.columns.retain(|(name, _)| *name != "email");
            row.columns.push(("email", email.into()));
        }
        let mut notes = Vec::new();
        let repeated_line = find_repeated_line(&body);
        let line_problem = match &repeated_line {
            _ if !has_complete_lines(&body) => Some("one has no id or no whole quantity"),
            problem => problem.as_deref(),
        };
        if let Some(problem) = line_problem {
            // Without the field, the lines and their taxes and discounts stay unchanged.
            body.remove("line_items");
            notes.push(format!("the order's lines are unchanged: {problem}"));
        }
        match check_order_amounts(&body)?.with_problem(repeated_line) {
            AmountCheck::NotStated => {}
            AmountCheck::Fits => row.columns.push(("attention", CellValue::Null)),
            AmountCheck::Differs(problem) => row.columns.push(("attention", problem.into())),
        }
        row.lists.extend(build_list("sales_order_lines", body.get("line_items"), LINE_FIELDS, true)?);
        let shipping_lines = body.get("shipping_lines");
        row.lists.extend(build_numbered_list("sales_order_shipping_lines", shipping_lines, SHIPPING_LINE_FIELDS)?);
        row.lists.extend(read_addresses(&body)?);
        row.lists.extend(read_taxes(&body)?);
        row.lists.extend(read_discounts(&body)?);
        let mut plan = Plan { subjects: vec![Subject::new("order", order_id)], ..Plan::default() };
        plan.subjects.extend(find_customer_subject(&body));
        plan.changes.push(Change::Row(row));
        let has_id = |item: &&JsonValue| item.get("id").and_then(fields::parse_entity_id).is_some();
        for fulfillment in iter_array(&body, "fulfillments").filter(has_id) {
            fulfillments::add_fulfillment(event, fulfillment, Some(order_id), &mut plan)?;
        }
        for refund in iter_array(&body, "refunds").filter(has_id) {
            refunds::add_refund(event, refund, Some(&body), &mut plan)?;
        }
        if !iter_array(&body, "fulfillments").chain(iter_array(&body, "refunds")).all(|item| has_id(&item)) {
            notes.push("a fulfillment or refund in the order has no id and is left out".to_owned());
        }
        for note in notes {
            plan.add_note(&note);
        }
        Ok(plan)
    }
}

/// Returns the customer that an order or another resource names.
pub(crate) fn find_customer_subject(body: &JsonValue) -> Option<Subject> {
    let id = body.get("customer")?.get("id").and_then(fields::parse_entity_id)?;
    Some(Subject::new("customer", id))
}

/// Returns true if each line has an id and a whole number of units.
///
/// Otherwise no line is written: a pallet with half of an order is worse than an order that waits.
fn has_complete_lines(body: &JsonValue) -> bool {
    let read_quantity = |line: &JsonValue| match line.get("quantity") {
        Some(JsonValue::Number(number)) => fields::parse_whole_number(&number.to_string()),
        Some(JsonValue::Text(text)) => fields::parse_whole_number(text),
        _ => None,
    };
    iter_array(body, "line_items")
        .all(|line| line.get("id").and_then(fields::parse_entity_id).is_some() && read_quantity(line).is_some())
}

/// Returns what the first two lines with one id state. Which of them counts is not known, so no line is written.
fn find_repeated_line(body: &JsonValue) -> Option<String> {
    let read_id = |line: &JsonValue| line.get("id").and_then(fields::parse_entity_id);
    let lines = body.get("line_items").and_then(JsonValue::as_array)?;
    let mut ids: Vec<(i64, usize)> =
        lines.iter().enumerate().filter_map(|(index, line)| Some((read_id(line)?, index))).collect();
    ids.sort_unstable();
    let pair = ids.windows(2).find(|pair| pair[0].0 == pair[1].0)?;
    let describe = |index: usize| {
        let part = |field: &str| read_text(&lines[index], field).unwrap_or_else(|| "-".to_owned());
        format!("{} × {}", part("quantity"), part("sku"))
    };
    Some(format!("two lines have the id {}: {} and {}", pair[0].0, describe(pair[0].1), describe(pair[1].1)))
}

/// Reads the addresses. Each is a list of its own, so that a body with only one of them leaves the other unchanged.
fn read_addresses(body: &JsonValue) -> Result<Vec<ListChange>, HandlerError> {
    let mut lists = Vec::new();
    for (kind, field) in [("shipping", "shipping_address"), ("billing", "billing_address")] {
        let Some(address) = body.get(field) else { continue };
        let mut rows = ListRows::default();
        if address.is_object() {
            let extras = collect_extras("sales_order_addresses", address, &ADDRESS_FIELDS)?;
            rows.push(fields::read_all_columns(address, &ADDRESS_FIELDS)?.into_iter().chain([extras]));
        }
        let columns = fields::list_column_names(&ADDRESS_FIELDS).chain(["extras"]).collect();
        lists.push(ListChange {
            table: "sales_order_addresses",
            partition: Some(("kind", kind)),
            columns,
            rows,
            is_partial: false,
        });
    }
    Ok(lists)
}

/// Scopes of taxes and discounts, with the field of the order that holds them.
const LINE_SCOPES: [(&str, &str); 2] = [("line", "line_items"), ("shipping", "shipping_lines")];

/// Builds the position of a tax or discount in its scope, and the id of its line.
fn build_position_and_line(rows: &ListRows, line: Option<&JsonValue>) -> [CellValue; 2] {
    [to_position(rows.len()), line.and_then(|line| line.get("id")).and_then(fields::parse_entity_id).into()]
}

fn read_taxes(body: &JsonValue) -> Result<Vec<ListChange>, HandlerError> {
    let mut lists = Vec::new();
    let mut add_scope =
        |scope: &'static str, holders: Vec<(&JsonValue, Option<&JsonValue>)>| -> Result<(), HandlerError> {
            let mut rows = ListRows::default();
            for (holder, line) in holders {
                for tax in iter_array(holder, "tax_lines").filter(|tax| tax.is_object()) {
                    let place = build_position_and_line(&rows, line);
                    let extras = collect_extras("sales_order_taxes", tax, TAX_FIELDS)?;
                    rows.push(place.into_iter().chain(fields::read_all_columns(tax, TAX_FIELDS)?).chain([extras]));
                }
            }
            let columns = ["position", "line_id"].into_iter().chain(fields::list_column_names(TAX_FIELDS));
            lists.push(ListChange {
                table: "sales_order_taxes",
                partition: Some(("scope", scope)),
                columns: columns.chain(["extras"]).collect(),
                rows,
                is_partial: false,
            });
            Ok(())
        };
    if body.get("tax_lines").is_some() {
        add_scope("order", vec![(body, None)])?;
    }
    for (scope, field) in LINE_SCOPES {
        if body.get(field).is_some() {
            add_scope(scope, iter_array(body, field).map(|line| (line, Some(line))).collect())?;
        }
    }
    Ok(lists)
}

fn read_discounts(body: &JsonValue) -> Result<Vec<ListChange>, HandlerError> {
    let list = |scope: &'static str, columns: Vec<&'static str>, rows| ListChange {
        table: "sales_order_discounts",
        partition: Some(("scope", scope)),
        columns: ["position", "line_id"].into_iter().chain(columns).chain(["extras"]).collect(),
        rows,
        is_partial: false,
    };
    let mut lists = Vec::new();
    for (scope, field, columns) in [
        ("code", "discount_codes", DISCOUNT_CODE_FIELDS),
        ("application", "discount_applications", DISCOUNT_APPLICATION_FIELDS),
    ] {
        if body.get(field).is_some() {
            let mut rows = ListRows::default();
            for item in iter_array(body, field).filter(|item| item.is_object()) {
                let place = build_position_and_line(&rows, None);
                let extras = collect_extras("sales_order_discounts", item, columns)?;
                rows.push(place.into_iter().chain(fields::read_all_columns(item, columns)?).chain([extras]));
            }
            lists.push(list(scope, fields::list_column_names(columns).collect(), rows));
        }
    }
    let applications: Vec<&JsonValue> = iter_array(body, "discount_applications").collect();
    for (scope, field) in LINE_SCOPES {
        if body.get(field).is_none() {
            continue;
        }
        let mut rows = ListRows::default();
        for line in iter_array(body, field) {
            for allocation in iter_array(line, "discount_allocations").filter(|item| item.is_object()) {
                let index = allocation.get("discount_application_index").and_then(fields::parse_entity_id);
                let application = index.and_then(|index| applications.get(usize::try_from(index).ok()?));
                // The index says nothing more than the discount that it names.
                let read = if application.is_some() { ALLOCATION_FIELDS } else { &ALLOCATION_FIELDS[..1] };
                let extras = collect_extras("sales_order_discounts", allocation, read)?;
                let application = application
                    .map_or(Ok(vec![CellValue::Null; DISCOUNT_APPLICATION_FIELDS.len()]), |found| {
                        fields::read_all_columns(found, DISCOUNT_APPLICATION_FIELDS)
                    })?;
                let amount = fields::read_all_columns(allocation, &ALLOCATION_FIELDS[..1])?;
                let place = build_position_and_line(&rows, Some(line));
                rows.push(place.into_iter().chain(application).chain(amount).chain([extras]));
            }
        }
        lists.push(list(
            scope,
            fields::list_column_names(DISCOUNT_APPLICATION_FIELDS).chain(["amount"]).collect(),
            rows,
        ));
    }
    Ok(lists)
}

/// Handles the edit of an order. Topic: `orders/edited`.
///
/// Writes `sales_order_edits` with `sales_order_edit_lines`: the added and removed quantities. The order itself arrives
/// with its `orders/updated`.
pub struct OrderEditHandler;

const EDIT_FIELDS: &[JsonField] = &[
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("staff_note", FieldKind::Text, "staff_note"),
    JsonField("user_id", FieldKind::Id, "user_id"),
    JsonField("app_id", FieldKind::Id, "app_id"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("committed_at", FieldKind::Time, "committed_at"),
];

const EDIT_LINE_FIELDS: &[JsonField] =
    &[JsonField("line_id", FieldKind::Id, "id"), JsonField("quantity", FieldKind::Integer, "delta")];

impl Handler for OrderEditHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let edit = body.get("order_edit").unwrap_or(&body);
        let id = require_entity_id(edit, "id", SALES_ORDER_EDITS)?;
        let mut row =
            build_row(event, SALES_ORDER_EDITS, vec![id.into()], fields::read_stated_columns(edit, EDIT_FIELDS)?);
        add_extras(&mut row.columns, SALES_ORDER_EDITS, edit, EDIT_FIELDS)?;
        if let Some(own_time) = read_time(edit, "committed_at").or_else(|| read_time(edit, "created_at")) {
            row.row_version = event.row_version(Some(&own_time));
        }
        let lines = edit.get("line_items");
        let mut rows = ListRows::default();
        for (change, field) in [("added", "additions"), ("removed", "removals")] {
            for line in lines.into_iter().flat_map(|lines| iter_array(lines, field)) {
                let cells = fields::read_all_columns(line, EDIT_LINE_FIELDS)?;
                if cells[0] != CellValue::Null {
                    let extras = collect_extras("sales_order_edit_lines", line, EDIT_LINE_FIELDS)?;
                    rows.push(std::iter::once(change.into()).chain(cells).chain([extras]));
                }
            }
        }
        if lines.is_some() {
            let columns = std::iter::once("change").chain(fields::list_column_names(EDIT_LINE_FIELDS));
            row.lists.push(ListChange {
                table: "sales_order_edit_lines",
                partition: None,
                columns: columns.chain(["extras"]).collect(),
                rows,
                is_partial: false,
            });
        }
        let order = edit.get("order_id").and_then(fields::parse_entity_id).map(|order| Subject::new("order", order));
        let subjects = order.into_iter().chain([Subject::new("edit", id)]).collect();
        Ok(Plan { changes: vec![Change::Row(row)], subjects, ..Plan::default() })
    }
}
