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
        Ok(Done { subjects: subjects(event), ..Done::note(note) })
    }
}

/// Whom it names where nearly all bodies do: so that it is found with the rest of them, and erased with it.
fn subjects(event: &Event<'_>) -> Vec<Subject> {
    let Ok(body) = serde_json::from_slice::<Value>(event.body) else { return Vec::new() };
    let number = |pointers: &[&str]| pointers.iter().find_map(|pointer| body.pointer(pointer).and_then(fields::id));
    let order = number(&["/order_id", "/order/id"]).map(|id| Subject::new("order", id));
    let customer = number(&["/customer_id", "/customer/id"]).map(|id| Subject::new("customer", id));
    order.into_iter().chain(customer).collect()
}
