//! Dismissing what partners answered or sent for a person: an operator has looked at it.

use crate::store::StoreError;
use crate::store::erp::{answers, purchase_orders};
use rusqlite::{Connection, params};

/// Dismisses the findings of an event: the state of the document that it sent, its answers that fit nothing, and its
/// documents for a person. `reason` and `by` stay with them. Returns false if there was none.
///
/// A document without an answer can be dismissed once it was delivered.
pub fn dismiss_edi_findings(
    connection: &Connection,
    event_id: i64,
    (reason, by): (&str, &str),
    at: &str,
) -> Result<bool, StoreError> {
    let marks =
        "dismissed_at = ?1, dismissed_reason = ?2, dismissed_by = ?3 WHERE event_id = ?4 AND dismissed_at IS NULL";
    let [sent, answers, messages] =
        ["edi_transmissions", "edi_answers", "edi_messages"].map(|table| format!("UPDATE {table} SET {marks}"));
    let document = format!(
        "{sent} AND (state IN ('rejected', 'unclear') OR state = 'waiting' AND (EXISTS (SELECT 1 FROM destination_deliveries d \
         WHERE d.event_id = ?4 AND d.status = 'delivered') OR NOT EXISTS (SELECT 1 FROM webhook_events e WHERE e.id = ?4)))"
    );
    let values = params![at, reason, by, event_id];
    let is_document_dismissed = connection.prepare_cached(&document)?.execute(values)? > 0;
    let mut dismissed_count = connection.prepare_cached(&messages)?.execute(values)?;
    dismissed_count += connection.prepare_cached(&format!("{answers} AND sent_event_id IS NULL"))?.execute(values)?;
    // The dismissal of the event itself ends what its rejected documents mean for their orders.
    purchase_orders::refresh_orders_of_rejected(connection, event_id)?;
    if is_document_dismissed {
        answers::refresh_orders(connection, event_id)?;
    }
    Ok(is_document_dismissed || dismissed_count > 0)
}
