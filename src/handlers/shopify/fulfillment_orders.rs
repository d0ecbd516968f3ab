//! `fulfillment_orders/…` → `fulfillment_orders` and `fulfillment_holds`, `fulfillment_holds/…` → `fulfillment_holds`.
//!
//! Every topic of this family has a shape of its own, and none has a time: a body names one or more fulfillment orders, each
//! with the little that changed. All of them are taken from wherever they stand in the body.

use super::fact;
use super::payments::order_of;
use crate::clock;
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{items, parse, text};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::Cell;
use crate::store::tables::{FULFILLMENT_HOLDS, FULFILLMENT_ORDERS};
use serde_json::Value;

const FULFILLMENT_ORDER: &[Field] = &[
    Field("order_id", Kind::Id, "order_id"),
    Field("status", Kind::Text, "status"),
    Field("request_status", Kind::Text, "request_status"),
    Field("location_id", Kind::Id, "assigned_location_id"),
    Field("fulfill_at", Kind::Time, "fulfill_at"),
    Field("fulfill_by", Kind::Time, "fulfill_by"),
    Field("delivery_method", Kind::Text, "delivery_method.method_type"),
];

const HOLD: &[Field] = &[
    Field("reason", Kind::Text, "reason"),
    Field("reason_notes", Kind::Text, "reason_notes"),
    Field("handle", Kind::Text, "handle"),
];

/// Where a fulfillment order stands in a body, and what it is to the one that the event is about. Of two names for one place
/// in the same body the later has the last word.
const PLACES: &[(&str, Role)] = &[
    ("original_fulfillment_order", Role::Itself),
    ("fulfillment_order", Role::Itself),
    ("submitted_fulfillment_order", Role::Itself),
    ("unsubmitted_fulfillment_order", Role::SplitOff),
    ("remaining_fulfillment_order", Role::SplitOff),
    ("moved_fulfillment_order", Role::SplitOff),
    ("replacement_fulfillment_order", Role::Replacement),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Itself,
    SplitOff,
    Replacement,
}

/// Every `fulfillment_orders/…` topic.
pub struct FulfillmentOrders;

impl Handler for FulfillmentOrders {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let mut done = Done::default();
        let main =
            PLACES.iter().filter(|(_, role)| *role == Role::Itself).find_map(|(field, _)| number(body.get(*field)?));
        let mut rows: Vec<(i64, Vec<(&'static str, Cell)>)> = Vec::new();
        for (field, role) in PLACES {
            let Some(place) = body.get(*field) else { continue };
            let Some(id) = number(place) else { continue };
            let mut columns = stated(event, place)?;
            match role {
                Role::Itself => {
                    if let Some(message) = text(&body, "message") {
                        columns.push(("message", message.into()));
                    }
                    let replacement = body.get("replacement_fulfillment_order").and_then(number);
                    columns.extend(replacement.filter(|other| *other != id).map(|other| ("replaced_by", other.into())));
                }
                Role::SplitOff | Role::Replacement => {
                    columns.extend(main.filter(|main| *main != id).map(|main| ("split_from", main.into())));
                }
            }
            rows.push((id, columns));
            for hold in items(place, "fulfillment_holds") {
                done.changes.extend(held(event, hold, Some(id))?);
            }
            done.subjects.extend(order_of(place));
        }
        // `fulfillment_orders/merged` has its result one step deeper.
        let found = body.get("fulfillment_order_merges");
        let merges =
            found.map_or(&[][..], |merges| merges.as_array().map_or(std::slice::from_ref(merges), Vec::as_slice));
        for merged in merges.iter().filter_map(|merge| merge.get("fulfillment_order")) {
            rows.extend(number(merged).map(|id| stated(event, merged).map(|columns| (id, columns))).transpose()?);
        }
        if let Some(hold) = body.get("created_fulfillment_hold") {
            done.changes.extend(held(event, hold, main)?);
        }
        if rows.is_empty() {
            return Ok(Done::note(format!("stored only: this {} names no fulfillment order by its id", event.topic)));
        }
        let mut distinct: Vec<(i64, Vec<(&'static str, Cell)>)> = Vec::new();
        for (id, columns) in rows {
            match distinct.iter_mut().find(|(other, _)| *other == id) {
                Some((_, known)) => {
                    known.retain(|(name, _)| !columns.iter().any(|(other, _)| other == name));
                    known.extend(columns);
                }
                None => distinct.push((id, columns)),
            }
        }
        for (id, columns) in distinct {
            done.subjects.push(Subject::new("fulfillment_order", id));
            done.changes.push(Change::Row(fact(event, FULFILLMENT_ORDERS, vec![id.into()], columns)));
        }
        Ok(done)
    }
}

/// `fulfillment_holds/added` and `fulfillment_holds/released`.
pub struct Holds;

impl Handler for Holds {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let of = body.get("fulfillment_order").and_then(number);
        let hold = body.get("fulfillment_hold").unwrap_or(&Value::Null);
        let Some(change) = held(event, hold, of)? else {
            return Ok(Done::note(format!("stored only: this {} names no hold by its id", event.topic)));
        };
        let subjects = of.map(|of| Subject::new("fulfillment_order", of)).into_iter().collect();
        Ok(Done { changes: vec![change], subjects, ..Done::default() })
    }
}

fn stated(event: &Event<'_>, body: &Value) -> Result<Vec<(&'static str, Cell)>, Trouble> {
    let mut columns = fields::stated(body, FULFILLMENT_ORDER)?;
    columns.push(("last_topic", event.topic.into()));
    columns.push(("changed_at", clock::text(event.sent_at()).into()));
    Ok(columns)
}

fn held(event: &Event<'_>, hold: &Value, of: Option<i64>) -> Result<Option<Change>, Trouble> {
    let Some(id) = number(hold) else { return Ok(None) };
    let mut columns = fields::stated(hold, HOLD)?;
    columns.extend(of.map(|of| ("fulfillment_order_id", of.into())));
    let at: Cell = clock::text(event.sent_at()).into();
    // Each of the two is stated by one kind of event alone, so that neither overwrites the other.
    columns.push((if event.topic == "fulfillment_holds/released" { "released_at" } else { "held_at" }, at));
    Ok(Some(Change::Row(fact(event, FULFILLMENT_HOLDS, vec![id.into()], columns))))
}

fn number(body: &Value) -> Option<i64> {
    body.get("id").and_then(fields::id)
}
