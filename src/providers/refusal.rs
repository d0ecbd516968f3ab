//! Why a delivery is not taken: a reason for the log and the operator, a status for the sender.

use std::fmt;

/// What is wrong with a delivery. The name of a reason is written to `rejected_requests` and stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
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

impl Reason {
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

    /// The name in the database and the log.
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

    /// The HTTP status of the answer. Everything that would tell a stranger which part of a proof was wrong is 401.
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

    /// What the person at the box should look at.
    #[must_use]
    pub fn what_to_check(self) -> &'static str {
        match self {
            Self::HeaderMissing | Self::HeaderMalformed => {
                "The sender, or a proxy before this box, left out or changed a header that the provider always sends."
            }
            Self::TopicMismatch => {
                "The address entered at Shopify ends with another topic than the one subscribed to: correct the address."
            }
            Self::SignatureMissing => {
                "The request is not signed. EasyPost: set a webhook secret at the webhook. Otherwise it is likely a stranger."
            }
            Self::SignatureMalformed => {
                "The signature is not in the provider's form: likely not the provider, or a proxy cut it."
            }
            Self::SignatureMismatch => {
                "The secret does not fit: it was rotated (keep both in `secrets` for an hour), it is another app's \
                 (hooks made in Shopify's admin pages sign with the store's own secret), or a proxy changes the body."
            }
            Self::UnknownShop => {
                "No [[shopify.shops]] has this domain: add the shop with its secret, or remove the webhook at Shopify."
            }
            Self::TimestampOutOfRange => {
                "The signed time is too far from this box's clock: check `timedatectl`; or it is a replay."
            }
            Self::BearerMissing => "No `Authorization: Bearer` came: enter the token at Keycloak's listener.",
            Self::BearerMismatch => {
                "The bearer token is not the configured one: compare the secret's file with Keycloak's listener."
            }
            Self::NotConfigured => {
                "This provider has no secrets in the configuration: add them, then run `novex-ingest config check`."
            }
            Self::BodyTooLarge => "The body is over server.max_body_bytes: raise it if the sender is genuine.",
            Self::BodyTooSlow => {
                "The body did not arrive within server.body_timeout: a slow network, or a hostile client."
            }
            Self::BodyBroken => {
                "The connection ended or its framing broke before the body was whole; the provider sends it again."
            }
            Self::HeadersTooLarge => {
                "The headers are over server.max_header_bytes or server.max_headers: a proxy may add many."
            }
            Self::HeadersTooSlow => {
                "The headers did not arrive within server.header_timeout: a slow network, or a hostile client."
            }
            Self::RequestMalformed => {
                "What came is not HTTP as it should be: likely a scanner, or a proxy that changes requests."
            }
            Self::UnknownPath => {
                "The address entered at the provider has a path that does not exist here: see `novex-ingest serve --help`."
            }
            Self::WrongMethod => {
                "Deliveries are POST requests: a browser or a monitor asked, or the provider is set to another method."
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A delivery that is not taken, with what exactly was wrong. The detail never holds a secret or a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    pub reason: Reason,
    pub detail: String,
}

impl Refusal {
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The text that the sender may read: precise about framing and headers, silent about proofs.
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
    fn names_are_unique() {
        let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn a_failed_proof_never_says_which_part() {
        for reason in Reason::ALL.into_iter().filter(|reason| reason.http_status() == 401) {
            assert_eq!(Refusal::new(reason, "the inner detail").public_text(), "unauthorized");
        }
    }
}
