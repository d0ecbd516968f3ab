//! Proof that bytes came from whoever they claim to come from.
//!
//! An [`Authentic`] body exists only where a comparison in this module succeeded, because its field is private and
//! nothing else makes one. `store` takes only envelopes that hold an [`Authentic`], so no path through the code can
//! store a delivery that was not verified, and none can swap the bytes after they were. The idea is rustls's: a type
//! that cannot be built without the check (`rustls::manual::_02_tls_vulnerabilities`).
//!
//! All comparisons take the same time wherever the first difference is, and every secret is tried, also after one fits.

use crate::secret::Secret;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// A body whose sender was proved.
#[derive(Debug, Clone)]
pub struct Authentic {
    body: Bytes,
}

impl Authentic {
    /// The bytes that were proved, as they came.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Bytes that this process itself fetched from a source that had proved who it is: by its host key, its certificate, or by being a
/// directory of this box.
#[must_use]
pub fn fetched(body: &Bytes) -> Authentic {
    Authentic { body: body.clone() }
}

/// No secret fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotProved;

/// Bytes of an HMAC-SHA256.
pub const TAG_BYTES: usize = 32;

/// Proves `body` by an HMAC-SHA256 over `before` and then the body, under any of `secrets`.
///
/// # Errors
/// [`NotProved`] when no secret gives `tag`.
pub fn hmac_sha256<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    before: &[&[u8]],
    body: &Bytes,
    tag: &[u8],
) -> Result<Authentic, NotProved> {
    let mut proved = Choice::from(0);
    for secret in secrets {
        proved |= mac(secret, before, body).as_slice().ct_eq(tag);
    }
    if bool::from(proved) { Ok(Authentic { body: body.clone() }) } else { Err(NotProved) }
}

/// Proves `body` by a secret that came beside it, such as a bearer token. Both sides are hashed first, so that
/// not even the secret's length shows in the time taken.
///
/// # Errors
/// [`NotProved`] when `presented` is none of `secrets`.
pub fn bearer<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    presented: &[u8],
    body: &Bytes,
) -> Result<Authentic, NotProved> {
    use sha2::Digest;
    let presented = Sha256::digest(presented);
    let mut proved = Choice::from(0);
    for secret in secrets {
        proved |= Sha256::digest(secret.expose()).as_slice().ct_eq(presented.as_slice());
    }
    if bool::from(proved) { Ok(Authentic { body: body.clone() }) } else { Err(NotProved) }
}

/// Proves `body` by a user name and a secret that came beside it. Both are compared whatever the other gives; `user` may be
/// `None` where any name will do.
///
/// # Errors
/// [`NotProved`] when the name or the secret is another.
pub fn basic<'s>(
    secrets: impl IntoIterator<Item = &'s Secret>,
    user: Option<&[u8]>,
    (presented_user, presented): (&[u8], &[u8]),
    body: &Bytes,
) -> Result<Authentic, NotProved> {
    use sha2::Digest;
    let hash = |bytes: &[u8]| Sha256::digest(bytes);
    let named = user.is_none_or(|user| bool::from(hash(user).as_slice().ct_eq(hash(presented_user).as_slice())));
    let proved = bearer(secrets, presented, body);
    if named { proved } else { Err(NotProved) }
}

/// The HMAC-SHA256 over `before` and `body`: what a sender puts into its header, and `novex-ingest send` too.
#[must_use]
pub fn mac(secret: &Secret, before: &[&[u8]], body: &[u8]) -> [u8; TAG_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes a key of any length");
    for part in before {
        mac.update(part);
    }
    mac.update(body);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    /// RFC 4231, test case 2.
    #[test]
    fn published_vector() {
        let body = Bytes::from_static(b"what do ya want for nothing?");
        let tag = hex::decode("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843").unwrap();
        assert!(hmac_sha256([&secret("Jefe")], &[], &body, &tag).is_ok());
        assert!(hmac_sha256([&secret("other"), &secret("Jefe")], &[], &body, &tag).is_ok());
        assert!(hmac_sha256([&secret("Jefe"), &secret("other")], &[], &body, &tag).is_ok());
        assert_eq!(hmac_sha256([&secret("jefe")], &[], &body, &tag).unwrap_err(), NotProved);
    }

    #[test]
    fn a_short_empty_or_long_tag_proves_nothing() {
        let body = Bytes::from_static(b"x");
        let tag = mac(&secret("s"), &[], &body);
        for wrong in [&tag[..31], &[], &[tag.as_slice(), &[0]].concat()] {
            assert!(hmac_sha256([&secret("s")], &[], &body, wrong).is_err());
        }
    }

    #[test]
    fn no_secret_proves_nothing() {
        let body = Bytes::from_static(b"x");
        assert!(hmac_sha256([], &[], &body, &[]).is_err());
        assert!(bearer([], b"", &body).is_err());
    }

    #[test]
    fn bearer_is_the_whole_secret() {
        let body = Bytes::from_static(b"x");
        assert!(bearer([&secret("token")], b"token", &body).is_ok());
        for wrong in [&b""[..], b"toke", b"token ", b"Token"] {
            assert!(bearer([&secret("token")], wrong, &body).is_err());
        }
    }
}
