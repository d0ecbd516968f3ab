//! EasyPost's trackers and their scans.

use crate::changes::Change;
use crate::changes::catalogue::{SHIPMENTS, TRACKING_EVENTS};
use crate::changes::rows::{CellValue, FactChange, RowChange};
use crate::event::Subject;
use crate::handlers::easypost::{find_event_object, read_mode};
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{iter_array, parse_body, read_id_text, read_text, read_time};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

const TRACKER_FIELDS: &[JsonField] = &[
    JsonField("tracking_code", FieldKind::Text, "tracking_code"),
    JsonField("carrier", FieldKind::Text, "carrier"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("status_detail", FieldKind::Text, "status_detail"),
    JsonField("shipment_id", FieldKind::Text, "shipment_id"),
    JsonField("est_delivery_date", FieldKind::Time, "est_delivery_date"),
    JsonField("signed_by", FieldKind::Text, "signed_by"),
    JsonField("weight_oz", FieldKind::Text, "weight"),
    JsonField("service", FieldKind::Text, "carrier_detail.service"),
    JsonField("is_return", FieldKind::Boolean, "is_return"),
    JsonField("finalized", FieldKind::Boolean, "finalized"),
    JsonField("public_url", FieldKind::Text, "public_url"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Column, field and enclosing object in a scan. A missing field is '', because these columns are the table's key.
const SCAN_COLUMNS: &[(&str, &str, Option<&str>)] = &[
    ("status", "status", None),
    ("status_detail", "status_detail", None),
    ("message", "message", None),
    ("city", "city", Some("tracking_location")),
    ("state", "state", Some("tracking_location")),
    ("zip", "zip", Some("tracking_location")),
    ("country", "country", Some("tracking_location")),
    ("source", "source", None),
];

/// Handles each event about a tracker. Topics: `tracker.*`, such as `tracker.created` and `tracker.updated`.
///
/// Writes `shipments`, and `tracking_events` for each scan.
pub struct TrackerHandler;

impl Handler for TrackerHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = parse_body(event.body)?;
        let tracker = find_event_object(&body);
        let is_tracker = read_text(tracker, "object").is_some_and(|object| object == "Tracker")
            || read_text(tracker, "id").is_some_and(|id| id.starts_with("trk_"));
        if !is_tracker {
            return Ok(Plan::note_only("stored only: the event has no tracker"));
        }
        let id = read_id_text(tracker, "id")
            .ok_or_else(|| HandlerError::Permanent("the tracker of the event has no readable id".to_owned()))?;
        let mode = read_mode(&body);
        let updated_at = read_time(tracker, "updated_at");
        let row = RowChange {
            table: SHIPMENTS,
            key: vec![mode.as_str().into(), id.as_str().into()],
            row_version: event.row_version(updated_at.as_deref()),
            columns: fields::read_stated_columns(tracker, TRACKER_FIELDS)?,
            lists: Vec::new(),
        };
        let mut plan = Plan { changes: vec![Change::Row(row)], ..Plan::default() };
        plan.subjects.push(Subject::new("tracker", id.as_str()));
        plan.subjects.extend(read_text(tracker, "tracking_code").map(|code| Subject::new("tracking_code", code)));
        for scan in iter_array(tracker, "tracking_details") {
            plan.changes.extend(build_tracking_event(&mode, &id, scan));
        }
        Ok(plan)
    }
}

/// Builds the row of a scan. A scan without a time gets no row; it remains in the event's body.
fn build_tracking_event(mode: &str, tracker_id: &str, scan: &JsonValue) -> Option<Change> {
    let at = read_time(scan, "datetime")?;
    let mut columns: Vec<(&'static str, CellValue)> =
        vec![("mode", mode.into()), ("tracker_id", tracker_id.into()), ("at", at.into())];
    for (column, field, parent) in SCAN_COLUMNS {
        let object = parent.map_or(Some(scan), |parent| scan.get(parent));
        columns.push((column, object.and_then(|object| read_text(object, field)).unwrap_or_default().into()));
    }
    Some(Change::Fact(FactChange { table: TRACKING_EVENTS, columns }))
}
