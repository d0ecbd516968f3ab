//! EasyPost's events: trackers are written to `shipments` and `tracking_events`, all other objects to
//! `easypost_objects`.
//!
//! The body is an Event. Its `result` is the object at the time of the event, with its own `updated_at`;
//! `result.object` is the type of the object. `mode` separates test and production. Carriers reuse a tracking code
//! after some months for another package, so the tracker's id is the key (EasyPost/easypost-node `types/Tracker`,
//! docs.easypost.com/docs/events).

pub mod objects;
pub mod trackers;

use crate::handlers::json::read_text;
use crate::lenient_json::JsonValue;

/// Returns the object of an event, or the body itself if it is a bare object.
fn find_event_object(body: &JsonValue) -> &JsonValue {
    body.get("result").filter(|result| result.is_object()).unwrap_or(body)
}

/// Returns `production` or `test`. The mode of the object takes precedence over that of the event.
///
/// An event without a mode counts as a test, so that it cannot change production data.
fn read_mode(body: &JsonValue) -> String {
    let stated = read_text(find_event_object(body), "mode").or_else(|| read_text(body, "mode"));
    if stated.as_deref() == Some("production") { "production" } else { "test" }.to_owned()
}
