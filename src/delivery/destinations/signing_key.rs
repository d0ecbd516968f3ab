//! Signing keys of Standard Webhooks, read as the official libraries read them.
//!
//! The libraries for Python and JavaScript remove the prefix `whsec_` if the secret has it, and decode the rest as
//! base64, with or without padding (`standardwebhooks` 1.1.0 for Python, 1.1.1 for JavaScript). Python's ignores
//! characters of other alphabets, so it would use another key without an error. This module refuses what they read
//! differently, and `config check` reports it.

use crate::proof::compute_hmac_sha256;
use crate::secret::Secret;
use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Prefix of a secret (standard-webhooks, `spec/standard-webhooks.md`).
const SECRET_PREFIX: &str = "whsec_";
/// Prefixes of the keys of asymmetric signatures.
const ASYMMETRIC_PREFIXES: [&str; 2] = ["whsk_", "whpk_"];
/// Shortest key that the specification allows.
const KEY_BYTES_MIN: usize = 24;

/// As both libraries decode: padding is optional, and the unused bits of the last character do not matter.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reason why a secret is no signing key, with the fix. Both contain no part of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SigningKeyError {
    pub message: &'static str,
    pub hint: &'static str,
}

/// Returns the bytes of a signing key.
///
/// # Errors
/// The official libraries do not read the secret as a key, or not both as the same one.
pub fn decode_signing_key(secret: &Secret) -> Result<Secret, SigningKeyError> {
    const MAKE: &str = "Make a secret with `echo whsec_$(openssl rand -base64 32)`. If the ERP has this text as the key \
                        itself, write whsec_ and its base64: `printf %s 'TEXT' | base64 -w0`.";
    let text = std::str::from_utf8(secret.expose()).unwrap_or("\0");
    if ASYMMETRIC_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return Err(SigningKeyError {
            message: "is a key of an asymmetric signature, which is not supported",
            hint: MAKE,
        });
    }
    let digits = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
    if digits.trim_end_matches('=').is_empty() {
        return Err(SigningKeyError { message: "has no key after whsec_", hint: MAKE });
    }
    match LENIENT.decode(digits) {
        Ok(key) => Ok(Secret::new(key)),
        Err(_)
            if digits.contains(['-', '_'])
                // The prefix in capitals is no part of a key.
                && !digits.to_ascii_lowercase().starts_with(SECRET_PREFIX)
                && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)) =>
        {
            Err(SigningKeyError {
                message: "is URL-safe base64, which the libraries of Standard Webhooks do not decode",
                hint: "Write + for each - and / for each _ after whsec_, here and at the ERP. Or make a new secret with \
                       `echo whsec_$(openssl rand -base64 32)`.",
            })
        }
        Err(_) => Err(SigningKeyError {
            message: "is not base64, which the libraries of Standard Webhooks decode",
            hint: MAKE,
        }),
    }
}

/// Returns true for a key that is shorter than the specification allows.
#[must_use]
pub fn is_short_key(key: &Secret) -> bool {
    key.expose().len() < KEY_BYTES_MIN
}

/// Returns the value of `webhook-signature`: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body` for each key, so
/// that a rotation needs no interruption.
#[must_use]
pub fn sign_standard_webhook(keys: &[Secret], id: &str, timestamp: &str, body: &[u8]) -> String {
    let prefix = [id.as_bytes(), b".", timestamp.as_bytes(), b"."];
    let signatures: Vec<String> =
        keys.iter().map(|key| format!("v1,{}", STANDARD.encode(compute_hmac_sha256(key, &prefix, body)))).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<Vec<u8>, SigningKeyError> {
        decode_signing_key(&Secret::new(text.as_bytes().to_vec())).map(|key| key.expose().to_vec())
    }

    /// Example from the tests of the Standard Webhooks libraries.
    #[test]
    fn signature_matches_standard_webhooks_vector() {
        let secret = decode_signing_key(&Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec())).unwrap();
        let signature =
            sign_standard_webhook(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn padding_prefix_and_unused_bits_do_not_matter() {
        for text in ["whsec_QUJDRA==", "whsec_QUJDRA", "QUJDRA==", "QUJDRA", "whsec_QUJDRB=="] {
            assert_eq!(decode(text).unwrap(), b"ABCD", "{text}");
        }
        assert_eq!(decode("whsec_+/+/").unwrap(), [0xFB, 0xFF, 0xBF]);
    }

    #[test]
    fn secret_that_a_library_reads_differently_is_refused_with_its_fix() {
        for (text, message, hint) in [
            ("whsec_-_-_", "URL-safe", "Write + for each -"),
            ("-_-_", "URL-safe", "Write + for each -"),
            ("whsec_", "no key", "openssl rand"),
            ("whsec_==", "no key", "openssl rand"),
            ("whsec_QUJDR", "not base64", "openssl rand"),
            ("QUJD RA==", "not base64", "base64 -w0"),
            ("whsec_QUJDRA== ", "not base64", "base64 -w0"),
            ("correct horse", "not base64", "base64 -w0"),
            ("s\u{e9}cret", "not base64", "base64 -w0"),
            ("whsk_QUJDRA==", "asymmetric", "openssl rand"),
            ("WHSEC_QUJDRA==", "not base64", "openssl rand"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.message.contains(message) && error.hint.contains(hint), "{text}: {error:?}");
        }
        assert!(decode_signing_key(&Secret::new(vec![0xFF; 32])).is_err(), "bytes that are no text");
    }
}
