//! Time-based one-time codes of users (RFC 6238): six digits, SHA-1, steps of 30 seconds, as all apps know them.

use crate::clock::Timestamp;
use crate::secret::Secret;
use rustls::crypto::SecureRandom;
use std::io;
use totp_rs::{Algorithm, Builder, Totp};

/// Bytes of a key: as long as the digest of SHA-1 (RFC 4226, section 4, R6).
const KEY_BYTES: usize = 20;
/// Name of this program in the user's app.
const ISSUER: &str = "novex-ingest";
const DIGITS: u8 = 6;
/// Seconds of a time step.
const STEP_SECONDS: u64 = 30;
/// Steps before and after the present one whose codes count, because clocks differ.
const SKEW_STEPS: u16 = 1;

/// The key that a user and the database share.
#[derive(Debug, Clone)]
pub struct TotpKey(Secret);

impl TotpKey {
    /// Returns a new random key.
    ///
    /// # Errors
    /// If the system returns no random bytes.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; KEY_BYTES];
        let provider = rustls::crypto::ring::default_provider();
        let random: &dyn SecureRandom = provider.secure_random;
        random.fill(&mut bytes).map_err(|_| io::Error::other("the system returned no random bytes"))?;
        Ok(Self(Secret::new(bytes.to_vec())))
    }

    /// Returns a stored key.
    #[must_use]
    pub const fn from_stored(secret: Secret) -> Self {
        Self(secret)
    }

    /// Returns what the database stores.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.0
    }

    /// Returns the key as a person enters it into an app: base32.
    #[must_use]
    pub fn to_base32(&self) -> String {
        self.build("user").map_or_else(String::new, |totp| totp.secret().to_base32())
    }

    /// Returns the key as `otpauth://` URI, which an app opens. `user` has no colon.
    #[must_use]
    pub fn to_uri(&self, user: &str) -> String {
        self.build(user).and_then(|totp| totp.to_url().ok()).unwrap_or_default()
    }

    /// Returns the time step of a code that is valid at `now`. A step counts once: the caller stores it.
    #[must_use]
    pub fn find_step(&self, code: &str, now: Timestamp) -> Option<u64> {
        let digits: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
        self.build("user")?.check(&digits, u64::try_from(now.as_second()).ok()?)
    }

    fn build(&self, user: &str) -> Option<Totp> {
        let builder = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(DIGITS)
            .with_skew(SKEW_STEPS)
            .with_step_duration(STEP_SECONDS)
            .with_secret(self.0.expose())
            .with_account_name(user)
            .with_issuer(Some(ISSUER));
        builder.build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix B of RFC 6238, cut to six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let key = TotpKey::from_stored(Secret::new(b"12345678901234567890".to_vec()));
        for (second, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            let at = Timestamp::from_second(second).unwrap();
            let step = u64::try_from(second).unwrap() / STEP_SECONDS;
            assert_eq!(key.find_step(code, at), Some(step));
            assert_eq!(key.find_step(&format!(" {} {}", &code[..3], &code[3..]), at), Some(step));
            let later = Timestamp::from_second(second + 2 * 30).unwrap();
            assert_eq!(key.find_step(code, later), None, "two steps later it is over");
        }
        let at = Timestamp::from_second(59).unwrap();
        for code in ["", "28708", "2870822", "287083", "28708x"] {
            assert_eq!(key.find_step(code, at), None, "{code}");
        }
    }

    #[test]
    fn key_is_random_and_shown_for_apps() {
        let (one, two) = (TotpKey::generate().unwrap(), TotpKey::generate().unwrap());
        assert_ne!(one.secret(), two.secret());
        assert_eq!(one.to_base32().len(), 32);
        let uri = one.to_uri("anna@acme");
        assert!(uri.starts_with("otpauth://totp/novex-ingest:anna") && uri.contains(&one.to_base32()), "{uri}");
        assert_eq!(format!("{one:?}"), "TotpKey(Secret(…))");
    }
}
