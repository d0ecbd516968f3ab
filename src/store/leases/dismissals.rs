//! Dismissing failed events, failed deliveries and findings of EDI: an operator has looked at them and wants no retry.
//! The status stays `failed`; doctor and the views of failures leave them out. A retry ends the dismissal. Dropping a
//! queued delivery makes it failed and dismisses it in one step.

use crate::clock;
use crate::store::audit::system_log;
use crate::store::db::writer::WriteClass;
use crate::store::erp::edi_findings;
use crate::store::leases::event_outcomes::{EventLogRow, append_event_log_row};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// What an operator dismisses, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dismissal {
    /// Only failed deliveries to this destination, and no events.
    pub destination: Option<String>,
    pub reason: String,
    /// The operator: user@host.
    pub by: String,
}

/// An event that was dismissed, or whose deliveries were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DismissedEvent {
    pub event_id: i64,
    /// False if the event had not failed, and only deliveries of it were dismissed.
    pub is_event_dismissed: bool,
    /// The destinations of its dismissed deliveries.
    pub destinations: Vec<String>,
    /// True if the state of its sent document, or its answers that fit nothing, were dismissed.
    pub are_findings_dismissed: bool,
}

/// Most deliveries that one transaction drops. It limits how long the transaction has the lock.
const DROP_BATCH_SIZE: u32 = 500;
/// `last_error` of a dropped delivery.
pub const DROPPED_ERROR: &str = "an operator dropped the delivery: novex-ingest destinations drop";

impl Store {
    /// Dismisses the events that failed, and the failed deliveries of each event, in one transaction. Returns those
    /// that were not dismissed before.
    pub async fn dismiss_failures(
        &self,
        ids: Vec<i64>,
        dismissal: Dismissal,
    ) -> Result<Vec<DismissedEvent>, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                let mut dismissed = Vec::new();
                for id in ids {
                    dismissed.extend(dismiss_event(connection, id, &dismissal, &at)?);
                }
                Ok(dismissed)
            })
            .await
    }

    /// Drops the pending deliveries of a destination: they become failed and dismissed. Returns their number.
    ///
    /// `events retry` can queue them again. A delivery that is being sent is not dropped.
    ///
    /// # Errors
    /// Those of a transaction. Deliveries of earlier transactions stay dropped.
    pub async fn drop_deliveries(&self, destination: &str, by: &str) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let (destination, by, at) =
                (destination.to_owned(), by.to_owned(), clock::format_timestamp(self.clock.now()));
            let job = move |connection: &Connection| {
                let deliveries: Vec<SettledDelivery> = connection
                    .prepare_cached(
                        "UPDATE destination_deliveries SET status = 'failed', next_attempt_at = NULL, not_before = \
                         NULL, finished_at = ?1, last_error = ?2, dismissed_at = ?1, dismissed_by = ?3 WHERE id IN \
                         (SELECT id FROM destination_deliveries WHERE destination = ?4 AND status = 'pending' LIMIT ?5) \
                         RETURNING id, event_id, destination, attempts",
                    )?
                    .query_map(params![at, DROPPED_ERROR, by, destination, DROP_BATCH_SIZE], SettledDelivery::read)?
                    .collect::<Result<_, _>>()?;
                for delivery in &deliveries {
                    delivery.record(connection, &at, &by, DROPPED_ERROR)?;
                }
                Ok(deliveries.len() as u64)
            };
            let count = self.writer.submit(WriteClass::Wake, job).await?;
            dropped += count;
            if count < u64::from(DROP_BATCH_SIZE) {
                return Ok(dropped);
            }
        }
    }
}

/// A delivery that an operator dismissed or dropped.
#[derive(Debug)]
struct SettledDelivery {
    id: i64,
    event_id: i64,
    destination: String,
    attempts: u32,
}

impl SettledDelivery {
    /// Reads the columns `id, event_id, destination, attempts`.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { id: row.get(0)?, event_id: row.get(1)?, destination: row.get(2)?, attempts: row.get(3)? })
    }

    /// Adds the decision to the log of the delivery and to the audit trail.
    fn record(&self, connection: &Connection, at: &str, by: &str, note: &str) -> Result<(), StoreError> {
        connection
            .prepare_cached(
                "INSERT INTO destination_delivery_log (delivery_id, at, to_status, attempt, worker, error) \
                 VALUES (?, ?, 'failed', ?, ?, ?)",
            )?
            .execute(params![self.id, at, self.attempts, by, note])?;
        // The reason is not in the audit trail: a redaction could not erase it there.
        let path = format!("events/{}/destinations/{}", self.event_id, self.destination);
        system_log::append_operator_entry(connection, at, by, "DISMISS", &path)
    }
}

fn dismiss_event(
    connection: &Connection,
    event_id: i64,
    dismissal: &Dismissal,
    at: &str,
) -> Result<Option<DismissedEvent>, StoreError> {
    let Dismissal { destination, reason, by } = dismissal;
    let note = format!("dismissed: {reason}");
    let attempts: Option<u32> = if destination.is_some() {
        None
    } else {
        connection
            .prepare_cached(
                "UPDATE webhook_events SET dismissed_at = ?1, dismissed_reason = ?2, dismissed_by = ?3 \
                 WHERE id = ?4 AND status = 'failed' AND dismissed_at IS NULL RETURNING attempts",
            )?
            .query_row(params![at, reason, by, event_id], |row| row.get(0))
            .optional()?
    };
    if let Some(attempt) = attempts {
        let row = EventLogRow { attempt, worker: by, error: Some(&note), ..EventLogRow::new("failed", "failed") };
        append_event_log_row(connection, event_id, at, &row)?;
        // The reason is not in the audit trail: a redaction could not erase it there.
        system_log::append_operator_entry(connection, at, by, "DISMISS", &format!("events/{event_id}"))?;
    }
    let deliveries: Vec<SettledDelivery> = connection
        .prepare_cached(
            "UPDATE destination_deliveries SET dismissed_at = ?1, dismissed_reason = ?2, dismissed_by = ?3 \
             WHERE event_id = ?4 AND status = 'failed' AND dismissed_at IS NULL AND (?5 IS NULL OR destination = ?5) \
             RETURNING id, event_id, destination, attempts",
        )?
        .query_map(params![at, reason, by, event_id, destination], SettledDelivery::read)?
        .collect::<Result<_, _>>()?;
    let mut destinations = Vec::new();
    for delivery in deliveries {
        delivery.record(connection, at, by, &note)?;
        destinations.push(delivery.destination);
    }
    destinations.sort();
    let are_findings_dismissed =
        destination.is_none() && edi_findings::dismiss_edi_findings(connection, event_id, (reason, by), at)?;
    if are_findings_dismissed {
        system_log::append_operator_entry(connection, at, by, "DISMISS", &format!("events/{event_id}/edi"))?;
    }
    let is_event_dismissed = attempts.is_some();
    let found = is_event_dismissed || are_findings_dismissed || !destinations.is_empty();
    Ok(found.then_some(DismissedEvent { event_id, is_event_dismissed, destinations, are_findings_dismissed }))
}
