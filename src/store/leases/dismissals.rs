//! Dismissing failed events and deliveries: an operator has looked at them and wants no retry. The status stays
//! `failed`; doctor and the views of failures leave them out. A retry ends the dismissal.

use crate::clock;
use crate::store::audit::system_log;
use crate::store::db::writer::WriteClass;
use crate::store::leases::event_outcomes::{EventLogRow, append_event_log_row};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

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
}

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
    let deliveries: Vec<(i64, String, u32)> = connection
        .prepare_cached(
            "UPDATE destination_deliveries SET dismissed_at = ?1, dismissed_reason = ?2, dismissed_by = ?3 \
             WHERE event_id = ?4 AND status = 'failed' AND dismissed_at IS NULL AND (?5 IS NULL OR destination = ?5) \
             RETURNING id, destination, attempts",
        )?
        .query_map(params![at, reason, by, event_id, destination], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut destinations = Vec::new();
    for (id, name, attempts) in deliveries {
        connection
            .prepare_cached(
                "INSERT INTO destination_delivery_log (delivery_id, at, to_status, attempt, worker, error) \
                 VALUES (?, ?, 'failed', ?, ?, ?)",
            )?
            .execute(params![id, at, attempts, by, note])?;
        let path = format!("events/{event_id}/destinations/{name}");
        system_log::append_operator_entry(connection, at, by, "DISMISS", &path)?;
        destinations.push(name);
    }
    destinations.sort();
    let is_event_dismissed = attempts.is_some();
    let found = is_event_dismissed || !destinations.is_empty();
    Ok(found.then_some(DismissedEvent { event_id, is_event_dismissed, destinations }))
}
