//! Reads the segments of the grocery sets (UCS): an 875, the order, and an 876, its change.
//!
//! An 876 states new values and no differences; a quantity of 0 deletes the line. Its only code, G9201, is that of all
//! its lines. Source: X12 004010, as documented at stedi.com/edi and in public guides of grocers.

use crate::edi::decimal;
use crate::edi::fault::SyntaxErrorCode;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiContact, EdiDate, EdiInstruction, LineSchedule, PaymentTerms, ProductId,
    PurchaseOrder, PurchaseOrderLine,
};
use crate::edi::x12::cursor::{SegmentCursor, X12FaultCollector};
use crate::edi::x12::order_parts::{self, PartLists};
use crate::edi::x12::{order_checks, order_lines, segments};

/// Status of an order that is a simulation exercise (G5001): a test.
const SIMULATION: &str = "X";
/// Qualifier of a product id that is the UPC of the case in G6804: manufacturer and case code.
pub(crate) const CASE_UPC: &str = "UA";
/// Codes of an 876 that allow another quantity, so that a quantity of 0 deletes the line.
const QUANTITY_CODES: [&str; 6] = ["CA", "DI", "MU", "PQ", "QD", "RQ"];
/// Codes of allowances by their names in element 340, each from the first to the last one.
const ALLOWANCE_CODES: [(u16, u16); 11] =
    [(1, 2), (4, 5), (35, 35), (40, 48), (51, 68), (70, 80), (90, 93), (95, 95), (97, 97), (100, 107), (490, 499)];
/// Codes of charges, in the same way.
const CHARGE_CODES: [(u16, u16); 3] = [(6, 7), (501, 527), (999, 999)];

/// Reads a G50 or G92. The date is that of the order, also in a change.
pub(crate) fn read_begin_segment(
    order: &mut PurchaseOrder,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) {
    let (reference, name) = if order.is_change { (670, "the kind of the change") } else { (473, "the order status") };
    order.purpose = faults.require_element(cursor, 1, reference, name).unwrap_or_default();
    order.number = faults.require_element(cursor, 3, 324, "the purchase order number").unwrap_or_default();
    faults.check_length(cursor, 3, 324, 22, "the purchase order number");
    if cursor.peek(2).is_empty() {
        let code = SyntaxErrorCode::Element(373, 1, String::new());
        faults.add_warning(cursor, 2, code, "the order date is missing");
    }
    order.ordered_on = order_parts::read_date(cursor, faults, 2, "the order date");
    if !order.is_change {
        order.kind = cursor.take(7);
        order.is_test |= order.purpose == SIMULATION;
    }
}

/// Reads a G68. `change` is the code of the change (G9201); `None` in an order.
pub(crate) fn read_line(
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    change: Option<&str>,
) -> PurchaseOrderLine {
    let mut line = PurchaseOrderLine {
        quantity: order_lines::read_number(cursor, faults, 1, 330, "the quantity"),
        price: order_lines::read_number(cursor, faults, 3, 237, "the price"),
        ..PurchaseOrderLine::default()
    };
    faults.check_length(cursor, 2, 355, 2, "the unit");
    line.unit = cursor.take(2);
    if cursor.peek(1).is_empty() {
        let code = SyntaxErrorCode::Element(330, 1, String::new());
        faults.add_warning(cursor, 1, code, "the line has no quantity");
    }
    // Senders fill the mandatory code with zeros if the case has none.
    let case = cursor.take_parsed(4, |text| text.contains(|letter| letter != '0').then(|| text.to_owned()));
    line.ids.extend(case.map(|value| ProductId { qualifier: CASE_UPC.to_owned(), value }));
    for element in [5, 7] {
        if let Some(value) = cursor.take(element + 1) {
            line.ids.push(ProductId { qualifier: cursor.take(element).unwrap_or_default(), value });
        }
    }
    line.change = change.and_then(|code| find_line_code(code, line.quantity.as_deref()));
    line
}

/// Returns the change code of a line in an 876. A line of a change of lines (CA) has none, because the change may
/// repeat lines that stay as they are.
fn find_line_code(code: &str, quantity: Option<&str>) -> Option<String> {
    let is_deletion = quantity == Some("0") && QUANTITY_CODES.contains(&code);
    match code {
        _ if is_deletion => Some("DI".to_owned()),
        "CA" | "CF" => None,
        code => Some(code.to_owned()),
    }
}

/// Reads a segment that the header, a line and a component share. Returns false for any other segment.
pub(crate) fn read_shared_segment(
    parts: &mut PartLists<'_>,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    address: Option<&str>,
) -> bool {
    let address = address.map(str::to_owned);
    match cursor.id.as_str() {
        "G61" => parts.contacts.push(EdiContact { address, ..read_contact(cursor) }),
        "G62" => {
            order_parts::check_date(cursor, faults, 2, "the date");
            parts.dates.push(EdiDate { address, ..read_date_time(cursor) });
        }
        "G66" | "G25" => read_transport(parts, cursor, address),
        "G23" => parts.terms.push(read_terms(cursor)),
        "G72" => {
            let (allowance, has_point) = read_allowance(cursor);
            parts.allowances.push(allowance);
            order_parts::check_cents(cursor, faults, (8, 360), has_point);
        }
        "G73" => {
            if let Some(allowance) = parts.allowances.last_mut() {
                extend_text(&mut allowance.description, cursor.take(1));
            }
        }
        _ => return false,
    }
    true
}

/// Reads a segment that only lines and components have. Returns false for any other segment.
pub(crate) fn read_line_segment(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) -> bool {
    match cursor.id.as_str() {
        "G69" => order_lines::extend_description(&mut line.description, cursor, 1),
        "G70" => order_lines::read_pack(line, cursor, faults, order_lines::PackElements { size: 2, inner: 10 }),
        _ => return false,
    }
    true
}

/// Reads a QTY below the N1 of a line: the part of the quantity for this location. A quantity that cannot be read stays
/// an extra.
pub(crate) fn read_location_quantity(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) {
    order_parts::check_number(cursor, faults, 2, 380, "the quantity");
    let Some(address) = line.addresses.last() else { return };
    let Some(quantity) = cursor.take_parsed(2, decimal::normalize_decimal) else { return };
    line.schedules.push(LineSchedule {
        location: address.id.clone().or_else(|| address.name.clone()),
        location_qualifier: address.id.as_ref().and(address.id_qualifier.clone()),
        quantity,
        unit: cursor.take_parsed(3, segments::parse_unit),
        kind: cursor.take(1),
        ..LineSchedule::default()
    });
}

/// Reads a G76: the totals of the order. Weight and volume stay extras.
pub(crate) fn read_totals(
    order: &mut PurchaseOrder,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) {
    if order.stated_quantity.is_some() || order.stated_total.is_some() {
        let total = decimal::parse_n2(cursor.peek(8)).map(|(total, _)| total);
        if total.is_some() && total != order.stated_total {
            faults.findings.push(format!("a second G76 states the total {}", total.unwrap_or_default()));
        }
        return order_checks::compare_second_totals(cursor, faults, &[1], &[&order.stated_quantity]);
    }
    order_parts::check_number(cursor, faults, 1, 330, "the total quantity");
    order.stated_quantity = cursor.take_parsed(1, decimal::normalize_decimal);
    let units: Vec<&str> = order.lines.iter().filter_map(|line| line.unit.as_deref()).collect();
    cursor.take_implied(2, &units);
    let total = cursor.take_parsed(8, decimal::parse_n2);
    let has_point = total.as_ref().is_some_and(|(_, has_point)| *has_point);
    order.stated_total = total.map(|(amount, _)| amount);
    order_parts::check_cents(cursor, faults, (8, 610), has_point);
}

/// Reads a G61.
fn read_contact(cursor: &mut SegmentCursor<'_, '_>) -> EdiContact {
    let mut contact =
        EdiContact { kind: cursor.take(1).unwrap_or_default(), name: cursor.take(2), ..EdiContact::default() };
    segments::read_contact_number(&mut contact, cursor, 3);
    contact
}

/// Reads a G62. The kind of its time (G6203) stays an extra.
fn read_date_time(cursor: &mut SegmentCursor<'_, '_>) -> EdiDate {
    EdiDate {
        qualifier: cursor.take(1).unwrap_or_default(),
        on: cursor.take_parsed(2, segments::parse_x12_date),
        time: cursor.take_parsed(4, segments::parse_x12_time),
        zone: cursor.take(5),
        ..EdiDate::default()
    }
}

/// Reads a G66, carrier and freight, or a G25, freight.
fn read_transport(parts: &mut PartLists<'_>, cursor: &mut SegmentCursor<'_, '_>, address: Option<String>) {
    let is_transport = cursor.id == "G66";
    let instruction = EdiInstruction {
        kind: "freight".to_owned(),
        code: cursor.take(1),
        description: cursor.take(if is_transport { 7 } else { 3 }),
        address: address.clone(),
    };
    if instruction.code.is_some() || instruction.description.is_some() {
        parts.instructions.push(instruction);
    }
    if !is_transport {
        return;
    }
    let carrier =
        CarrierDetails { method: cursor.take(2), routing: cursor.take(5), address, ..CarrierDetails::default() };
    if carrier.method.is_some() || carrier.routing.is_some() {
        parts.carriers.push(carrier);
    }
}

/// Reads a G23.
fn read_terms(cursor: &mut SegmentCursor<'_, '_>) -> PaymentTerms {
    PaymentTerms {
        kind: cursor.take(1),
        basis: cursor.take(2),
        discount_percent: cursor.take_parsed(5, decimal::normalize_decimal),
        discount_on: cursor.take_parsed(6, segments::parse_x12_date),
        discount_days: cursor.take(7),
        net_on: cursor.take_parsed(8, segments::parse_x12_date),
        net_days: cursor.take(9),
        discount_amount: cursor.take_parsed(10, decimal::parse_n2).map(|(amount, _)| amount),
        description: cursor.take(15),
    }
}

/// Reads a G72. The second value is true if the amount has a decimal point, which N2 does not allow.
fn read_allowance(cursor: &mut SegmentCursor<'_, '_>) -> (AllowanceCharge, bool) {
    let amount = cursor.take_parsed(8, decimal::parse_n2);
    let has_point = amount.as_ref().is_some_and(|(_, has_point)| *has_point);
    let code = cursor.take(1);
    let allowance = AllowanceCharge {
        kind: code.as_deref().map_or("", classify_allowance).to_owned(),
        code,
        amount: amount.map(|(amount, _)| amount),
        percent: cursor.take_parsed(9, decimal::normalize_decimal),
        rate: cursor.take_parsed(5, decimal::normalize_decimal),
        quantity: cursor.take_parsed(6, decimal::normalize_decimal),
        unit: cursor.take_parsed(7, segments::parse_unit),
        handling: cursor.take(2),
        ..AllowanceCharge::default()
    };
    (allowance, has_point)
}

/// Returns the kind of an allowance or charge by its code (element 340): A, C, or nothing if the code does not make it
/// certain, such as 50, a lump sum.
pub(crate) fn classify_allowance(code: &str) -> &'static str {
    let Ok(number) = code.parse::<u16>() else { return "" };
    let contains = |ranges: &[(u16, u16)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&number));
    match () {
        () if contains(&ALLOWANCE_CODES) => "A",
        () if contains(&CHARGE_CODES) => "C",
        () => "",
    }
}

/// Puts a text after the one that is there.
fn extend_text(text: &mut Option<String>, more: Option<String>) {
    if let Some(more) = more {
        *text = Some(text.take().map_or_else(|| more.clone(), |before| format!("{before}, {more}")));
    }
}
