//! Claiming, releasing and retrying events. Outcomes are in [`super::event_outcomes`].
//!
//! ```text
//!            ┌────────────── claim ───────────────┐
//!            │                                    ▼
//!  ───► received ◄── retry, release, recover ── processing ── complete ──► completed
//!            ▲                                    │
//!            └──── retry (an operator) ── failed ◄── fail; retry or recover after the last attempt
//! ```
//! Every arrow is one function, and each writes its row of `webhook_event_log` in the same transaction.

use crate::clock::{self, Timestamp};
use crate::event::{EventIdentity, EventKey};
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::leases::event_outcomes::{EventLogRow, append_event_log_row, write_recovered_event};
use crate::store::leases::{Lease, LeaseOwner, Leased, LeasedTable, deliveries, lease_sql};
use crate::store::privacy::destructive_requests::is_undecided_request;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, named_params, params};
use std::time::Duration;

/// Events, as leased rows.
pub static EVENTS: LeasedTable = LeasedTable {
    name: "webhook_events",
    leased_status: "processing",
    noun: "event",
    activity: "ran this handler",
    max_attempts: "max_attempts",
    write_recovered: write_recovered_event,
};

/// An event that this process claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventClaim {
    pub event: EventIdentity,
    /// This attempt's number, from 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// Attempts in a row at whose end the process died. More than none: the handler runs alone.
    pub deaths: u32,
    pub received_at: Timestamp,
    /// When the event happened, as the provider wrote it.
    pub triggered_at: Option<String>,
    /// An earlier event with the same bytes; retention may have deleted it.
    pub same_body_as: Option<i64>,
    /// Size of the stored body.
    pub body_bytes: u64,
    /// True for a test event: its handler runs, and nothing of its result is written but notes and subjects.
    pub is_test: bool,
    pub lease: Lease,
}

impl Leased for EventClaim {
    fn row_id(&self) -> i64 {
        self.event.id
    }

    fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// An event that an operator retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetriedEvent {
    pub event_id: i64,
    pub previous_status: &'static str,
}

/// Each time that something waits for: table, column, and the status of the waiting row.
const DUE_TIME_COLUMNS: [(&str, &str, &str); 5] = [
    ("webhook_events", "next_attempt_at", "received"),
    ("webhook_events", "lease_expires_at", "processing"),
    ("destination_deliveries", "next_attempt_at", "pending"),
    ("destination_deliveries", "lease_expires_at", "delivering"),
    ("sps_files", "lease_expires_at", "fetching"),
];

/// Longest time for which a correct clock postpones a destructive request.
const REQUEST_WAIT_MAX: Duration = Duration::from_hours(24 * 30);

/// Returns the condition that leaves out the destructive requests that wait until at most `?2`.
fn exempt_waiting_requests(table: &str, column: &str) -> &'static str {
    match (table, column) {
        ("webhook_events", "next_attempt_at") => {
            "AND NOT EXISTS (SELECT 1 FROM destructive_requests r WHERE r.event_id = webhook_events.id \
             AND r.state = 'waiting' AND webhook_events.next_attempt_at <= ?2)"
        }
        _ => "AND ?2 IS NOT NULL",
    }
}

impl Store {
    /// Claims up to `limit` due events, the longest due first. An event that was in work when a process died is claimed
    /// alone.
    ///
    /// # Errors
    /// When the transaction fails; then nothing is claimed.
    pub async fn claim_events(
        &self,
        owner: &LeaseOwner,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<EventClaim>, StoreError> {
        let (owner, now) = (owner.clone(), self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| claim_due_events(connection, &owner, limit, lease, now))
            .await
    }

    /// Makes due now what a clock that was far ahead put off: rows that are due, or leased, for longer than `latest`
    /// from now. Returns how many.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn reset_distant_due_times(&self, latest: Duration) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let (at, far) = (clock::format_timestamp(now), clock::format_timestamp(clock::add_duration(now, latest)));
        let farthest = clock::format_timestamp(clock::add_duration(now, REQUEST_WAIT_MAX));
        let found = self.reader.read(|connection| {
            for (table, column, status) in DUE_TIME_COLUMNS {
                let exempt = exempt_waiting_requests(table, column);
                let sql = format!("SELECT 1 FROM {table} WHERE status = '{status}' AND {column} > ?1 {exempt} LIMIT 1");
                if connection.prepare_cached(&sql)?.exists([&far, &farthest])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        if !found {
            return Ok(0);
        }
        self.writer
            .submit(WriteClass::Wake, move |connection| {
                let mut reset = 0;
                for (table, column, status) in DUE_TIME_COLUMNS {
                    let exempt = exempt_waiting_requests(table, column);
                    let sql = format!(
                        "UPDATE {table} SET {column} = ?3 WHERE status = '{status}' AND {column} > ?1 {exempt}"
                    );
                    reset += connection.prepare_cached(&sql)?.execute([&far, &farthest, &at])?;
                }
                Ok(reset)
            })
            .await
    }

    /// Returns when the next event is due, or `None` when none waits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_event_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.reader.read(|connection| {
            let next: Option<String> = connection
                .prepare_cached("SELECT min(next_attempt_at) FROM webhook_events WHERE status = 'received'")?
                .query_row([], |row| row.get(0))?;
            Ok(next.map(|text| clock::parse_timestamp(&text).unwrap_or(Timestamp::MIN)))
        })
    }

    /// Retries events: a failed or completed one gets `attempts` new attempts, a waiting one becomes due now. An event
    /// that is being processed stays as it is, and so does one whose body is gone or whose destructive request is
    /// undecided; but the failed deliveries of a redaction are retried, because they need no body. Returns the events
    /// that were retried.
    ///
    /// # Errors
    /// When the transaction fails; then no event was retried.
    pub async fn retry_events(
        &self,
        ids: Vec<i64>,
        attempts: u32,
        worker: String,
        actor: Actor,
    ) -> Result<Vec<RetriedEvent>, StoreError> {
        let now = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Wake, move |connection| {
                let mut retried = Vec::new();
                for id in ids {
                    retried.extend(retry_event(connection, id, attempts, &worker, &now)?);
                }
                log_retry(connection, &now, &actor, &retried)?;
                Ok(retried)
            })
            .await
    }
}

/// Appends one entry for all events of a retry to the audit trail.
pub(super) fn log_retry(
    connection: &Connection,
    at: &str,
    actor: &Actor,
    retried: &[RetriedEvent],
) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (retried.first(), retried.last()) else { return Ok(()) };
    let path = match retried.len() {
        1 => format!("events/{}", first.event_id),
        count => format!("{count} events, from events/{} to events/{}", first.event_id, last.event_id),
    };
    actor.log_action(connection, at, ("EVENT", "RETRY", &path), None)
}

fn claim_due_events(
    connection: &Connection,
    owner: &LeaseOwner,
    limit: u32,
    lease: Duration,
    now: Timestamp,
) -> Result<Vec<EventClaim>, StoreError> {
    let at = clock::format_timestamp(now);
    let parameters = named_params! {
        ":locked_by": owner.worker,
        ":locked_process": owner.process,
        ":now": at,
        ":lease_expires_at": clock::format_timestamp(clock::add_duration(now, lease)),
        ":limit": limit,
    };
    let mut claims = connection
        .prepare_cached(concat!(
            "UPDATE webhook_events SET status = 'processing', attempts = attempts + 1, next_attempt_at = NULL, ",
            lease_sql!(claim),
            " WHERE id IN (SELECT id FROM ( \
               SELECT id, row_number() OVER due AS place, sum(deaths > 0) OVER due AS suspects \
                 FROM (SELECT id, next_attempt_at, deaths FROM webhook_events \
                        WHERE status = 'received' AND next_attempt_at <= :now ORDER BY next_attempt_at, id LIMIT :limit) \
               WINDOW due AS (ORDER BY next_attempt_at, id)) \
               WHERE suspects = 0 OR place = 1) \
             RETURNING id, source, shop_domain, topic, webhook_id, attempts, max_attempts, fencing_token, received_at, \
               triggered_at, deaths, same_body_as, test, \
               coalesce((SELECT length(body) FROM webhook_payloads WHERE event_id = webhook_events.id), 0)"
        ))?
        .query_map(parameters, |row| {
            let key = EventKey {
                source: row.get(1)?,
                shop_domain: row.get(2)?,
                topic: row.get(3)?,
                webhook_id: row.get(4)?,
            };
            Ok(EventClaim {
                event: EventIdentity { id: row.get(0)?, key },
                attempt: row.get(5)?,
                max_attempts: row.get(6)?,
                deaths: row.get(10)?,
                received_at: clock::parse_timestamp(&row.get::<_, String>(8)?).unwrap_or(now),
                triggered_at: row.get(9)?,
                same_body_as: row.get(11)?,
                is_test: row.get(12)?,
                body_bytes: row.get(13)?,
                lease: Lease { owner: owner.clone(), fencing_token: row.get(7)? },
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    // SQLite returns the rows in any order.
    claims.sort_by_key(|claim| claim.event.id);
    for claim in &claims {
        let row =
            EventLogRow { attempt: claim.attempt, worker: &owner.worker, ..EventLogRow::new("received", "processing") };
        append_event_log_row(connection, claim.event.id, &at, &row)?;
    }
    Ok(claims)
}

/// Retries one event. Returns None if it stays as it is.
pub(super) fn retry_event(
    connection: &Connection,
    id: i64,
    attempts: u32,
    by: &str,
    at: &str,
) -> Result<Option<RetriedEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT status, attempts, redacted_at IS NULL AND EXISTS (SELECT 1 FROM webhook_payloads WHERE event_id = id), \
         EXISTS (SELECT 1 FROM redactions WHERE event_id = id) FROM webhook_events WHERE id = ?",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (status, made, has_body, is_redaction): (String, u32, bool, bool) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    drop(rows);
    let previous_status = match status.as_str() {
        "failed" => "failed",
        "completed" => "completed",
        "received" => "received",
        _ => return Ok(None),
    };
    if is_undecided_request(connection, id)? {
        return Ok(None);
    }
    if !has_body {
        let retried = is_redaction && deliveries::retry_failed_deliveries(connection, id, attempts, at)? > 0;
        return Ok(retried.then_some(RetriedEvent { event_id: id, previous_status }));
    }
    connection
        .prepare_cached(
            "UPDATE webhook_events SET status = 'received', \
             next_attempt_at = CASE WHEN attempts = 0 THEN min(received_at, ?1) ELSE ?1 END, completed_at = NULL, note = NULL, \
             dismissed_at = NULL, dismissed_reason = NULL, dismissed_by = NULL, \
             max_attempts = CASE WHEN status = 'received' THEN max_attempts ELSE attempts + ?2 END WHERE id = ?3",
        )?
        .execute(params![at, attempts, id])?;
    deliveries::retry_failed_deliveries(connection, id, attempts, at)?;
    let row = EventLogRow {
        attempt: made,
        worker: by,
        error: Some("retried by hand"),
        ..EventLogRow::new(previous_status, "received")
    };
    append_event_log_row(connection, id, at, &row)?;
    Ok(Some(RetriedEvent { event_id: id, previous_status }))
}
