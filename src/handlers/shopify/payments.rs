//! Payment transactions of orders.

use crate::changes::Change;
use crate::changes::catalogue::ORDER_TRANSACTIONS;
use crate::changes::rows::RowChange;
use crate::event::Subject;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::{build_resource_row, require_entity_id};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

const TRANSACTION_FIELDS: &[JsonField] = &[
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("parent_id", FieldKind::Id, "parent_id"),
    JsonField("kind", FieldKind::Text, "kind"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("gateway", FieldKind::Text, "gateway"),
    JsonField("amount", FieldKind::Money, "amount"),
    JsonField("currency", FieldKind::Text, "currency"),
    JsonField("shop_amount", FieldKind::Money, "amount_set.shop_money.amount"),
    JsonField("presentment_amount", FieldKind::Money, "amount_set.presentment_money.amount"),
    JsonField("test", FieldKind::Boolean, "test"),
    JsonField("error_code", FieldKind::Text, "error_code"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("processed_at", FieldKind::Time, "processed_at"),
];

/// Handles a payment transaction. Topic: `order_transactions/create`. Writes `order_transactions`.
pub struct OrderTransactionHandler;

impl Handler for OrderTransactionHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let mut plan = Plan::default();
        let row = build_transaction_row(event, &read_body(event)?, &mut plan)?;
        plan.changes.push(Change::Row(row));
        Ok(plan)
    }
}

/// Builds the row of a transaction and adds its subjects.
pub(super) fn build_transaction_row(
    event: &Event<'_>,
    transaction: &JsonValue,
    plan: &mut Plan,
) -> Result<RowChange, HandlerError> {
    let row = build_resource_row(event, ORDER_TRANSACTIONS, transaction, TRANSACTION_FIELDS)?;
    plan.subjects.extend(find_order_subject(transaction));
    plan.subjects.push(Subject::new("transaction", require_entity_id(transaction, "id", ORDER_TRANSACTIONS)?));
    Ok(row)
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
