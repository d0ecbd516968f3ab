//! A secret: no log or error prints it, and its memory is wiped on drop.

use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The bytes of a key, a token or a password.
#[derive(Clone)]
pub struct Secret {
    bytes: Zeroizing<Vec<u8>>,
    /// Place of the secret as the configuration names it, such as `file:secrets/easypost`. It is not secret.
    reference: Option<Arc<str>>,
}

impl Secret {
    /// Wraps the bytes unchanged: the reader of a file removes the line end at its end.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: Zeroizing::new(bytes), reference: None }
    }

    /// Sets the place of the secret.
    #[must_use]
    pub fn with_reference(self, reference: Option<Arc<str>>) -> Self {
        Self { reference, ..self }
    }

    /// Returns the bytes. Use them only to compare, as a key, or to authenticate.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the place of the secret; None if no configuration names it.
    #[must_use]
    pub fn reference(&self) -> Option<&Arc<str>> {
        self.reference.as_ref()
    }
}

/// Compares the bytes: the same secret in another file is no change of the configuration.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_secret() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2".to_vec())), "Secret(…)");
    }
}
