//! `tracker.created` and `tracker.updated` → `shipments`, every scan → `tracking_events`.

use super::{mode, result};
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{items, parse, text, time};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::{Cell, Row, Scan};
use crate::store::tables::{SHIPMENTS, TRACKING_EVENTS};
use serde_json::Value;

const TRACKER: &[Field] = &[
    Field("tracking_code", Kind::Text, "tracking_code"),
    Field("carrier", Kind::Text, "carrier"),
    Field("status", Kind::Text, "status"),
    Field("status_detail", Kind::Text, "status_detail"),
    Field("shipment_id", Kind::Text, "shipment_id"),
    Field("est_delivery_date", Kind::Time, "est_delivery_date"),
    Field("signed_by", Kind::Text, "signed_by"),
    Field("weight_oz", Kind::Text, "weight"),
    Field("service", Kind::Text, "carrier_detail.service"),
    Field("is_return", Kind::Flag, "is_return"),
    Field("finalized", Kind::Flag, "finalized"),
    Field("public_url", Kind::Text, "public_url"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

/// Column and where it stands in a scan; what is not told is '' because these make up the table's key.
const SCAN: &[(&str, &str, Option<&str>)] = &[
    ("status", "status", None),
    ("status_detail", "status_detail", None),
    ("message", "message", None),
    ("city", "city", Some("tracking_location")),
    ("state", "state", Some("tracking_location")),
    ("zip", "zip", Some("tracking_location")),
    ("country", "country", Some("tracking_location")),
    ("source", "source", None),
];

/// Every `tracker.…` event.
pub struct Trackers;

impl Handler for Trackers {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let tracker = result(&body);
        let is_tracker = text(tracker, "object").is_some_and(|object| object == "Tracker")
            || text(tracker, "id").is_some_and(|id| id.starts_with("trk_"));
        if !is_tracker {
            return Ok(Done::note("stored only: this event carries no tracker"));
        }
        let id = text(tracker, "id").ok_or_else(|| Trouble::Permanent("the event's tracker has no id".to_owned()))?;
        let mode = mode(&body);
        let updated = time(tracker, "updated_at");
        let row = Row {
            table: SHIPMENTS,
            key: vec![mode.as_str().into(), id.as_str().into()],
            version: event.version(updated.as_deref()),
            columns: fields::stated(tracker, TRACKER)?,
            lists: Vec::new(),
        };
        let mut done = Done { changes: vec![Change::Row(row)], ..Done::default() };
        done.subjects.push(Subject::new("tracker", id.as_str()));
        done.subjects.extend(text(tracker, "tracking_code").map(|code| Subject::new("tracking_code", code)));
        for scan in items(tracker, "tracking_details") {
            done.changes.extend(step(&mode, &id, scan));
        }
        Ok(done)
    }
}

/// A scan without a time has no place in the trail; it stays in the raw body.
fn step(mode: &str, tracker: &str, scan: &Value) -> Option<Change> {
    let at = time(scan, "datetime")?;
    let mut columns: Vec<(&'static str, Cell)> =
        vec![("mode", mode.into()), ("tracker_id", tracker.into()), ("at", at.into())];
    for (column, field, inside) in SCAN {
        let object = inside.map_or(Some(scan), |inside| scan.get(inside));
        columns.push((column, object.and_then(|object| text(object, field)).unwrap_or_default().into()));
    }
    Some(Change::Scan(Scan { table: TRACKING_EVENTS, columns }))
}
