//! `payload = "rows"`: the current ERP rows of an event as JSON, in place of its body.
//!
//! They are read when the event is delivered, so a later attempt brings the newer state. docs/erp-integration.md
//! describes the JSON.

use crate::store::erp::event_rows::{EventRows, EventRowsResult};
use crate::store::events::records::EventRecord;
use crate::store::{Store, StoreError};
use serde_json::{Value, json};

/// Most bytes of all rows of one event.
const ROWS_BYTES_MAX: usize = 32 << 20;

/// Payload that a destination gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadKind {
    /// The bytes of the event's body.
    #[default]
    Body,
    /// The ERP rows of the event.
    Rows,
}

/// Builds the payload of an event. `notice` is the notice of a redaction, which has no rows.
///
/// The inner error states why no attempt can deliver the rows.
pub fn build_rows_payload(
    store: &Store,
    event_id: i64,
    notice: Option<&str>,
) -> Result<Result<Vec<u8>, String>, StoreError> {
    Ok(match store.read_event_rows(event_id, ROWS_BYTES_MAX)? {
        EventRowsResult::Rows(rows) => Ok(format_rows_payload(&rows, notice).into_bytes()),
        EventRowsResult::TooLarge => Err(format!(
            "its rows have more than {ROWS_BYTES_MAX} bytes: read them with SQL, or set payload = \"body\""
        )),
        EventRowsResult::NoEvent => Err("the event was pruned".to_owned()),
    })
}

/// Returns the rows as JSON.
#[must_use]
pub fn format_rows_payload(rows: &EventRows, notice: Option<&str>) -> String {
    let tables = if notice.is_some() { "{}" } else { &rows.tables };
    let redaction = notice.map_or(String::new(), |notice| format!(",\"redaction\":{notice}"));
    format!(
        "{{\"event\":{},\"read_at\":{},\"rows\":{tables},\"deleted\":{},\"redacted\":{}{redaction}}}",
        describe_event(&rows.event),
        Value::from(rows.read_at.as_str()),
        json!(rows.deleted),
        json!(rows.redacted),
    )
}

fn describe_event(event: &EventRecord) -> Value {
    let key = &event.identity.key;
    json!({
        "id": event.identity.id,
        "source": key.source,
        "shop_domain": key.shop_domain,
        "topic": key.topic,
        "webhook_id": key.webhook_id,
        "provider_event_id": event.provider_event_id,
        "triggered_at": event.triggered_at,
        "received_at": event.received_at,
    })
}
