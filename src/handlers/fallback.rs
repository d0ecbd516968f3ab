//! Events without a route: they complete with a note and stay stored like any other event.

use crate::event::Subject;
use crate::handlers::json::parse_event_body;
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::{JsonValue, parse_lenient_json};

/// Handles each event without a route: any other topic of any source. Writes no table.
pub struct FallbackHandler;

impl Handler for FallbackHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let note = format!("stored only: no handler for {} {}", event.source(), event.topic());
        let subjects = match event.source() {
            "shopify" => parse_event_body(event).map(|body| list_subjects(event.topic(), &body)).unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Plan { subjects, ..Plan::note_only(note) })
    }
}

/// Returns the order and customer of a Shopify body, from the fields that nearly all of its topics use.
///
/// An event that has no handler, or that fails, can thus be searched and redacted like the others.
#[must_use]
pub fn find_subjects(source: &str, topic: &str, body: &[u8]) -> Vec<Subject> {
    if source != "shopify" {
        return Vec::new();
    }
    parse_lenient_json(body).map(|read| list_subjects(topic, &read.value)).unwrap_or_default()
}

fn list_subjects(topic: &str, body: &JsonValue) -> Vec<Subject> {
    let find = |path: &str| path.split('.').try_fold(body, |value, name| value.get(name));
    let read_id = |paths: &[&str]| paths.iter().find_map(|path| find(path).and_then(fields::parse_entity_id));
    let read_own_id = |family: &str| topic.starts_with(family).then(|| read_id(&["id"])).flatten();
    let order = read_own_id("orders/").or_else(|| read_id(&["order_id", "order.id"]));
    let customer = read_own_id("customers/").or_else(|| read_id(&["customer_id", "customer.id"]));
    let subject = |kind, id: Option<i64>| id.map(|id| Subject::new(kind, id));
    subject("order", order).into_iter().chain(subject("customer", customer)).collect()
}
