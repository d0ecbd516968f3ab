//! Runs one attempt at an event: reads its payload, runs its handler, and returns the outcome for the queue to write.
//!
//! This module connects the queue, the handlers and the destinations; none of them knows the others.

use crate::changes::Change;
use crate::changes::privacy::RequestHold;
use crate::clock;
use crate::delivery::destinations::{Destination, Destinations};
use crate::delivery::dispatcher;
use crate::event::Source;
use crate::handlers::fallback::find_subjects;
use crate::handlers::shopify::body_shapes::{find_body_kind, is_destructive};
use crate::handlers::shopify::note_unread_preview;
use crate::handlers::shopify::repeated_bodies::{RepeatVerdict, RepeatedBody, judge_body};
use crate::handlers::{Event, HandlerError, Plan, Routes};
use crate::providers::shopify::is_events_preview;
use crate::queue::worker::{Preparation, ProcessEvent, RetryAttempt};
use crate::store::Store;
use crate::store::erp::outbound_documents::SEND_TOPIC_PREFIX;
use crate::store::events::records::Payload;
use crate::store::leases::deliveries::NewDelivery;
use crate::store::leases::event_outcomes::Outcome;
use crate::store::leases::events::EventClaim;
use crate::store::privacy::destructive_requests::{RequestState, find_destructive_request};
use crate::store::privacy::redaction::is_redacted;
use crate::text::format_count;
use std::time::Duration;
use tracing::info;

/// Note of a completed test event.
const TEST_EVENT_NOTE: &str = "test event: verified, stored and read; it writes no rows and reaches no destination";

/// Runs the handlers for the workers.
pub struct EventProcessor {
    store: Store,
    routes: Routes,
    destinations: Destinations,
    redaction_delay: Duration,
}

/// Shopify's time limit for a redaction.
const REDACTION_DEADLINE: Duration = Duration::from_hours(24 * 30);

impl EventProcessor {
    /// Returns a processor whose completed events are delivered to `destinations`.
    #[must_use]
    pub fn new(store: Store, routes: Routes, destinations: Destinations) -> Self {
        Self { store, routes, destinations, redaction_delay: Duration::ZERO }
    }

    /// Sets the time from the arrival of a redaction to its work.
    #[must_use]
    pub fn with_redaction_delay(self, redaction_delay: Duration) -> Self {
        Self { redaction_delay, ..self }
    }

    /// Runs the handler of a test event as of any event, and keeps what the handler says about the event: subjects and
    /// notes. Rows, audit entries, redactions and deliveries would be about something that did not happen.
    fn run_test(&self, claim: &EventClaim) -> Result<Outcome, HandlerError> {
        Ok(match self.run_route(claim)? {
            Outcome::Completed { subjects, note, .. } => {
                // The handler writes its note for a real event.
                let real_note = note.map_or(String::new(), |note| format!(". The note of a real event: {note}"));
                let note = Some(format!("{TEST_EVENT_NOTE}{real_note}"));
                to_completed(Plan { subjects, note, ..Plan::default() }, Vec::new())
            }
            outcome => outcome,
        })
    }

    fn run_route(&self, claim: &EventClaim) -> Result<Outcome, HandlerError> {
        let payload = match self.store.read_payload(claim.event.id) {
            Ok(Some(payload)) => payload,
            Ok(None) if self.is_redacted(claim) => {
                let note = "redacted at Shopify's request before it was processed".to_owned();
                return Ok(to_completed(Plan { note: Some(note), ..Plan::default() }, Vec::new()));
            }
            Ok(None) => {
                return Err(HandlerError::Permanent(
                    "the event cannot be processed: its payload was pruned".to_owned(),
                ));
            }
            Err(error) => return Err(HandlerError::Retry(format!("the payload could not be read: {error}"))),
        };
        let key = &claim.event.key;
        let event = Event {
            identity: &claim.event,
            received_at: claim.received_at,
            triggered_at: claim.triggered_at.as_deref(),
            body_hash: payload.body_hash,
            body: &payload.body,
            is_events_preview: key.source == Source::Shopify && is_events_preview(&payload.headers),
            body_notes: None,
        };
        let has_edi_destination = self.destinations.iter().any(Destination::is_edi_outbound);
        if key.topic.starts_with(SEND_TOPIC_PREFIX) && !has_edi_destination {
            let error = "the document cannot be sent to the partner: this process has no sps.outgoing in its \
                         configuration; configure sps.outgoing";
            return Err(HandlerError::Retry(error.to_owned()));
        }
        let mut result = self.routes.plan(&event);
        if event.is_events_preview {
            result = note_unread_preview(&event, result);
        }
        // Without sps.outgoing, nothing answers a received document.
        if !has_edi_destination {
            match &mut result {
                Ok(plan) => plan.remove_outbound_documents(),
                Err(HandlerError::PermanentWithPlan { plan, .. }) => plan.remove_outbound_documents(),
                Err(_) => {}
            }
        }
        let plan = result?;
        // A test changes nothing, so nothing needs to wait.
        if !claim.is_test
            && let Some(outcome) = self.hold_event(claim, &plan, &payload)?
        {
            return Ok(outcome);
        }
        let deliveries = self.list_deliveries(claim, &plan);
        Ok(to_completed(plan, deliveries))
    }

    fn list_deliveries(&self, claim: &EventClaim, plan: &Plan) -> Vec<NewDelivery> {
        let key = &claim.event.key;
        let ordering_key = plan.ordering_key(&key.shop_domain);
        dispatcher::deliveries_for(&self.destinations, key.source, &key.topic, &ordering_key)
    }

    /// Decides whether an event of Shopify may be completed now. Returns the outcome if it may not: its body arrived
    /// before under other names, or it is a redaction that waits.
    fn hold_event(&self, claim: &EventClaim, plan: &Plan, body: &Payload) -> Result<Option<Outcome>, HandlerError> {
        let (key, is_redaction) = (&claim.event.key, plan.redaction.is_some());
        let (is_repeat, is_guarded) = (claim.same_body_as.is_some(), is_destructive(&key.topic));
        let is_unhandled = find_body_kind(&key.topic).is_none();
        if key.source != Source::Shopify || !(is_repeat || is_guarded || is_unhandled) {
            return Ok(None);
        }
        let unreadable = |error| HandlerError::Retry(format!("the earlier events could not be read: {error}"));
        let find_request = |connection: &_| find_destructive_request(connection, claim.event.id);
        match self.store.reader.read(find_request).map_err(unreadable)? {
            Some(request) if request.state == RequestState::Accepted => return Ok(None),
            Some(request) if request.state == RequestState::Stopped => {
                let (by, reason) = (request.decided_by.unwrap_or_default(), request.reason.unwrap_or_default());
                return Err(HandlerError::Permanent(format!("stopped by {by}: {reason}")));
            }
            _ => {}
        }
        let deadline = is_redaction.then(|| clock::add_duration(claim.received_at, REDACTION_DEADLINE));
        // A request to erase or delete keeps its body until an operator decided, also if it is about a person whose
        // data was redacted before. It therefore has no subjects yet.
        let subjects = if is_guarded { Vec::new() } else { plan.subjects.clone() };
        let held = |hold| Outcome::Held { hold, deadline, subjects: subjects.clone() };
        if is_repeat || is_redaction || is_unhandled {
            let earlier = self.store.find_earlier_events(body.body_hash, claim.event.id).map_err(unreadable)?;
            let has_effect = is_redaction || !plan.changes.is_empty();
            match judge_body(RepeatedBody { key, body: &body.body, is_repeat, has_effect }, &earlier) {
                RepeatVerdict::Process => {}
                RepeatVerdict::NoteOnly(note) => {
                    return Ok(Some(to_completed(Plan { subjects, ..Plan::note_only(note) }, Vec::new())));
                }
                RepeatVerdict::Refuse(error) => {
                    let error = format!("{error}. If it is true: `novex-ingest privacy run {}`", claim.event.id);
                    return Ok(Some(held(RequestHold::Refused { error })));
                }
            }
        }
        let now = self.store.clock.now();
        let due = clock::add_duration(claim.received_at.min(now), self.redaction_delay);
        Ok((is_redaction && now < due).then(|| held(RequestHold::Waiting { until: due })))
    }

    fn is_redacted(&self, claim: &EventClaim) -> bool {
        self.store.reader.read(|connection| is_redacted(connection, claim.event.id)).unwrap_or(false)
    }

    /// Returns the outcome of an event that fails for good. It has the event's subjects, so that search and redaction
    /// find the event.
    fn fail_permanently(&self, claim: &EventClaim, error: String) -> Outcome {
        let body =
            self.store.read_payload(claim.event.id).ok().flatten().map(|payload| payload.body).unwrap_or_default();
        Outcome::Failed {
            error,
            changes: Vec::new(),
            deliveries: Vec::new(),
            subjects: find_subjects(claim.event.key.source.as_str(), &claim.event.key.topic, &body),
        }
    }
}

impl ProcessEvent for EventProcessor {
    fn run_handler(&self, claim: &EventClaim) -> Result<Outcome, RetryAttempt> {
        let result = if claim.is_test { self.run_test(claim) } else { self.run_route(claim) };
        match result {
            Ok(outcome) => Ok(outcome),
            Err(HandlerError::Permanent(error)) => Ok(self.fail_permanently(claim, error)),
            Err(HandlerError::PermanentWithPlan { error, plan }) => {
                if claim.is_test {
                    let (changes, deliveries) = (Vec::new(), Vec::new());
                    return Ok(Outcome::Failed { error, changes, subjects: plan.subjects, deliveries });
                }
                // The destinations of a file receive the orders that could be read.
                let has_orders = plan.changes.iter().any(|change| matches!(change, Change::PurchaseOrder(..)));
                let deliveries = if has_orders { self.list_deliveries(claim, &plan) } else { Vec::new() };
                Ok(Outcome::Failed { error, changes: plan.changes, subjects: plan.subjects, deliveries })
            }
            Err(HandlerError::RetryAt(error, at)) => Err(RetryAttempt { error, retry_at: Some(at) }),
            Err(HandlerError::Retry(error)) => Err(RetryAttempt { error, retry_at: None }),
        }
    }

    fn prepare_completion<'a>(&'a self, claim: &'a EventClaim, outcome: &'a Outcome) -> Option<Preparation<'a>> {
        let Outcome::Completed { redaction: Some(redaction), .. } = outcome else { return None };
        Some(Box::pin(async move {
            let (event, shop_domain) = (claim.event.id, &claim.event.key.shop_domain);
            let redacted = self.store.apply_redaction(event, shop_domain, redaction).await.map_err(|error| {
                let error = format!("the redaction is not complete yet; the next attempt continues it: {error}");
                RetryAttempt { error, retry_at: None }
            })?;
            let events = format_count(redacted, "event", "events");
            info!(event, redacted, "event {event} redacted {events} at Shopify's request");
            Ok(())
        }))
    }
}

fn to_completed(plan: Plan, deliveries: Vec<NewDelivery>) -> Outcome {
    let Plan { changes, subjects, note, redaction, .. } = plan;
    Outcome::Completed { changes, subjects, deliveries, note, redaction }
}
