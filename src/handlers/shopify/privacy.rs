//! The three topics that every app must follow: `customers/data_request`, `customers/redact`, `shop/redact`.
//!
//! Shopify asks that a request be met within 30 days (shopify.dev, "Privacy law compliance"). Erasing is done at once; handing a
//! customer's data over is a person's doing, so it has a deadline that people are shown.

use crate::clock;
use crate::handlers::fields;
use crate::handlers::json::{items, parse, text};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::Change;
use crate::store::erasure::Erasure;
use crate::store::privacy::Asked;
use serde_json::Value;
use std::time::Duration;

/// Shopify's limit.
const DAYS: u64 = 30;

/// `customers/redact`.
pub struct RedactCustomer;

impl Handler for RedactCustomer {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let customer = body.get("customer").unwrap_or(&Value::Null);
        let customer_id = customer.get("id").and_then(fields::id);
        let (email, phone) = (text(customer, "email"), text(customer, "phone"));
        let orders: Vec<i64> = items(&body, "orders_to_redact").filter_map(fields::id).collect();
        if customer_id.is_none() && email.is_none() && phone.is_none() && orders.is_empty() {
            return Err(Trouble::Permanent(
                "the body names no customer and no orders: it cannot be told whose data is to go".to_owned(),
            ));
        }
        if text(&body, "shop_domain").is_some_and(|named| !named.eq_ignore_ascii_case(event.shop_domain)) {
            return Ok(Done::note("nothing was erased: the body names another shop than the delivery"));
        }
        Ok(Done { erase: Some(Erasure::Customer { customer_id, email, phone, orders }), ..Done::default() })
    }
}

/// `shop/redact`.
pub struct RedactShop;

impl Handler for RedactShop {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        // The header is not signed, the body is, and shops of one app share its secret: both must name the shop.
        match text(&body, "shop_domain") {
            Some(named) if named.eq_ignore_ascii_case(event.shop_domain) => {
                Ok(Done { erase: Some(Erasure::Shop), ..Done::default() })
            }
            _ => Ok(Done::note("nothing was erased: the body does not name the shop that the delivery names")),
        }
    }
}

/// `customers/data_request`.
pub struct DataRequest;

impl Handler for DataRequest {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let inside = |object: &str| body.get(object).and_then(|object| object.get("id")).and_then(fields::id);
        let asked = Asked {
            request_id: inside("data_request"),
            customer_id: inside("customer"),
            orders: items(&body, "orders_requested").filter_map(fields::id).collect(),
            requested_at: clock::text(event.sent_at()),
            due_at: clock::text(clock::after(event.sent_at(), Duration::from_hours(24 * DAYS))),
        };
        let note = Some(
            "a customer asks for their data: `novex-ingest privacy list` shows until when, and exports it".to_owned(),
        );
        let subjects =
            asked.customer_id.map(|id| crate::store::changes::Subject::new("customer", id)).into_iter().collect();
        Ok(Done { changes: vec![Change::DataRequest(asked)], subjects, note, ..Done::default() })
    }
}
