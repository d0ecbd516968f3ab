//! What the store takes in: a delivery whose sender was proved.

use crate::clock::Timestamp;
use crate::proof::Authentic;

/// Who sent an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    Shopify,
    EasyPost,
    Keycloak,
    /// EDI files.
    Sps,
}

impl Source {
    /// Every source, in the order people read them.
    pub const ALL: [Self; 4] = [Self::Shopify, Self::EasyPost, Self::Keycloak, Self::Sps];

    /// The name in the database, on the command line and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::EasyPost => "easypost",
            Self::Keycloak => "keycloak",
            Self::Sps => "sps",
        }
    }
}

impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|source| source.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("there is no source {text:?}; the sources are {all}")
        })
    }
}

/// What is known about a delivery beside its body. The provider does not sign this part: it is believed as far as the
/// secret that signed the body belongs to the shop named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub source: Source,
    /// Empty where the source knows no shops.
    pub shop_domain: String,
    pub topic: String,
    /// The provider's id of this delivery; with source and shop it decides what is a duplicate.
    pub webhook_id: String,
    /// An id that several deliveries share when one action caused them.
    pub provider_event_id: Option<String>,
    /// When the provider says it happened, as the provider wrote it.
    pub triggered_at: Option<String>,
    /// JSON object of the headers, without credentials.
    pub headers: String,
    /// When it reached this box.
    pub received_at: Timestamp,
}

/// An envelope with the proof of its body. Only a verifier can make one: see [`crate::proof`].
#[derive(Debug, Clone)]
pub struct Verified {
    envelope: Envelope,
    authentic: Authentic,
}

impl Verified {
    /// Seals an envelope around the body that was proved.
    #[must_use]
    pub fn new(envelope: Envelope, authentic: Authentic) -> Self {
        Self { envelope, authentic }
    }

    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The bytes as they came.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.authentic.body()
    }
}
