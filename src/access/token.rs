//! Random tokens: of sessions and of API clients. The database has only their digests.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::crypto::SecureRandom;
use sha2::{Digest, Sha256};
use std::io;

/// Start of the tokens of programs, by which a scanner for secrets finds them.
pub const API_TOKEN_PREFIX: &str = "novex_";
/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// A token as its owner sends it. It is shown or sent once, and never stored.
#[derive(Clone)]
pub struct SecretToken(String);

/// SHA-256 of a token. A token has 256 random bits, so that a slow hash adds nothing.
pub type TokenDigest = [u8; 32];

impl SecretToken {
    /// Returns a new token of random bytes; `prefix` names its kind, as in `novex_`.
    ///
    /// # Errors
    /// If the system returns no random bytes.
    pub fn generate(prefix: &str) -> io::Result<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        let provider = rustls::crypto::ring::default_provider();
        let random: &dyn SecureRandom = provider.secure_random;
        random.fill(&mut bytes).map_err(|_| io::Error::other("the system returned no random bytes"))?;
        Ok(Self(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Returns the text that the owner gets.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns what the database stores.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        digest_token(&self.0)
    }
}

/// Returns the digest of a token that a client sent.
#[must_use]
pub fn digest_token(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_found_by_their_digest() {
        let (one, two) = (SecretToken::generate("novex_").unwrap(), SecretToken::generate("novex_").unwrap());
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), "novex_".len() + 43);
        assert_eq!(one.digest(), digest_token(one.expose()));
    }
}
