//! `refunds/create` → `refunds`, `order_transactions/create` → `order_transactions`.

use super::{list, required, resource};
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{items, parse};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::tables::{ORDER_TRANSACTIONS, REFUNDS};
use serde_json::Value;

const REFUND: &[Field] = &[
    Field("order_id", Kind::Id, "order_id"),
    Field("note", Kind::Text, "note"),
    Field("restock", Kind::Flag, "restock"),
    Field("user_id", Kind::Id, "user_id"),
    Field("return_id", Kind::Id, "return.id"),
    Field("created_at", Kind::Time, "created_at"),
    Field("processed_at", Kind::Time, "processed_at"),
];

const REFUND_LINE: &[Field] = &[
    Field("refund_line_id", Kind::Id, "id"),
    Field("line_id", Kind::Id, "line_item_id"),
    Field("quantity", Kind::Integer, "quantity"),
    Field("restock_type", Kind::Text, "restock_type"),
    Field("location_id", Kind::Id, "location_id"),
    // `subtotal` itself is a JSON number: its decimals may have been cut, the set's are text.
    Field("subtotal", Kind::Money, "subtotal_set.shop_money.amount"),
    Field("total_tax", Kind::Money, "total_tax_set.shop_money.amount"),
];

const TRANSACTION: &[Field] = &[
    Field("order_id", Kind::Id, "order_id"),
    Field("parent_id", Kind::Id, "parent_id"),
    Field("kind", Kind::Text, "kind"),
    Field("status", Kind::Text, "status"),
    Field("gateway", Kind::Text, "gateway"),
    Field("amount", Kind::Money, "amount"),
    Field("currency", Kind::Text, "currency"),
    Field("test", Kind::Flag, "test"),
    Field("error_code", Kind::Text, "error_code"),
    Field("created_at", Kind::Time, "created_at"),
    Field("processed_at", Kind::Time, "processed_at"),
];

/// `refunds/create`.
pub struct Refunds;

impl Handler for Refunds {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let mut done = Done::default();
        add_refund(event, &parse(event.body)?, None, &mut done)?;
        Ok(done)
    }
}

/// `order_transactions/create`.
pub struct Transactions;

impl Handler for Transactions {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let mut done = Done::default();
        add_transaction(event, &parse(event.body)?, &mut done)?;
        Ok(done)
    }
}

/// A refund, by itself or inside its order.
pub(super) fn add_refund(
    event: &Event<'_>,
    refund: &Value,
    order_id: Option<i64>,
    done: &mut Done,
) -> Result<(), Trouble> {
    let mut row = resource(event, REFUNDS, refund, REFUND)?;
    in_order(&mut row.columns, order_id);
    row.lists.extend(list("refund_lines", refund.get("refund_line_items"), REFUND_LINE, false)?);
    done.subjects.push(Subject::new("refund", required(refund, "id", REFUNDS)?));
    done.subjects.extend(order_of(refund));
    done.changes.push(Change::Row(row));
    let named = |transaction: &&Value| transaction.get("id").and_then(fields::id).is_some();
    items(refund, "transactions").filter(named).try_for_each(|transaction| add_transaction(event, transaction, done))
}

fn add_transaction(event: &Event<'_>, transaction: &Value, done: &mut Done) -> Result<(), Trouble> {
    done.changes.push(Change::Row(resource(event, ORDER_TRANSACTIONS, transaction, TRANSACTION)?));
    done.subjects.extend(order_of(transaction));
    Ok(())
}

/// The order that a resource names by `order_id`.
pub(super) fn order_of(body: &Value) -> Option<Subject> {
    body.get("order_id").and_then(fields::id).map(|order| Subject::new("order", order))
}

/// What stands inside an order belongs to it, also where it does not repeat the order's number.
pub(super) fn in_order(columns: &mut Vec<(&'static str, crate::store::projection::Cell)>, order_id: Option<i64>) {
    if let Some(order_id) = order_id
        && !columns.iter().any(|(name, _)| *name == "order_id")
    {
        columns.push(("order_id", order_id.into()));
    }
}
