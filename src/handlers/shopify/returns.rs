//! Returns of goods.
//!
//! Bodies have no time. `returns/update` states only the removed quantities, as differences. The handler records the
//! topic and does not compute with differences, because one that arrives twice or early would give a wrong quantity.
//! `returns/process` and later events of the return state its quantities.

use crate::changes::Change;
use crate::changes::catalogue::RETURNS;
use crate::clock;
use crate::event::Subject;
use crate::handlers::extras::add_extras;
use crate::handlers::fields::{FieldKind, JsonField, parse_whole_number};
use crate::handlers::json::read_text;
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::payments::find_order_subject;
use crate::handlers::shopify::{build_list, build_row};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

const RETURN_FIELDS: &[JsonField] = &[
    JsonField("name", FieldKind::Text, "name"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("total_return_lines", FieldKind::Integer, "total_return_line_items"),
    JsonField("decline_reason", FieldKind::Text, "decline.reason"),
    JsonField("decline_note", FieldKind::Text, "decline.note"),
];

const LINE_FIELDS: &[JsonField] = &[
    JsonField("return_line_id", FieldKind::Id, "id|admin_graphql_api_id"),
    JsonField("line_id", FieldKind::Id, "fulfillment_line_item.line_item.id"),
    JsonField("quantity", FieldKind::Integer, "quantity"),
    JsonField("reason", FieldKind::Text, "return_reason"),
    JsonField("note", FieldKind::Text, "return_reason_note"),
];

/// Handles a return. Topics: `returns/*`. Writes `returns` with `return_lines`.
pub struct ReturnHandler;

impl Handler for ReturnHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let id =
            ["id", "admin_graphql_api_id"].iter().find_map(|field| body.get(field).and_then(fields::parse_entity_id));
        let Some(id) = id else {
            return Ok(Plan::note_only(format!("stored only: {} has no return with an id", event.topic())));
        };
        let mut columns = fields::read_stated_columns(&body, RETURN_FIELDS)?;
        add_extras(&mut columns, RETURNS, &body, RETURN_FIELDS)?;
        let order = body.get("order").and_then(|order| order.get("id")).and_then(fields::parse_entity_id);
        let order = order.or_else(|| body.get("order_id").and_then(fields::parse_entity_id));
        columns.extend(order.map(|order| ("order_id", order.into())));
        columns.push(("last_topic", event.topic().into()));
        columns.push(("changed_at", clock::format_timestamp(event.sent_at()).into()));
        let mut row = build_row(event, RETURNS, vec![id.into()], columns);
        row.lists.extend(build_list("return_lines", body.get("return_line_items"), LINE_FIELDS, false)?);
        let subjects = [
            Some(Subject::new("return", id)),
            order.map(|order| Subject::new("order", order)),
            find_order_subject(&body),
        ];
        Ok(Plan {
            changes: vec![Change::Row(row)],
            subjects: subjects.into_iter().flatten().collect(),
            note: describe_other_total(&body),
            ..Plan::default()
        })
    }
}

/// Returns the note about a return whose lines do not add up to its total, in units or in lines.
fn describe_other_total(body: &JsonValue) -> Option<String> {
    let read = |object: &JsonValue, field: &str| read_text(object, field).and_then(|text| parse_whole_number(&text));
    let total = read(body, "total_return_line_items")?;
    let lines = body.get("return_line_items").and_then(JsonValue::as_array)?;
    let units: Option<Vec<i64>> = lines.iter().map(|line| read(line, "quantity")).collect();
    let units = units?.iter().try_fold(0_i64, |sum, units| sum.checked_add(*units))?;
    let fits = total == units || usize::try_from(total) == Ok(lines.len());
    (!fits).then(|| format!("the lines of the return have {units} units, and total_return_line_items is {total}"))
}
