//! Refunds and payment transactions of orders.

use crate::changes::Change;
use crate::changes::catalogue::{ORDER_TRANSACTIONS, REFUNDS};
use crate::event::Subject;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::iter_array;
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::{build_list, build_resource_row, require_entity_id};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

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
    JsonField("line_id", FieldKind::Id, "line_item_id"),
    JsonField("quantity", FieldKind::Integer, "quantity"),
    JsonField("restock_type", FieldKind::Text, "restock_type"),
    JsonField("location_id", FieldKind::Id, "location_id"),
    // `subtotal` itself is a JSON number, which may have lost decimals. The set has text.
    JsonField("subtotal", FieldKind::Money, "subtotal_set.shop_money.amount"),
    JsonField("total_tax", FieldKind::Money, "total_tax_set.shop_money.amount"),
];

const TRANSACTION_FIELDS: &[JsonField] = &[
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("parent_id", FieldKind::Id, "parent_id"),
    JsonField("kind", FieldKind::Text, "kind"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("gateway", FieldKind::Text, "gateway"),
    JsonField("amount", FieldKind::Money, "amount"),
    JsonField("currency", FieldKind::Text, "currency"),
    JsonField("test", FieldKind::Boolean, "test"),
    JsonField("error_code", FieldKind::Text, "error_code"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("processed_at", FieldKind::Time, "processed_at"),
];

/// Handles a refund. Topic: `refunds/create`. Writes `refunds` with `refund_lines`, and `order_transactions`.
pub struct RefundHandler;

impl Handler for RefundHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let mut plan = Plan::default();
        add_refund(event, &read_body(event)?, None, &mut plan)?;
        Ok(plan)
    }
}

/// Handles a payment transaction. Topic: `order_transactions/create`. Writes `order_transactions`.
pub struct OrderTransactionHandler;

impl Handler for OrderTransactionHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let mut plan = Plan::default();
        add_transaction(event, &read_body(event)?, &mut plan)?;
        Ok(plan)
    }
}

/// Adds a refund, which is the body itself or part of its order.
pub(crate) fn add_refund(
    event: &Event<'_>,
    refund: &JsonValue,
    order_id: Option<i64>,
    plan: &mut Plan,
) -> Result<(), HandlerError> {
    let mut row = build_resource_row(event, REFUNDS, refund, REFUND_FIELDS)?;
    add_order_id(&mut row.columns, order_id);
    row.lists.extend(build_list("refund_lines", refund.get("refund_line_items"), REFUND_LINE_FIELDS, false)?);
    plan.subjects.push(Subject::new("refund", require_entity_id(refund, "id", REFUNDS)?));
    plan.subjects.extend(find_order_subject(refund));
    plan.changes.push(Change::Row(row));
    let has_id = |transaction: &&JsonValue| transaction.get("id").and_then(fields::parse_entity_id).is_some();
    iter_array(refund, "transactions")
        .filter(has_id)
        .try_for_each(|transaction| add_transaction(event, transaction, plan))
}

fn add_transaction(event: &Event<'_>, transaction: &JsonValue, plan: &mut Plan) -> Result<(), HandlerError> {
    plan.changes.push(Change::Row(build_resource_row(event, ORDER_TRANSACTIONS, transaction, TRANSACTION_FIELDS)?));
    plan.subjects.extend(find_order_subject(transaction));
    plan.subjects.push(Subject::new("transaction", require_entity_id(transaction, "id", ORDER_TRANSACTIONS)?));
    Ok(())
}

/// Returns the order that a resource names by `order_id`.
pub(crate) fn find_order_subject(body: &JsonValue) -> Option<Subject> {
    body.get("order_id").and_then(fields::parse_entity_id).map(|order| Subject::new("order", order))
}

/// Adds the id of the enclosing order to a row that does not state it.
pub(crate) fn add_order_id(columns: &mut Vec<(&'static str, crate::changes::rows::CellValue)>, order_id: Option<i64>) {
    if let Some(order_id) = order_id
        && !columns.iter().any(|(name, _)| *name == "order_id")
    {
        columns.push(("order_id", order_id.into()));
    }
}
