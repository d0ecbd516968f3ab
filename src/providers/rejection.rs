//! Rejections of requests: a reason for the log and the operator, a status for the sender.
//!
//! The answer never states which part of an authentication failed. The table `rejected_requests` has the exact reason.

use crate::event::Source;
use std::fmt;

/// Reason of a rejection. Its name is stored in `rejected_requests` and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionReason {
    HeaderMissing,
    HeaderMalformed,
    TopicMismatch,
    SignatureMissing,
    SignatureMalformed,
    SignatureMismatch,
    UnknownShop,
    TimestampOutOfRange,
    BearerMissing,
    BearerMismatch,
    NotConfigured,
    BodyTooLarge,
    BodyTooSlow,
    BodyBroken,
    HeadersTooLarge,
    HeadersTooSlow,
    RequestMalformed,
    UnknownPath,
    WrongMethod,
}

impl RejectionReason {
    /// Every reason, for documentation and tests.
    pub const ALL: [Self; 19] = [
        Self::HeaderMissing,
        Self::HeaderMalformed,
        Self::TopicMismatch,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureMismatch,
        Self::UnknownShop,
        Self::TimestampOutOfRange,
        Self::BearerMissing,
        Self::BearerMismatch,
        Self::NotConfigured,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::BodyBroken,
        Self::HeadersTooLarge,
        Self::HeadersTooSlow,
        Self::RequestMalformed,
        Self::UnknownPath,
        Self::WrongMethod,
    ];

    /// Returns the name in the database and the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeaderMissing => "header_missing",
            Self::HeaderMalformed => "header_malformed",
            Self::TopicMismatch => "topic_mismatch",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureMismatch => "signature_mismatch",
            Self::UnknownShop => "unknown_shop",
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::BearerMissing => "bearer_missing",
            Self::BearerMismatch => "bearer_mismatch",
            Self::NotConfigured => "not_configured",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyBroken => "body_broken",
            Self::HeadersTooLarge => "headers_too_large",
            Self::HeadersTooSlow => "headers_too_slow",
            Self::RequestMalformed => "request_malformed",
            Self::UnknownPath => "unknown_path",
            Self::WrongMethod => "wrong_method",
        }
    }

    /// Returns the HTTP status of the answer. It is 401 for each reason that would reveal the failed part of a proof.
    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::HeaderMissing
            | Self::HeaderMalformed
            | Self::TopicMismatch
            | Self::BodyBroken
            | Self::RequestMalformed => 400,
            Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::SignatureMismatch
            | Self::UnknownShop
            | Self::TimestampOutOfRange
            | Self::BearerMissing
            | Self::BearerMismatch => 401,
            Self::UnknownPath => 404,
            Self::WrongMethod => 405,
            Self::BodyTooSlow | Self::HeadersTooSlow => 408,
            Self::BodyTooLarge => 413,
            Self::HeadersTooLarge => 431,
            Self::NotConfigured => 503,
        }
    }

    /// Returns the fix for the operator.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::HeaderMissing | Self::HeaderMalformed => {
                "A header that the provider always sends is missing or changed: check the proxy in front of \
                 novex-ingest."
            }
            Self::TopicMismatch => {
                "The webhook address at Shopify ends with another topic than its subscription: correct the address."
            }
            Self::SignatureMissing => {
                "The request is not signed. EasyPost: set a secret for the webhook. Otherwise the sender is not the \
                 provider."
            }
            Self::SignatureMalformed => {
                "The signature does not have the provider's format: the sender is not the provider, or a proxy \
                 changed it."
            }
            Self::SignatureMismatch => {
                "The secret is wrong: it was rotated (keep both in `secrets` for an hour), it belongs to another app \
                 (webhooks created in Shopify's admin use the store's own secret), or a proxy changes the body."
            }
            Self::UnknownShop => {
                "No [[shopify.shops]] has this domain: add the shop with its secret, or remove the webhook at Shopify."
            }
            Self::TimestampOutOfRange => {
                "The signed time differs too much from the clock of this machine: check `timedatectl`. It can also \
                 be a replay."
            }
            Self::BearerMissing => {
                "The request has no `Authorization: Bearer`: enter the token in Keycloak's listener."
            }
            Self::BearerMismatch => {
                "The bearer token is not the configured one: compare the secret file with Keycloak's listener."
            }
            Self::NotConfigured => {
                "This provider has no secrets in the configuration: add them, then run `novex-ingest config check`."
            }
            Self::BodyTooLarge => "The body exceeds server.max_body_bytes: raise the limit if the sender is genuine.",
            Self::BodyTooSlow => {
                "The body did not arrive within server.body_timeout: the network is slow, or the client is hostile."
            }
            Self::BodyBroken => {
                "The connection ended before the body was complete, or its framing is invalid. The provider sends it \
                 again."
            }
            Self::HeadersTooLarge => {
                "The headers exceed server.max_header_bytes or server.max_headers: a proxy may add many."
            }
            Self::HeadersTooSlow => {
                "The headers did not arrive within server.header_timeout: the network is slow, or the client is \
                 hostile."
            }
            Self::RequestMalformed => {
                "The request is not valid HTTP: the client is probably a scanner, or a proxy changes requests."
            }
            Self::UnknownPath => {
                "The webhook address at the provider has an unknown path: see `novex-ingest serve --help`."
            }
            Self::WrongMethod => {
                "Webhooks are POST requests: a browser or monitor sent this one, or the provider uses another method."
            }
        }
    }
}

/// Returns the fix for a stored reason; empty for a reason of another version.
#[must_use]
pub fn find_rejection_hint(reason: &str) -> &'static str {
    RejectionReason::ALL.into_iter().find(|one| one.as_str() == reason).map_or("", RejectionReason::hint)
}

/// Returns the pattern of request paths for a source and topic. An empty pattern matches nothing.
#[must_use]
pub fn build_path_pattern(source: Option<Source>, topic: Option<&str>) -> Option<String> {
    match (topic, source) {
        (Some(topic), None | Some(Source::Shopify)) => Some(format!("/api/webhooks/shopify/{topic}")),
        // Only Shopify's addresses have a topic.
        (Some(_), Some(_)) => Some(String::new()),
        (None, Some(Source::Keycloak)) => Some("/api/keycloak/*".to_owned()),
        (None, Some(Source::Sps)) => Some("/api/sps/*".to_owned()),
        (None, Some(source)) => Some(format!("/api/webhooks/{}*", source.as_str())),
        (None, None) => None,
    }
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Rejection of a request, with the exact detail. The detail never contains a secret or a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    pub reason: RejectionReason,
    pub detail: String,
}

impl Rejection {
    /// Creates a rejection.
    #[must_use]
    pub fn new(reason: RejectionReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Returns the text for the sender: exact about framing and headers, silent about proofs.
    #[must_use]
    pub fn public_text(&self) -> &str {
        match self.reason.http_status() {
            401 => "unauthorized",
            404 => "not found",
            405 => "method not allowed",
            503 => "this provider is not configured here",
            _ => &self.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn reason_names_are_unique() {
        let names: HashSet<_> = RejectionReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), RejectionReason::ALL.len());
    }

    #[test]
    fn unauthorized_text_never_reveals_the_failed_part() {
        for reason in RejectionReason::ALL.into_iter().filter(|reason| reason.http_status() == 401) {
            assert_eq!(Rejection::new(reason, "the inner detail").public_text(), "unauthorized");
        }
    }
}
