//! Decisions of an operator about destructive requests: stop one, or work it now.

use crate::clock;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::leases::event_outcomes::{EventLogRow, append_event_log_row};
use crate::store::privacy::destructive_requests::{RequestState, find_destructive_request, record_destructive_request};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

/// What an operator decides about a destructive request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestDecision {
    /// It is not worked, for this reason.
    Stop { reason: String },
    /// It is due now, with this many attempts.
    Run { attempts: u32 },
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionResult {
    Written,
    /// The event does not exist, or is no redaction and was not refused.
    NoRequest,
    /// A worker works on it at this moment.
    InProcess,
    /// It was worked already.
    Done,
    /// Its body was erased or pruned.
    NoBody,
}

impl DecisionResult {
    /// Returns why nothing was changed; None if the decision was written.
    #[must_use]
    pub fn describe_refusal(self, event: i64) -> Option<String> {
        match self {
            Self::Written => None,
            Self::NoRequest => Some(format!(
                "event {event} is no redaction and no refused deletion; `novex-ingest privacy list` lists them"
            )),
            Self::InProcess => Some(format!("a worker works on event {event} at this moment; try again")),
            Self::Done => Some(format!("event {event} was worked already; `novex-ingest events show {event}`")),
            Self::NoBody => Some(format!("the body of event {event} is gone: a redaction or retention removed it")),
        }
    }
}

impl Store {
    /// Writes a decision about the request of an event, with the change of the event's status.
    ///
    /// # Errors
    /// When the transaction fails; then nothing was changed.
    pub async fn decide_destructive_request(
        &self,
        event_id: i64,
        decision: RequestDecision,
        actor: Actor,
        worker: String,
    ) -> Result<DecisionResult, StoreError> {
        let now = clock::format_timestamp(self.clock.now());
        self.writer
            .submit(WriteClass::Wake, move |connection| {
                write_decision(connection, event_id, &decision, (&actor, &worker), &now)
            })
            .await
    }
}

fn write_decision(
    connection: &Connection,
    event_id: i64,
    decision: &RequestDecision,
    (actor, worker): (&Actor, &str),
    at: &str,
) -> Result<DecisionResult, StoreError> {
    let by = actor.name.as_str();
    let found: Option<(String, u32, String, bool)> = connection
        .prepare_cached(
            "SELECT status, attempts, topic, EXISTS (SELECT 1 FROM webhook_payloads WHERE event_id = id) \
             FROM webhook_events WHERE id = ?",
        )?
        .query_row([event_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((status, attempts, topic, has_body)) = found else { return Ok(DecisionResult::NoRequest) };
    if status == "processing" {
        return Ok(DecisionResult::InProcess);
    }
    let mut request = find_destructive_request(connection, event_id)?;
    // No worker has looked at it yet.
    if request.is_none() && status == "received" && has_body && topic.ends_with("/redact") {
        record_destructive_request(connection, event_id, RequestState::Waiting, (None, None), None)?;
        request = find_destructive_request(connection, event_id)?;
    }
    match request {
        None => return Ok(DecisionResult::NoRequest),
        Some(request) if request.state == RequestState::Done || status == "completed" => {
            return Ok(DecisionResult::Done);
        }
        Some(_) if !has_body => return Ok(DecisionResult::NoBody),
        Some(_) => {}
    }
    let (to_status, error, state, reason) = match decision {
        RequestDecision::Stop { reason } => {
            ("failed", format!("stopped by {by}: {reason}"), RequestState::Stopped, Some(reason))
        }
        RequestDecision::Run { .. } => ("received", format!("accepted by {by}"), RequestState::Accepted, None),
    };
    connection
        .prepare_cached(
            "UPDATE destructive_requests SET state = ?2, due_at = NULL, reason = coalesce(?3, reason), decided_by = ?4, \
             decided_at = ?5 WHERE event_id = ?1",
        )?
        .execute(params![event_id, state.as_str(), reason, by, at])?;
    let (is_stop, more_attempts) = match decision {
        RequestDecision::Stop { .. } => (true, 0),
        RequestDecision::Run { attempts } => (false, *attempts),
    };
    connection
        .prepare_cached(
            "UPDATE webhook_events SET status = ?2, note = NULL, \
             next_attempt_at = CASE WHEN ?3 THEN NULL ELSE ?4 END, completed_at = CASE WHEN ?3 THEN ?4 END, \
             last_error = CASE WHEN ?3 THEN ?5 ELSE last_error END, \
             max_attempts = CASE WHEN ?3 THEN max_attempts ELSE attempts + ?6 END, \
             dismissed_at = CASE WHEN ?3 THEN ?4 END, dismissed_reason = ?7, dismissed_by = CASE WHEN ?3 THEN ?8 END \
             WHERE id = ?1",
        )?
        .execute(params![event_id, to_status, is_stop, at, error, more_attempts, reason, by])?;
    let row = EventLogRow { attempt: attempts, worker, error: Some(&error), ..EventLogRow::new(&status, to_status) };
    append_event_log_row(connection, event_id, at, &row)?;
    // The reason is not in the audit trail: a redaction could not erase it there.
    let operation = if is_stop { "STOP" } else { "RUN" };
    actor.log_action(connection, at, ("EVENT", operation, &format!("events/{event_id}")), None)?;
    Ok(DecisionResult::Written)
}
