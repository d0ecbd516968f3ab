//! An outbound document: its kind, its file name and its content.

use crate::edi::x12::write::X12Draft;
use sha2::{Digest, Sha256};

/// One file for a trading partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundDocument {
    /// Transaction set id: 997, 810, 856.
    pub kind: &'static str,
    /// File name, by which the document is sent only once: see [`build_file_name`].
    pub file_name: String,
    pub content: OutboundContent,
}

/// Content of an outbound document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundContent {
    /// Transaction set that gets its control numbers when it is stored.
    X12(Box<X12Draft>),
    Text(String),
}

/// Builds a file name of letters, digits, dots, underscores and dashes: the kind, then the parts that identify the
/// document.
///
/// Names are unique: if a part changes by this, a digest of all parts is added.
#[must_use]
pub fn build_file_name(kind: &str, parts: &[&str], extension: &str) -> String {
    let safe = |part: &str| -> String {
        part.chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || "._".contains(letter) { letter } else { '-' })
            .take(30)
            .collect()
    };
    let mut words: Vec<String> = parts.iter().map(|part| safe(part)).collect();
    // A digest keeps two documents from having one name, also in file systems that ignore case.
    let is_plain = |part: &str| !part.contains('-') && !part.bytes().any(|byte| byte.is_ascii_lowercase());
    if words.iter().zip(parts).any(|(safe, part)| safe != part || !is_plain(part)) {
        let digest = Sha256::digest(parts.join("\0"));
        words.push(hex::encode(&digest[..4]));
    }
    format!("{kind}-{}.{extension}", words.join("-"))
}

#[cfg(test)]
mod tests {
    use super::build_file_name;

    #[test]
    fn file_names_are_unique() {
        assert_eq!(build_file_name("810", &["ACME", "17"], "edi"), "810-ACME-17.edi");
        let names = [["a", "17"], ["A", "17"], ["A B", "17"], ["A-B", "17"], ["A", "B-17"], ["A/B", "17"]]
            .map(|parts| build_file_name("810", &parts, "edi"));
        assert!(names.iter().enumerate().all(|(index, name)| !names[..index].contains(name)), "{names:?}");
        assert!(names.iter().all(|name| !name.contains(['/', ' '])), "{names:?}");
    }
}
