//! Events that nothing handles: completed, with a note, and kept like any other.

use super::fields;
use super::{Done, Event, Handler, Trouble};
use crate::store::changes::Subject;
use serde_json::Value;

/// The end of the table of routes.
pub struct Unhandled;

impl Handler for Unhandled {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let note = format!("stored only: nothing handles {} {}", event.source, event.topic);
        Ok(Done { subjects: subjects_of(event.source, event.topic, event.body), ..Done::note(note) })
    }
}

/// Whom a body names where nearly all of Shopify's do: so that an event that nothing handles, or that fails, is found with the
/// rest of them and erased with it.
#[must_use]
pub fn subjects_of(source: &str, topic: &str, body: &[u8]) -> Vec<Subject> {
    if source != "shopify" {
        return Vec::new();
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let number = |pointers: &[&str]| pointers.iter().find_map(|pointer| body.pointer(pointer).and_then(fields::id));
    let own = |family: &str| topic.starts_with(family).then(|| number(&["/id"])).flatten();
    let order = own("orders/").or_else(|| number(&["/order_id", "/order/id"]));
    let customer = own("customers/").or_else(|| number(&["/customer_id", "/customer/id"]));
    let subject = |kind, id: Option<i64>| id.map(|id| Subject::new(kind, id));
    subject("order", order).into_iter().chain(subject("customer", customer)).collect()
}
