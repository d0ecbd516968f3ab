//! `batch.…`, `shipment.…`, `scan_form.…`, `refund.…`, `report.…`, `insurance.…`, `payment.…`, `claim.…`, and what EasyPost
//! adds to them → `easypost_objects`.

use super::{mode, result};
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{items, parse, text, time};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::{Cell, Row};
use crate::store::tables::EASYPOST_OBJECTS;
use serde_json::Value;

/// A later line of the same column is used where the earlier ones are not in the object.
const OBJECT: &[Field] = &[
    Field("object", Kind::Text, "object"),
    Field("status", Kind::Text, "state"),
    Field("status", Kind::Text, "status"),
    Field("status", Kind::Text, "refund_status"),
    Field("reference", Kind::Text, "reference"),
    Field("tracking_code", Kind::Text, "tracking_code"),
    Field("tracking_code", Kind::Text, "tracker.tracking_code"),
    Field("carrier", Kind::Text, "carrier"),
    Field("carrier", Kind::Text, "provider"),
    Field("carrier", Kind::Text, "selected_rate.carrier"),
    Field("shipment_id", Kind::Text, "shipment_id"),
    Field("batch_id", Kind::Text, "batch_id"),
    Field("message", Kind::Text, "message"),
    Field("amount", Kind::Text, "amount"),
    Field("amount", Kind::Text, "selected_rate.rate"),
    Field("currency", Kind::Text, "currency"),
    Field("currency", Kind::Text, "selected_rate.currency"),
    Field("url", Kind::Text, "form_url"),
    Field("url", Kind::Text, "label_url"),
    Field("url", Kind::Text, "url"),
    Field("url", Kind::Text, "postage_label.label_url"),
    Field("size", Kind::Integer, "num_shipments"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

/// Every event that is no tracker's.
pub struct Objects;

impl Handler for Objects {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        if body.get("result").is_none_or(Value::is_null) {
            return Ok(Done::note("stored only: this event carries no object"));
        }
        let object = result(&body);
        let Some(id) = text(object, "id") else {
            return Ok(Done::note("stored only: this event's object has no id"));
        };
        let mut columns: Vec<(&'static str, Cell)> = Vec::new();
        for (column, cell) in fields::stated(object, OBJECT)? {
            match columns.iter_mut().find(|(known, _)| *known == column) {
                Some((_, known)) if *known == Cell::Null => *known = cell,
                Some(_) => {}
                None => columns.push((column, cell)),
            }
        }
        columns.push(("last_topic", event.topic.into()));
        let updated = time(object, "updated_at");
        let version = event.version(updated.as_deref());
        let mut done = Done { subjects: vec![Subject::new("easypost", id.as_str())], ..Done::default() };
        let mode = mode(&body);
        let key = |id: &str| vec![mode.as_str().into(), id.into()];
        done.subjects.extend(codes(object).map(|code| Subject::new("tracking_code", code)));
        for shipment in items(object, "shipments") {
            // A batch knows of each of its shipments whether it could be bought.
            if let Some(shipment_id) = text(shipment, "id") {
                let columns = vec![("object", "Shipment".into()), ("batch_id", id.as_str().into())];
                let row = Row {
                    table: EASYPOST_OBJECTS,
                    key: key(&shipment_id),
                    version: version.clone(),
                    columns: columns.into_iter().chain(fields::stated(shipment, IN_BATCH)?).collect(),
                    lists: Vec::new(),
                };
                done.changes.push(Change::Row(row));
            }
        }
        let row = Row { table: EASYPOST_OBJECTS, key: key(&id), version, columns, lists: Vec::new() };
        done.changes.push(Change::Row(row));
        Ok(done)
    }
}

const IN_BATCH: &[Field] = &[
    Field("batch_status", Kind::Text, "batch_status"),
    Field("batch_message", Kind::Text, "batch_message"),
    Field("reference", Kind::Text, "reference"),
    Field("tracking_code", Kind::Text, "tracking_code"),
];

fn codes(object: &Value) -> impl Iterator<Item = String> {
    let many = items(object, "tracking_codes").filter_map(Value::as_str).map(str::to_owned);
    text(object, "tracking_code").into_iter().chain(many)
}
