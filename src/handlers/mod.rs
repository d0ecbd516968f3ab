//! Handlers: pure functions from an event to the changes that it asks for.
//!
//! A handler returns a [`Plan`] or a [`HandlerError`]. It has no access to files, network or clock. The store applies
//! its changes in the transaction that completes the event.
//!
//! [`routes`] is the only table of routes. Each provider has a folder, each family of topics a file.

pub mod easypost;
pub mod edi;
pub mod extras;
pub mod fallback;
pub mod fields;
pub mod json;
pub mod keycloak;
mod keycloak_fields;
pub mod repeated_rows;
pub mod routes;
pub mod shopify;

pub use routes::Routes;

use crate::changes::Change;
use crate::changes::privacy::Redaction;
use crate::clock;
use crate::clock::Timestamp;
use crate::event::{EventIdentity, Subject};
use crate::handlers::json::BodyNotes;
use crate::text::normalize_tracking_code;
use std::time::Duration;

/// An event as its handler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub identity: &'a EventIdentity,
    /// Time at which novex-ingest received it.
    pub received_at: Timestamp,
    /// Time of the event as the provider wrote it.
    pub triggered_at: Option<&'a str>,
    /// Digest of the body.
    pub body_hash: i64,
    /// Bytes of the body as received.
    pub body: &'a [u8],
    /// True for Shopify's newer events, whose bodies may have another shape than the resources of the REST API.
    pub is_events_preview: bool,
    /// Takes the notes of the body's reader. [`Routes::plan`] sets it.
    pub body_notes: Option<&'a BodyNotes>,
}

/// Furthest time after receipt that an event may state, because clocks differ. A later time orders no values.
const FUTURE_MAX: Duration = Duration::from_hours(24);

impl Event<'_> {
    #[must_use]
    pub fn source(&self) -> &'static str {
        self.identity.key.source.as_str()
    }

    #[must_use]
    pub fn shop_domain(&self) -> &str {
        &self.identity.key.shop_domain
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        &self.identity.key.topic
    }

    /// Returns the time at which the provider sent it, or the time of receipt if the provider does not state it.
    ///
    /// It is never later than the receipt. Shopify does not sign this time, and a time in the future would keep every
    /// later event from changing the row.
    #[must_use]
    pub fn sent_at(&self) -> Timestamp {
        let stated = self.triggered_at.and_then(|text| clock::parse_timestamp(text).ok());
        stated.map_or(self.received_at, |at| at.min(self.received_at))
    }

    /// Returns the row version of the values that this event states.
    ///
    /// Versions sort by the entity's own time if it has one, then by the time of sending. The digest of the body
    /// decides between two events with equal times, so that the result does not depend on which arrives first. An own
    /// time more than a day after the receipt counts as the time of receipt.
    #[must_use]
    pub fn row_version(&self, own_time: Option<&str>) -> String {
        let sent_at = self.sent_at();
        let latest = clock::format_timestamp(clock::add_duration(self.received_at, FUTURE_MAX));
        let entity_time = match own_time {
            Some(time) if time <= latest.as_str() => time.to_owned(),
            Some(_) => clock::format_timestamp(self.received_at),
            None => clock::format_timestamp(sent_at),
        };
        format!("{entity_time} {sent_at:.9} {:016x}", self.body_hash)
    }
}

/// Returns the subject of a tracking code, in the form in which codes are compared.
fn build_tracking_subject(code: &str) -> Subject {
    Subject::new("tracking_code", normalize_tracking_code(code))
}

/// Result of a handler: the changes that the completion of the event writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// Subjects of the event, by which it is searched and redacted.
    pub subjects: Vec<Subject>,
    /// Note for people, shown with the event.
    pub note: Option<String>,
    /// Redaction that must finish before the event completes.
    pub redaction: Option<Redaction>,
}

impl Plan {
    /// Returns the ordering key of its deliveries: its order, else its first subject; empty if it has no subject.
    #[must_use]
    pub fn ordering_key(&self, shop_domain: &str) -> String {
        let order = self.subjects.iter().find(|subject| subject.kind == "order");
        order
            .or_else(|| self.subjects.first())
            .map_or(String::new(), |subject| format!("{shop_domain} {} {}", subject.kind, subject.key))
    }

    /// Removes the outbound documents that the plan would send.
    pub fn remove_outbound_documents(&mut self) {
        self.changes.retain(|change| !matches!(change, Change::SendDocument(_)));
    }

    /// Adds a part to the note.
    pub fn add_note(&mut self, text: &str) {
        self.note = Some(self.note.take().map_or_else(|| text.to_owned(), |note| format!("{note}; {text}")));
    }

    /// Returns a plan that writes nothing, with a note that gives the reason.
    #[must_use]
    pub fn note_only(text: impl Into<String>) -> Self {
        Self { note: Some(text.into()), ..Self::default() }
    }
}

/// Reason why an attempt does not complete the event. The message is for operators and contains no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandlerError {
    /// The event fails at once, because no further attempt can succeed.
    Permanent(String),
    /// The event fails at once, and the changes of `plan` are still written, such as the faults of a file.
    PermanentWithPlan { error: String, plan: Box<Plan> },
    /// Another attempt may succeed, after the backoff.
    Retry(String),
    /// Another attempt may succeed at this time, which a server requested with `Retry-After`.
    RetryAt(String, Timestamp),
}

/// Handler of one family of events.
pub trait Handler: Send + Sync {
    /// Returns the changes that the event asks for.
    ///
    /// # Errors
    /// A [`HandlerError`], which states whether another attempt can succeed. A panic counts as [`HandlerError::Retry`].
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError>;
}
