//! `returns/…` → `returns`.
//!
//! Bodies carry no time. `returns/update` states only what was removed, by the difference: it is noted with the return and not
//! reckoned, because a difference that arrives twice or early would count wrongly; `returns/process` and later events of the
//! return carry its state.

use super::payments::order_of;
use super::{fact, list};
use crate::clock;
use crate::handlers::fields::{self, Field, Kind};
use crate::handlers::json::parse;
use crate::handlers::{Done, Event, Handler, Trouble};
use crate::store::changes::{Change, Subject};
use crate::store::tables::RETURNS;

const RETURN: &[Field] = &[
    Field("name", Kind::Text, "name"),
    Field("status", Kind::Text, "status"),
    Field("total_return_lines", Kind::Integer, "total_return_line_items"),
    Field("decline_reason", Kind::Text, "decline.reason"),
    Field("decline_note", Kind::Text, "decline.note"),
];

const LINE: &[Field] = &[
    Field("return_line_id", Kind::Id, "id"),
    Field("line_id", Kind::Id, "fulfillment_line_item.line_item.id"),
    Field("quantity", Kind::Integer, "quantity"),
    Field("reason", Kind::Text, "return_reason"),
    Field("note", Kind::Text, "return_reason_note"),
];

/// Every `returns/…` topic.
pub struct Returns;

impl Handler for Returns {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        let body = parse(event.body)?;
        let id = ["id", "admin_graphql_api_id"].iter().find_map(|field| body.get(*field).and_then(fields::id));
        let Some(id) = id else {
            return Ok(Done::note(format!("stored only: this {} names no return by its id", event.topic)));
        };
        let mut columns = fields::stated(&body, RETURN)?;
        let order = body.get("order").and_then(|order| order.get("id")).and_then(fields::id);
        let order = order.or_else(|| body.get("order_id").and_then(fields::id));
        columns.extend(order.map(|order| ("order_id", order.into())));
        columns.push(("last_topic", event.topic.into()));
        columns.push(("changed_at", clock::text(event.sent_at()).into()));
        let mut row = fact(event, RETURNS, vec![id.into()], columns);
        row.lists.extend(list("return_lines", body.get("return_line_items"), LINE, false)?);
        let subjects =
            [Some(Subject::new("return", id)), order.map(|order| Subject::new("order", order)), order_of(&body)];
        Ok(Done {
            changes: vec![Change::Row(row)],
            subjects: subjects.into_iter().flatten().collect(),
            ..Done::default()
        })
    }
}
