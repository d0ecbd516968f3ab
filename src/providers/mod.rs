//! Providers: turn the bytes and headers of a request into a [`VerifiedWebhook`] or a [`Rejection`], one file for each
//! provider.
//!
//! The providers do no input or output. The same bytes give the same result, except for the id of an event that nothing
//! identifies. So each provider has test vectors, fuzz targets and benchmarks of its own. A rejection is coarse for the
//! sender and exact in the database: see [`rejection`].

pub mod easypost;
pub mod edi;
pub mod headers;
pub mod keycloak;
pub mod rejection;
pub mod shopify;
pub mod test_mark;

pub use rejection::{Rejection, RejectionReason};

use crate::clock::Timestamp;
use crate::event::{DIGEST_ID_PREFIX, VerifiedWebhook};
use crate::lenient_json::REPLACEMENT;
use crate::text::format_count;
use bytes::Bytes;
use hyper::HeaderMap;
use sha2::{Digest, Sha256};

/// Request of a provider before its verification.
#[derive(Debug, Clone, Copy)]
pub struct WebhookRequest<'a> {
    /// Topic in the path; only Shopify's path has one.
    pub topic: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// Time at which its last byte arrived.
    pub received_at: Timestamp,
}

/// Verifiers of one installation; `None` if the configuration does not have the provider.
#[derive(Debug, Clone, Default)]
pub struct WebhookVerifiers {
    pub shopify: Option<shopify::ShopifyVerifier>,
    pub easypost: Option<easypost::EasyPostVerifier>,
    pub keycloak: Option<keycloak::KeycloakVerifier>,
}

/// Endpoints of the public listener for webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEndpoint {
    Shopify { topic: String },
    EasyPost,
    Keycloak,
}

impl WebhookVerifiers {
    /// Returns true if a request to `endpoint` can be verified. The server checks this before it reads the body.
    #[must_use]
    pub fn is_configured(&self, endpoint: &WebhookEndpoint) -> bool {
        match endpoint {
            WebhookEndpoint::Shopify { .. } => self.shopify.is_some(),
            WebhookEndpoint::EasyPost => self.easypost.is_some(),
            WebhookEndpoint::Keycloak => self.keycloak.is_some(),
        }
    }

    /// Checks the headers before the body is read, so that the server does not wait for the body of an unauthenticated
    /// sender.
    ///
    /// Only proofs that do not cover the body are checked. The answer never reveals more than the answer after the
    /// body.
    ///
    /// # Errors
    /// The [`Rejection`] that [`Self::verify`] would return.
    pub fn check_headers(&self, endpoint: &WebhookEndpoint, headers: &HeaderMap) -> Result<(), Rejection> {
        match (endpoint, &self.keycloak) {
            (WebhookEndpoint::Keycloak, Some(keycloak)) => keycloak.check_headers(headers),
            _ => Ok(()),
        }
    }

    /// Verifies a request by the rules of the endpoint's provider.
    ///
    /// # Errors
    /// A [`Rejection`] with the exact reason.
    pub fn verify(
        &self,
        endpoint: &WebhookEndpoint,
        headers: &HeaderMap,
        body: &Bytes,
        received_at: Timestamp,
    ) -> Result<VerifiedWebhook, Rejection> {
        let topic = if let WebhookEndpoint::Shopify { topic } = endpoint { topic } else { "" };
        let request = WebhookRequest { topic, headers, body, received_at };
        let verified = match endpoint {
            WebhookEndpoint::Shopify { .. } => self.shopify.as_ref().map(|provider| provider.verify_request(request)),
            WebhookEndpoint::EasyPost => self.easypost.as_ref().map(|provider| provider.verify_headers(request)),
            WebhookEndpoint::Keycloak => self.keycloak.as_ref().map(|provider| provider.verify_request(request)),
        };
        verified.unwrap_or_else(|| Err(Rejection::new(RejectionReason::NotConfigured, "")))
    }
}

/// Returns the digest of bytes in hex, as part of a webhook id.
fn compute_digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// Returns the webhook id of a request without one: the digest of its body, so that equal bodies are the same event.
fn build_digest_id(body: &[u8]) -> String {
    format!("{DIGEST_ID_PREFIX}{}", compute_digest(body))
}

/// Returns a webhook id that no other event has, for a request that nothing identifies.
fn build_unique_id() -> String {
    format!("new:{:032x}", fastrand::u128(..))
}

/// Longest id, topic or shop domain, in bytes. Real ones have at most 64; the limit keeps index entries small.
const NAME_BYTES_MAX: usize = 255;

/// Returns the value of a header as a name for the database, or `None` if it is missing or empty.
///
/// # Errors
/// A rejection if it is too long or has control characters. It is not truncated, because that would give another name.
fn parse_name_header<'t>(header: &str, value: Option<&'t str>) -> Result<Option<&'t str>, Rejection> {
    match value.map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) if parse_name(text).is_some() => Ok(Some(text)),
        Some(text) => {
            let detail = format!(
                "{header} has {}, or control characters; at most {NAME_BYTES_MAX} bytes are allowed",
                format_count(text.len(), "byte", "bytes")
            );
            Err(Rejection::new(RejectionReason::HeaderMalformed, detail))
        }
    }
}

/// Returns the text as the id of an event, or `None` if it cannot be one.
///
/// A text that could not be read identifies no event: two of them could look equal, and one event would be lost.
fn parse_body_id(text: &str) -> Option<String> {
    parse_name(text).filter(|text| !text.contains(REPLACEMENT)).map(str::to_owned)
}

/// Returns the trimmed text if it can be a name in the database: not empty, not too long, no control characters.
fn parse_name(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)).then_some(text)
}
