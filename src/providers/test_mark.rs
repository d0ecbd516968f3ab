//! The mark of a test event, the same for all providers: `X-Novex-Ingest-Test: HEX`.
//!
//! `send` and `setup` mark their requests. The mark is an HMAC-SHA256 of the body under the provider's secret, so only
//! a holder of the secret can make a test event. A test event reaches no table and no destination. A mark without its
//! proof has no effect, because an event that is wrongly a test would be lost.

use crate::proof::compute_test_mark;
use crate::providers::headers;
use crate::secret::Secret;
use hyper::HeaderMap;

/// Name of the header.
pub const TEST_MARK_HEADER: &str = "x-novex-ingest-test";

/// Returns the bytes of the mark; empty if the request has none, or one that is no mark.
pub(super) fn read_test_mark(headers: &HeaderMap) -> Vec<u8> {
    let value = headers::read_single_header(headers, TEST_MARK_HEADER).ok().flatten();
    value.and_then(|digits| hex::decode(digits).ok()).unwrap_or_default()
}

/// Returns the value of the header for a body. `novex-ingest send` uses it.
#[must_use]
pub fn sign_test_mark(secret: &Secret, body: &[u8]) -> String {
    hex::encode(compute_test_mark(secret, body))
}
