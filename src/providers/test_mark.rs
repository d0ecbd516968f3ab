//! The mark of a test event, the same for all providers: `X-Novex-Ingest-Test: HEX`.
//!
//! `send` and `setup` mark their requests. The mark is an HMAC-SHA256 of the body under the provider's secret, so only
//! a holder of the secret can make a test event. A test event reaches no table and no destination. The mark takes the
//! place of the provider's signature or token, so that nobody can make a real request of a test request. A wrong mark
//! has no effect, because an event that is wrongly a test would be lost.

use crate::proof::{AuthenticBody, HMAC_TAG_BYTES, compute_test_mark, verify_test_mark};
use crate::providers::{WebhookRequest, headers};
use crate::secret::Secret;
use hyper::HeaderMap;

/// Name of the header.
pub const TEST_MARK_HEADER: &str = "x-novex-ingest-test";

/// Returns the bytes of the mark; `None` if the request has none, or one that cannot be a mark.
pub(super) fn read_test_mark(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers::read_single_header(headers, TEST_MARK_HEADER).ok().flatten()?;
    hex::decode(value).ok().filter(|mark| mark.len() == HMAC_TAG_BYTES)
}

/// Returns the authentic body of a test request; `None` if the request has no mark under one of `secrets`.
pub(super) fn prove_test_request(request: WebhookRequest<'_>, secrets: &[Secret]) -> Option<AuthenticBody> {
    // An event without a mark costs no HMAC more.
    verify_test_mark(secrets, request.body, &read_test_mark(request.headers)?).ok()
}

/// Returns the value of the header for a body. `novex-ingest send` uses it.
#[must_use]
pub fn sign_test_mark(secret: &Secret, body: &[u8]) -> String {
    hex::encode(compute_test_mark(secret, body))
}
