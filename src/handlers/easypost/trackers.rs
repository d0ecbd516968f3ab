//! EasyPost's trackers and their scans.

use crate::changes::Change;
use crate::changes::catalogue::{SHIPMENTS, TRACKING_EVENTS};
use crate::changes::rows::{CellValue, FactChange, RowChange};
use crate::event::Subject;
use crate::handlers::easypost::{find_event_object, read_mode};
use crate::handlers::extras::{add_extras, collect_extras};
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{
    is_exact_time, iter_array, parse_event_body, parse_time, read_id_text, read_text, read_time,
};
use crate::handlers::{Event, Handler, HandlerError, Plan, build_tracking_subject, fields};
use crate::lenient_json::JsonValue;
use std::collections::HashMap;

const TRACKER_FIELDS: &[JsonField] = &[
    JsonField("tracking_code", FieldKind::Code, "tracking_code"),
    JsonField("carrier", FieldKind::Text, "carrier"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("status_detail", FieldKind::Text, "status_detail"),
    JsonField("shipment_id", FieldKind::Text, "shipment_id"),
    JsonField("est_delivery_date", FieldKind::Time, "est_delivery_date|carrier_detail.est_delivery_date"),
    JsonField(
        "est_delivery_date_local",
        FieldKind::Text,
        "est_delivery_date_local|carrier_detail.est_delivery_date_local",
    ),
    JsonField(
        "est_delivery_time_local",
        FieldKind::Text,
        "est_delivery_time_local|carrier_detail.est_delivery_time_local",
    ),
    JsonField("signed_by", FieldKind::Text, "signed_by"),
    JsonField("weight_oz", FieldKind::Text, "weight"),
    JsonField("service", FieldKind::Text, "carrier_detail.service"),
    JsonField("is_return", FieldKind::Boolean, "is_return"),
    JsonField("finalized", FieldKind::Boolean, "finalized"),
    JsonField("public_url", FieldKind::Text, "public_url"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Columns of a scan. A missing field is '', because these columns are the table's key.
const SCAN_FIELDS: &[JsonField] = &[
    JsonField("status", FieldKind::Text, "status"),
    JsonField("status_detail", FieldKind::Text, "status_detail"),
    JsonField("message", FieldKind::Text, "message"),
    JsonField("description", FieldKind::Text, "description"),
    JsonField("city", FieldKind::Text, "tracking_location.city"),
    JsonField("state", FieldKind::Text, "tracking_location.state"),
    JsonField("zip", FieldKind::Text, "tracking_location.zip"),
    JsonField("country", FieldKind::Text, "tracking_location.country"),
    JsonField("source", FieldKind::Text, "source"),
    JsonField("carrier_code", FieldKind::Text, "carrier_code"),
];

/// Handles each event about a tracker. Topics: `tracker.*`, such as `tracker.created` and `tracker.updated`.
///
/// Writes `shipments`, and `tracking_events` for each scan.
pub struct TrackerHandler;

impl Handler for TrackerHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = parse_event_body(event)?;
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
        let mut row = RowChange {
            table: SHIPMENTS,
            key: vec![mode.as_str().into(), id.as_str().into()],
            row_version: event.row_version(updated_at.as_deref()),
            columns: fields::read_stated_columns(tracker, TRACKER_FIELDS)?,
            lists: Vec::new(),
        };
        add_extras(&mut row.columns, SHIPMENTS, tracker, TRACKER_FIELDS)?;
        let mut plan = Plan { changes: vec![Change::Row(row)], ..Plan::default() };
        plan.subjects.push(Subject::new("tracker", id.as_str()));
        plan.subjects.extend(read_text(tracker, "tracking_code").map(|code| build_tracking_subject(&code)));
        let scans = iter_array(tracker, "tracking_details").filter(|scan| scan.is_object());
        let mut facts = scans.map(|scan| build_tracking_event(&mode, &id, scan)).collect::<Result<Vec<_>, _>>()?;
        number_equal_scans(&mut facts);
        plan.changes.extend(facts.into_iter().map(Change::Fact));
        Ok(plan)
    }
}

/// Numbers the scans of a body whose key is the same: two attempts without a time are two scans. A carrier that lists
/// one scan with its exact time twice means one.
fn number_equal_scans(scans: &mut Vec<FactChange>) {
    let mut seen: HashMap<Vec<(&'static str, CellValue)>, Vec<CellValue>> = HashMap::new();
    scans.retain_mut(|scan| {
        let cell = |wanted: &str| scan.columns.iter().find(|(name, _)| *name == wanted).map(|(_, cell)| cell.clone());
        let is_exact = cell("time_certainty")
            .is_some_and(|certainty| ["exact", "no_zone"].iter().any(|exact| certainty == CellValue::from(*exact)));
        let extras = cell("extras").unwrap_or(CellValue::Null);
        let key = scan.columns.iter().filter(|(name, _)| *name != "extras").cloned().collect();
        let earlier = seen.entry(key).or_default();
        if is_exact && earlier.contains(&extras) {
            return false;
        }
        earlier.push(extras);
        scan.columns.push(("occurrence", i64::try_from(earlier.len()).unwrap_or(i64::MAX).into()));
        true
    });
}

/// Builds the row of a scan. Carriers leave out the zone of a time, and sometimes the time (sailrish/shipit#17). Such a
/// scan is kept, and `time_certainty` says what its time is worth.
fn build_tracking_event(mode: &str, tracker_id: &str, scan: &JsonValue) -> Result<FactChange, HandlerError> {
    let stated = read_text(scan, "datetime").unwrap_or_default();
    let at = parse_time(&stated);
    let time_certainty = match &at {
        None => "none",
        Some(_) if is_exact_time(&stated) => "exact",
        Some(_) if stated.contains(':') => "no_zone",
        Some(_) => "date",
    };
    // The text keeps two scans distinct whose times cannot be read.
    let unread_time = if at.is_none() { stated } else { String::new() };
    let mut columns: Vec<(&'static str, CellValue)> = vec![
        ("mode", mode.into()),
        ("tracker_id", tracker_id.into()),
        ("at", at.unwrap_or_default().into()),
        ("time_certainty", time_certainty.into()),
        ("unread_time", unread_time.into()),
    ];
    for (JsonField(column, ..), cell) in SCAN_FIELDS.iter().zip(fields::read_all_columns(scan, SCAN_FIELDS)?) {
        columns.push((column, if cell == CellValue::Null { "".into() } else { cell }));
    }
    // The time is in `at` or `unread_time`, whatever its text is.
    let read: Vec<JsonField> =
        SCAN_FIELDS.iter().copied().chain([JsonField("at", FieldKind::Text, "datetime")]).collect();
    columns.push(("extras", collect_extras(TRACKING_EVENTS.name, scan, &read)?));
    Ok(FactChange { table: TRACKING_EVENTS, columns })
}
