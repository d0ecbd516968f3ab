//! Refunds of orders.

use crate::changes::Change;
use crate::changes::catalogue::REFUNDS;
use crate::changes::rows::{CellValue, ListChange, ListRows};
use crate::event::Subject;
use crate::handlers::extras::collect_extras;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::payments::{add_order_id, build_transaction_row, find_order_subject};
use crate::handlers::shopify::refund_amounts::{RefundAmounts, is_refund_transaction, read_refund_amounts};
use crate::handlers::shopify::refund_lines::{find_refund_problems, map_order_lines, read_line_id};
use crate::handlers::shopify::{build_numbered_list, build_resource_row, require_entity_id, to_position};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;
use rust_decimal::Decimal;

const REFUND_FIELDS: &[JsonField] = &[
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("note", FieldKind::Text, "note"),
    JsonField("restock", FieldKind::Boolean, "restock"),
    JsonField("user_id", FieldKind::Id, "user_id"),
    JsonField("return_id", FieldKind::Id, "return.id"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("processed_at", FieldKind::Time, "processed_at"),
];

const REFUND_LINE_FIELDS: &[JsonField] = &[
    JsonField("refund_line_id", FieldKind::Id, "id"),
    JsonField("line_id", FieldKind::Id, "line_item_id|line_item.id"),
    JsonField("quantity", FieldKind::Integer, "quantity"),
    JsonField("restock_type", FieldKind::Text, "restock_type"),
    JsonField("location_id", FieldKind::Id, "location_id"),
    // `subtotal` itself is a JSON number, which may have lost decimals. The set has text.
    JsonField("subtotal", FieldKind::Money, "subtotal_set.shop_money.amount|subtotal"),
    JsonField("total_tax", FieldKind::Money, "total_tax_set.shop_money.amount|total_tax"),
    JsonField("presentment_subtotal", FieldKind::Money, "subtotal_set.presentment_money.amount"),
    JsonField("presentment_total_tax", FieldKind::Money, "total_tax_set.presentment_money.amount"),
];

/// Parts of a refund beside its lines: the field of the body, their scope in `refund_parts`, and their fields.
const PART_LISTS: &[(&str, &str, &[JsonField])] = &[
    ("order_adjustments", "adjustment", ADJUSTMENT_FIELDS),
    ("refund_shipping_lines", "shipping", SHIPPING_FIELDS),
    ("duties", "duty", DUTY_FIELDS),
    ("additional_fees", "fee", FEE_FIELDS),
];

const ADJUSTMENT_FIELDS: &[JsonField] = &[
    JsonField("part_id", FieldKind::Id, "id"),
    JsonField("kind", FieldKind::Text, "kind"),
    JsonField("reason", FieldKind::Text, "reason"),
    JsonField("amount", FieldKind::Money, "amount_set.shop_money.amount|amount"),
    JsonField("tax_amount", FieldKind::Money, "tax_amount_set.shop_money.amount|tax_amount"),
    JsonField("presentment_amount", FieldKind::Money, "amount_set.presentment_money.amount"),
    JsonField("presentment_tax_amount", FieldKind::Money, "tax_amount_set.presentment_money.amount"),
];

const SHIPPING_FIELDS: &[JsonField] = &[
    JsonField("part_id", FieldKind::Id, "id"),
    JsonField("line_id", FieldKind::Id, "shipping_line.id"),
    JsonField("title", FieldKind::Text, "shipping_line.title"),
    JsonField(
        "amount",
        FieldKind::Money,
        "subtotal_amount_set.shop_money.amount|subtotal_set.shop_money.amount|subtotal",
    ),
    JsonField(
        "tax_amount",
        FieldKind::Money,
        "tax_amount_set.shop_money.amount|total_tax_set.shop_money.amount|tax_amount|total_tax",
    ),
    JsonField(
        "presentment_amount",
        FieldKind::Money,
        "subtotal_amount_set.presentment_money.amount|subtotal_set.presentment_money.amount",
    ),
    JsonField(
        "presentment_tax_amount",
        FieldKind::Money,
        "tax_amount_set.presentment_money.amount|total_tax_set.presentment_money.amount",
    ),
];

const DUTY_FIELDS: &[JsonField] = &[
    JsonField("part_id", FieldKind::Id, "duty_id|id"),
    JsonField("kind", FieldKind::Text, "refund_type"),
    JsonField("amount", FieldKind::Money, "amount_set.shop_money.amount|price_set.shop_money.amount|amount|price"),
    JsonField("tax_amount", FieldKind::Money, "tax_amount_set.shop_money.amount|tax_amount"),
    JsonField(
        "presentment_amount",
        FieldKind::Money,
        "amount_set.presentment_money.amount|price_set.presentment_money.amount",
    ),
    JsonField("presentment_tax_amount", FieldKind::Money, "tax_amount_set.presentment_money.amount"),
];

const FEE_FIELDS: &[JsonField] = &[
    JsonField("part_id", FieldKind::Id, "additional_fee_id|id"),
    JsonField("title", FieldKind::Text, "name"),
    JsonField("amount", FieldKind::Money, "amount_set.shop_money.amount|price_set.shop_money.amount|amount|price"),
    JsonField("tax_amount", FieldKind::Money, "tax_amount_set.shop_money.amount|tax_amount"),
    JsonField(
        "presentment_amount",
        FieldKind::Money,
        "amount_set.presentment_money.amount|price_set.presentment_money.amount",
    ),
    JsonField("presentment_tax_amount", FieldKind::Money, "tax_amount_set.presentment_money.amount"),
];

/// Handles a refund. Topic: `refunds/create`. Writes `refunds` with `refund_lines` and `refund_parts`, and
/// `order_transactions`.
pub struct RefundHandler;

impl Handler for RefundHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let mut plan = Plan::default();
        add_refund(event, &read_body(event)?, None, &mut plan)?;
        Ok(plan)
    }
}

/// Adds a refund, which is the body itself or part of its order.
pub(crate) fn add_refund(
    event: &Event<'_>,
    refund: &JsonValue,
    order: Option<&JsonValue>,
    plan: &mut Plan,
) -> Result<(), HandlerError> {
    let mut row = build_resource_row(event, REFUNDS, refund, REFUND_FIELDS)?;
    let refund_id = require_entity_id(refund, "id", REFUNDS)?;
    add_order_id(&mut row.columns, order.and_then(|order| order.get("id")).and_then(fields::parse_entity_id));
    let mut amounts = read_refund_amounts(refund, order)?;
    let problems = find_refund_problems(refund, order)?;
    if !problems.is_empty() {
        let own = amounts.as_mut().and_then(|amounts| amounts.attention.take());
        let attention = own.into_iter().chain(problems).collect::<Vec<_>>().join("; ");
        match &mut amounts {
            Some(amounts) => amounts.attention = Some(attention),
            None => row.columns.push(("attention", attention.into())),
        }
    }
    row.columns.extend(amounts.iter().flat_map(build_amount_columns));
    let lines = list_refund_lines(refund, order);
    row.lists.extend(build_numbered_list("refund_lines", lines.as_ref(), REFUND_LINE_FIELDS)?);
    for (field, scope, fields) in PART_LISTS {
        row.lists.extend(build_part_list(refund.get(field), scope, fields)?);
    }
    plan.subjects.push(Subject::new("refund", refund_id));
    plan.subjects.extend(find_order_subject(refund));
    plan.changes.push(Change::Row(row));
    let is_only = iter_array(refund, "transactions").filter(|one| is_refund_transaction(one)).count() == 1;
    for transaction in iter_array(refund, "transactions") {
        if transaction.get("id").and_then(fields::parse_entity_id).is_none() {
            plan.add_note("a transaction of a refund has no id and is left out of order_transactions");
            continue;
        }
        let mut row = build_transaction_row(event, transaction, plan)?;
        row.columns.push(("refund_id", refund_id.into()));
        let amounts = amounts.as_ref().filter(|_| is_refund_transaction(transaction));
        let found = amounts.map_or([None, None], |amounts| find_both_amounts(transaction, amounts, is_only));
        for (column, amount) in ["shop_amount", "presentment_amount"].into_iter().zip(found) {
            let is_stated = row.columns.iter().any(|(name, cell)| *name == column && *cell != CellValue::Null);
            if let Some(amount) = amount.filter(|_| !is_stated) {
                row.columns.retain(|(name, _)| *name != column);
                row.columns.push((column, amount.into()));
            }
        }
        plan.changes.push(Change::Row(row));
    }
    Ok(())
}

/// Returns the lines of a refund, without the lines of the order that the order around the refund has. A refund that
/// arrives without its order keeps them, because nothing else says what was sold.
fn list_refund_lines(refund: &JsonValue, order: Option<&JsonValue>) -> Option<JsonValue> {
    let lines = refund.get("refund_line_items").and_then(JsonValue::as_array)?;
    let known = map_order_lines(refund, order);
    let is_in_order = |line: &JsonValue| read_line_id(line).is_some_and(|id| known.contains_key(&id));
    let without_order_line = |line: &JsonValue| {
        let mut line = line.clone();
        if is_in_order(&line) {
            line.remove("line_item");
        }
        line
    };
    Some(JsonValue::Array(lines.iter().map(without_order_line).collect()))
}

/// Returns the amount of a transaction in the shop's and in the customer's currency, as far as they are known.
fn find_both_amounts(transaction: &JsonValue, amounts: &RefundAmounts, is_only: bool) -> [Option<String>; 2] {
    let (amount, currency) = (read_text(transaction, "amount"), read_text(transaction, "currency"));
    let in_currency = |wanted: &Option<String>| {
        amount.clone().filter(|_| currency.is_none() || wanted.is_none() || currency == *wanted)
    };
    let of_refund =
        |total: Option<Decimal>| total.filter(|_| is_only && amounts.pending.is_zero()).map(|total| total.to_string());
    [
        in_currency(&amounts.currency).or_else(|| of_refund(amounts.total)),
        in_currency(&amounts.presentment_currency).or_else(|| of_refund(amounts.presentment_total)),
    ]
}

fn build_amount_columns(amounts: &RefundAmounts) -> Vec<(&'static str, CellValue)> {
    let parts = &amounts.parts;
    let text = |amount: Decimal| CellValue::from(amount.to_string());
    vec![
        ("total", amounts.total.map(|total| total.to_string()).into()),
        ("currency", amounts.currency.clone().into()),
        ("presentment_total", amounts.presentment_total.map(|total| total.to_string()).into()),
        ("presentment_currency", amounts.presentment_currency.clone().into()),
        ("pending", text(amounts.pending)),
        ("items", text(parts.items)),
        ("shipping", text(parts.shipping)),
        ("duties", text(parts.duties)),
        ("additional_fees", text(parts.additional_fees)),
        ("tax", text(parts.tax)),
        ("adjustment", text(parts.adjustment)),
        ("taxes_included", amounts.taxes_included.into()),
        ("attention", amounts.attention.clone().into()),
    ]
}

/// Columns of `refund_parts` that the fields of each kind of part fill.
const PART_COLUMNS: [&str; 9] = [
    "part_id",
    "line_id",
    "kind",
    "reason",
    "title",
    "amount",
    "tax_amount",
    "presentment_amount",
    "presentment_tax_amount",
];

fn build_part_list(
    items: Option<&JsonValue>,
    scope: &'static str,
    part_fields: &[JsonField],
) -> Result<Option<ListChange>, HandlerError> {
    let Some(items) = items.and_then(JsonValue::as_array) else { return Ok(None) };
    let mut rows = ListRows::default();
    for item in items.iter().filter(|item| item.is_object()) {
        let stated = fields::read_stated_columns(item, part_fields)?;
        let cells = PART_COLUMNS.iter().map(|column| {
            stated.iter().find(|(name, _)| name == column).map_or(CellValue::Null, |(_, cell)| cell.clone())
        });
        let extras = collect_extras("refund_parts", item, part_fields)?;
        let position = to_position(rows.len());
        rows.push(std::iter::once(position).chain(cells).chain([extras]));
    }
    let columns = std::iter::once("position").chain(PART_COLUMNS).chain(["extras"]).collect();
    Ok(Some(ListChange { table: "refund_parts", partition: Some(("scope", scope)), columns, rows, is_partial: false }))
}
