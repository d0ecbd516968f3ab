//! Shopify's orders → `sales_orders` and `sales_order_lines`.
//!
//! The body is the REST Admin API's Order resource. `include_fields` on a subscription may cut it down to a few fields, so
//! only `id` may be assumed; ids have up to 64 bits; money is decimal text (Shopify/shopify-app-js,
//! `packages/apps/shopify-api/rest/admin/2026-07/order.ts`).

use super::json::{flag, integer, items, money, parse, text, time};
use super::{Done, Event, Handler, Trouble};
use crate::clock;
use crate::store::claims::Change;
use crate::store::sales_orders::{SalesOrder, SalesOrderLine};
use serde_json::Value;

/// `orders/create` and the other topics that carry the whole order.
pub struct Orders;

impl Handler for Orders {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let order = order(&parse(event.body)?, event)?;
        Ok(Done { changes: vec![Change::SalesOrder(Box::new(order))], note: None })
    }
}

fn order(body: &Value, event: &Event<'_>) -> Result<SalesOrder, Trouble> {
    let order_id = integer(body, "id").ok_or_else(|| Trouble::Permanent("the order has no id".to_owned()))?;
    let created_at = time(body, "created_at")?;
    // Without its own time an order is as old as the event: better placed by that than dropped.
    let updated_at =
        time(body, "updated_at")?.or_else(|| created_at.clone()).unwrap_or_else(|| clock::text(event.received_at));
    Ok(SalesOrder {
        order_id,
        name: text(body, "name"),
        currency: text(body, "currency"),
        total: money(body, "total_price")?,
        subtotal: money(body, "subtotal_price")?,
        total_tax: money(body, "total_tax")?,
        total_discounts: money(body, "total_discounts")?,
        financial_status: text(body, "financial_status"),
        fulfillment_status: text(body, "fulfillment_status"),
        po_number: text(body, "po_number"),
        customer_id: body.get("customer").and_then(|customer| integer(customer, "id")),
        email: text(body, "email").or_else(|| text(body, "contact_email")),
        test: flag(body, "test"),
        created_at,
        updated_at,
        cancelled_at: time(body, "cancelled_at")?,
        lines: items(body, "line_items").map(line).collect::<Result<_, _>>()?,
    })
}

fn line(line: &Value) -> Result<SalesOrderLine, Trouble> {
    Ok(SalesOrderLine {
        line_id: integer(line, "id").ok_or_else(|| Trouble::Permanent("a line of the order has no id".to_owned()))?,
        sku: text(line, "sku"),
        product_id: integer(line, "product_id"),
        variant_id: integer(line, "variant_id"),
        title: text(line, "title"),
        variant_title: text(line, "variant_title"),
        quantity: integer(line, "quantity")
            .ok_or_else(|| Trouble::Permanent("a line of the order has no whole quantity".to_owned()))?,
        price: money(line, "price")?,
        total_discount: money(line, "total_discount")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn plan(body: &str) -> Result<SalesOrder, Trouble> {
        let event = Event {
            id: 1,
            source: "shopify",
            shop_domain: "acme-foods.myshopify.com",
            topic: "orders/create",
            received_at: Timestamp::UNIX_EPOCH,
            body: body.as_bytes(),
        };
        let mut done = Orders.plan(&event)?;
        let Some(Change::SalesOrder(order)) = done.changes.pop() else { panic!("an order writes an order") };
        Ok(*order)
    }

    #[test]
    fn a_whole_order() {
        let order = plan(include_str!("../cli/samples/orders-create.json")).unwrap();
        assert_eq!(order.order_id, 5_820_982_911_946_154_508);
        assert_eq!(order.total.as_deref(), Some("217.44"));
        assert_eq!(order.updated_at, "2026-11-23T20:30:05.000Z");
        assert_eq!(order.lines.len(), 2);
        assert_eq!(order.lines[0].sku.as_deref(), Some("GRANOLA-12"));
        assert_eq!(order.lines[1].quantity, 4);
    }

    #[test]
    fn only_the_id_is_needed() {
        let order = plan(r#"{"id":1}"#).unwrap();
        assert_eq!((order.order_id, order.updated_at.as_str()), (1, "1970-01-01T00:00:00.000Z"));
        assert!(matches!(plan("{}"), Err(Trouble::Permanent(_))));
    }

    #[test]
    fn fields_of_other_types_do_not_fail_it() {
        let order = plan(r#"{"id":"7","name":{"new":"shape"},"line_items":null,"customer":[],"new":1}"#).unwrap();
        assert_eq!((order.order_id, order.name), (7, None));
    }

    #[test]
    fn wrong_money_or_time_fails_it_for_good() {
        for wrong in [r#"{"id":1,"total_price":"abc"}"#, r#"{"id":1,"updated_at":"yesterday"}"#] {
            assert!(matches!(plan(wrong), Err(Trouble::Permanent(_))), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(body: Vec<u8>) {
            let event = Event { id: 1, source: "", shop_domain: "", topic: "", received_at: Timestamp::UNIX_EPOCH, body: &body };
            let _ = Orders.plan(&event);
        }
    }
}
