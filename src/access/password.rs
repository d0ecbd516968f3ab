//! Passwords of console users: their rules, and their Argon2id hashes.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// Fewest characters of a password. NIST SP 800-63B-4, section 3.1.1.2, asks for 15 if nothing else proves the person,
/// and for 8 beside a second factor; a limit on attempts guards the console.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Most bytes of a password: more would let a stranger buy time of the processor.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// A hash of no password. Verifying against it costs as much as against the hash of a user.
const NO_USER_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm92ZXgtaW5nZXN0LXNhbHQ$\
                            8Sd9cXbN3m1oIxCqIOc4qYlSE1rPJ3C1bK1qP0cJ0oI";

/// Checks whether a text can be a new password.
///
/// # Errors
/// The message with the fix.
pub fn check_password(password: &str, user: &str) -> Result<(), String> {
    let length = password.chars().count();
    let (folded, user) = (password.to_lowercase(), user.to_lowercase());
    let distinct: std::collections::BTreeSet<char> = folded.chars().collect();
    if length < PASSWORD_CHARS_MIN {
        Err(format!("the password has {length} characters: use at least {PASSWORD_CHARS_MIN}, such as four words"))
    } else if password.len() > PASSWORD_BYTES_MAX {
        Err(format!("the password has more than {PASSWORD_BYTES_MAX} bytes: use a shorter one"))
    } else if !user.is_empty() && folded.contains(&user) {
        Err("the password contains the user's name: use another".to_owned())
    } else if distinct.len() < 5 {
        Err("the password repeats few characters: use at least 5 different ones".to_owned())
    } else {
        Ok(())
    }
}

/// Returns the hash of a password as a PHC string, with a random salt. Takes about 20 ms and 19 MiB.
///
/// # Errors
/// If the system returns no random bytes.
pub fn hash_password(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    Ok(hash.map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?.to_string())
}

/// Returns whether a password belongs to a hash. Without a hash it takes the same time and returns false, so that the
/// time of an answer does not show whether a user exists.
#[must_use]
pub fn verify_password(hash: Option<&str>, password: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NO_USER_HASH)) else { return false };
    // A test counts these lines: a name that nobody has must cost as much as one that a user has.
    tracing::debug!("Argon2id compares a password");
    let is_right = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    is_right && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_belongs_to_its_hash_alone() {
        let hash = hash_password("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify_password(Some(&hash), "correct horse battery"));
        assert!(!verify_password(Some(&hash), "correct horse batterz"));
        assert_ne!(hash, hash_password("correct horse battery").unwrap());
    }

    #[test]
    fn nobody_has_a_password() {
        assert!(PasswordHash::new(NO_USER_HASH).is_ok());
        assert!(!verify_password(None, ""));
        assert!(!verify_password(Some("no hash"), "correct horse battery"));
    }

    #[test]
    fn weak_passwords_are_refused() {
        for (password, part) in [
            ("short", "at least 12"),
            ("aaaaaaaaaaaaaa", "different"),
            ("my name is Anna!", "name"),
            ("a", "characters"),
        ] {
            let message = check_password(password, "anna").unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        assert!(check_password(&"long word ".repeat(200), "anna").is_err());
        assert_eq!(check_password("four unrelated words", "anna"), Ok(()));
    }
}
