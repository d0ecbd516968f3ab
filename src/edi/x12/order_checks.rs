//! Checks an 850 or 860 after its last segment: missing segments, and what the sender states about the whole order.

use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::order_findings::{self, StatedSum};
use crate::edi::purchase_order::PurchaseOrder;
use crate::edi::x12::TransactionSet;
use crate::edi::x12::cursor::X12FaultCollector;
use crate::edi::x12::tokenizer::X12Segment;

/// Checks for missing segments, reads what stands anywhere in the order, and compares the stated totals.
pub(crate) fn check_completeness(
    order: &mut PurchaseOrder,
    faults: &mut X12FaultCollector,
    set: &TransactionSet<'_>,
    has_begin_segment: bool,
) {
    let begin = if order.is_change { "BCH" } else { "BEG" };
    let Some(last) = set.segments.last() else { return };
    if order.partner.is_empty() {
        let message = "the sender is not known: ISA is missing, or its sender is empty";
        faults.add_fault(FaultSeverity::Error, (last, set.segments.len()), 0, SyntaxErrorCode::None, message);
    }
    if !has_begin_segment {
        let at = set.segments.get(1).unwrap_or(last);
        add_missing_segment(faults, at, 2, begin, format!("there is no {begin}: the order number is not known"));
    } else if order.lines.iter().all(|line| line.change.is_some()) && !order.is_change && order.purpose != "01" {
        let message = "there is no PO1: the order has no lines".to_owned();
        add_missing_segment(faults, last, set.segments.len(), "PO1", message);
    }
    if let Some(total) = order.amounts.iter().rposition(|amount| amount.qualifier == "TT") {
        order.stated_total = Some(order.amounts.remove(total).amount);
    }
    order.findings.append(&mut faults.findings);
    order.fill_numbers_from_references();
    let place = |sum| match sum {
        StatedSum::Lines => ("CTT", 1, "CTT01"),
        StatedSum::Quantity => ("CTT", 2, "CTT02"),
        StatedSum::Total => ("AMT", 2, "AMT*TT"),
        StatedSum::LineTotal => ("AMT", 2, "AMT*1"),
        StatedSum::TotalAtLine => ("AMT", 2, "AMT*TT"),
    };
    for contradiction in order_findings::add_document_findings(order, |sum| place(sum).2) {
        let (id, element, _) = place(contradiction.sum);
        let at = set.segments.iter().enumerate().rfind(|(_, segment)| segment.has_id(id));
        if let Some((index, segment)) = at {
            let message = contradiction.message;
            faults.add_fault(FaultSeverity::Warning, (segment, index + 1), element, SyntaxErrorCode::None, message);
        }
    }
    // A set with another number of segments may lack some of them.
    let counts = set.faults.iter().filter(|fault| fault.location.eq_ignore_ascii_case("SE01"));
    order.findings.extend(counts.map(|fault| fault.message.clone()));
}

fn add_missing_segment(
    faults: &mut X12FaultCollector,
    at: &X12Segment<'_>,
    position: usize,
    id: &str,
    message: String,
) {
    faults.faults.push(EdiFault {
        severity: FaultSeverity::Error,
        line: at.line,
        location: id.to_owned(),
        position,
        element: 0,
        code: SyntaxErrorCode::Segment(3),
        message,
    });
}
