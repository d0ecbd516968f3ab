//! From bytes and headers to a [`Verified`] envelope, or a [`Refusal`]. One file a provider.
//!
//! Nothing in here does I/O: the same bytes give the same answer, so each provider is tested with vectors, fuzzed and
//! measured by itself. Outward a refusal is coarse, inward it is precise: see [`refusal`].

pub mod easypost;
pub mod headers;
pub mod keycloak;
pub mod refusal;
pub mod shopify;
pub mod sps;

pub use refusal::{Reason, Refusal};

use crate::clock::Timestamp;
use crate::store::envelope::Verified;
use bytes::Bytes;
use hyper::HeaderMap;
use sha2::{Digest, Sha256};

/// A delivery as it came, before anything about it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The topic in the path; only Shopify's path has one.
    pub topic: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// When its last byte arrived.
    pub received_at: Timestamp,
}

/// The verifiers of one installation; `None` where the configuration does not name the provider.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    pub shopify: Option<shopify::Shopify>,
    pub easypost: Option<easypost::EasyPost>,
    pub keycloak: Option<keycloak::Keycloak>,
}

/// The endpoints of the public listener that take deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Shopify { topic: String },
    EasyPost,
    Keycloak,
}

impl Providers {
    /// True when a delivery to `endpoint` can be verified at all; asked before the body is read.
    #[must_use]
    pub fn configured(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::Shopify { .. } => self.shopify.is_some(),
            Endpoint::EasyPost => self.easypost.is_some(),
            Endpoint::Keycloak => self.keycloak.is_some(),
        }
    }

    /// What the headers alone show to be wrong, so that a stranger's body is not waited for. Only where the proof does not
    /// cover the body; and never where the answer would tell more than it does after the body.
    ///
    /// # Errors
    /// The [`Refusal`] that [`Providers::verify`] would give.
    pub fn precheck(&self, endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), Refusal> {
        match (endpoint, &self.keycloak) {
            (Endpoint::Keycloak, Some(keycloak)) => keycloak.precheck(headers),
            _ => Ok(()),
        }
    }

    /// Verifies a delivery by the rules of the provider that `endpoint` belongs to.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is wrong with it.
    pub fn verify(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        body: &Bytes,
        received_at: Timestamp,
    ) -> Result<Verified, Refusal> {
        let topic = if let Endpoint::Shopify { topic } = endpoint { topic } else { "" };
        let delivery = Delivery { topic, headers, body, received_at };
        let verified = match endpoint {
            Endpoint::Shopify { .. } => self.shopify.as_ref().map(|provider| provider.verify(delivery)),
            Endpoint::EasyPost => self.easypost.as_ref().map(|provider| provider.verify(delivery)),
            Endpoint::Keycloak => self.keycloak.as_ref().map(|provider| provider.verify(delivery)),
        };
        verified.unwrap_or_else(|| Err(Refusal::new(Reason::NotConfigured, "")))
    }
}

/// The digest of bytes, as part of an id.
fn digest_of(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// The id of a delivery that has none: its body's digest, so that the same bytes are the same delivery.
fn digest_id(body: &[u8]) -> String {
    format!("sha256:{}", digest_of(body))
}

/// Longest id, topic or shop name that is taken as it is. Real ones have 64 characters at most; the limit keeps index
/// entries small.
const NAME_BYTES_MAX: usize = 255;

/// A header's value as a name in the database; `None` when it did not come or is empty.
///
/// # Errors
/// When it is over-long or has control characters: cut down it would be another name.
fn named<'t>(header: &str, value: Option<&'t str>) -> Result<Option<&'t str>, Refusal> {
    match value.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) if name(text).is_some() => Ok(Some(text)),
        Some(text) => {
            let detail = format!("{header} has {} bytes or control characters; {NAME_BYTES_MAX} are taken", text.len());
            Err(Refusal::new(Reason::HeaderMalformed, detail))
        }
    }
}

/// `text` if it can be a name in the database: not empty, not over-long, no control characters.
fn name(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)).then_some(text)
}
