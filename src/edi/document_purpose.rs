//! Effect of an order or a change by its purpose (BEG01, BCH01, G5001, G9201) and its type (BEG02).
//!
//! Only a purpose whose effect is certain is followed. A document with any other purpose changes nothing, and a person
//! must look at it.

use crate::edi::codes::CodeList;
use crate::edi::purchase_order::PurchaseOrder;

/// Purposes of a document: BEG01, BCH01 (353), G5001 (473), G9201 (670).
pub const PURPOSES: CodeList = CodeList::new(&[
    ("00", "original"),
    ("01", "cancellation"),
    ("02", "addition"),
    ("03", "deletion"),
    ("04", "change"),
    ("05", "replacement"),
    ("06", "confirmation"),
    ("07", "duplicate"),
    ("08", "status"),
    ("10", "not found"),
    ("11", "response"),
    ("12", "not processed"),
    ("13", "request"),
    ("14", "advance notification"),
    ("15", "resubmission"),
    ("16", "proposal"),
    ("17", "cancellation, to be reissued"),
    ("18", "reissue"),
    ("19", "change initiated by the seller"),
    ("20", "final transmission"),
    ("21", "transaction on hold"),
    ("22", "information copy"),
    ("24", "draft"),
    ("25", "increment"),
    ("27", "verification"),
    ("28", "query"),
    ("30", "renewal"),
    ("38", "no financial value"),
    ("40", "advice of commitment"),
    ("41", "corrected and verified"),
    ("42", "temporary record"),
    ("44", "rejection"),
    ("45", "follow-up"),
    ("46", "cancellation with refund"),
    ("47", "transfer"),
    ("48", "suspension"),
    ("49", "original, no answer necessary"),
    ("53", "completion"),
    ("54", "approval"),
    ("56", "notice of expiration"),
    ("57", "initial"),
    ("77", "simulation"),
    ("A", "information copy"),
    ("AI", "new lines"),
    ("B", "original of a backorder"),
    ("C", "confirmation"),
    ("CA", "change of lines"),
    ("CD", "change of dates"),
    ("CF", "cancellation"),
    ("CN", "completion notice"),
    ("CO", "correction"),
    ("D", "deletion"),
    ("DI", "deletion of lines"),
    ("E", "confirmation of a backorder"),
    ("F", "cancellation"),
    ("G", "change outside of the lines"),
    ("L", "replacement of lines"),
    ("N", "original"),
    ("PC", "change of prices"),
    ("QD", "decrease of quantities"),
    ("QI", "increase of quantities"),
    ("R", "change"),
    ("S", "order for a future date"),
    ("SU", "status update"),
    ("T", "resubmission"),
    ("X", "simulation exercise"),
    ("ZZ", "mutually defined"),
]);

/// Effect of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentPurpose {
    /// 00 and N original, 49 original without an answer, B backorder, S future date, X simulation, 04 change, and the
    /// codes of an 876 such as QI.
    Plain,
    /// 01 cancellation, 17 cancel to be reissued, F and CF cancellation.
    Cancellation,
    /// 05 replacement, 15 resubmission, 18 reissue, CO corrected, T resubmission.
    Replacement,
    /// 06 confirmation, 07 duplicate, 22 information copy, CN completion notification, A information, C and E
    /// confirmation, and orders of the type confirmation or information copy: these change nothing.
    Copy,
    /// Any other: delete, proposed, on hold, draft, rejection, suspended, simulation … It is not certain what they do.
    Uncertain,
}

impl DocumentPurpose {
    /// Returns the effect of a document with a purpose and a type.
    #[must_use]
    pub fn new(is_change: bool, purpose: &str, kind: Option<&str>) -> Self {
        match purpose {
            "01" | "17" | "F" | "CF" => Self::Cancellation,
            "05" | "15" | "18" | "CO" | "T" => Self::Replacement,
            "06" | "07" | "22" | "CN" | "A" | "C" | "E" => Self::Copy,
            // A change repeats the type of the order that it changes.
            "" | "00" | "04" | "49" if !is_change && kind.is_some_and(is_copy_kind) => Self::Copy,
            "" | "00" | "04" | "49" | "N" | "B" | "S" | "X" => Self::Plain,
            "AI" | "CA" | "CD" | "DI" | "G" | "L" | "PC" | "QD" | "QI" | "R" if is_change => Self::Plain,
            _ => Self::Uncertain,
        }
    }

    /// Returns the effect of a document.
    #[must_use]
    pub fn of(order: &PurchaseOrder) -> Self {
        Self::new(order.is_change, &order.purpose, order.kind.as_deref())
    }

    /// Returns true for an order that counts: no cancellation, no copy, nothing uncertain.
    #[must_use]
    pub fn is_order(self) -> bool {
        matches!(self, Self::Plain | Self::Replacement)
    }

    /// Returns true if an order with this purpose is complete without lines.
    #[must_use]
    pub fn needs_no_lines(self) -> bool {
        matches!(self, Self::Cancellation | Self::Uncertain)
    }
}

/// Returns true for a type (BEG02) that says that the order was placed in another way: confirmation, information copy.
#[must_use]
pub fn is_copy_kind(kind: &str) -> bool {
    matches!(kind, "CF" | "IN")
}
