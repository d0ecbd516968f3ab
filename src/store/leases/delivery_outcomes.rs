//! Recording how a delivery ended, and the circuit breaker of its destination, in one transaction.
//!
//! A destination whose failures in a row reach the threshold counts as down: nothing is delivered until
//! `next_probe_at`, then one delivery as a probe. A probe's attempt does not count, unless the destination failed on
//! that very delivery. When a delivery succeeds, the breaker closes and the backlog is due at once.

use crate::backoff::BreakerSettings;
use crate::clock::{self, Timestamp};
use crate::store::db::writer::WriteClass;
use crate::store::leases::deliveries::DeliveryClaim;
use crate::store::leases::lease_sql;
use crate::store::leases::recovery::{RecoverableRow, Recovery};
use crate::store::privacy::redaction;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, named_params, params};
use std::time::Duration;

/// Why a destination did not take a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nothing answered: not the delivery's doing.
    NotReached,
    /// Something answered, such as a proxy, but the destination did not get the delivery.
    NotReceived,
    /// The destination got the delivery and failed on it: the delivery itself may be the cause.
    FailedOnDelivery,
}

/// How an attempt at a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Delivered,
    /// The destination is unavailable: this counts towards its circuit breaker. `is_requested`: the destination itself
    /// asked for `retry_at`.
    Unavailable {
        error: String,
        cause: Cause,
        retry_at: Timestamp,
        is_requested: bool,
        breaker: BreakerSettings,
    },
    /// The destination works and asks for a later attempt. `is_requested`: at `retry_at`.
    RetryLater {
        error: String,
        retry_at: Timestamp,
        is_requested: bool,
    },
    /// The destination works and rejects this delivery for good.
    Rejected {
        error: String,
    },
    /// The attempt was stopped before it had an outcome, or could not begin: it does not count.
    Released,
    /// There is no body to deliver any more; the destination was not asked.
    Gone {
        error: String,
    },
}

/// The error of a delivery whose event was redacted while it was in flight. It replaces the destination's own words,
/// which may repeat what was redacted.
const REDACTED_IN_FLIGHT: &str = "the event was redacted while the delivery was in flight";

/// How an outcome changed the circuit breaker of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerChange {
    Unchanged,
    Opened {
        next_probe_at: Timestamp,
    },
    /// The destination recovered; `waiting` deliveries are queued for it.
    Closed {
        waiting: u64,
    },
}

impl Store {
    /// Records the outcome of an attempt; `elapsed` is how long it took.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] when the lease is lost.
    pub async fn record_delivery_outcome(
        &self,
        claim: &DeliveryClaim,
        outcome: &DeliveryOutcome,
        elapsed: Duration,
    ) -> Result<BreakerChange, StoreError> {
        let (claim, outcome, now) = (claim.clone(), outcome.clone(), self.clock.now());
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                write_delivery_outcome(connection, &claim, outcome, elapsed, now)
            })
            .await
    }
}

/// The circuit breaker of a destination, as it was before the outcome.
struct BreakerState {
    consecutive_failures: u32,
    is_open: bool,
}

/// The columns that an outcome sets.
struct DeliveryStatusUpdate<'a> {
    status: &'static str,
    next_attempt_at: Option<Timestamp>,
    /// Set when the destination asked for that time, or when other deliveries are to be tried first.
    not_before: Option<Timestamp>,
    error: Option<&'a str>,
    uncounted_attempts: u32,
}

impl<'a> DeliveryStatusUpdate<'a> {
    fn new(status: &'static str, next_attempt_at: Option<Timestamp>, error: Option<&'a str>) -> Self {
        Self { status, next_attempt_at, not_before: None, error, uncounted_attempts: 0 }
    }

    fn from_outcome(
        claim: &DeliveryClaim,
        outcome: &'a DeliveryOutcome,
        next_probe_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        let is_last_attempt = claim.attempt >= claim.max_attempts;
        let mut update = match outcome {
            DeliveryOutcome::Delivered => Self::new("delivered", None, None),
            DeliveryOutcome::Rejected { error } | DeliveryOutcome::Gone { error } => {
                Self::new("failed", None, Some(error))
            }
            DeliveryOutcome::Released => Self { uncounted_attempts: 1, ..Self::new("pending", Some(now), None) },
            // A probe that found the destination still down: the delivery is not to blame.
            DeliveryOutcome::Unavailable { error, cause, .. }
                if claim.is_probe && *cause != Cause::FailedOnDelivery =>
            {
                Self { uncounted_attempts: 1, ..Self::new("pending", Some(next_probe_at), Some(error)) }
            }
            DeliveryOutcome::Unavailable { error, .. } | DeliveryOutcome::RetryLater { error, .. }
                if is_last_attempt =>
            {
                Self::new("failed", None, Some(error))
            }
            DeliveryOutcome::Unavailable { error, retry_at, .. }
            | DeliveryOutcome::RetryLater { error, retry_at, .. } => Self::new("pending", Some(*retry_at), Some(error)),
        };
        if update.status == "pending" {
            update.not_before = match outcome {
                DeliveryOutcome::RetryLater { retry_at, is_requested: true, .. } => Some(*retry_at),
                // The delivery may still be the cause: the next probe takes another one.
                DeliveryOutcome::Unavailable { cause, .. } if *cause != Cause::NotReached => Some(next_probe_at),
                _ => None,
            };
        }
        update
    }
}

fn write_delivery_outcome(
    connection: &Connection,
    claim: &DeliveryClaim,
    mut outcome: DeliveryOutcome,
    elapsed: Duration,
    now: Timestamp,
) -> Result<BreakerChange, StoreError> {
    let at = clock::format_timestamp(now);
    // A redaction's own notice holds no personal data: it is retried like any delivery.
    let is_redacted = redaction::is_redacted(connection, claim.event.id)?
        && !redaction::has_redaction_notice(connection, claim.event.id)?;
    if is_redacted {
        hide_redacted_error(&mut outcome);
    }
    let state = read_breaker_state(connection, &claim.destination)?;
    let next_probe_at = find_next_probe(claim, &outcome, &state, now);
    let mut update = DeliveryStatusUpdate::from_outcome(claim, &outcome, next_probe_at, now);
    if is_redacted && update.status == "pending" {
        // There is no body for another attempt.
        update = DeliveryStatusUpdate::new("failed", None, Some(update.error.unwrap_or(REDACTED_IN_FLIGHT)));
    }
    update_claimed_delivery(connection, claim, &update, &at)?;
    let row = DeliveryLogRow {
        to_status: update.status,
        attempt: claim.attempt,
        worker: &claim.lease.owner.worker,
        duration_ms: Some(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
        error: update.error,
    };
    append_delivery_log_row(connection, claim.id, &at, &row)?;
    match &outcome {
        DeliveryOutcome::Released | DeliveryOutcome::Gone { .. } => Ok(BreakerChange::Unchanged),
        DeliveryOutcome::Unavailable { error, breaker, .. } => {
            count_failure(connection, claim, &state, error, breaker, next_probe_at, &at)
        }
        DeliveryOutcome::Delivered | DeliveryOutcome::RetryLater { .. } | DeliveryOutcome::Rejected { .. } => {
            let is_success = matches!(outcome, DeliveryOutcome::Delivered);
            close_breaker(connection, &claim.destination, is_success, update.error, state.is_open, &at)
        }
    }
}

fn hide_redacted_error(outcome: &mut DeliveryOutcome) {
    if let DeliveryOutcome::Unavailable { error, .. }
    | DeliveryOutcome::RetryLater { error, .. }
    | DeliveryOutcome::Rejected { error } = outcome
    {
        REDACTED_IN_FLIGHT.clone_into(error);
    }
}

fn read_breaker_state(connection: &Connection, destination: &str) -> Result<BreakerState, StoreError> {
    let state = connection
        .prepare_cached("SELECT consecutive_failures, down_since IS NOT NULL FROM destinations WHERE name = ?")?
        .query_row([destination], |row| Ok(BreakerState { consecutive_failures: row.get(0)?, is_open: row.get(1)? }))
        .optional()?;
    Ok(state.unwrap_or(BreakerState { consecutive_failures: 0, is_open: false }))
}

/// Returns when the destination is probed next if this outcome opens its breaker, or keeps it open: later after each
/// probe that fails, and not before the time that the destination asked for.
fn find_next_probe(
    claim: &DeliveryClaim,
    outcome: &DeliveryOutcome,
    state: &BreakerState,
    now: Timestamp,
) -> Timestamp {
    let DeliveryOutcome::Unavailable { retry_at, is_requested, breaker, .. } = outcome else { return now };
    let failures = if claim.is_probe { state.consecutive_failures.saturating_add(1) } else { 0 };
    let delay = breaker.probe_delay_after(failures.max(breaker.failure_threshold.max(1))).unwrap_or_default();
    let next_probe_at = clock::add_duration(now, delay);
    if *is_requested { next_probe_at.max(*retry_at) } else { next_probe_at }
}

fn update_claimed_delivery(
    connection: &Connection,
    claim: &DeliveryClaim,
    update: &DeliveryStatusUpdate<'_>,
    at: &str,
) -> Result<(), StoreError> {
    let rows = connection
        .prepare_cached(concat!(
            "UPDATE destination_deliveries SET status = :status, \
             next_attempt_at = CASE WHEN :status = 'pending' THEN :next_attempt_at END, not_before = :not_before, \
             last_error = CASE WHEN :status = 'delivered' THEN NULL ELSE coalesce(:error, last_error) END, \
             attempts = attempts - :uncounted, deaths = CASE WHEN :uncounted = 0 THEN 0 ELSE deaths END, \
             finished_at = CASE WHEN :status IN ('delivered', 'failed') THEN :now END, ",
            lease_sql!(clear),
            " WHERE ",
            lease_sql!(fence),
            " AND status = 'delivering'"
        ))?
        .execute(named_params! {
            ":status": update.status,
            ":next_attempt_at": update.next_attempt_at.map(clock::format_timestamp),
            ":not_before": update.not_before.map(clock::format_timestamp),
            ":error": update.error,
            ":uncounted": update.uncounted_attempts,
            ":now": at,
            ":id": claim.id,
            ":locked_by": claim.lease.owner.worker,
            ":fencing_token": claim.lease.fencing_token,
        })?;
    if rows == 0 {
        return Err(StoreError::ClaimLost { event_id: claim.event.id });
    }
    Ok(())
}

fn count_failure(
    connection: &Connection,
    claim: &DeliveryClaim,
    state: &BreakerState,
    error: &str,
    breaker: &BreakerSettings,
    next_probe_at: Timestamp,
    at: &str,
) -> Result<BreakerChange, StoreError> {
    let failures = state.consecutive_failures.saturating_add(1);
    // A delivery that was in flight when the breaker opened adds nothing new.
    let is_stale = state.is_open && !claim.is_probe;
    let opens = claim.is_probe || (!state.is_open && failures >= breaker.failure_threshold);
    connection
        .prepare_cached(
            "INSERT INTO destinations (name, consecutive_failures, down_since, next_probe_at, last_error, last_error_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?7) \
             ON CONFLICT DO UPDATE SET consecutive_failures = CASE WHEN ?6 THEN consecutive_failures ELSE ?2 END, \
             down_since = coalesce(down_since, ?3), next_probe_at = coalesce(?4, next_probe_at), last_error = ?5, \
             last_error_at = ?7, recovered_at = NULL",
        )?
        .execute(params![
            claim.destination,
            failures,
            opens.then_some(at),
            opens.then(|| clock::format_timestamp(next_probe_at)),
            error,
            is_stale,
            at
        ])?;
    Ok(if opens { BreakerChange::Opened { next_probe_at } } else { BreakerChange::Unchanged })
}

fn close_breaker(
    connection: &Connection,
    destination: &str,
    is_success: bool,
    error: Option<&str>,
    was_open: bool,
    at: &str,
) -> Result<BreakerChange, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO destinations (name, last_success_at, last_error, last_error_at) \
             VALUES (?1, CASE WHEN ?2 THEN ?3 END, ?4, CASE WHEN NOT ?2 THEN ?3 END) ON CONFLICT DO UPDATE SET \
             consecutive_failures = 0, down_since = NULL, next_probe_at = NULL, last_error = ?4, \
             last_success_at = coalesce(excluded.last_success_at, last_success_at), last_error_at = excluded.last_error_at, \
             recovered_at = CASE WHEN ?2 AND last_error_at IS NOT NULL THEN ?3 WHEN ?2 THEN recovered_at END",
        )?
        .execute(params![destination, is_success, at, error])?;
    if !was_open {
        return Ok(BreakerChange::Unchanged);
    }
    // The backlog is due at once, in the order of its events; but not before a time that the destination asked for.
    connection.execute(
        "UPDATE destination_deliveries SET next_attempt_at = ?1 WHERE destination = ?2 AND status = 'pending' \
         AND next_attempt_at > ?1 AND coalesce(not_before, '') <= ?1",
        [at, destination],
    )?;
    let waiting = connection.query_row(
        "SELECT count(*) FROM destination_deliveries WHERE destination = ? AND status = 'pending'",
        [destination],
        |row| row.get(0),
    )?;
    Ok(BreakerChange::Closed { waiting })
}

/// Makes a recovered delivery due again. It fails if the lost attempt counts and was the last one, and if its body was
/// redacted.
pub(crate) fn write_recovered_delivery(
    connection: &Connection,
    row: &RecoverableRow,
    recovery: &Recovery<'_>,
) -> Result<bool, StoreError> {
    let event_id: i64 = connection
        .prepare_cached("SELECT event_id FROM destination_deliveries WHERE id = ?")?
        .query_row([row.id], |row| row.get(0))?;
    let is_redacted =
        redaction::is_redacted(connection, event_id)? && !redaction::has_redaction_notice(connection, event_id)?;
    let counts = recovery.counts();
    let has_failed = is_redacted || (counts && row.max_attempts.is_some_and(|max| row.attempts >= max));
    let status = if has_failed { "failed" } else { "pending" };
    connection
        .prepare_cached(concat!(
            "UPDATE destination_deliveries SET status = :status, attempts = attempts - :uncounted, \
             deaths = deaths + :counted, last_error = coalesce(:error, last_error), \
             next_attempt_at = CASE WHEN :status = 'pending' THEN coalesce(:retry_at, :now) END, \
             finished_at = CASE WHEN :status = 'failed' THEN :now END, ",
            lease_sql!(clear),
            " WHERE id = :id"
        ))?
        .execute(named_params! {
            ":status": status,
            ":uncounted": u32::from(!counts),
            ":counted": u32::from(counts),
            ":error": (counts || is_redacted).then_some(recovery.reason),
            ":retry_at": recovery.retry_at,
            ":now": recovery.at,
            ":id": row.id,
        })?;
    let log = DeliveryLogRow {
        to_status: status,
        attempt: row.attempts,
        worker: &recovery.by.worker,
        duration_ms: None,
        error: Some(recovery.reason),
    };
    append_delivery_log_row(connection, row.id, recovery.at, &log)?;
    Ok(has_failed)
}

/// A row of `destination_delivery_log`.
struct DeliveryLogRow<'a> {
    to_status: &'a str,
    attempt: u32,
    worker: &'a str,
    duration_ms: Option<i64>,
    error: Option<&'a str>,
}

fn append_delivery_log_row(
    connection: &Connection,
    delivery_id: i64,
    at: &str,
    row: &DeliveryLogRow<'_>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO destination_delivery_log (delivery_id, at, to_status, attempt, worker, duration_ms, error) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![delivery_id, at, row.to_status, row.attempt, row.worker, row.duration_ms, row.error])?;
    Ok(())
}
