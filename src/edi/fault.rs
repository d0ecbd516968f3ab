//! Faults of EDI files: the fault, its place, and the code that a 997 reports.

use serde::{Deserialize, Serialize};

/// Whether a fault rejects its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultSeverity {
    /// The document is read in spite of it.
    Warning,
    /// The document is rejected.
    Error,
}

/// Code by which a 997 reports the fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyntaxErrorCode {
    /// No code: only people see the fault.
    None,
    /// Segment syntax error code (AK304).
    Segment(u8),
    /// Data element reference number, syntax error code and copy of the value (AK402, AK403, AK404).
    Element(u16, u8, String),
    /// Transaction set syntax error code (AK502).
    TransactionSet(u8),
    /// Functional group syntax error code (AK905).
    FunctionalGroup(u8),
}

/// One fault, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdiFault {
    pub severity: FaultSeverity,
    /// Line of the file, from 1; 0 if unknown.
    pub line: usize,
    /// Segment id with element (`BEG03`), or a path in RSX (`Header/OrderHeader`).
    pub location: String,
    /// Position of the segment in its transaction set, where ST is 1; 0 outside a set.
    pub position: usize,
    /// Position of the element in the segment, from 1; 0 for the whole segment.
    pub element: usize,
    pub code: SyntaxErrorCode,
    pub message: String,
}

/// `location` of a fault of the whole file.
pub const WHOLE_FILE: &str = "the file";

impl std::fmt::Display for EdiFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.location == WHOLE_FILE {
            return f.write_str(&self.message);
        }
        if self.line > 0 {
            write!(f, "line {}, ", self.line)?;
        }
        if self.position > 0 {
            write!(f, "segment {}, ", self.position)?;
        }
        write!(f, "{}: {}", self.location, self.message)
    }
}
