//! Reads the segments that the header of an order, its lines and their components share: references, dates, contacts,
//! carriers, terms, allowances, instructions and notes. A part inside an address names that address.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::fault::SyntaxErrorCode;
use crate::edi::order_percentages;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiInstruction, EdiReference,
    OrderExtra, PaymentTerms, PurchaseOrder, PurchaseOrderLine,
};
use crate::edi::x12::cursor::{SegmentCursor, X12FaultCollector};
use crate::edi::x12::segments;

/// Lists that the header, a line and a component have in common.
pub(crate) struct PartLists<'o> {
    pub dates: &'o mut Vec<EdiDate>,
    pub references: &'o mut Vec<EdiReference>,
    pub contacts: &'o mut Vec<EdiContact>,
    pub addresses: &'o mut Vec<EdiAddress>,
    pub terms: &'o mut Vec<PaymentTerms>,
    pub carriers: &'o mut Vec<CarrierDetails>,
    pub allowances: &'o mut Vec<AllowanceCharge>,
    pub instructions: &'o mut Vec<EdiInstruction>,
    pub notes: &'o mut Vec<String>,
    pub amounts: &'o mut Vec<EdiAmount>,
    pub extras: &'o mut Vec<OrderExtra>,
}

impl<'o> PartLists<'o> {
    pub fn of_order(order: &'o mut PurchaseOrder) -> Self {
        Self {
            dates: &mut order.dates,
            references: &mut order.references,
            contacts: &mut order.contacts,
            addresses: &mut order.addresses,
            terms: &mut order.terms,
            carriers: &mut order.carriers,
            allowances: &mut order.allowances,
            instructions: &mut order.instructions,
            notes: &mut order.notes,
            amounts: &mut order.amounts,
            extras: &mut order.extras,
        }
    }

    pub fn of_line(line: &'o mut PurchaseOrderLine) -> Self {
        Self {
            dates: &mut line.dates,
            references: &mut line.references,
            contacts: &mut line.contacts,
            addresses: &mut line.addresses,
            terms: &mut line.terms,
            carriers: &mut line.carriers,
            allowances: &mut line.allowances,
            instructions: &mut line.instructions,
            notes: &mut line.notes,
            amounts: &mut line.amounts,
            extras: &mut line.extras,
        }
    }
}

/// Returns true for a segment of an order or a change that is no fault, although it may have no field in the model.
pub(crate) fn is_known_segment(id: &str) -> bool {
    // Markers of a loop.
    codes::SEGMENTS.find(id).is_some() || matches!(id, "LE" | "LS" | "TFS" | "G53")
}

/// Takes a date; adds a warning if it is none.
pub(crate) fn read_date(
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    element: usize,
    name: &str,
) -> Option<String> {
    let value = cursor.take_parsed(element, segments::parse_x12_date);
    check_date(cursor, faults, element, name);
    value
}

pub(crate) fn check_date(cursor: &SegmentCursor<'_, '_>, faults: &mut X12FaultCollector, element: usize, name: &str) {
    let text = cursor.peek(element);
    if !text.is_empty() && segments::parse_x12_date(text).is_none() {
        let message = format!("{name} is {text:?}, which is not a date");
        faults.add_unreadable(cursor, element, SyntaxErrorCode::Element(373, 8, text.to_owned()), message);
    }
}

/// Adds a warning if an element has a value that is not a number.
pub(crate) fn check_number(
    cursor: &SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    element: usize,
    reference: u16,
    name: &str,
) {
    let text = cursor.peek(element);
    if !text.is_empty() && decimal::parse_decimal(text).is_none() {
        let message = format!("{name} is {text:?}, which is not a number");
        faults.add_unreadable(cursor, element, SyntaxErrorCode::Element(reference, 6, text.to_owned()), message);
    }
}

/// Elements with a number or a date that a reader takes if it can read them, by their segments.
const READABLE_ELEMENTS: [(&str, &[usize]); 5] =
    [("CTP", &[3]), ("ITD", &[3, 4, 6, 8]), ("SAC", &[7, 8, 10]), ("G23", &[5, 6, 8, 10]), ("G72", &[5, 6, 9])];

/// Adds a warning for each number and date of a segment that was read, which is none.
pub(crate) fn check_readable(cursor: &SegmentCursor<'_, '_>, faults: &mut X12FaultCollector) {
    let Some((_, elements)) = READABLE_ELEMENTS.iter().find(|(id, _)| *id == cursor.id) else { return };
    for element in elements.iter().filter(|element| cursor.is_left(**element)) {
        let message = format!("{:?} is neither a number nor a date", cursor.peek(*element));
        faults.add_unreadable(cursor, *element, SyntaxErrorCode::None, message);
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
        "REF" | "N9" => parts.references.push(EdiReference { address, ..segments::read_ref(cursor) }),
        "PER" => parts.contacts.push(EdiContact { address, ..segments::read_per(cursor) }),
        "DTM" => {
            let date = segments::read_dtm(cursor);
            check_date(cursor, faults, 2, "the date");
            if let Some(finding) = segments::contradict_dtm(cursor, &date) {
                faults.add_warning(cursor, 6, SyntaxErrorCode::None, finding.as_str());
                faults.findings.push(finding);
            }
            parts.dates.push(EdiDate { address, ..date });
        }
        "TD5" => parts.carriers.push(CarrierDetails { address, ..segments::read_td5(cursor) }),
        "PKG" | "TD4" | "FOB" => {
            let instruction = segments::read_instruction(cursor);
            parts.instructions.extend(instruction.map(|instruction| EdiInstruction { address, ..instruction }));
        }
        "ITD" => parts.terms.push(segments::read_itd(cursor)),
        "SAC" => {
            let (allowance, has_point) = segments::read_sac(cursor);
            parts.allowances.push(allowance);
            check_cents(cursor, faults, (5, 610), has_point);
        }
        "AMT" => {
            parts.amounts.extend(segments::read_amt(cursor));
            check_number(cursor, faults, 2, 782, "the amount");
        }
        "TXI" => {
            // Its values stay extras.
            let (amount, percent, basis) = (cursor.peek(2), cursor.peek(3), cursor.peek(8));
            if let Some(finding) = order_percentages::contradict_tax(amount, percent, basis) {
                faults.add_warning(cursor, 2, SyntaxErrorCode::None, finding.as_str());
                faults.findings.push(finding);
            }
        }
        "MSG" => parts.notes.extend(cursor.take(1)),
        "MTX" | "NTE" => parts.notes.extend(cursor.take(2)),
        _ => return false,
    }
    true
}

/// Adds a warning if an N2 amount, at an element with its reference number, is no number or has a decimal point.
pub(crate) fn check_cents(
    cursor: &SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    (element, reference): (usize, u16),
    has_point: bool,
) {
    let copy = cursor.segment.element(element).to_owned();
    if !copy.is_empty() && decimal::parse_n2(&copy).is_none() {
        let message = format!("the amount is {copy:?}, which is not a number: it is ignored");
        faults.add_unreadable(cursor, element, SyntaxErrorCode::Element(reference, 6, copy), message);
    } else if has_point {
        let message = "the amount has a decimal point, although X12 implies two decimals: it is read as written";
        faults.add_warning(cursor, element, SyntaxErrorCode::Element(reference, 6, copy), message);
    }
}

/// Adds a finding if a line states another currency than the order.
pub(crate) fn check_line_currency(
    cursor: &SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    (line, currency): (&str, Option<&str>),
) {
    let own = cursor.peek(2);
    if let Some(currency) = currency.filter(|currency| *currency != own && !own.is_empty()) {
        let message = format!("{line}: its currency is {own}, that of the order is {currency}");
        faults.add_warning(cursor, 2, SyntaxErrorCode::None, message.as_str());
        faults.findings.push(message);
    }
}

/// Reads a segment that only the header has. Returns false for any other segment.
pub(crate) fn read_header_segment(
    order: &mut PurchaseOrder,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) -> bool {
    if cursor.id != "CUR" {
        return false;
    }
    // The buyer's currency is the order's, also behind that of another party.
    let is_buyers = cursor.peek(1) == "BY";
    let earlier_is_of_other = order.extras.iter().any(|extra| extra.location == "CUR01");
    match order.currency.clone() {
        Some(earlier) if is_buyers && earlier_is_of_other => {
            let name = codes::SEGMENTS.find("CUR").map(str::to_owned);
            order.extras.push(OrderExtra { location: "CUR02".to_owned(), name, value: earlier });
        }
        Some(earlier) => {
            if is_buyers && !cursor.peek(2).is_empty() && earlier != cursor.peek(2) {
                let message = format!("the order states the currencies {earlier} and {}", cursor.peek(2));
                faults.add_warning(cursor, 2, SyntaxErrorCode::None, message.as_str());
                faults.findings.push(message);
            }
            return true;
        }
        None => {}
    }
    order.currency = cursor.take(2);
    cursor.take_implied(1, &["BY"]);
    true
}
