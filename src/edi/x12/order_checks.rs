//! Checks an 850 or 860 after its last segment: missing segments, and what the sender states about the whole order.

use crate::edi::decimal;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::purchase_order::{PurchaseOrder, PurchaseOrderLine};
use crate::edi::x12::TransactionSet;
use crate::edi::x12::cursor::X12FaultCollector;
use crate::edi::x12::tokenizer::X12Segment;
use crate::text::format_count;
use rust_decimal::Decimal;

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
    order.stated_total =
        order.amounts.iter().rfind(|amount| amount.qualifier == "TT").map(|amount| amount.amount.clone());
    order.amounts.retain(|amount| amount.qualifier != "TT");
    order.fill_numbers_from_references();
    check_counts(order, faults, set);
}

fn check_counts(order: &PurchaseOrder, faults: &mut X12FaultCollector, set: &TransactionSet<'_>) {
    let ctt = set.segments.iter().enumerate().rfind(|(_, segment)| segment.has_id("CTT"));
    let Some(ctt) = ctt.map(|(index, ctt)| (ctt, index + 1)) else { return };
    let is_counted = |line: &&PurchaseOrderLine| order.is_change || line.change.is_none();
    let line_count = order.lines.iter().filter(is_counted).count();
    if let Some(stated) = &order.stated_lines
        && decimal::parse_decimal(stated) != Some(line_count.into())
    {
        let lines = format_count(line_count, "line", "lines");
        let message = format!("the set has {lines}, CTT01 states {stated:?}");
        faults.add_fault(FaultSeverity::Warning, ctt, 1, SyntaxErrorCode::None, message);
    }
    let mut quantities = order.lines.iter().filter_map(|line| decimal::parse_decimal(line.quantity.as_deref()?));
    let sum = quantities.try_fold(Decimal::ZERO, Decimal::checked_add);
    if let (Some(stated), Some(sum), false) = (&order.stated_quantity, sum, order.is_change)
        && decimal::parse_decimal(stated) != Some(sum)
    {
        let message = format!("the quantities add up to {sum}, CTT02 states {stated:?}");
        faults.add_fault(FaultSeverity::Warning, ctt, 2, SyntaxErrorCode::None, message);
    }
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
