//! Destructive requests: redactions, and events that were refused because their body arrived before under another
//! topic. A redaction waits. A refused event needs a decision.

use crate::clock::{self, Timestamp};
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

/// State of a destructive request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// It is worked at its due time.
    Waiting,
    /// It was refused, and waits for a decision.
    Refused,
    /// An operator stopped it.
    Stopped,
    /// An operator wants it worked at once.
    Accepted,
    /// It was worked.
    Done,
}

impl RequestState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Refused, Self::Stopped, Self::Accepted, Self::Done];

    /// Returns the name of the state in the database and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Accepted => "accepted",
            Self::Done => "done",
        }
    }

    fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == text).unwrap_or(Self::Refused)
    }
}

/// A stored destructive request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestructiveRequest {
    pub event_id: i64,
    pub topic: String,
    pub shop_domain: String,
    pub state: RequestState,
    pub received_at: String,
    /// Time at which a waiting request is worked.
    pub due_at: Option<String>,
    /// End of Shopify's time limit for a redaction.
    pub deadline_at: Option<String>,
    /// Why it was refused or stopped.
    pub reason: Option<String>,
    pub decided_by: Option<String>,
    pub decided_at: Option<String>,
}

const COLUMNS: &str = "r.event_id, r.topic, r.shop_domain, r.state, r.received_at, r.due_at, r.deadline_at, r.reason, r.decided_by, r.decided_at";

fn read_request_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<DestructiveRequest> {
    Ok(DestructiveRequest {
        event_id: row.get(0)?,
        topic: row.get(1)?,
        shop_domain: row.get(2)?,
        state: RequestState::parse(&row.get::<_, String>(3)?),
        received_at: row.get(4)?,
        due_at: row.get(5)?,
        deadline_at: row.get(6)?,
        reason: row.get(7)?,
        decided_by: row.get(8)?,
        decided_at: row.get(9)?,
    })
}

/// Returns the request of an event; `None` if it never waited and was never refused.
pub fn find_destructive_request(
    connection: &Connection,
    event_id: i64,
) -> Result<Option<DestructiveRequest>, StoreError> {
    Ok(connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM destructive_requests r WHERE event_id = ?"))?
        .query_row([event_id], read_request_row)
        .optional()?)
}

/// Returns at most 1,000 requests: those that wait or need a decision first, then the newest.
///
/// It leaves out requests whose own body another redaction erased.
pub fn list_destructive_requests(connection: &Connection) -> Result<Vec<DestructiveRequest>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM destructive_requests r LEFT JOIN webhook_events e ON e.id = r.event_id \
         WHERE r.state = 'done' OR e.redacted_at IS NULL \
         ORDER BY r.state = 'done', r.state = 'stopped', r.event_id DESC LIMIT 1000"
    ))?;
    Ok(statement.query_map([], read_request_row)?.collect::<Result<_, _>>()?)
}

/// Stores that a request waits or was refused. `due_at` is the time of a waiting one, `reason` that of a refused one.
pub(crate) fn record_destructive_request(
    connection: &Connection,
    event_id: i64,
    state: RequestState,
    (due_at, deadline_at): (Option<Timestamp>, Option<Timestamp>),
    reason: Option<&str>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO destructive_requests (event_id, shop_domain, topic, body_hash, state, received_at, due_at, deadline_at, reason) \
             SELECT e.id, e.shop_domain, e.topic, e.body_hash, ?2, e.received_at, ?3, ?4, ?5 \
             FROM webhook_events e WHERE e.id = ?1 \
             ON CONFLICT (event_id) DO UPDATE SET state = excluded.state, due_at = excluded.due_at, reason = excluded.reason",
        )?
        .execute(params![
            event_id,
            state.as_str(),
            due_at.map(clock::format_timestamp),
            deadline_at.map(clock::format_timestamp),
            reason
        ])?;
    Ok(())
}

/// Stores that a redaction was worked, so that a copy of its body is recognised after the body is erased.
pub(crate) fn record_worked_redaction(connection: &Connection, event_id: i64) -> Result<(), StoreError> {
    record_destructive_request(connection, event_id, RequestState::Done, (None, None), None)
}

/// Marks an accepted request as worked.
pub(crate) fn mark_accepted_request_done(connection: &Connection, event_id: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE destructive_requests SET state = 'done', due_at = NULL WHERE event_id = ? AND state = 'accepted'",
        )?
        .execute([event_id])?;
    Ok(())
}

/// Returns true if the request of an event waits or needs a decision, so that a retry must not start it.
pub(crate) fn is_undecided_request(connection: &Connection, event_id: i64) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM destructive_requests WHERE event_id = ? AND state IN ('waiting', 'refused', 'stopped')",
        )?
        .exists([event_id])?)
}
