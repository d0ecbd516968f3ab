//! EasyPost's objects other than trackers: batches, shipments, scan forms, refunds, reports, insurances, payments,
//! claims, and types that EasyPost adds later.

use crate::changes::Change;
use crate::changes::catalogue::EASYPOST_OBJECTS;
use crate::changes::rows::RowChange;
use crate::event::Subject;
use crate::handlers::easypost::{find_event_object, read_mode};
use crate::handlers::extras::add_extras;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::{iter_array, parse_event_body, read_id_text, read_text, read_time};
use crate::handlers::{Event, Handler, HandlerError, Plan, build_tracking_subject, fields};
use crate::lenient_json::JsonValue;

const OBJECT_FIELDS: &[JsonField] = &[
    JsonField("object", FieldKind::Text, "object"),
    JsonField("status", FieldKind::Text, "state|status|refund_status"),
    JsonField("reference", FieldKind::Code, "reference"),
    JsonField("tracking_code", FieldKind::Code, "tracking_code|tracker.tracking_code"),
    JsonField("carrier", FieldKind::Text, "carrier|provider|selected_rate.carrier"),
    JsonField("shipment_id", FieldKind::Text, "shipment_id"),
    JsonField("batch_id", FieldKind::Text, "batch_id"),
    JsonField("message", FieldKind::Text, "message"),
    JsonField("amount", FieldKind::Text, "amount|selected_rate.rate"),
    JsonField("currency", FieldKind::Text, "currency|selected_rate.currency"),
    JsonField("url", FieldKind::Text, "form_url|label_url|url|postage_label.label_url"),
    JsonField("size", FieldKind::Integer, "num_shipments"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Handles each event of EasyPost that is not about a tracker. Topics: all but `tracker.*`, such as `batch.updated`.
///
/// Writes `easypost_objects`, also one row for each shipment of a batch.
pub struct EasyPostObjectHandler;

impl Handler for EasyPostObjectHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = parse_event_body(event)?;
        if body.get("result").is_none_or(JsonValue::is_null) {
            return Ok(Plan::note_only("stored only: the event has no object"));
        }
        let object = find_event_object(&body);
        let Some(id) = read_id_text(object, "id") else {
            return Ok(Plan::note_only("stored only: the object of the event has no readable id"));
        };
        let mut columns = fields::read_stated_columns(object, OBJECT_FIELDS)?;
        add_extras(&mut columns, EASYPOST_OBJECTS, object, OBJECT_FIELDS)?;
        columns.push(("last_topic", event.topic().into()));
        let updated_at = read_time(object, "updated_at");
        let row_version = event.row_version(updated_at.as_deref());
        let mut plan = Plan { subjects: vec![Subject::new("easypost", id.as_str())], ..Plan::default() };
        let mode = read_mode(&body);
        let key = |id: &str| vec![mode.as_str().into(), id.into()];
        plan.subjects.extend(read_tracking_codes(object).map(|code| build_tracking_subject(&code)));
        for shipment in iter_array(object, "shipments") {
            // A batch states for each of its shipments whether it could be bought.
            if let Some(shipment_id) = read_id_text(shipment, "id") {
                let mut columns = vec![("object", "Shipment".into()), ("batch_id", id.as_str().into())];
                columns.extend(fields::read_stated_columns(shipment, BATCH_SHIPMENT_FIELDS)?);
                add_extras(&mut columns, EASYPOST_OBJECTS, shipment, BATCH_SHIPMENT_FIELDS)?;
                let row = RowChange {
                    table: EASYPOST_OBJECTS,
                    key: key(&shipment_id),
                    row_version: row_version.clone(),
                    columns,
                    lists: Vec::new(),
                };
                plan.changes.push(Change::Row(row));
                plan.subjects.push(Subject::new("easypost", shipment_id.as_str()));
            }
        }
        let row = RowChange { table: EASYPOST_OBJECTS, key: key(&id), row_version, columns, lists: Vec::new() };
        plan.changes.push(Change::Row(row));
        Ok(plan)
    }
}

/// Fields of a shipment inside its batch.
const BATCH_SHIPMENT_FIELDS: &[JsonField] = &[
    JsonField("batch_status", FieldKind::Text, "batch_status"),
    JsonField("batch_message", FieldKind::Text, "batch_message"),
    JsonField("reference", FieldKind::Code, "reference"),
    JsonField("tracking_code", FieldKind::Code, "tracking_code"),
];

/// Returns the tracking codes that an object names.
fn read_tracking_codes(object: &JsonValue) -> impl Iterator<Item = String> {
    let codes = iter_array(object, "tracking_codes").filter_map(JsonValue::as_str).map(str::to_owned);
    read_text(object, "tracking_code").into_iter().chain(codes)
}
