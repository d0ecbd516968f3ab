//! Recording how an attempt at an event ended, with everything that the outcome writes, in one transaction.

use crate::changes::Change;
use crate::changes::privacy::{Redaction, RequestHold};
use crate::clock::{self, Timestamp};
use crate::event::Subject;
use crate::store::audit::alerts::LoginErrorThreshold;
use crate::store::db::writer::WriteClass;
use crate::store::erp::changes::{self, ChangedEvent};
use crate::store::leases::deliveries::{self, NewDelivery};
use crate::store::leases::events::EventClaim;
use crate::store::leases::lease_sql;
use crate::store::leases::recovery::{RecoverableRow, Recovery};
use crate::store::privacy::destructive_requests::{self, RequestState};
use crate::store::privacy::redaction;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, named_params, params};
use std::sync::Arc;
use std::time::Duration;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The changes and the status are committed together. The redaction was done before, in transactions of its own:
    /// [`Store::apply_redaction`].
    Completed {
        changes: Vec<Change>,
        subjects: Vec<Subject>,
        deliveries: Vec<NewDelivery>,
        note: Option<String>,
        redaction: Option<Redaction>,
    },
    /// The event is due again at `retry_at`, unless this was the last attempt.
    Retry { error: String, retry_at: Timestamp },
    /// No further attempt can help. `changes` are written all the same, such as the place of an EDI fault; `subjects`
    /// make the event findable and redactable. `deliveries` are those of a file of which a part could be read.
    Failed { error: String, changes: Vec<Change>, subjects: Vec<Subject>, deliveries: Vec<NewDelivery> },
    /// A redaction that waits, or an event whose body arrived before and that was refused. `deadline` is the end of the
    /// provider's time limit. The attempt of a waiting one does not count.
    Held { hold: RequestHold, deadline: Option<Timestamp>, subjects: Vec<Subject> },
    /// The worker stopped before there was an outcome: the attempt does not count.
    Released,
}

impl Store {
    /// Records the outcome of an attempt; `elapsed` is how long it took.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] when the lease is lost: nothing of the outcome was written.
    pub async fn record_outcome(
        &self,
        claim: &EventClaim,
        outcome: &Arc<Outcome>,
        elapsed: Duration,
    ) -> Result<(), StoreError> {
        let (claim, outcome, now, logins) =
            (claim.clone(), outcome.clone(), self.clock.now(), self.login_error_threshold);
        self.writer
            .submit(WriteClass::Maintain, move |connection| {
                write_event_outcome(connection, &claim, &outcome, elapsed, now, &logins)
            })
            .await
    }

    /// Releases these claims as far as their leases still hold; their attempts do not count.
    ///
    /// # Errors
    /// When the transaction fails; then no claim was released.
    pub async fn release_claims(&self, claims: Vec<EventClaim>) -> Result<(), StoreError> {
        let (now, logins) = (self.clock.now(), self.login_error_threshold);
        self.writer
            .submit(WriteClass::Wake, move |connection| {
                for claim in &claims {
                    match write_event_outcome(connection, claim, &Outcome::Released, Duration::ZERO, now, &logins) {
                        Ok(()) | Err(StoreError::ClaimLost { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })
            .await
    }
}

/// The columns that an outcome sets.
struct EventStatusUpdate<'a> {
    status: &'static str,
    next_attempt_at: Option<String>,
    error: Option<&'a str>,
    note: Option<&'a str>,
    uncounted_attempts: u32,
    /// True if an event without a counted attempt gets its first place in the queue again.
    keeps_place: bool,
}

impl<'a> EventStatusUpdate<'a> {
    fn from_outcome(outcome: &'a Outcome, is_last_attempt: bool, at: &str) -> Self {
        let update = |status, error| Self {
            status,
            next_attempt_at: None,
            error,
            note: None,
            uncounted_attempts: 0,
            keeps_place: false,
        };
        match outcome {
            Outcome::Completed { note, .. } => Self { note: note.as_deref(), ..update("completed", None) },
            Outcome::Failed { error, .. } | Outcome::Held { hold: RequestHold::Refused { error }, .. } => {
                update("failed", Some(error))
            }
            Outcome::Retry { error, .. } if is_last_attempt => update("failed", Some(error)),
            Outcome::Retry { error, retry_at } => {
                Self { next_attempt_at: Some(clock::format_timestamp(*retry_at)), ..update("received", Some(error)) }
            }
            Outcome::Released => Self {
                next_attempt_at: Some(at.to_owned()),
                uncounted_attempts: 1,
                keeps_place: true,
                ..update("received", None)
            },
            Outcome::Held { hold: RequestHold::Waiting { until }, .. } => Self {
                next_attempt_at: Some(clock::format_timestamp(*until)),
                uncounted_attempts: 1,
                note: Some("waits as [privacy] redaction_delay states; `novex-ingest privacy list` has the time"),
                ..update("received", None)
            },
        }
    }
}

fn write_event_outcome(
    connection: &Connection,
    claim: &EventClaim,
    outcome: &Outcome,
    elapsed: Duration,
    now: Timestamp,
    logins: &LoginErrorThreshold,
) -> Result<(), StoreError> {
    let at = clock::format_timestamp(now);
    let update = EventStatusUpdate::from_outcome(outcome, claim.attempt >= claim.max_attempts, &at);
    update_event_status(connection, claim, &update, &at)?;
    apply_outcome(connection, claim, outcome, &at, logins)?;
    let error = match outcome {
        Outcome::Released => Some("released: the worker stopped before it had an outcome; the attempt does not count"),
        Outcome::Held { hold: RequestHold::Waiting { .. }, .. } => {
            Some("waits as [privacy] redaction_delay states; the attempt does not count")
        }
        _ => update.error,
    };
    let row = EventLogRow {
        attempt: claim.attempt,
        worker: &claim.lease.owner.worker,
        duration_ms: Some(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)),
        error,
        ..EventLogRow::new("processing", update.status)
    };
    append_event_log_row(connection, claim.event.id, &at, &row)
}

fn update_event_status(
    connection: &Connection,
    claim: &EventClaim,
    update: &EventStatusUpdate<'_>,
    at: &str,
) -> Result<(), StoreError> {
    let completed_at = update.next_attempt_at.is_none().then_some(at);
    let rows = connection
        .prepare_cached(concat!(
            // An event that is released before its first attempt keeps its place in the queue.
            "UPDATE webhook_events SET status = :status, \
             next_attempt_at = CASE WHEN :keeps_place AND :uncounted = attempts THEN min(received_at, :next_attempt_at) ELSE :next_attempt_at END, \
             last_error = CASE WHEN :status = 'completed' THEN NULL ELSE coalesce(:error, last_error) END, note = :note, \
             completed_at = :completed_at, attempts = attempts - :uncounted, \
             deaths = CASE WHEN :uncounted = 0 THEN 0 ELSE deaths END, ",
            lease_sql!(clear),
            " WHERE ",
            lease_sql!(fence),
            " AND status = 'processing' AND attempts = :attempt"
        ))?
        .execute(named_params! {
            ":status": update.status,
            ":next_attempt_at": update.next_attempt_at,
            ":error": update.error,
            ":note": update.note,
            ":completed_at": completed_at,
            ":uncounted": update.uncounted_attempts,
            ":keeps_place": update.keeps_place,
            ":attempt": claim.attempt,
            ":id": claim.event.id,
            ":locked_by": claim.lease.owner.worker,
            ":fencing_token": claim.lease.fencing_token,
        })?;
    if rows == 0 {
        return Err(StoreError::ClaimLost { event_id: claim.event.id });
    }
    Ok(())
}

/// Writes what the outcome states beside the status.
fn apply_outcome(
    connection: &Connection,
    claim: &EventClaim,
    outcome: &Outcome,
    at: &str,
    logins: &LoginErrorThreshold,
) -> Result<(), StoreError> {
    let (id, shop) = (claim.event.id, claim.event.key.shop_domain.as_str());
    let changed = ChangedEvent {
        identity: &claim.event,
        received_at: claim.received_at,
        max_attempts: claim.max_attempts,
        was_claimed_before: claim.lease.fencing_token > 1,
    };
    match outcome {
        // Redacted while its handler ran: the handler's result holds what was redacted.
        Outcome::Completed { .. } if redaction::is_redacted(connection, id)? => Ok(()),
        Outcome::Completed { changes, subjects, deliveries, redaction: asked, .. } => {
            changes::apply_changes(connection, &changed, changes, subjects, logins)?;
            if changed.was_claimed_before {
                destructive_requests::mark_accepted_request_done(connection, id)?;
            }
            let is_redacted = if let Some(asked) = asked {
                redaction::complete_redaction(connection, id, shop, asked, at)?;
                false
            } else {
                redaction::redact_if_subject_redacted(connection, id, shop, subjects, at)?
            };
            if is_redacted { Ok(()) } else { deliveries::enqueue_deliveries(connection, id, deliveries, at) }
        }
        Outcome::Failed { changes, subjects, deliveries, .. } => {
            changes::apply_changes(connection, &changed, changes, subjects, logins)?;
            let is_redacted = redaction::redact_if_subject_redacted(connection, id, shop, subjects, at)?;
            if is_redacted { Ok(()) } else { deliveries::enqueue_deliveries(connection, id, deliveries, at) }
        }
        Outcome::Held { hold, deadline, subjects } => {
            changes::apply_changes(connection, &changed, &[], subjects, logins)?;
            let (state, due_at, reason) = match hold {
                RequestHold::Waiting { until } => (RequestState::Waiting, Some(*until), None),
                RequestHold::Refused { error } => (RequestState::Refused, None, Some(error.as_str())),
            };
            destructive_requests::record_destructive_request(connection, id, state, (due_at, *deadline), reason)?;
            redaction::redact_if_subject_redacted(connection, id, shop, subjects, at).map(drop)
        }
        Outcome::Retry { .. } | Outcome::Released => Ok(()),
    }
}

/// Makes a recovered event due again. If the lost attempt counts and was the last one, the event fails, so that an
/// event that kills its worker comes to an end.
pub(crate) fn write_recovered_event(
    connection: &Connection,
    row: &RecoverableRow,
    recovery: &Recovery<'_>,
) -> Result<bool, StoreError> {
    let counts = recovery.counts();
    let has_failed = counts && row.max_attempts.is_some_and(|max| row.attempts >= max);
    let status = if has_failed { "failed" } else { "received" };
    connection
        .prepare_cached(concat!(
            // An event whose attempt does not count keeps its place in the queue.
            "UPDATE webhook_events SET status = :status, attempts = attempts - :uncounted, deaths = deaths + :counted, \
             last_error = coalesce(:error, last_error), \
             next_attempt_at = CASE WHEN :status = 'received' THEN coalesce(:retry_at, min(received_at, :now)) END, \
             completed_at = CASE WHEN :status = 'failed' THEN :now END, ",
            lease_sql!(clear),
            " WHERE id = :id"
        ))?
        .execute(named_params! {
            ":status": status,
            ":uncounted": u32::from(!counts),
            ":counted": u32::from(counts),
            ":error": counts.then_some(recovery.reason),
            ":retry_at": recovery.retry_at,
            ":now": recovery.at,
            ":id": row.id,
        })?;
    let log = EventLogRow {
        attempt: row.attempts,
        worker: &recovery.by.worker,
        error: Some(recovery.reason),
        ..EventLogRow::new("processing", status)
    };
    append_event_log_row(connection, row.id, recovery.at, &log)?;
    Ok(has_failed)
}

/// A row of `webhook_event_log`.
pub(crate) struct EventLogRow<'a> {
    pub from_status: &'a str,
    pub to_status: &'a str,
    pub attempt: u32,
    pub worker: &'a str,
    pub duration_ms: Option<i64>,
    pub error: Option<&'a str>,
}

impl<'a> EventLogRow<'a> {
    pub(crate) fn new(from_status: &'a str, to_status: &'a str) -> Self {
        Self { from_status, to_status, attempt: 0, worker: "", duration_ms: None, error: None }
    }
}

pub(crate) fn append_event_log_row(
    connection: &Connection,
    event_id: i64,
    at: &str,
    row: &EventLogRow<'_>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO webhook_event_log (event_id, at, from_status, to_status, attempt, worker, duration_ms, error) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            event_id,
            at,
            row.from_status,
            row.to_status,
            row.attempt,
            row.worker,
            row.duration_ms,
            row.error
        ])?;
    Ok(())
}
