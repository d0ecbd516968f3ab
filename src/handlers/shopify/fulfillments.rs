//! Fulfillments of orders, and their events.

use crate::changes::Change;
use crate::changes::catalogue::{FULFILLMENT_EVENTS, FULFILLMENTS};
use crate::changes::rows::{CellValue, ListChange};
use crate::clock;
use crate::event::Subject;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{iter_array, read_text};
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::payments::{add_order_id, find_order_subject};
use crate::handlers::shopify::{build_list, build_resource_row, build_row, require_entity_id, to_position};
use crate::handlers::{Event, Handler, HandlerError, Plan, build_tracking_subject, fields};
use crate::lenient_json::JsonValue;
use crate::text::{clean_code, split_tracking_codes};

const FULFILLMENT_FIELDS: &[JsonField] = &[
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("name", FieldKind::Text, "name"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("shipment_status", FieldKind::Text, "shipment_status"),
    JsonField("service", FieldKind::Text, "service"),
    JsonField("location_id", FieldKind::Id, "location_id"),
    JsonField("tracking_company", FieldKind::Text, "tracking_company"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

const LINE_FIELDS: &[JsonField] = &[
    JsonField("line_id", FieldKind::Id, "id"),
    JsonField("sku", FieldKind::Code, "sku"),
    JsonField("quantity", FieldKind::Integer, "quantity"),
];

const FULFILLMENT_EVENT_FIELDS: &[JsonField] = &[
    JsonField("fulfillment_id", FieldKind::Id, "fulfillment_id"),
    JsonField("order_id", FieldKind::Id, "order_id"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("message", FieldKind::Text, "message"),
    JsonField("happened_at", FieldKind::Time, "happened_at"),
    JsonField("estimated_delivery_at", FieldKind::Time, "estimated_delivery_at"),
    JsonField("city", FieldKind::Text, "city"),
    JsonField("province", FieldKind::Text, "province"),
    JsonField("zip", FieldKind::Text, "zip"),
    JsonField("country", FieldKind::Text, "country"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Handles a fulfillment. Topics: `fulfillments/*`, such as `create` and `update`.
///
/// Writes `fulfillments` with `fulfillment_lines` and `fulfillment_tracking_numbers`.
pub struct FulfillmentHandler;

impl Handler for FulfillmentHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let mut plan = Plan::default();
        add_fulfillment(event, &read_body(event)?, None, &mut plan)?;
        Ok(plan)
    }
}

/// Adds a fulfillment, which is the body itself or part of its order.
pub(crate) fn add_fulfillment(
    event: &Event<'_>,
    body: &JsonValue,
    order_id: Option<i64>,
    plan: &mut Plan,
) -> Result<(), HandlerError> {
    let mut row = build_resource_row(event, FULFILLMENTS, body, FULFILLMENT_FIELDS)?;
    add_order_id(&mut row.columns, order_id);
    row.lists.extend(build_list("fulfillment_lines", body.get("line_items"), LINE_FIELDS, false)?);
    if let Some(numbers) = read_tracking_numbers(body) {
        let stated = numbers.iter().filter(|number| !number.code.is_empty());
        plan.subjects.extend(stated.map(|number| build_tracking_subject(&number.code)));
        let rows = numbers.into_iter().enumerate();
        let rows = rows.map(|(index, number)| {
            vec![to_position(index), number.code.into(), number.written.into(), number.url.into()]
        });
        let columns = vec!["position", "number", "written", "url"];
        row.lists.push(ListChange {
            table: "fulfillment_tracking_numbers",
            partition: None,
            columns,
            rows: rows.collect(),
            is_partial: false,
        });
    }
    plan.subjects.push(Subject::new("fulfillment", require_entity_id(body, "id", FULFILLMENTS)?));
    plan.subjects.extend(find_order_subject(body));
    plan.changes.push(Change::Row(row));
    Ok(())
}

/// A tracking number of a fulfillment.
struct TrackingNumber {
    /// Empty for an address that belongs to no number.
    code: String,
    /// The whole field, if it has more than the code.
    written: Option<String>,
    url: Option<String>,
}

/// Reads `tracking_numbers` and the single `tracking_number` of older bodies, each with its address; `None` if the body
/// has neither. A field with several codes gives one row for each.
fn read_tracking_numbers(body: &JsonValue) -> Option<Vec<TrackingNumber>> {
    let list = body.get("tracking_numbers").and_then(JsonValue::as_array);
    if list.is_none()
        && ["tracking_number", "tracking_url", "tracking_urls"].iter().all(|name| body.get(name).is_none())
    {
        return None;
    }
    let first_url = read_text(body, "tracking_url");
    let urls: Vec<Option<String>> = iter_array(body, "tracking_urls").map(to_text).collect();
    let url = |index: usize| urls.get(index).cloned().flatten().or_else(|| first_url.clone());
    let mut numbers: Vec<TrackingNumber> = Vec::new();
    for (index, number) in list.into_iter().flatten().enumerate() {
        add_tracking_numbers(number, url(index).as_ref(), &mut numbers);
    }
    let mut others = Vec::new();
    if let Some(single) = body.get("tracking_number") {
        add_tracking_numbers(single, url(urls.len()).as_ref(), &mut others);
    }
    others.retain(|other| numbers.iter().all(|number| number.code != other.code));
    numbers.append(&mut others);
    // An address that belongs to no number is kept without one.
    for url in urls.into_iter().flatten().chain(first_url) {
        if !numbers.iter().any(|number| number.url.as_ref() == Some(&url)) {
            numbers.push(TrackingNumber { code: String::new(), written: None, url: Some(url) });
        }
    }
    Some(numbers)
}

/// Adds each code of a field.
fn add_tracking_numbers(field: &JsonValue, url: Option<&String>, numbers: &mut Vec<TrackingNumber>) {
    let Some(clean) = to_text(field) else { return };
    let codes = field.as_str().map_or_else(|| vec![clean.clone()], split_tracking_codes);
    for code in codes {
        let written = (code != clean).then(|| clean.clone());
        numbers.push(TrackingNumber { code, written, url: url.cloned() });
    }
}

/// Returns a text that is not empty, or the digits of a number.
fn to_text(value: &JsonValue) -> Option<String> {
    let text = match value {
        JsonValue::Text(text) => clean_code(text),
        JsonValue::Number(number) => number.to_string(),
        _ => String::new(),
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Handles an event of a fulfillment. Topics: `fulfillment_events/*`, such as `create` and `delete`.
///
/// Writes `fulfillment_events`; `delete` writes only `deleted_at`.
pub struct FulfillmentEventHandler;

impl Handler for FulfillmentEventHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let id = require_entity_id(&body, "id", FULFILLMENT_EVENTS)?;
        let fulfillment = body.get("fulfillment_id").and_then(fields::parse_entity_id);
        let subjects = find_order_subject(&body)
            .into_iter()
            .chain(fulfillment.map(|fulfillment| Subject::new("fulfillment", fulfillment)));
        let row = if event.topic() == "fulfillment_events/delete" {
            let deleted_at: CellValue = clock::format_timestamp(event.sent_at()).into();
            build_row(event, FULFILLMENT_EVENTS, vec![id.into()], vec![("deleted_at", deleted_at)])
        } else {
            build_resource_row(event, FULFILLMENT_EVENTS, &body, FULFILLMENT_EVENT_FIELDS)?
        };
        let subjects = subjects.chain([Subject::new("fulfillment_event", id)]).collect();
        Ok(Plan { changes: vec![Change::Row(row)], subjects, ..Plan::default() })
    }
}
