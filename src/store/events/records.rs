//! Reading events: lists that page by key, single events, and their payloads.

use crate::event::{EARLIER_EVENTS_MAX, EarlierEvent, EventIdentity, EventKey, Source};
use crate::store::events::scan::{ScanLimits, scan_events};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// A state of events that a filter selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum EventStatus {
    Received,
    Processing,
    Completed,
    /// Failed, and no operator dismissed it.
    Failed,
    /// Failed, and an operator dismissed it.
    Dismissed,
}

/// A filter of events; the default matches all.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub status: Option<EventStatus>,
    pub source: Option<Source>,
    /// A glob: `orders/*`.
    pub topic: Option<String>,
    /// Received at this time or later, as [`crate::clock::format_timestamp`] writes it.
    pub since: Option<String>,
    /// Received before this time, in the same form.
    pub until: Option<String>,
    /// A part of the last error, in any case of its letters; `*` matches anything.
    pub error: Option<String>,
}

/// An event as stored, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRecord {
    #[serde(flatten)]
    pub identity: EventIdentity,
    pub status: String,
    pub attempts: u32,
    pub max_attempts: u32,
    pub next_attempt_at: Option<String>,
    pub locked_by: Option<String>,
    pub locked_at: Option<String>,
    pub lease_expires_at: Option<String>,
    pub last_error: Option<String>,
    pub note: Option<String>,
    pub received_at: String,
    pub completed_at: Option<String>,
    pub provider_event_id: Option<String>,
    pub triggered_at: Option<String>,
    pub same_body_as: Option<i64>,
    pub redacted_at: Option<String>,
    /// When an operator dismissed the failed event.
    pub dismissed_at: Option<String>,
    pub dismissed_reason: Option<String>,
    pub dismissed_by: Option<String>,
    /// True for a test event, which wrote no rows and reached no destination.
    #[serde(rename = "test")]
    pub is_test: bool,
}

impl EventRecord {
    /// Returns the status for people, which names a test event.
    #[must_use]
    pub fn status_text(&self) -> String {
        let status = if self.dismissed_at.is_some() { "dismissed" } else { &self.status };
        if self.is_test { format!("{status} (test)") } else { status.to_owned() }
    }
}

/// The bytes of an event as they were received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// A JSON object of the headers, without secrets.
    pub headers: String,
    pub body: Vec<u8>,
    /// The first 8 bytes of the body's SHA-256.
    pub body_hash: i64,
}

pub(super) const COLUMNS: &str = "id, source, shop_domain, topic, webhook_id, status, attempts, max_attempts, next_attempt_at, \
                       locked_by, locked_at, lease_expires_at, last_error, note, received_at, completed_at, \
                       provider_event_id, triggered_at, same_body_as, redacted_at, dismissed_at, dismissed_reason, \
                       dismissed_by, test";
/// Places of columns in [`COLUMNS`].
pub(super) const LAST_ERROR_COLUMN: usize = 12;
pub(super) const RECEIVED_AT_COLUMN: usize = 14;
pub(super) const COMPLETED_AT_COLUMN: usize = 15;

pub(super) fn read_event_row(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    let key = EventKey { source: row.get(1)?, shop_domain: row.get(2)?, topic: row.get(3)?, webhook_id: row.get(4)? };
    Ok(EventRecord {
        identity: EventIdentity { id: row.get(0)?, key },
        status: row.get(5)?,
        attempts: row.get(6)?,
        max_attempts: row.get(7)?,
        next_attempt_at: row.get(8)?,
        locked_by: row.get(9)?,
        locked_at: row.get(10)?,
        lease_expires_at: row.get(11)?,
        last_error: row.get(12)?,
        note: row.get(13)?,
        received_at: row.get(14)?,
        completed_at: row.get(15)?,
        provider_event_id: row.get(16)?,
        triggered_at: row.get(17)?,
        same_body_as: row.get(18)?,
        redacted_at: row.get(19)?,
        dismissed_at: row.get(20)?,
        dismissed_reason: row.get(21)?,
        dismissed_by: row.get(22)?,
        is_test: row.get(23)?,
    })
}

/// Returns a page of events, the newest first. `before` is the last id of the previous page.
pub fn list_events(
    connection: &Connection,
    filter: &EventFilter,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<EventRecord>, StoreError> {
    let limits = ScanLimits { rows: limit as usize, scanned: u32::MAX };
    Ok(scan_events(connection, filter, before, limits)?.events)
}

/// Returns one event, or None if it does not exist.
pub fn find_event(connection: &Connection, id: i64) -> Result<Option<EventRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM webhook_events WHERE id = ?");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_event_row).optional()?)
}

/// Returns how many later requests had the webhook id of an event, and other bytes.
pub fn count_conflicts(connection: &Connection, event_id: i64) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM webhook_conflicts WHERE event_id = ?")?;
    Ok(statement.query_row([event_id], |row| row.get(0))?)
}

/// Returns the payload of one event, or None if the event or its payload does not exist.
pub fn read_payload(connection: &Connection, id: i64) -> Result<Option<Payload>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT p.headers, p.body, coalesce(e.body_hash, 0) FROM webhook_payloads p \
             JOIN webhook_events e ON e.id = p.event_id WHERE p.event_id = ?",
        )?
        .query_row([id], |row| Ok(Payload { headers: row.get(0)?, body: row.get(1)?, body_hash: row.get(2)? }))
        .optional()?)
}

impl Store {
    /// Returns the first events that have this body and are older than event `before`.
    ///
    /// Retention may have deleted some or all of them. A destructive request is found after that too.
    pub fn find_earlier_events(&self, body_hash: i64, before: i64) -> Result<Vec<EarlierEvent>, StoreError> {
        self.reader.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT e.id, e.topic, e.shop_domain, e.status = 'failed', e.status IN ('received', 'processing'), \
                   coalesce(r.state = 'refused', 0) \
                   FROM webhook_events e LEFT JOIN destructive_requests r ON r.event_id = e.id \
                   WHERE e.body_hash = ?1 AND e.id < ?2 AND e.test = 0 \
                 UNION ALL SELECT event_id, topic, shop_domain, state <> 'done', 0, state = 'refused' \
                   FROM destructive_requests r WHERE body_hash = ?1 AND event_id < ?2 \
                   AND NOT EXISTS (SELECT 1 FROM webhook_events e WHERE e.id = r.event_id) \
                 ORDER BY 1 LIMIT ?3",
            )?;
            let rows = statement.query_map(params![body_hash, before, EARLIER_EVENTS_MAX], |row| {
                Ok(EarlierEvent {
                    id: row.get(0)?,
                    topic: row.get(1)?,
                    shop_domain: row.get(2)?,
                    is_failed: row.get(3)?,
                    is_pending: row.get(4)?,
                    is_refused: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Returns the payload of one event, for its handler, or None if it does not exist.
    pub fn read_payload(&self, id: i64) -> Result<Option<Payload>, StoreError> {
        self.reader.read(|connection| read_payload(connection, id))
    }
}
