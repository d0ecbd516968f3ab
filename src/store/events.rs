//! Reading events: lists that page by key, one event with its trail, its bytes.

use super::envelope::Source;
use super::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};
use serde::Serialize;

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Status {
    Received,
    Processing,
    Completed,
    Failed,
}

impl Status {
    /// Every status, in the order an event passes through them.
    pub const ALL: [Self; 4] = [Self::Received, Self::Processing, Self::Completed, Self::Failed];

    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Which events are meant; an empty filter means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub status: Option<Status>,
    pub source: Option<Source>,
    /// A glob: `orders/*`.
    pub topic: Option<String>,
    /// [`crate::clock::text`]: received at this time or later.
    pub since: Option<String>,
}

/// An event as the queue has it, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub id: i64,
    pub source: String,
    pub shop_domain: String,
    pub topic: String,
    pub webhook_id: String,
    pub status: String,
    pub attempts: u32,
    pub max_attempts: u32,
    pub next_attempt_at: Option<String>,
    pub locked_by: Option<String>,
    pub locked_at: Option<String>,
    pub lease_until: Option<String>,
    pub last_error: Option<String>,
    pub note: Option<String>,
    pub received_at: String,
    pub completed_at: Option<String>,
    pub provider_event_id: Option<String>,
    pub triggered_at: Option<String>,
    pub same_body_as: Option<i64>,
    pub erased_at: Option<String>,
}

/// One row of an event's trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub at: String,
    pub from_status: Option<String>,
    pub to_status: String,
    pub attempt: u32,
    pub worker: Option<String>,
    pub duration_ms: Option<i64>,
    pub error: Option<String>,
}

/// What came over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// JSON object.
    pub headers: String,
    pub body: Vec<u8>,
    /// The first 8 bytes of the body's SHA-256.
    pub body_hash: i64,
}

const COLUMNS: &str = "id, source, shop_domain, topic, webhook_id, status, attempts, max_attempts, next_attempt_at, \
                       locked_by, locked_at, lease_until, last_error, note, received_at, completed_at, \
                       provider_event_id, triggered_at, same_body_as, erased_at";

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        id: row.get(0)?,
        source: row.get(1)?,
        shop_domain: row.get(2)?,
        topic: row.get(3)?,
        webhook_id: row.get(4)?,
        status: row.get(5)?,
        attempts: row.get(6)?,
        max_attempts: row.get(7)?,
        next_attempt_at: row.get(8)?,
        locked_by: row.get(9)?,
        locked_at: row.get(10)?,
        lease_until: row.get(11)?,
        last_error: row.get(12)?,
        note: row.get(13)?,
        received_at: row.get(14)?,
        completed_at: row.get(15)?,
        provider_event_id: row.get(16)?,
        triggered_at: row.get(17)?,
        same_body_as: row.get(18)?,
        erased_at: row.get(19)?,
    })
}

/// A page of events, the newest first; `before` is the last id of the page before it.
///
/// # Errors
/// When the query fails.
pub fn list(
    connection: &Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let mut statement = connection.prepare_cached(&list_sql(filter.status))?;
    let rows = statement.query_map(
        named_params! {
            ":before": before.unwrap_or(i64::MAX),
            ":source": filter.source.map(Source::as_str),
            ":topic": &filter.topic as &dyn ToSql,
            ":since": filter.since,
            ":limit": limit,
        },
        event,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is not finished or has failed is read off its partial index, so it costs no more with ten million finished events
/// behind it. The status stands in the text because SQLite takes a partial index only for a constant.
fn list_sql(status: Option<Status>) -> String {
    let (index, condition) = match status {
        Some(Status::Received) => ("INDEXED BY webhook_events_due", "AND status = 'received'"),
        Some(Status::Processing) => ("INDEXED BY webhook_events_held", "AND status = 'processing'"),
        Some(Status::Failed) => ("INDEXED BY webhook_events_failed", "AND status = 'failed'"),
        Some(Status::Completed) => ("", "AND status = 'completed'"),
        None => ("", ""),
    };
    format!(
        "SELECT {COLUMNS} FROM webhook_events {index} WHERE id < :before {condition} \
         AND (:source IS NULL OR source = :source) AND (:topic IS NULL OR topic GLOB :topic) \
         AND (:since IS NULL OR received_at >= :since) ORDER BY id DESC LIMIT :limit"
    )
}

/// One event.
///
/// # Errors
/// When the query fails.
pub fn get(connection: &Connection, id: i64) -> Result<Option<Event>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM webhook_events WHERE id = ?");
    Ok(connection.prepare_cached(&sql)?.query_row([id], event).optional()?)
}

/// The trail of one event, the oldest step first.
///
/// # Errors
/// When the query fails.
pub fn steps(connection: &Connection, id: i64) -> Result<Vec<Step>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT at, from_status, to_status, attempt, worker, duration_ms, error FROM webhook_event_log \
         WHERE event_id = ? ORDER BY id",
    )?;
    let rows = statement.query_map([id], |row| {
        Ok(Step {
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

/// The bytes of one event; `None` when there is no such event, or its payload is gone.
///
/// # Errors
/// When the query fails.
pub fn payload(connection: &Connection, id: i64) -> Result<Option<Payload>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT headers, body, body_hash FROM webhook_payloads WHERE event_id = ?")?
        .query_row([id], |row| Ok(Payload { headers: row.get(0)?, body: row.get(1)?, body_hash: row.get(2)? }))
        .optional()?)
}

impl Store {
    /// The bytes of one event, for its handler.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn payload(&self, id: i64) -> Result<Option<Payload>, StoreError> {
        self.reader.read(|connection| payload(connection, id))
    }
}
