//! `fulfillments/…` → `fulfillments`, `fulfillment_events/…` → `fulfillment_events`.

use super::payments::{in_order, order_of};
use super::{fact, list, position, required, resource};
use crate::clock;
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::{items, parse, text};
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::projection::{Cell, List};
use crate::store::tables::{FULFILLMENT_EVENTS, FULFILLMENTS};
use serde_json::Value;

const FULFILLMENT: &[Field] = &[
    Field("order_id", Kind::Id, "order_id"),
    Field("name", Kind::Text, "name"),
    Field("status", Kind::Text, "status"),
    Field("shipment_status", Kind::Text, "shipment_status"),
    Field("service", Kind::Text, "service"),
    Field("location_id", Kind::Id, "location_id"),
    Field("tracking_company", Kind::Text, "tracking_company"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

const LINE: &[Field] =
    &[Field("line_id", Kind::Id, "id"), Field("sku", Kind::Text, "sku"), Field("quantity", Kind::Integer, "quantity")];

const STEP: &[Field] = &[
    Field("fulfillment_id", Kind::Id, "fulfillment_id"),
    Field("order_id", Kind::Id, "order_id"),
    Field("status", Kind::Text, "status"),
    Field("message", Kind::Text, "message"),
    Field("happened_at", Kind::Time, "happened_at"),
    Field("estimated_delivery_at", Kind::Time, "estimated_delivery_at"),
    Field("city", Kind::Text, "city"),
    Field("province", Kind::Text, "province"),
    Field("zip", Kind::Text, "zip"),
    Field("country", Kind::Text, "country"),
    Field("created_at", Kind::Time, "created_at"),
    Field("updated_at", Kind::Time, "updated_at"),
];

/// `fulfillments/create` and `fulfillments/update`.
pub struct Fulfillments;

impl Handler for Fulfillments {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let mut done = Done::default();
        add(event, &parse(event.body)?, None, &mut done)?;
        Ok(done)
    }
}

/// A fulfillment, by itself or inside its order.
pub(super) fn add(event: &Event<'_>, body: &Value, order_id: Option<i64>, done: &mut Done) -> Result<(), Trouble> {
    let mut row = resource(event, FULFILLMENTS, body, FULFILLMENT)?;
    in_order(&mut row.columns, order_id);
    row.lists.extend(list("fulfillment_lines", body.get("line_items"), LINE, false)?);
    let (numbers, urls) = (numbers(body), texts(body, "tracking_urls"));
    if let Some(numbers) = numbers {
        done.subjects.extend(numbers.iter().map(|number| Subject::new("tracking_code", number.as_str())));
        let rows = numbers.into_iter().enumerate().map(|(place, number)| {
            let url = urls.as_ref().and_then(|urls| urls.get(place)).cloned().or_else(|| text(body, "tracking_url"));
            vec![position(place), number.into(), url.into()]
        });
        let columns = vec!["position", "number", "url"];
        row.lists.push(List { table: "fulfillment_tracking_numbers", part: None, columns, rows: rows.collect() });
    }
    done.subjects.push(Subject::new("fulfillment", required(body, "id", FULFILLMENTS)?));
    done.subjects.extend(order_of(body));
    done.changes.push(Change::Row(row));
    Ok(())
}

/// `tracking_numbers`, or the single `tracking_number` of older bodies; `None` when the body has neither.
fn numbers(body: &Value) -> Option<Vec<String>> {
    texts(body, "tracking_numbers").or_else(|| {
        body.get("tracking_number")?;
        Some(text(body, "tracking_number").into_iter().collect())
    })
}

fn texts(body: &Value, field: &str) -> Option<Vec<String>> {
    body.get(field)?.as_array()?;
    Some(items(body, field).filter_map(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).collect())
}

/// `fulfillment_events/create` and `fulfillment_events/delete`.
pub struct Steps;

impl Handler for Steps {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let subjects = order_of(&body).into_iter().chain(
            body.get("fulfillment_id").and_then(fields::id).map(|fulfillment| Subject::new("fulfillment", fulfillment)),
        );
        let id = required(&body, "id", FULFILLMENT_EVENTS)?;
        let row = if event.topic == "fulfillment_events/delete" {
            let at: Cell = clock::text(event.sent_at()).into();
            fact(event, FULFILLMENT_EVENTS, vec![id.into()], vec![("deleted_at", at)])
        } else {
            resource(event, FULFILLMENT_EVENTS, &body, STEP)?
        };
        Ok(Done { changes: vec![Change::Row(row)], subjects: subjects.collect(), ..Done::default() })
    }
}
