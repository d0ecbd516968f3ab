//! The three privacy topics that each Shopify app must handle: `customers/data_request`, `customers/redact`,
//! `shop/redact`.
//!
//! Shopify requires that a request is met within 30 days (shopify.dev, "Privacy law compliance"). A redaction runs at
//! once. A person hands over a customer's data, so a data request has a deadline that `novex-ingest privacy list`
//! shows.

use crate::changes::Change;
use crate::changes::privacy::{NewDataRequest, Redaction};
use crate::clock;
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::body_shapes::{names_no_real_shop, read_body};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;
use std::time::Duration;

/// Shopify's time limit for a data request.
const REQUEST_DEADLINE_DAYS: u64 = 30;

/// Returns the plan for one of Shopify's sample bodies, which names `{shop}` in place of a shop.
fn note_sample() -> Plan {
    Plan::note_only("stored only: the body is Shopify's sample and names no shop")
}

/// Handles the redaction of a customer. Topic: `customers/redact`.
///
/// Writes `redactions` and `redacted_subjects`, and erases the customer's data in the events and ERP tables.
pub struct CustomerRedactHandler;

impl Handler for CustomerRedactHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        if names_no_real_shop(&body) {
            return Ok(note_sample());
        }
        let customer = body.get("customer").unwrap_or(&JsonValue::Null);
        let customer_id = customer.get("id").and_then(fields::parse_entity_id);
        let (email, phone) = (read_text(customer, "email"), read_text(customer, "phone"));
        let orders: Vec<i64> = iter_array(&body, "orders_to_redact").filter_map(fields::parse_entity_id).collect();
        if customer_id.is_none() && email.is_none() && phone.is_none() && orders.is_empty() {
            return Err(HandlerError::Permanent(
                "nothing was erased: the body names no customer and no orders".to_owned(),
            ));
        }
        Ok(Plan { redaction: Some(Redaction::Customer { customer_id, email, phone, orders }), ..Plan::default() })
    }
}

/// Handles the redaction of a shop. Topic: `shop/redact`.
///
/// Writes `redactions` and `redacted_subjects`, and erases all data of the shop in the events and ERP tables.
pub struct ShopRedactHandler;

impl Handler for ShopRedactHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        if names_no_real_shop(&body) {
            return Ok(note_sample());
        }
        Ok(Plan { redaction: Some(Redaction::Shop), ..Plan::default() })
    }
}

/// Handles a customer's request for their data. Topic: `customers/data_request`. Writes `data_requests`.
pub struct DataRequestHandler;

impl Handler for DataRequestHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        if names_no_real_shop(&body) {
            return Ok(note_sample());
        }
        let read_id =
            |object: &str| body.get(object).and_then(|object| object.get("id")).and_then(fields::parse_entity_id);
        let request = NewDataRequest {
            request_id: read_id("data_request"),
            customer_id: read_id("customer"),
            orders: iter_array(&body, "orders_requested").filter_map(fields::parse_entity_id).collect(),
            requested_at: clock::format_timestamp(event.sent_at()),
            due_at: clock::format_timestamp(clock::add_duration(
                event.sent_at(),
                Duration::from_hours(24 * REQUEST_DEADLINE_DAYS),
            )),
        };
        let note = Some(
            "a customer requests their data: `novex-ingest privacy list` shows the deadline, `privacy export` the data"
                .to_owned(),
        );
        let subjects = request.customer_id.map(|id| crate::event::Subject::new("customer", id)).into_iter().collect();
        Ok(Plan { changes: vec![Change::DataRequest(request)], subjects, note, ..Plan::default() })
    }
}
