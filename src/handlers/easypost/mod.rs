//! EasyPost's events: trackers → `shipments` and `tracking_events`; everything else → `easypost_objects`.
//!
//! The body is an Event whose `result` is the object as of the event, with its own `updated_at`; `result.object` says what it
//! is. `mode` keeps test and production apart. A tracking code comes back after some months with another package, so the
//! tracker's id is the key (EasyPost/easypost-node `types/Tracker`, docs.easypost.com/docs/events).

pub mod objects;
pub mod trackers;

use super::json::text;
use serde_json::Value;

/// The object of an event; the event itself when somebody posts the bare object.
fn result(body: &Value) -> &Value {
    body.get("result").filter(|result| result.is_object()).unwrap_or(body)
}

/// `production` or `test`. The object knows best; an event that does not say is taken for a test: nothing of production is
/// touched by a doubt.
fn mode(body: &Value) -> String {
    let stated = text(result(body), "mode").or_else(|| text(body, "mode"));
    if stated.as_deref() == Some("production") { "production" } else { "test" }.to_owned()
}
