//! What events mean. A handler takes an event and says what is to be written, or why it cannot: it computes, and nothing
//! else. Its changes are applied in the transaction that completes the event (`store::claims`).
//!
//! Where an event goes is one table, in [`routes`].

pub mod json;
pub mod orders;
pub mod routes;
pub mod unhandled;

pub use routes::Routes;

use crate::clock::Timestamp;
use crate::store::claims::Change;

/// An event as its handler sees it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub id: i64,
    pub source: &'a str,
    pub shop_domain: &'a str,
    pub topic: &'a str,
    /// When its delivery arrived.
    pub received_at: Timestamp,
    /// The bytes as they came.
    pub body: &'a [u8],
}

/// What completing the event writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    pub changes: Vec<Change>,
    /// For people: shown with the event.
    pub note: Option<String>,
}

/// Why the event is not completed by this attempt. The text is for the person at the box and holds no customer's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No further attempt can help: the event fails at once.
    Permanent(String),
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
