//! Fulfillment orders and their holds.
//!
//! Each topic of this family has its own shape, and none has a time. A body names one or more fulfillment orders, each
//! with the fields that changed. The handler reads all of them, in whatever field of the body they are.

use crate::changes::Change;
use crate::changes::catalogue::{FULFILLMENT_HOLDS, FULFILLMENT_ORDERS};
use crate::changes::rows::CellValue;
use crate::clock;
use crate::event::Subject;
use crate::handlers::extras::add_extras;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::build_row;
use crate::handlers::shopify::payments::find_order_subject;
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::{JsonObject, JsonValue};
use std::rc::Rc;

const FULFILLMENT_ORDER_FIELDS: &[JsonField] = &[
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("request_status", FieldKind::Text, "request_status"),
    JsonField("location_id", FieldKind::Id, "assigned_location_id"),
    JsonField("fulfill_at", FieldKind::Time, "fulfill_at"),
    JsonField("fulfill_by", FieldKind::Time, "fulfill_by"),
    JsonField("delivery_method", FieldKind::Text, "delivery_method.method_type"),
];

const HOLD_FIELDS: &[JsonField] = &[
    JsonField("reason", FieldKind::Text, "reason"),
    JsonField("reason_notes", FieldKind::Text, "reason_notes"),
    JsonField("handle", FieldKind::Text, "handle"),
];

/// Fields of a body that hold a fulfillment order, with its role in the event.
///
/// If one body names the same fulfillment order twice, the later field wins.
const FULFILLMENT_ORDER_ROLES: &[(&str, FulfillmentOrderRole)] = &[
    ("original_fulfillment_order", FulfillmentOrderRole::Main),
    ("fulfillment_order", FulfillmentOrderRole::Main),
    ("submitted_fulfillment_order", FulfillmentOrderRole::Main),
    ("unsubmitted_fulfillment_order", FulfillmentOrderRole::SplitOff),
    ("remaining_fulfillment_order", FulfillmentOrderRole::SplitOff),
    ("moved_fulfillment_order", FulfillmentOrderRole::SplitOff),
    ("replacement_fulfillment_order", FulfillmentOrderRole::Replacement),
];

/// Role of a fulfillment order in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FulfillmentOrderRole {
    /// The event is about it.
    Main,
    /// It got a part of the main one.
    SplitOff,
    /// It replaces the main one.
    Replacement,
}

/// Handles fulfillment orders. Topics: `fulfillment_orders/*`. Writes `fulfillment_orders` and `fulfillment_holds`.
pub struct FulfillmentOrderHandler;

impl Handler for FulfillmentOrderHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let mut plan = Plan::default();
        let main = FULFILLMENT_ORDER_ROLES
            .iter()
            .filter(|(_, role)| *role == FulfillmentOrderRole::Main)
            .find_map(|(field, _)| read_entity_id(body.get(field)?));
        let mut rows: Vec<StatedFulfillmentOrder<'_>> = Vec::new();
        for (field, role) in FULFILLMENT_ORDER_ROLES {
            let Some(object) = body.get(field) else { continue };
            let Some(id) = read_entity_id(object) else { continue };
            let mut columns = read_fulfillment_order_columns(event, object)?;
            match role {
                FulfillmentOrderRole::Main => {
                    if let Some(message) = read_text(&body, "message") {
                        columns.push(("message", message.into()));
                    }
                    let replacement = body.get("replacement_fulfillment_order").and_then(read_entity_id);
                    columns.extend(replacement.filter(|other| *other != id).map(|other| ("replaced_by", other.into())));
                }
                FulfillmentOrderRole::SplitOff | FulfillmentOrderRole::Replacement => {
                    columns.extend(main.filter(|main| *main != id).map(|main| ("split_from", main.into())));
                }
            }
            rows.push(StatedFulfillmentOrder { id, object, columns });
            for hold in iter_array(object, "fulfillment_holds") {
                plan.changes.extend(build_hold_change(event, hold, Some(id))?);
            }
            plan.subjects.extend(find_order_subject(object));
        }
        // `fulfillment_orders/merged` has its result one level deeper.
        for merged in list_merges(&body).iter().filter_map(|merge| merge.get("fulfillment_order")) {
            let Some(id) = read_entity_id(merged) else { continue };
            rows.push(StatedFulfillmentOrder {
                id,
                object: merged,
                columns: read_fulfillment_order_columns(event, merged)?,
            });
        }
        let hold = body.get("created_fulfillment_hold");
        if let Some(hold) = hold {
            plan.changes.extend(build_hold_change(event, hold, main)?);
        }
        if rows.is_empty() {
            return Ok(Plan::note_only(format!("stored only: {} has no fulfillment order with an id", event.topic())));
        }
        let mut rows = merge_columns(rows);
        add_fulfillment_order_extras(&mut rows, &body)?;
        for StatedFulfillmentOrder { id, columns, .. } in rows {
            plan.subjects.push(Subject::new("fulfillment_order", id));
            plan.changes.push(Change::Row(build_row(event, FULFILLMENT_ORDERS, vec![id.into()], columns)));
        }
        plan.subjects.extend(hold.and_then(read_entity_id).map(|id| Subject::new("hold", id)));
        Ok(plan)
    }
}

fn list_merges(body: &JsonValue) -> &[JsonValue] {
    let merges = body.get("fulfillment_order_merges");
    merges.map_or(&[][..], |merges| merges.as_array().unwrap_or(std::slice::from_ref(merges)))
}

/// A fulfillment order that a body states.
struct StatedFulfillmentOrder<'b> {
    id: i64,
    object: &'b JsonValue,
    columns: Vec<(&'static str, CellValue)>,
}

/// Puts the columns of one fulfillment order together; the later ones win.
fn merge_columns(rows: Vec<StatedFulfillmentOrder<'_>>) -> Vec<StatedFulfillmentOrder<'_>> {
    let mut distinct: Vec<StatedFulfillmentOrder<'_>> = Vec::new();
    for row in rows {
        match distinct.iter_mut().find(|known| known.id == row.id) {
            Some(known) => {
                known.columns.retain(|(name, _)| !row.columns.iter().any(|(other, _)| other == name));
                known.columns.extend(row.columns);
                known.object = row.object;
            }
            None => distinct.push(row),
        }
    }
    distinct
}

/// Adds the column `extras`. That of the first fulfillment order has the fields beside it too, in `event`.
fn add_fulfillment_order_extras(rows: &mut [StatedFulfillmentOrder<'_>], body: &JsonValue) -> Result<(), HandlerError> {
    let written: Vec<*const JsonValue> = rows.iter().map(|row| std::ptr::from_ref(row.object)).collect();
    // An object whose fulfillment order is named again by a later field is no row.
    let is_written = |name: &str, value: &JsonValue| match name {
        "message" => value.as_str().is_some(),
        "created_fulfillment_hold" => read_entity_id(value).is_some(),
        "fulfillment_order_merges" => {
            list_merges(body)
                .iter()
                .filter_map(|merge| merge.get("fulfillment_order"))
                .all(|merged| written.contains(&std::ptr::from_ref(merged)))
                && list_merges(body).iter().all(|merge| merge.get("fulfillment_order").is_some())
        }
        _ => written.contains(&std::ptr::from_ref(value)),
    };
    for (index, row) in rows.iter_mut().enumerate() {
        let with_event = (index == 0).then(|| add_event_fields(row.object, body, &is_written));
        let object = with_event.as_ref().unwrap_or(row.object);
        add_extras(&mut row.columns, FULFILLMENT_ORDERS, object, FULFILLMENT_ORDER_FIELDS)?;
    }
    Ok(())
}

/// Handles holds. Topics: `fulfillment_holds/*`, such as `added` and `released`. Writes `fulfillment_holds`.
pub struct FulfillmentHoldHandler;

impl Handler for FulfillmentHoldHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let fulfillment_order = body.get("fulfillment_order").and_then(read_entity_id);
        let hold = body.get("fulfillment_hold").unwrap_or(&JsonValue::Null);
        let with_event = add_event_fields(hold, &body, &|name, _| name == "fulfillment_hold");
        let Some(change) = build_hold_change(event, &with_event, fulfillment_order)? else {
            return Ok(Plan::note_only(format!("stored only: {} has no hold with an id", event.topic())));
        };
        let subjects = fulfillment_order.map(|id| Subject::new("fulfillment_order", id)).into_iter();
        let subjects = subjects.chain(read_entity_id(hold).map(|id| Subject::new("hold", id))).collect();
        Ok(Plan { changes: vec![change], subjects, ..Plan::default() })
    }
}

fn read_fulfillment_order_columns(
    event: &Event<'_>,
    object: &JsonValue,
) -> Result<Vec<(&'static str, CellValue)>, HandlerError> {
    let mut columns = fields::read_stated_columns(object, FULFILLMENT_ORDER_FIELDS)?;
    columns.push(("last_topic", event.topic().into()));
    columns.push(("changed_at", clock::format_timestamp(event.sent_at()).into()));
    Ok(columns)
}

/// Returns the object with the other fields of its body in the field `event`.
fn add_event_fields(object: &JsonValue, body: &JsonValue, is_read: &dyn Fn(&str, &JsonValue) -> bool) -> JsonValue {
    let (Some(own), Some(all)) = (object.as_object(), body.as_object()) else { return object.clone() };
    let copy = |(name, value): (&str, &JsonValue)| (Rc::from(name), value.clone());
    let others: JsonObject =
        all.iter().filter(|(name, value)| !value.is_null() && !is_read(name, value)).map(copy).collect();
    JsonValue::Object(own.iter().map(copy).chain([("event".into(), JsonValue::Object(others))]).collect())
}

fn build_hold_change(
    event: &Event<'_>,
    hold: &JsonValue,
    fulfillment_order: Option<i64>,
) -> Result<Option<Change>, HandlerError> {
    let Some(id) = read_entity_id(hold) else { return Ok(None) };
    let mut columns = fields::read_stated_columns(hold, HOLD_FIELDS)?;
    add_extras(&mut columns, FULFILLMENT_HOLDS, hold, HOLD_FIELDS)?;
    columns.extend(fulfillment_order.map(|id| ("fulfillment_order_id", id.into())));
    let at: CellValue = clock::format_timestamp(event.sent_at()).into();
    // Each kind of event states only one of the two times, so that neither overwrites the other.
    columns.push((if event.topic() == "fulfillment_holds/released" { "released_at" } else { "held_at" }, at));
    Ok(Some(Change::Row(build_row(event, FULFILLMENT_HOLDS, vec![id.into()], columns))))
}

fn read_entity_id(body: &JsonValue) -> Option<i64> {
    body.get("id").and_then(fields::parse_entity_id)
}
