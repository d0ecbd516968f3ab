//! What is wrong with a document, and where.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is understood all the same.
    Warning,
    /// The document it stands in is not taken.
    Error,
}

/// What a 997 calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Code {
    /// Nothing: for people.
    None,
    /// AK304.
    Segment(u8),
    /// AK402, AK403 and AK404: the element's number in the dictionary, the code, the value.
    Element(u16, u8, String),
    /// AK502.
    Set(u8),
    /// AK905.
    Group(u8),
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub severity: Severity,
    /// Line of the file, from 1; 0 where it has none.
    pub line: usize,
    /// Segment's id with its element (`BEG03`), or a path in RSX (`Header/OrderHeader`).
    pub at: String,
    /// Place of the segment in its set, ST is 1; 0 outside of one.
    pub position: usize,
    /// Which element of the segment; 0 for all of it.
    pub element: usize,
    pub code: Code,
    pub text: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, ", self.line)?;
        }
        if self.position > 0 {
            write!(f, "segment {}, ", self.position)?;
        }
        write!(f, "{}: {}", self.at, self.text)
    }
}
