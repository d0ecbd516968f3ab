//! Claiming deliveries: which delivery is due where, and in which order. Outcomes are in [`super::delivery_outcomes`].
//!
//! ```text
//!             ┌────────────── claim ───────────────┐
//!             │                                    ▼
//!  ───►  pending ◄── retry, release, recover ── delivering ── deliver ──► delivered
//!             ▲                                    │
//!             └──── retry (an operator) ── failed ◄── reject; retry or recover after the last attempt
//! ```
//! Two deliveries with one ordering key are never in flight to one destination at once, and none overtakes an earlier
//! one. Workers process several events at once, and only a processed event has an ordering key: so a delivery with a
//! key waits while an earlier event of its source and shop is being processed or is due. A delivery that waits for its
//! retry blocks later deliveries with its key, and no others.
//!
//! A redaction is not delivered to a destination while a delivery of a redacted event is in flight there: the
//! destination must not get a person's data after the order to forget them.
//!
//! A destination whose circuit breaker is open (`destinations.down_since`) gets one delivery at a time, as a probe,
//! from `next_probe_at` on.

use crate::clock::{self, Timestamp};
use crate::event::{EventIdentity, EventKey};
use crate::store::db::writer::WriteClass;
use crate::store::leases::delivery_outcomes::write_recovered_delivery;
use crate::store::leases::{Lease, LeaseOwner, Leased, LeasedTable, lease_sql};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use std::time::Duration;

/// Deliveries, as leased rows.
pub static DELIVERIES: LeasedTable = LeasedTable {
    name: "destination_deliveries",
    leased_status: "delivering",
    noun: "delivery",
    activity: "made this delivery",
    max_attempts: "max_attempts",
    write_recovered: write_recovered_delivery,
};

/// A delivery that a completed event asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    pub destination: String,
    pub ordering_key: String,
    pub max_attempts: u32,
}

/// A delivery that this process claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryClaim {
    pub id: i64,
    pub event: EventIdentity,
    pub destination: String,
    /// This attempt's number, from 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// Attempts in a row at whose end the process died. More than none: nothing else is sent to the destination
    /// meanwhile.
    pub deaths: u32,
    /// Size of the event's stored body.
    pub body_bytes: u64,
    /// Claimed while the circuit breaker was open.
    pub(crate) is_probe: bool,
    pub lease: Lease,
}

impl Leased for DeliveryClaim {
    fn row_id(&self) -> i64 {
        self.id
    }

    fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// Stores the deliveries of an event; a delivery that exists already stays as it is.
///
/// # Errors
/// When a statement fails.
pub fn enqueue_deliveries(
    connection: &Connection,
    event_id: i64,
    deliveries: &[NewDelivery],
    now: &str,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO destination_deliveries (event_id, destination, ordering_key, max_attempts, next_attempt_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (event_id, destination) DO NOTHING",
    )?;
    for delivery in deliveries {
        statement.execute(params![
            event_id,
            delivery.destination,
            delivery.ordering_key,
            delivery.max_attempts,
            now
        ])?;
    }
    Ok(())
}

/// Gives an event's failed deliveries new attempts. Returns how many.
///
/// # Errors
/// When the statement fails.
pub fn retry_failed_deliveries(
    connection: &Connection,
    event_id: i64,
    attempts: u32,
    now: &str,
) -> Result<usize, StoreError> {
    Ok(connection
        .prepare_cached(
            "UPDATE destination_deliveries SET status = 'pending', next_attempt_at = ?1, finished_at = NULL, \
             dismissed_at = NULL, dismissed_reason = NULL, dismissed_by = NULL, max_attempts = attempts + ?2 WHERE event_id = ?3 AND status = 'failed'",
        )?
        .execute(params![now, attempts, event_id])?)
}

impl Store {
    /// Returns when the next delivery to `destination` is due, as far as its breaker and an operator's pause let it;
    /// `None` when none waits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_delivery_due(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        self.reader.read(|connection| {
            let state: Option<(Option<String>, Option<String>)> = connection
                .prepare_cached("SELECT paused_at, next_probe_at FROM destinations WHERE name = ?")?
                .query_row([destination], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            // The index finds a due delivery at once; a long backlog is read to its end only when none is due.
            let due_now: Option<String> = connection
                .prepare_cached(
                    "SELECT next_attempt_at FROM destination_deliveries WHERE destination = ? AND status = 'pending' \
                     AND next_attempt_at <= ? LIMIT 1",
                )?
                .query_row(params![destination, clock::format_timestamp(self.clock.now())], |row| row.get(0))
                .optional()?;
            let due: Option<String> = match due_now {
                Some(due) => Some(due),
                None => connection
                    .prepare_cached(
                        "SELECT min(next_attempt_at) FROM destination_deliveries WHERE destination = ? AND status = 'pending'",
                    )?
                    .query_row([destination], |row| row.get(0))?,
            };
            let Some(due) = due else { return Ok(None) };
            Ok(match state {
                Some((Some(_paused), _)) => None,
                Some((None, Some(next_probe_at))) if next_probe_at > due => clock::parse_timestamp(&next_probe_at).ok(),
                _ => clock::parse_timestamp(&due).ok(),
            })
        })
    }

    /// Claims up to `limit` due deliveries to `destination`, in the order of their events.
    ///
    /// # Errors
    /// When the transaction fails; then nothing is claimed.
    pub async fn claim_deliveries(
        &self,
        destination: &str,
        owner: &LeaseOwner,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<DeliveryClaim>, StoreError> {
        let (destination, owner, now) = (destination.to_owned(), owner.clone(), self.clock.now());
        let job = move |connection: &Connection| {
            let at = clock::format_timestamp(now);
            let limit = match read_intake(connection, &destination, &at)? {
                Intake::Closed => return Ok(Vec::new()),
                Intake::Probe => ClaimLimit { deliveries: 1, is_probe: true },
                Intake::Open => ClaimLimit { deliveries: limit, is_probe: false },
            };
            let expires_at = clock::format_timestamp(clock::add_duration(now, lease));
            claim_due_deliveries(connection, &destination, &owner, limit, &at, &expires_at)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

/// What a destination may be given now.
enum Intake {
    Open,
    /// One delivery, because the breaker is open.
    Probe,
    /// Nothing: an operator paused it, its next probe is not due, or a probe is in flight.
    Closed,
}

fn read_intake(connection: &Connection, destination: &str, at: &str) -> Result<Intake, StoreError> {
    let state: Option<(bool, bool)> = connection
        .prepare_cached(
            "SELECT paused_at IS NOT NULL OR coalesce(next_probe_at, '') > ?2, down_since IS NOT NULL FROM destinations \
             WHERE name = ?1",
        )?
        .query_row([destination, at], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let in_flight = "SELECT 1 FROM destination_deliveries WHERE destination = ? AND status = 'delivering'";
    Ok(match state {
        Some((true, _)) => Intake::Closed,
        Some((false, true)) if connection.prepare_cached(in_flight)?.exists([destination])? => Intake::Closed,
        Some((false, true)) => Intake::Probe,
        Some((false, false)) | None => Intake::Open,
    })
}

#[derive(Clone, Copy)]
struct ClaimLimit {
    deliveries: u32,
    is_probe: bool,
}

/// The ids of due deliveries to `:destination`, in the order `{order}`. The module's documentation has the rules of the
/// order.
macro_rules! due_deliveries_sql {
    ($order:literal) => {
        concat!(
            "SELECT d.id FROM destination_deliveries d \
             WHERE d.destination = :destination AND d.status = 'pending' AND d.next_attempt_at <= :now AND (d.ordering_key = '' OR ( \
               d.event_id < :first_due_event \
               AND NOT EXISTS (SELECT 1 FROM webhook_events e JOIN in_progress w ON w.source = e.source AND w.shop_domain = e.shop_domain \
                               WHERE e.id = d.event_id AND w.id < e.id) \
               AND NOT EXISTS (SELECT 1 FROM destination_deliveries p WHERE p.destination = :destination \
                               AND p.ordering_key = d.ordering_key AND p.status = 'pending' AND p.event_id < d.event_id) \
               AND NOT EXISTS (SELECT 1 FROM destination_deliveries p WHERE p.destination = :destination \
                               AND p.ordering_key = d.ordering_key AND p.status = 'delivering'))) \
             AND NOT (EXISTS (SELECT 1 FROM redactions r WHERE r.event_id = d.event_id) \
               AND EXISTS (SELECT 1 FROM destination_deliveries p JOIN webhook_events e ON e.id = p.event_id \
                           WHERE p.destination = :destination AND p.status = 'delivering' AND e.redacted_at IS NOT NULL \
                           AND NOT EXISTS (SELECT 1 FROM redactions r WHERE r.event_id = p.event_id))) \
             ORDER BY ",
            $order,
            " LIMIT :limit"
        )
    };
}

macro_rules! claim_deliveries_sql {
    ($order:literal) => {
        concat!(
            "WITH in_progress AS MATERIALIZED (SELECT source, shop_domain, min(id) AS id FROM webhook_events \
               WHERE status = 'processing' GROUP BY 1, 2) \
             UPDATE destination_deliveries SET status = 'delivering', attempts = attempts + 1, next_attempt_at = NULL, ",
            lease_sql!(claim),
            " WHERE id IN (",
            due_deliveries_sql!($order),
            ") RETURNING id, event_id, attempts, max_attempts, fencing_token, \
               (SELECT source FROM webhook_events e WHERE e.id = event_id), \
               (SELECT shop_domain FROM webhook_events e WHERE e.id = event_id), \
               (SELECT topic FROM webhook_events e WHERE e.id = event_id), \
               (SELECT webhook_id FROM webhook_events e WHERE e.id = event_id), deaths, \
               coalesce((SELECT length(body) FROM webhook_payloads p \
                         WHERE p.event_id = destination_deliveries.event_id), 0)"
        )
    };
}

fn claim_due_deliveries(
    connection: &Connection,
    destination: &str,
    owner: &LeaseOwner,
    limit: ClaimLimit,
    at: &str,
    expires_at: &str,
) -> Result<Vec<DeliveryClaim>, StoreError> {
    // Workers claim events in this order, so no event before the first due one still lacks its deliveries.
    let first_due_event: i64 = connection
        .prepare_cached(
            "SELECT id FROM webhook_events WHERE status = 'received' AND next_attempt_at <= ? \
             ORDER BY next_attempt_at, id LIMIT 1",
        )?
        .query_row([at], |row| row.get(0))
        .optional()?
        .unwrap_or(i64::MAX);
    // The index has the order of the events, and reading stops at the limit. A probe takes another delivery than the
    // one that failed last, because that delivery itself may be the cause.
    let sql = if limit.is_probe {
        claim_deliveries_sql!("coalesce(d.not_before, ''), d.event_id")
    } else {
        claim_deliveries_sql!("d.event_id")
    };
    let parameters = named_params! {
        ":locked_by": owner.worker,
        ":locked_process": owner.process,
        ":now": at,
        ":lease_expires_at": expires_at,
        ":destination": destination,
        ":first_due_event": first_due_event,
        ":limit": limit.deliveries,
    };
    let mut claims = connection
        .prepare_cached(sql)?
        .query_map(parameters, |row| read_delivery_claim(row, destination, owner, limit.is_probe))?
        .collect::<Result<Vec<_>, _>>()?;
    claims.sort_by_key(|claim| claim.event.id);
    Ok(claims)
}

fn read_delivery_claim(
    row: &Row<'_>,
    destination: &str,
    owner: &LeaseOwner,
    is_probe: bool,
) -> rusqlite::Result<DeliveryClaim> {
    let key = EventKey { source: row.get(5)?, shop_domain: row.get(6)?, topic: row.get(7)?, webhook_id: row.get(8)? };
    Ok(DeliveryClaim {
        id: row.get(0)?,
        event: EventIdentity { id: row.get(1)?, key },
        destination: destination.to_owned(),
        attempt: row.get(2)?,
        max_attempts: row.get(3)?,
        deaths: row.get(9)?,
        body_bytes: row.get(10)?,
        is_probe,
        lease: Lease { owner: owner.clone(), fencing_token: row.get(4)? },
    })
}
