//! The key of a purchase order, and its form in an address: `ACMERETAIL:4500012345`, with a release behind a second
//! colon.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rusqlite::Row;

/// Characters that the address states by number. The tilde begins such a number, so that no server decodes it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The key of a purchase order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PurchaseOrderKey {
    pub partner: String,
    pub po_number: String,
    /// Empty if there is none.
    pub release: String,
}

impl PurchaseOrderKey {
    /// Reads the columns `partner, po_number, release`, which must be the first ones.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { partner: row.get(0)?, po_number: row.get(1)?, release: row.get(2)? })
    }

    /// Returns the key as one part of a path: letters, digits and `- . _ : ~`.
    #[must_use]
    pub fn to_id(&self) -> String {
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string().replace('%', "~");
        let release = if self.release.is_empty() { String::new() } else { format!(":{}", escape(&self.release)) };
        format!("{}:{}{release}", escape(&self.partner), escape(&self.po_number))
    }

    /// Returns the key of [`PurchaseOrderKey::to_id`], or None for any other text.
    #[must_use]
    pub fn parse_id(id: &str) -> Option<Self> {
        let decode = |text: &str| Some(percent_decode_str(&text.replace('~', "%")).decode_utf8().ok()?.into_owned());
        let (partner, rest) = id.split_once(':')?;
        let (po_number, release) = rest.split_once(':').unwrap_or((rest, ""));
        Some(Self { partner: decode(partner)?, po_number: decode(po_number)?, release: decode(release)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_numbers_stay_readable() {
        let key = PurchaseOrderKey {
            partner: "ACMERETAIL".to_owned(),
            po_number: "45/000:1".to_owned(),
            release: String::new(),
        };
        assert_eq!(key.to_id(), "ACMERETAIL:45~2F000~3A1");
        assert_eq!(PurchaseOrderKey::parse_id("999"), None);
        assert_eq!(PurchaseOrderKey::parse_id("A:~FF"), None);
    }

    proptest! {
        #![proptest_config(crate::seed::seeded_config(512))]
        #[test]
        fn key_is_the_same_after_a_round(partner in ".*", po_number in ".*", release in ".*") {
            let key = PurchaseOrderKey { partner, po_number, release };
            let id = key.to_id();
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~".contains(&byte)), "{}", id);
            prop_assert_eq!(PurchaseOrderKey::parse_id(&id), Some(key));
        }
    }
}
