//! The events that changed since a moment, for pages that show changes as they happen.

use crate::store::StoreError;
use crate::store::events::history::read_last_history_id;
use crate::store::events::records::{EventRecord, find_event};
use rusqlite::{Connection, params};

/// The events with a status change in a range of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedEvents {
    /// The range begins after this id of the history.
    pub after: i64,
    /// The range ends with this id.
    pub last: i64,
    /// The events as they are now, in the order of their last change.
    pub events: Vec<EventRecord>,
    /// True if earlier changes of the range are left out.
    pub has_more: bool,
}

/// Returns the events that changed after the status change `after`, those of the newest `limit` changes.
pub fn list_changed_events(connection: &Connection, after: i64, limit: u32) -> Result<ChangedEvents, StoreError> {
    let last = read_last_history_id(connection)?.max(after);
    let mut statement = connection.prepare_cached(
        "SELECT event_id FROM (SELECT id, event_id FROM webhook_event_log WHERE id > ? AND id <= ? ORDER BY id DESC \
         LIMIT ?) GROUP BY event_id ORDER BY max(id)",
    )?;
    let ids = statement.query_map(params![after, last, limit], |row| row.get(0))?;
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    let mut events = Vec::new();
    for id in ids {
        events.extend(find_event(connection, id)?);
    }
    Ok(ChangedEvents { after, last, events, has_more: last - after > i64::from(limit) })
}
