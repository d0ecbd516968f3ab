//! A document that goes out: what it is, how its file is called, and what is in it.

use super::x12::write::Draft;
use sha2::{Digest, Sha256};

/// One file for a trading partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// X12's number of it: 997, 810, 856.
    pub kind: &'static str,
    /// Its file's name, by which it is sent once: see [`name`].
    pub name: String,
    pub content: Content,
}

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Gets its control numbers when it is stored.
    X12(Box<Draft>),
    Text(String),
}

/// A file's name: the kind and what tells the document from others of its kind, of letters, digits, dots and dashes.
#[must_use]
pub fn name(kind: &str, parts: &[&str], end: &str) -> String {
    let safe = |part: &str| -> String {
        part.chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || "._".contains(letter) { letter } else { '-' })
            .take(30)
            .collect()
    };
    let mut said: Vec<String> = parts.iter().map(|part| safe(part)).collect();
    // What was written otherwise is told apart by all of it, so that no two documents have one name.
    // Also where capitals are no others than small letters.
    let is_plain = |part: &str| !part.contains('-') && !part.bytes().any(|byte| byte.is_ascii_lowercase());
    if said.iter().zip(parts).any(|(safe, part)| safe != part || !is_plain(part)) {
        let digest = Sha256::digest(parts.join("\0"));
        said.push(hex::encode(&digest[..4]));
    }
    format!("{kind}-{}.{end}", said.join("-"))
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn no_two_documents_have_one_name() {
        assert_eq!(name("810", &["ACME", "17"], "edi"), "810-ACME-17.edi");
        let names = [["a", "17"], ["A", "17"], ["A B", "17"], ["A-B", "17"], ["A", "B-17"], ["A/B", "17"]]
            .map(|parts| name("810", &parts, "edi"));
        assert!(names.iter().enumerate().all(|(index, name)| !names[..index].contains(name)), "{names:?}");
        assert!(names.iter().all(|name| !name.contains(['/', ' '])), "{names:?}");
    }
}
