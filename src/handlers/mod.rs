//! What events mean. A handler takes an event and says what is to be written, or why it cannot: it computes, and nothing
//! else. Its changes are applied in the transaction that completes the event (`store::claims`).
//!
//! Where an event goes is one table, in [`routes`]; one folder a provider, one file a family of topics.

pub mod easypost;
pub mod fields;
pub mod json;
pub mod keycloak;
pub mod routes;
pub mod shopify;
pub mod sps;
pub mod unhandled;

pub use routes::Routes;

use crate::clock::{self, Timestamp};
use crate::store::changes::{Change, Subject};
use crate::store::erasure::Erasure;

/// An event as its handler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub id: i64,
    pub source: &'a str,
    pub shop_domain: &'a str,
    pub topic: &'a str,
    /// When its delivery arrived.
    pub received_at: Timestamp,
    /// When the provider says it happened, as the provider wrote it.
    pub triggered_at: Option<&'a str>,
    /// Tells this body from another one.
    pub body_hash: i64,
    /// The bytes as they came.
    pub body: &'a [u8],
}

impl Event<'_> {
    /// When the provider sent it; when it arrived, if the provider does not say.
    #[must_use]
    pub fn sent_at(&self) -> Timestamp {
        self.triggered_at.and_then(|text| clock::parse(text).ok()).unwrap_or(self.received_at)
    }

    /// As of when what this event states is: by the entity's own time where it has one, then by when it was sent; two events
    /// that are alike in both are put in an order by their bytes, so that it does not depend on which arrives first.
    #[must_use]
    pub fn version(&self, own_time: Option<&str>) -> String {
        let sent = self.sent_at();
        let own = own_time.map_or_else(|| clock::text(sent), str::to_owned);
        format!("{own} {sent:.9} {:016x}", self.body_hash)
    }
}

/// What completing the event writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    pub changes: Vec<Change>,
    /// What the event is about, to find it by and to erase it by.
    pub subjects: Vec<Subject>,
    /// For people: shown with the event.
    pub note: Option<String>,
    /// Whose data is to be erased before the event is completed.
    pub erase: Option<Erasure>,
}

impl Done {
    /// What this event must not overtake another one for on its way to a destination: its order, else whatever it is about
    /// first; empty when it is about nothing.
    #[must_use]
    pub fn ordering_key(&self, shop_domain: &str) -> String {
        let of_order = self.subjects.iter().find(|subject| subject.kind == "order");
        of_order
            .or_else(|| self.subjects.first())
            .map_or(String::new(), |subject| format!("{shop_domain} {} {}", subject.kind, subject.key))
    }

    /// Leaves out the answers that would go out.
    pub fn unanswered(&mut self) {
        self.changes.retain(|change| !matches!(change, Change::Send(_)));
    }

    /// Nothing to write, with a word on why.
    #[must_use]
    pub fn note(text: impl Into<String>) -> Self {
        Self { note: Some(text.into()), ..Self::default() }
    }
}

/// Why the event is not completed by this attempt. The text is for the person at the box and holds no customer's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No further attempt can help: the event fails at once.
    Permanent(String),
    /// The same; what is in `done` is written all the same, such as where the faults are.
    Rejected { error: String, done: Box<Done> },
    /// Another attempt may help; the backoff says when.
    Retry(String),
    /// Another attempt may help at this time, as a server's `Retry-After` says.
    RetryAt(String, Timestamp),
}

/// One family of events.
pub trait Handler: Send + Sync {
    /// Decides what the event means.
    ///
    /// # Errors
    /// A [`Trouble`], which says whether to try again. A panic counts as [`Trouble::Retry`].
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble>;
}
