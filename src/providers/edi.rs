//! EDI: events from fetched files, and the authentication of `POST /api/sps/poll`.

use crate::clock;
use crate::clock::Timestamp;
use crate::edi::file::detect_file_kind;
use crate::event::{Envelope, EventKey, Source, VerifiedWebhook};
use crate::proof;
use crate::proof::AuthenticBody;
use crate::providers::compute_digest;
use crate::providers::rejection::{Rejection, RejectionReason};
use crate::secret::Secret;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use serde_json::json;

/// File that this process fetched from an authenticated source: by its host key, its TLS certificate, or as a local
/// directory.
#[derive(Debug, Clone)]
pub struct FetchedFile {
    pub source: String,
    pub directory: String,
    pub name: String,
    pub modified: Option<Timestamp>,
    pub received_at: Timestamp,
    pub bytes: Bytes,
}

/// Builds the event of a file.
///
/// Its shop domain is the directory, its topic the kind of file, its webhook id the name and the digest of the bytes.
#[must_use]
pub fn build_file_event(file: &FetchedFile) -> VerifiedWebhook {
    let authentic: AuthenticBody = proof::trust_fetched_body(&file.bytes);
    let headers = json!({
        "source": file.source, "file": file.name, "bytes": file.bytes.len(),
        "modified": file.modified.map(clock::format_timestamp),
    });
    let envelope = Envelope {
        key: EventKey {
            source: Source::Sps,
            shop_domain: file.directory.clone(),
            topic: detect_file_kind(&file.bytes),
            webhook_id: format!("{} {}", file.name, compute_digest(&file.bytes)),
        },
        provider_event_id: None,
        triggered_at: file.modified.map(clock::format_timestamp),
        headers: headers.to_string(),
        received_at: file.received_at,
    };
    VerifiedWebhook::new(envelope, authentic)
}

/// Authentication of requests that start a poll.
#[derive(Debug, Clone)]
pub struct PollAuth {
    secrets: Vec<Secret>,
}

impl PollAuth {
    /// Creates an authenticator that accepts each of these secrets as bearer token.
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets }
    }

    /// Checks the bearer token of a request.
    ///
    /// # Errors
    /// A [`Rejection`] if the token is missing or wrong.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Err(Rejection::new(RejectionReason::BearerMissing, ""));
        };
        let text = value.as_bytes();
        let token = match text.split_first_chunk::<7>() {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
            _ => return Err(Rejection::new(RejectionReason::BearerMissing, "")),
        };
        proof::verify_bearer_token(&self.secrets, token, &Bytes::new())
            .map(drop)
            .map_err(|_| Rejection::new(RejectionReason::BearerMismatch, ""))
    }
}
