//! Reads the lines of an 850 or 860, and the components of sets and kits below them.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::fault::SyntaxErrorCode;
use crate::edi::purchase_order::{OrderExtra, ProductId, PurchaseOrderLine};
use crate::edi::x12::cursor::{SegmentCursor, X12FaultCollector};
use crate::edi::x12::segments;

/// Longest description of a line, in bytes; a longer one is of no use to a person, and stays as extras.
const DESCRIPTION_BYTES_MAX: usize = 1_000;

/// Takes a number, if there is one.
///
/// A value that is not a number rejects the set: a wrong quantity is worse than none.
fn read_number(
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    element: usize,
    reference: u16,
    name: &str,
) -> Option<String> {
    let value = cursor.take_parsed(element, decimal::normalize_decimal);
    let text = cursor.peek(element);
    if value.is_none() && !text.is_empty() {
        let message = format!("{name} is {text:?}, which is not a number");
        faults.add_error(cursor, element, SyntaxErrorCode::Element(reference, 6, text.to_owned()), message);
    }
    value
}

/// Elements of a line or component: unit, price, basis of the price, and the first product id.
struct LineLayout {
    unit: usize,
    price: usize,
    basis: usize,
    first_id: usize,
}

const PO1_LAYOUT: LineLayout = LineLayout { unit: 3, price: 4, basis: 5, first_id: 6 };
const POC_LAYOUT: LineLayout = LineLayout { unit: 5, price: 6, basis: 7, first_id: 8 };
const SLN_LAYOUT: LineLayout = LineLayout { unit: 5, price: 6, basis: 7, first_id: 9 };
/// LIN has only ids.
const LIN_FIRST_ID: usize = 2;

fn is_qualifier(text: &str) -> bool {
    text.chars().count() == 2 && text.chars().all(char::is_alphanumeric)
}

/// Finds the element of the first qualifier of the product ids, which belongs at `first`.
///
/// Some senders leave an element out without its separator, or write a separator too many. Then the qualifiers are one
/// element early or late, and are read from where they are.
fn align_ids(cursor: &SegmentCursor<'_, '_>, faults: &mut X12FaultCollector, first: usize) -> usize {
    let elements = |start: usize| (start..=cursor.segment.len()).step_by(2).map(|element| cursor.peek(element));
    let is_known = |text: &str| codes::PRODUCT_IDS.find(text).is_some();
    let fits = |start: usize| {
        let mut qualifiers = elements(start).filter(|text| !text.is_empty()).peekable();
        qualifiers.peek().is_some_and(|text| is_known(text)) && qualifiers.all(is_qualifier)
    };
    // A short value looks like a qualifier: then every qualifier must be known, and have its value.
    let is_certain = |start: usize| {
        let mut pairs = elements(start).zip(elements(start + 1).chain(std::iter::repeat("")));
        fits(start)
            && pairs.all(|(qualifier, value)| {
                qualifier.is_empty() == value.is_empty() && (qualifier.is_empty() || is_known(qualifier))
            })
    };
    let is_regular = elements(first).all(|text| text.is_empty() || is_known(text));
    let looks_regular = elements(first).all(|text| text.is_empty() || is_qualifier(text));
    let is_shifted = |start: &usize| if looks_regular { is_certain(*start) } else { fits(*start) };
    let shifted = [first - 1, first + 1].into_iter().find(|start| !is_regular && is_shifted(start));
    if let Some(start) = shifted {
        let id = cursor.id.clone();
        let message =
            format!("the product ids begin at {id}{start:02} instead of {id}{first:02}: they are read from there");
        faults.add_warning(cursor, start, SyntaxErrorCode::None, message);
    }
    shifted.unwrap_or(first)
}

/// Returns the finding about ids that cannot be aligned by their qualifiers, and warns of it.
fn find_strange_id(
    ids: &[ProductId],
    cursor: &SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    first: usize,
) -> Option<String> {
    let strange = ids.iter().find(|id| !id.qualifier.is_empty() && !is_qualifier(&id.qualifier))?;
    let message = format!(
        "the product id {:?} has the qualifier {:?}, which is none: an element of the line is missing",
        strange.value, strange.qualifier
    );
    faults.add_warning(cursor, first, SyntaxErrorCode::None, message.as_str());
    Some(message)
}

/// Reads the unit. It is composite in every segment but PO1.
fn read_unit(cursor: &mut SegmentCursor<'_, '_>, faults: &mut X12FaultCollector, element: usize) -> Option<String> {
    if cursor.id == "PO1" {
        faults.check_length(cursor, element, 355, 2, "the unit");
        return cursor.take(element);
    }
    cursor.take_parsed(element, segments::parse_unit)
}

/// Reads unit, price, basis of the price and product ids, where the qualifiers of the ids show that they are. Returns
/// the finding about ids that cannot be aligned.
fn read_priced_ids(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    layout: &LineLayout,
) -> Option<String> {
    let first = align_ids(cursor, faults, layout.first_id);
    let is_early = first < layout.first_id;
    let is_number = |element: usize| decimal::parse_decimal(cursor.peek(element)).is_some();
    // A unit is no number: the price is in its place, and what follows is one element early too.
    let lacks_unit = is_early && is_number(layout.unit) && !is_number(layout.price);
    let shift = usize::from(lacks_unit);
    if lacks_unit {
        let code = SyntaxErrorCode::Element(355, 1, String::new());
        faults.add_warning(cursor, layout.unit, code, "the unit is missing: the price is in its place");
    } else {
        line.unit = read_unit(cursor, faults, layout.unit);
    }
    line.price = read_number(cursor, faults, layout.price - shift, 212, "the price");
    if layout.basis - shift < first {
        line.price_basis = cursor.take(layout.basis - shift);
    }
    line.ids = segments::read_product_ids(cursor, first);
    find_strange_id(&line.ids, cursor, faults, first)
}

/// Reads a PO1 or POC. Returns the line with its findings.
pub(crate) fn read_line(
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) -> (PurchaseOrderLine, Option<String>) {
    let mut line = PurchaseOrderLine { number: cursor.take(1), ..PurchaseOrderLine::default() };
    let layout = if cursor.id == "POC" { POC_LAYOUT } else { PO1_LAYOUT };
    if cursor.id == "POC" {
        line.change = faults.require_element(cursor, 2, 670, "the change code");
        line.quantity = read_number(cursor, faults, 3, 380, "the quantity");
        line.quantity_left = read_number(cursor, faults, 4, 380, "the quantity left to receive");
    } else {
        line.quantity = read_number(cursor, faults, 2, 330, "the quantity");
        if cursor.peek(2).is_empty() {
            let code = SyntaxErrorCode::Element(330, 1, String::new());
            faults.add_warning(cursor, 2, code, "the line has no quantity");
        }
    }
    let finding = read_priced_ids(&mut line, cursor, faults, &layout);
    (line, finding)
}

/// Reads an SLN.
pub(crate) fn read_component(cursor: &mut SegmentCursor<'_, '_>, faults: &mut X12FaultCollector) -> PurchaseOrderLine {
    let mut component = PurchaseOrderLine {
        number: cursor.take(1),
        relationship: cursor.take(3),
        quantity: read_number(cursor, faults, 4, 380, "the quantity"),
        ..PurchaseOrderLine::default()
    };
    let finding = read_priced_ids(&mut component, cursor, faults, &SLN_LAYOUT);
    let number = component.number.as_deref().unwrap_or("without a number");
    faults.findings.extend(finding.map(|finding| format!("component {number}: {finding}")));
    component
}

/// Reads a LIN: further ids of the line.
fn read_further_ids(line: &mut PurchaseOrderLine, cursor: &mut SegmentCursor<'_, '_>, faults: &mut X12FaultCollector) {
    let first = align_ids(cursor, faults, LIN_FIRST_ID);
    let ids = segments::read_product_ids(cursor, first);
    if let Some(finding) = find_strange_id(&ids, cursor, faults, first) {
        faults.findings.push(format!("{}: {finding}", line.describe_position(1)));
    }
    line.ids.extend(ids);
}

/// Reads a PO4. A second one is of another packing level and stays an extra; if its pack differs, no pack is taken.
fn read_pack(line: &mut PurchaseOrderLine, cursor: &mut SegmentCursor<'_, '_>, faults: &mut X12FaultCollector) {
    let is_first = line.pack.is_none() && line.pack_size.is_none() && line.inner_pack.is_none();
    if is_first {
        line.pack = cursor.take_parsed(1, decimal::normalize_decimal);
        line.pack_size = segments::read_pack_size(cursor);
        line.inner_pack = cursor.take_parsed(14, decimal::normalize_decimal);
        return;
    }
    let (Some(first), Some(second)) = (line.pack.clone(), decimal::normalize_decimal(cursor.peek(1))) else { return };
    if first != second {
        let message = format!("the line states the packs {first} and {second}: neither is taken");
        faults
            .findings
            .push(line.number.as_ref().map_or_else(|| message.clone(), |number| format!("line {number}: {message}")));
        faults.add_warning(cursor, 1, SyntaxErrorCode::None, message);
        line.pack = None;
        let name = codes::SEGMENTS.find("PO4").map(str::to_owned);
        line.extras.push(OrderExtra { location: "PO401".to_owned(), name, value: first });
    }
}

/// Reads a PID: text of free form (F), after the text that is there.
fn read_description(description: &mut Option<String>, cursor: &mut SegmentCursor<'_, '_>) {
    if description.as_ref().is_some_and(|before| before.len() >= DESCRIPTION_BYTES_MAX) {
        return;
    }
    if let Some(text) = cursor.take(5) {
        cursor.take_implied(1, &["F"]);
        *description = Some(description.take().map_or_else(|| text.clone(), |before| format!("{before}, {text}")));
    }
}

/// Reads a segment that only lines and components have. Returns false for any other segment.
pub(crate) fn read_line_segment(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) -> bool {
    let mut has_unreadable_quantity = false;
    match cursor.id.as_str() {
        "PID" => read_description(&mut line.description, cursor),
        "PO4" => read_pack(line, cursor, faults),
        "LIN" => read_further_ids(line, cursor, faults),
        "CUR" if line.currency.is_none() => {
            line.currency = cursor.take(2);
            cursor.take_implied(1, &["BY"]);
        }
        "CTP" => line.prices.extend(segments::read_ctp(cursor)),
        "SDQ" => {
            let schedules = segments::read_sdq(cursor);
            let stated = (3..=22)
                .step_by(2)
                .filter(|position| !cursor.peek(*position).is_empty() || !cursor.peek(position + 1).is_empty());
            has_unreadable_quantity = stated.count() != schedules.len();
            line.schedules.extend(schedules);
        }
        "SCH" => {
            let schedule = segments::read_sch(cursor);
            has_unreadable_quantity = schedule.is_none();
            line.schedules.extend(schedule);
        }
        _ => return false,
    }
    if has_unreadable_quantity {
        let message = format!("a quantity of {} is not a number: it is ignored", cursor.id);
        faults.add_warning(cursor, 0, SyntaxErrorCode::Segment(8), message);
    }
    true
}
