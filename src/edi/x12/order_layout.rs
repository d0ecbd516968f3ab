//! Layouts of the transaction sets that are purchase orders: 850 and 860, and 875 and 876 of the grocery sets (UCS).

/// Segments by which one transaction set states an order or a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrderSetLayout {
    /// Transaction set id.
    pub kind: &'static str,
    pub is_change: bool,
    /// True for a set of the grocery industry, whose segments begin with G.
    pub is_grocery: bool,
    /// Segment with the order number.
    pub begin: &'static str,
    /// Segment of a line.
    pub line: &'static str,
}

const LAYOUTS: [OrderSetLayout; 4] = [
    OrderSetLayout { kind: "850", is_change: false, is_grocery: false, begin: "BEG", line: "PO1" },
    OrderSetLayout { kind: "860", is_change: true, is_grocery: false, begin: "BCH", line: "POC" },
    OrderSetLayout { kind: "875", is_change: false, is_grocery: true, begin: "G50", line: "G68" },
    OrderSetLayout { kind: "876", is_change: true, is_grocery: true, begin: "G92", line: "G68" },
];

impl OrderSetLayout {
    /// Returns the layout of a transaction set; `None` if the set is no order and no change.
    #[must_use]
    pub fn find(kind: &str) -> Option<&'static Self> {
        LAYOUTS.iter().find(|layout| layout.kind == kind)
    }

    /// Returns true for a segment that begins an order or a change of any kind.
    #[must_use]
    pub fn is_begin_segment(id: &str) -> bool {
        LAYOUTS.iter().any(|layout| layout.begin == id)
    }

    /// Returns true for a segment that begins a line of an order or a change of any kind.
    #[must_use]
    pub fn is_line_segment(id: &str) -> bool {
        LAYOUTS.iter().any(|layout| layout.line == id)
    }
}

/// Returns true for the transaction sets that are read as purchase orders.
#[must_use]
pub fn is_order_set(kind: &str) -> bool {
    OrderSetLayout::find(kind).is_some()
}
