//! Proves who sent a body.
//!
//! An [`AuthenticBody`] exists only if a check in this module succeeded: its field is private, and no other module
//! creates one. The store accepts only envelopes with an [`AuthenticBody`], so no code path can store an unverified
//! webhook, and none can replace the bytes after the check. The idea is rustls's: a type that cannot exist without the
//! check (`rustls::manual::_02_tls_vulnerabilities`).
//!
//! A comparison takes the same time wherever the first difference is. A check tries every secret, also after one
//! matched.

use crate::secret::Secret;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;
use subtle::{Choice, ConstantTimeEq};

/// A body from a proven sender.
#[derive(Debug, Clone)]
pub struct AuthenticBody {
    body: Bytes,
    is_test: bool,
    /// Place of the secret that proved the sender; None for a fetched file.
    secret_reference: Option<Arc<str>>,
}

impl AuthenticBody {
    /// Returns the checked bytes, exactly as received.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the place of the secret that proved the sender, as the configuration names it.
    #[must_use]
    pub fn secret_reference(&self) -> Option<&Arc<str>> {
        self.secret_reference.as_ref()
    }

    /// Returns true for the body of a test event.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.is_test
    }
}

/// First bytes of the message of a test mark. No provider's signed message begins with them, so that no signature of a
/// provider is a test mark, and no test mark is a signature.
const TEST_MARK_PREFIX: &[u8] = b"novex-ingest test event\n";

/// Returns the test mark of a body: an HMAC-SHA256 that only a holder of the secret can compute.
#[must_use]
pub fn compute_test_mark(secret: &Secret, body: &[u8]) -> [u8; HMAC_TAG_BYTES] {
    compute_hmac_sha256(secret, &[TEST_MARK_PREFIX], body)
}

/// Checks the test mark `tag` of a body, with each of `secrets`. It takes the place of the provider's proof: a test
/// request has no signature with which somebody could send its body as a real event.
pub fn verify_test_mark<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    body: &Bytes,
    tag: &[u8],
) -> Result<AuthenticBody, VerificationError> {
    let authentic = verify_hmac_sha256(secrets, &[TEST_MARK_PREFIX], body, tag)?;
    Ok(AuthenticBody { is_test: true, ..authentic })
}

/// Trusts bytes that this process fetched itself from a source that proved its identity: by its host key, by its
/// certificate, or because it is a directory of this machine.
#[must_use]
pub fn trust_fetched_body(body: &Bytes) -> AuthenticBody {
    AuthenticBody { body: body.clone(), is_test: false, secret_reference: None }
}

/// No configured secret matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationError;

/// Length of an HMAC-SHA256 tag.
pub const HMAC_TAG_BYTES: usize = 32;

/// Checks the HMAC-SHA256 `tag` over `prefix` and `body`, with each of `secrets`.
pub fn verify_hmac_sha256<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    prefix: &[&[u8]],
    body: &Bytes,
    tag: &[u8],
) -> Result<AuthenticBody, VerificationError> {
    find_matching_secret(secrets, body, |secret| compute_hmac_sha256(secret, prefix, body).as_slice().ct_eq(tag))
}

/// Compares all secrets and returns the body if one matches.
///
/// Only a match takes a branch, so the time of a request without a valid proof depends on no secret.
fn find_matching_secret<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    body: &Bytes,
    compare: impl Fn(&Secret) -> Choice,
) -> Result<AuthenticBody, VerificationError> {
    let mut matching = None;
    for secret in secrets {
        let is_match = bool::from(compare(secret));
        if is_match && matching.is_none() {
            matching = Some(secret);
        }
    }
    let secret = matching.ok_or(VerificationError)?;
    Ok(AuthenticBody { body: body.clone(), is_test: false, secret_reference: secret.reference().cloned() })
}

/// Checks that `presented`, such as a bearer token, is one of `secrets`.
///
/// The function compares hashes, so that not even the length of a secret changes the time.
pub fn verify_bearer_token<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    presented: &[u8],
    body: &Bytes,
) -> Result<AuthenticBody, VerificationError> {
    use sha2::Digest;
    let presented = Sha256::digest(presented);
    find_matching_secret(secrets, body, |secret| Sha256::digest(secret.expose()).as_slice().ct_eq(presented.as_slice()))
}

/// Checks a user name and password of HTTP Basic; `user` is `None` if any name is valid.
///
/// The function compares both, also if the first one differs.
pub fn verify_basic_auth<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    user: Option<&[u8]>,
    (presented_user, presented): (&[u8], &[u8]),
    body: &Bytes,
) -> Result<AuthenticBody, VerificationError> {
    use sha2::Digest;
    let hash = |bytes: &[u8]| Sha256::digest(bytes);
    let is_user = user.is_none_or(|user| bool::from(hash(user).as_slice().ct_eq(hash(presented_user).as_slice())));
    let verified = verify_bearer_token(secrets, presented, body);
    if is_user { verified } else { Err(VerificationError) }
}

/// Returns the HMAC-SHA256 over `prefix` and `body`, as senders and `novex-ingest send` put it into their header.
#[must_use]
pub fn compute_hmac_sha256(secret: &Secret, prefix: &[&[u8]], body: &[u8]) -> [u8; HMAC_TAG_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC accepts a key of any length");
    for part in prefix {
        mac.update(part);
    }
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make_secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    /// RFC 4231, test case 2.
    #[test]
    fn rfc_4231_vector_is_accepted() {
        let body = Bytes::from_static(b"what do ya want for nothing?");
        let tag = hex::decode("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").unwrap();
        assert!(verify_hmac_sha256([&make_secret("Jefe")], &[], &body, &tag).is_ok());
        assert!(verify_hmac_sha256([&make_secret("other"), &make_secret("Jefe")], &[], &body, &tag).is_ok());
        assert!(verify_hmac_sha256([&make_secret("Jefe"), &make_secret("other")], &[], &body, &tag).is_ok());
        assert_eq!(verify_hmac_sha256([&make_secret("jefe")], &[], &body, &tag).unwrap_err(), VerificationError);
    }

    #[test]
    fn tag_of_wrong_length_is_rejected() {
        let body = Bytes::from_static(b"x");
        let tag = compute_hmac_sha256(&make_secret("s"), &[], &body);
        for wrong in [&tag[..31], &[], &[tag.as_slice(), &[0]].concat()] {
            assert!(verify_hmac_sha256([&make_secret("s")], &[], &body, wrong).is_err());
        }
    }

    #[test]
    fn empty_secret_list_rejects_everything() {
        let body = Bytes::from_static(b"x");
        assert!(verify_hmac_sha256([], &[], &body, &[]).is_err());
        assert!(verify_bearer_token([], b"", &body).is_err());
    }

    #[test]
    fn only_a_mark_of_the_body_under_a_secret_makes_a_test() {
        let (body, secret) = (Bytes::from_static(b"{}"), make_secret("s"));
        let prove = |tag: &[u8]| verify_test_mark([&make_secret("old"), &secret], &body, tag);
        let mark = compute_test_mark(&secret, &body);
        assert!(prove(&mark).unwrap().is_test());
        assert!(!trust_fetched_body(&body).is_test());
        assert!(verify_hmac_sha256([&secret], &[], &body, &mark).is_err(), "a mark proves no real event");
        for wrong in [
            &compute_hmac_sha256(&secret, &[], &body)[..],
            &compute_test_mark(&secret, b"{} "),
            &compute_test_mark(&make_secret("t"), &body),
            &[],
        ] {
            assert!(prove(wrong).is_err());
        }
    }

    #[test]
    fn bearer_token_must_match_the_whole_secret() {
        let body = Bytes::from_static(b"x");
        assert!(verify_bearer_token([&make_secret("token")], b"token", &body).is_ok());
        for wrong in [&b""[..], b"toke", b"token ", b"Token"] {
            assert!(verify_bearer_token([&make_secret("token")], wrong, &body).is_err());
        }
    }
}
