//! SPS Commerce: files that were fetched, and the bearer of `POST /api/sps/poll`.

use super::digest_of;
use super::refusal::{Reason, Refusal};
use crate::clock::{self, Timestamp};
use crate::formats::edi;
use crate::proof::{self, Authentic};
use crate::secret::Secret;
use crate::store::envelope::{Envelope, Source, Verified};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use serde_json::json;

/// A file that this process itself fetched from a source that proved who it is: by its host key, or by being a directory here.
#[derive(Debug, Clone)]
pub struct Fetched {
    pub source: String,
    pub directory: String,
    pub name: String,
    pub modified: Option<Timestamp>,
    pub received_at: Timestamp,
    pub bytes: Bytes,
}

/// The event that a file becomes: its directory is the shop, what it is the topic, its name and the digest of its bytes the id.
#[must_use]
pub fn file(fetched: &Fetched) -> Verified {
    let authentic: Authentic = proof::fetched(&fetched.bytes);
    let headers = json!({
        "source": fetched.source, "file": fetched.name, "bytes": fetched.bytes.len(), "modified": fetched.modified.map(clock::text)
    });
    let envelope = Envelope {
        source: Source::Sps,
        shop_domain: fetched.directory.clone(),
        topic: edi::kind(&fetched.bytes),
        webhook_id: format!("{} {}", fetched.name, digest_of(&fetched.bytes)),
        provider_event_id: None,
        triggered_at: fetched.modified.map(clock::text),
        headers: headers.to_string(),
        received_at: fetched.received_at,
    };
    Verified::new(envelope, authentic)
}

/// Who may ask for a poll.
#[derive(Debug, Clone)]
pub struct Asking {
    secrets: Vec<Secret>,
}

impl Asking {
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets }
    }

    /// Whether this request may.
    ///
    /// # Errors
    /// A [`Refusal`] that says what is wrong with its bearer.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(value) = headers.get(AUTHORIZATION) else {
            return Err(Refusal::new(Reason::BearerMissing, ""));
        };
        let text = value.as_bytes();
        let token = match text.split_first_chunk::<7>() {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
            _ => return Err(Refusal::new(Reason::BearerMissing, "")),
        };
        proof::bearer(&self.secrets, token, &Bytes::new())
            .map(drop)
            .map_err(|_| Refusal::new(Reason::BearerMismatch, ""))
    }
}
