//! The vocabulary that all layers share: the source of an event, its identity, its envelope and its subjects.

use crate::clock::Timestamp;
use crate::proof::AuthenticBody;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// The sender of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Shopify,
    EasyPost,
    Keycloak,
    /// EDI files.
    Sps,
    /// novex-ingest itself: messages about alerts.
    Local,
}

impl Source {
    /// All sources, in the order in which people read them.
    pub const ALL: [Self; 5] = [Self::Shopify, Self::EasyPost, Self::Keycloak, Self::Sps, Self::Local];

    /// Returns the name of the source in the database, on the command line and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::EasyPost => "easypost",
            Self::Keycloak => "keycloak",
            Self::Sps => "sps",
            Self::Local => "local",
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|source| source.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not a source; the sources are {all}")
        })
    }
}

/// The names by which a provider identifies an event. An event with the same source, shop domain and webhook id is a
/// duplicate: the table has `UNIQUE (source, shop_domain, webhook_id)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EventKey {
    #[schema(value_type = String)]
    pub source: Source,
    /// Domain of a Shopify shop, or directory of an EDI file; empty for other sources.
    pub shop_domain: String,
    pub topic: String,
    /// The provider's id of the event, the same when the provider sends it again.
    pub webhook_id: String,
}

/// Id and key of a stored event. The event has this value from the claim to the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EventIdentity {
    pub id: i64,
    #[serde(flatten)]
    pub key: EventKey,
}

/// Most earlier events that are read for one event.
pub const EARLIER_EVENTS_MAX: usize = 200;

/// An earlier event with the same body as a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierEvent {
    pub id: i64,
    pub topic: String,
    pub shop_domain: String,
    /// True if it failed, so that its request was not met.
    pub is_failed: bool,
    /// True if it is not finished.
    pub is_pending: bool,
    /// True if it was refused because its own body had arrived before, and no operator decided about it.
    pub is_refused: bool,
}

/// Facts about an event beside its body. The provider does not sign them. The verifier only checks that the secret that
/// signed the body belongs to the shop that the envelope names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub key: EventKey,
    /// The id that several webhooks share if one action caused them.
    pub provider_event_id: Option<String>,
    /// When the event happened, as the provider wrote it.
    pub triggered_at: Option<String>,
    /// The headers as a JSON object, without credentials.
    pub headers: String,
    /// When the daemon received the request.
    pub received_at: Timestamp,
}

/// First characters of the webhook id of a test event.
const TEST_ID_PREFIX: &str = "test:";
/// Start of the webhook id of an event that the digest of its body identifies.
pub const DIGEST_ID_PREFIX: &str = "sha256:";

/// An envelope with an authentic body. Only a verifier can make one: see [`crate::proof`].
#[derive(Debug, Clone)]
pub struct VerifiedWebhook {
    envelope: Envelope,
    body: AuthenticBody,
}

impl VerifiedWebhook {
    /// Combines an envelope with the authentic body of its request.
    ///
    /// The webhook id of a test event gets a prefix, so that a real event with this id is no duplicate of the test.
    #[must_use]
    pub fn new(mut envelope: Envelope, body: AuthenticBody) -> Self {
        if body.is_test() {
            envelope.key.webhook_id.insert_str(0, TEST_ID_PREFIX);
        }
        Self { envelope, body }
    }

    /// Returns true for a test event.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.body.is_test()
    }

    /// Returns the place of the secret that proved the sender, as the configuration names it.
    #[must_use]
    pub fn secret_reference(&self) -> Option<&Arc<str>> {
        self.body.secret_reference()
    }

    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Returns the exact bytes of the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.body()
    }
}

/// A person or thing that an event is about, such as `order` 820982911946154508.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Such as `order`, `customer` or `tracking_code`.
    pub kind: &'static str,
    pub key: String,
}

/// The number or code of a subject.
#[derive(Debug)]
pub struct SubjectKey(String);

impl From<i64> for SubjectKey {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<String> for SubjectKey {
    fn from(code: String) -> Self {
        Self(code)
    }
}

impl From<&str> for SubjectKey {
    fn from(code: &str) -> Self {
        Self(code.to_owned())
    }
}

impl Subject {
    #[must_use]
    pub fn new(kind: &'static str, key: impl Into<SubjectKey>) -> Self {
        Self { kind, key: key.into().0 }
    }
}
