//! Checks an order or a change after its last segment: missing segments, and what the sender states about the whole
//! order.

use crate::edi::decimal;
use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::order_findings::{self, StatedSum};
use crate::edi::purchase_order::{EdiAmount, PurchaseOrder};
use crate::edi::x12::TransactionSet;
use crate::edi::x12::cursor::{SegmentCursor, X12FaultCollector};
use crate::edi::x12::order_layout::OrderSetLayout;
use crate::edi::x12::tokenizer::X12Segment;

/// Checks for missing segments, reads what stands anywhere in the order, and compares the stated totals.
pub(crate) fn check_completeness(
    order: &mut PurchaseOrder,
    faults: &mut X12FaultCollector,
    (set, layout): (&TransactionSet<'_>, &OrderSetLayout),
    has_begin_segment: bool,
) {
    let (begin, line) = (layout.begin, layout.line);
    let Some(last) = set.segments.last() else { return };
    if order.partner.is_empty() {
        let message = "the sender is not known: ISA is missing, or its sender is empty";
        faults.add_fault(FaultSeverity::Error, (last, set.segments.len()), 0, SyntaxErrorCode::None, message);
    }
    if !has_begin_segment {
        let at = set.segments.get(1).unwrap_or(last);
        add_missing_segment(faults, at, 2, begin, format!("there is no {begin}: the order number is not known"));
    } else if order.lines.iter().all(|line| line.change.is_some())
        && !order.is_change
        && !DocumentPurpose::of(order).needs_no_lines()
    {
        let message = format!("there is no {line}: the order has no lines");
        add_missing_segment(faults, last, set.segments.len(), line, message);
    } else if layout.is_grocery && !order.is_change && !set.segments.iter().any(|segment| segment.has_id("G76")) {
        let message = "there is no G76: the totals of the order are not known";
        let fault = build_missing_segment(last, set.segments.len(), "G76", message.to_owned());
        faults.faults.push(EdiFault { severity: FaultSeverity::Warning, ..fault });
    }
    if let Some(total) = order.amounts.iter().rposition(|amount| amount.qualifier == "TT") {
        order.stated_total = Some(order.amounts.remove(total).amount);
    }
    if order.is_change && order.stated_total.is_none() && !set.segments.iter().any(|segment| segment.has_id("CTT")) {
        take_total_of_last_line(order);
    }
    order.findings.append(&mut faults.findings);
    if order.is_change {
        // A value that the change means to replace would stay without a word.
        let unreadable = std::mem::take(&mut faults.unreadable);
        order.findings.extend(unreadable.into_iter().map(|fact| format!("a change cannot be read in whole: {fact}")));
    }
    order.fill_numbers_from_references();
    for contradiction in order_findings::add_document_findings(order) {
        let (id, element) = match contradiction.sum {
            StatedSum::Quantity if layout.is_grocery => ("G76", 1),
            StatedSum::Total if layout.is_grocery => ("G76", 8),
            StatedSum::Lines => ("CTT", 1),
            StatedSum::Quantity => ("CTT", 2),
            _ => ("AMT", 2),
        };
        let at = set.segments.iter().enumerate().rfind(|(_, segment)| segment.has_id(id));
        if let Some((index, segment)) = at {
            let message = contradiction.message;
            faults.add_fault(FaultSeverity::Warning, (segment, index + 1), element, SyntaxErrorCode::None, message);
        }
    }
    // A set with another number of segments may lack some of them.
    let counts = set.faults.iter().filter(|fault| fault.location.eq_ignore_ascii_case("SE01"));
    order.findings.extend(counts.map(|fault| fault.message.clone()).chain(set.findings.iter().cloned()));
}

/// Adds a finding for each element of a second CTT or G76 that differs from the first one.
pub(crate) fn compare_second_totals(
    cursor: &SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    elements: &[usize],
    stated: &[&Option<String>],
) {
    for (element, first) in elements.iter().zip(stated) {
        let text = cursor.peek(*element);
        let number = decimal::parse_decimal(text);
        if text.is_empty() || first.as_deref().is_some_and(|first| decimal::parse_decimal(first) == number) {
            continue;
        }
        let first = first.as_deref().unwrap_or("no value");
        let message = format!("a second {id} states {text} in {id}{element:02}, the first one {first}", id = cursor.id);
        faults.add_warning(cursor, *element, SyntaxErrorCode::None, message.as_str());
        faults.findings.push(message);
    }
}

/// Takes the AMT*TT behind the last line of a change without a CTT as the total of the document, if it is not the
/// amount of that line.
fn take_total_of_last_line(order: &mut PurchaseOrder) {
    let Some(line) = order.lines.last_mut() else { return };
    let exact = line.exact_amount();
    let is_total = |amount: &EdiAmount| amount.qualifier == "TT" && decimal::parse_decimal(&amount.amount) != exact;
    if let Some(position) = line.amounts.iter().position(is_total) {
        order.stated_total = Some(line.amounts.remove(position).amount);
    }
}

fn add_missing_segment(
    faults: &mut X12FaultCollector,
    at: &X12Segment<'_>,
    position: usize,
    id: &str,
    message: String,
) {
    faults.faults.push(build_missing_segment(at, position, id, message));
}

fn build_missing_segment(at: &X12Segment<'_>, position: usize, id: &str, message: String) -> EdiFault {
    EdiFault {
        severity: FaultSeverity::Error,
        line: at.line,
        location: id.to_owned(),
        position,
        element: 0,
        code: SyntaxErrorCode::Segment(3),
        message,
    }
}
