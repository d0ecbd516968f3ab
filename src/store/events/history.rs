//! The history of events: every status change, of one event or of all.

use crate::store::StoreError;
use rusqlite::{Connection, params};
use serde::Serialize;

/// One status change of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct HistoryEntry {
    pub at: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub attempt: u32,
    pub worker: Option<String>,
    pub duration_ms: Option<i64>,
    pub error: Option<String>,
}

/// One status change of any event, with the event's source and topic, as `events tail` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TailEntry {
    pub id: i64,
    pub at: String,
    pub event_id: i64,
    pub source: String,
    pub topic: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub attempt: u32,
    pub worker: Option<String>,
    pub error: Option<String>,
}

/// Returns the status changes of one event, the oldest first.
pub fn list_history(connection: &Connection, event_id: i64) -> Result<Vec<HistoryEntry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, from_status, to_status, attempt, worker, duration_ms, error FROM webhook_event_log \
         WHERE event_id = ? ORDER BY id",
    )?;
    let rows = statement.query_map([event_id], |row| {
        Ok(HistoryEntry {
            at: row.get(0)?,
            from_status: row.get(1)?,
            to_status: row.get(2)?,
            attempt: row.get(3)?,
            worker: row.get(4)?,
            duration_ms: row.get(5)?,
            error: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the status changes of all events after the change with this id, the oldest first.
pub fn list_history_after(connection: &Connection, id: i64, limit: u32) -> Result<Vec<TailEntry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT l.id, l.at, l.event_id, e.source, e.topic, l.from_status, l.to_status, l.attempt, l.worker, l.error \
         FROM webhook_event_log l JOIN webhook_events e ON e.id = l.event_id WHERE l.id > ? ORDER BY l.id LIMIT ?",
    )?;
    let rows = statement.query_map(params![id, limit], |row| {
        Ok(TailEntry {
            id: row.get(0)?,
            at: row.get(1)?,
            event_id: row.get(2)?,
            source: row.get(3)?,
            topic: row.get(4)?,
            from_status: row.get(5)?,
            to_status: row.get(6)?,
            attempt: row.get(7)?,
            worker: row.get(8)?,
            error: row.get(9)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the id of the last status change, or 0 if there is none.
pub fn read_last_history_id(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("SELECT coalesce(max(id), 0) FROM webhook_event_log", [], |row| row.get(0))?)
}
