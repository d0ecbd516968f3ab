//! Reads the lines of an 850 or 860, and the components of sets and kits below them. [`grocery`] reads those of an 875
//! or 876.
//!
//! [`grocery`]: crate::edi::x12::grocery

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::fault::SyntaxErrorCode;
use crate::edi::purchase_order::{LineSchedule, OrderExtra, ProductId, PurchaseOrderLine};
use crate::edi::x12::cursor::{SegmentCursor, X12FaultCollector};
use crate::edi::x12::segments;

/// Longest description of a line, in bytes; a longer one is of no use to a person, and stays as extras.
const DESCRIPTION_BYTES_MAX: usize = 1_000;

/// Takes a number, if there is one.
///
/// A value that is not a number rejects the set: a wrong quantity is worse than none.
pub(crate) fn read_number(
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

/// First product id of an SLN, and of a LIN, which has only ids.
const COMPONENT_FIRST_ID: usize = 9;
const LIN_FIRST_ID: usize = 2;

/// Where the elements of a line are that senders shift: the price, its basis, and the product ids.
struct IdLayout {
    /// Element of the price; None if it is left out, or if the segment has none before its ids.
    price: Option<usize>,
    /// Element of the basis of the price; None likewise.
    basis: Option<usize>,
    /// Qualifier of the first product id.
    ids: usize,
}

fn is_qualifier(text: &str) -> bool {
    text.chars().count() == 2 && text.chars().all(char::is_alphanumeric)
}

fn is_known_qualifier(text: &str) -> bool {
    codes::PRODUCT_IDS.find(text).is_some()
}

impl IdLayout {
    /// Finds the layout of a segment whose first qualifier is regularly at `first`, and whose price, if it has one, is
    /// two elements before.
    ///
    /// Some senders leave the price or its basis out without the separator, or write a separator too many. Then the
    /// qualifiers are early or late, and show where they are.
    fn find(cursor: &SegmentCursor<'_, '_>, first: usize, price: Option<usize>) -> Self {
        let elements = |start: usize| (start..=cursor.segment.len()).step_by(2).map(|element| cursor.peek(element));
        let fits = |start: usize| {
            let mut qualifiers = elements(start).filter(|text| !text.is_empty()).peekable();
            qualifiers.peek().is_some_and(|text| is_known_qualifier(text)) && qualifiers.all(is_qualifier)
        };
        let is_no_price = |text: &str| !text.is_empty() && decimal::parse_decimal(text).is_none();
        if let Some(price) = price.filter(|price| is_no_price(cursor.peek(*price))) {
            if fits(price) {
                return Self { price: None, basis: None, ids: price };
            }
            if codes::PRICE_BASES.find(cursor.peek(price)).is_some() && fits(price + 1) {
                return Self { price: None, basis: Some(price), ids: price + 1 };
            }
        }
        // A short value looks like a qualifier: then every qualifier must be known, and have its value.
        let is_certain = |start: usize| {
            let mut pairs = elements(start).zip(elements(start + 1).chain(std::iter::repeat("")));
            fits(start)
                && pairs.all(|(qualifier, value)| {
                    qualifier.is_empty() == value.is_empty() && (qualifier.is_empty() || is_known_qualifier(qualifier))
                })
        };
        let is_regular = elements(first).all(|text| text.is_empty() || is_known_qualifier(text));
        let looks_regular = elements(first).all(|text| text.is_empty() || is_qualifier(text));
        let is_shifted = |start: &usize| if looks_regular { is_certain(*start) } else { fits(*start) };
        let shifted = [first - 1, first + 1].into_iter().find(|start| !is_regular && is_shifted(start));
        let ids = shifted.unwrap_or(first);
        Self { price, basis: price.filter(|_| ids >= first).map(|price| price + 1), ids }
    }

    /// Finds the layout as [`Self::find`] does, and warns if the ids are not at their regular place.
    fn find_and_warn(
        cursor: &SegmentCursor<'_, '_>,
        faults: &mut X12FaultCollector,
        first: usize,
        price: Option<usize>,
    ) -> Self {
        let layout = Self::find(cursor, first, price);
        let (id, start) = (&cursor.id, layout.ids);
        if start != first {
            let message =
                format!("the product ids begin at {id}{start:02} instead of {id}{first:02}: they are read from there");
            faults.add_warning(cursor, start, SyntaxErrorCode::None, message);
        }
        layout
    }
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

/// Reads the price, which is regularly at `regular`, its basis and the product ids. What cannot be aligned gives a
/// finding.
fn read_price_and_ids(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    regular: usize,
) -> Option<String> {
    let (id, first) = (cursor.id.clone(), regular + 2);
    let layout = IdLayout::find_and_warn(cursor, faults, first, Some(regular));
    let mut finding = None;
    match layout.price {
        // A code in the place of the price: the line has no price, and its other elements cannot be trusted.
        Some(price) if is_qualifier(cursor.peek(price)) && decimal::parse_decimal(cursor.peek(price)).is_none() => {
            let text = cursor.peek(price);
            let fact = format!("{id}{price:02} is {text:?}, which is not a price: an element of the line is missing");
            faults.add_warning(cursor, price, SyntaxErrorCode::Element(212, 6, text.to_owned()), fact.as_str());
            finding = Some(fact);
        }
        Some(price) => line.price = read_number(cursor, faults, price, 212, "the price"),
        None => {}
    }
    line.price_basis = layout.basis.and_then(|basis| cursor.take(basis));
    line.ids = segments::read_product_ids(cursor, layout.ids);
    finding.or_else(|| find_strange_id(&line.ids, cursor, faults, first))
}

/// Reads a PO1 or POC. Returns the line with its findings.
pub(crate) fn read_line(
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
) -> (PurchaseOrderLine, Option<String>) {
    let mut line = PurchaseOrderLine { number: cursor.take(1), ..PurchaseOrderLine::default() };
    let mut price = if cursor.id == "POC" { 6 } else { 4 };
    if cursor.id == "POC" {
        line.change = faults.require_element(cursor, 2, 670, "the change code");
        line.quantity = read_number(cursor, faults, 3, 380, "the quantity");
        line.quantity_left = read_number(cursor, faults, 4, 380, "the quantity left to receive");
        line.unit = cursor.take_parsed(5, segments::parse_unit);
    } else {
        line.quantity = read_number(cursor, faults, 2, 330, "the quantity");
        // A unit is no number: the price is in its place, and what follows is one element early too.
        let is_number = |element: usize| decimal::parse_decimal(cursor.peek(element)).is_some();
        if is_number(3) && !is_number(4) {
            price = 3;
            let code = SyntaxErrorCode::Element(355, 1, String::new());
            faults.add_warning(cursor, 3, code, "the unit is missing: the price is in its place");
        } else {
            faults.check_length(cursor, 3, 355, 2, "the unit");
            line.unit = cursor.take(3);
        }
        if cursor.peek(2).is_empty() {
            let code = SyntaxErrorCode::Element(330, 1, String::new());
            faults.add_warning(cursor, 2, code, "the line has no quantity");
        }
    }
    let finding = read_price_and_ids(&mut line, cursor, faults, price);
    (line, finding)
}

/// Reads an SLN.
pub(crate) fn read_component(cursor: &mut SegmentCursor<'_, '_>, faults: &mut X12FaultCollector) -> PurchaseOrderLine {
    let first = IdLayout::find_and_warn(cursor, faults, COMPONENT_FIRST_ID, None).ids;
    let component = PurchaseOrderLine {
        number: cursor.take(1),
        relationship: cursor.take(3),
        quantity: read_number(cursor, faults, 4, 380, "the quantity"),
        unit: cursor.take_parsed(5, segments::parse_unit),
        price: read_number(cursor, faults, 6, 212, "the price"),
        price_basis: cursor.take(7),
        ids: segments::read_product_ids(cursor, first),
        ..PurchaseOrderLine::default()
    };
    let finding = find_strange_id(&component.ids, cursor, faults, first);
    let number = component.number.as_deref().unwrap_or("without a number");
    faults.findings.extend(finding.map(|finding| format!("component {number}: {finding}")));
    component
}

/// Reads a LIN: further ids of the line.
fn read_further_ids(line: &mut PurchaseOrderLine, cursor: &mut SegmentCursor<'_, '_>, faults: &mut X12FaultCollector) {
    let first = IdLayout::find_and_warn(cursor, faults, LIN_FIRST_ID, None).ids;
    let ids = segments::read_product_ids(cursor, first);
    if let Some(finding) = find_strange_id(&ids, cursor, faults, first) {
        faults.findings.push(format!("{}: {finding}", line.describe_position(1)));
    }
    line.ids.extend(ids);
}

/// Places of the values in a segment that states a pack. The pack itself is the first element, and the unit of the size
/// follows the size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackElements {
    pub size: usize,
    pub inner: usize,
}

/// Reads a PO4 or G70. A second one is of another packing level and stays an extra; if its pack differs, no pack is
/// taken.
pub(crate) fn read_pack(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    elements: PackElements,
) {
    let is_first = line.pack.is_none() && line.pack_size.is_none() && line.inner_pack.is_none();
    if is_first {
        line.pack = cursor.take_parsed(1, decimal::normalize_decimal);
        line.pack_size = segments::read_pack_size(cursor, elements.size);
        line.inner_pack = cursor.take_parsed(elements.inner, decimal::normalize_decimal);
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
        let name = codes::SEGMENTS.find(&cursor.id).map(str::to_owned);
        line.extras.push(OrderExtra { location: format!("{}01", cursor.id), name, value: first });
    }
}

/// Reads a PID, text of free form (F), or a G69: the element is put after the text that is there.
pub(crate) fn extend_description(description: &mut Option<String>, cursor: &mut SegmentCursor<'_, '_>, element: usize) {
    if description.as_ref().is_some_and(|before| before.len() >= DESCRIPTION_BYTES_MAX) {
        return;
    }
    if let Some(text) = cursor.take(element) {
        if element > 1 {
            cursor.take_implied(1, &["F"]);
        }
        *description = Some(description.take().map_or_else(|| text.clone(), |before| format!("{before}, {text}")));
    }
}

/// Reads a segment that only lines and components have. `place` is the id of their address that is being read, with its
/// issuer. Returns false for any other segment.
pub(crate) fn read_line_segment(
    line: &mut PurchaseOrderLine,
    cursor: &mut SegmentCursor<'_, '_>,
    faults: &mut X12FaultCollector,
    place: Option<(String, Option<String>)>,
) -> bool {
    let mut has_unreadable_quantity = false;
    match cursor.id.as_str() {
        "PID" => extend_description(&mut line.description, cursor, 5),
        "PO4" => read_pack(line, cursor, faults, PackElements { size: 2, inner: 14 }),
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
        "SCH" | "QTY" => {
            let schedule = if cursor.id == "SCH" { segments::read_sch(cursor) } else { segments::read_qty(cursor) };
            has_unreadable_quantity = schedule.is_none();
            line.schedules.extend(schedule.map(|schedule| match place {
                // Below an address of the line, the quantity is that for the address.
                Some((id, issuer)) if schedule.location.is_none() => {
                    LineSchedule { location: Some(id), location_qualifier: issuer, ..schedule }
                }
                _ => schedule,
            }));
        }
        _ => return false,
    }
    if has_unreadable_quantity {
        let message = format!("a quantity of {} is not a number: it is ignored", cursor.id);
        faults.unreadable.push(message.clone());
        faults.add_warning(cursor, 0, SyntaxErrorCode::Segment(8), message);
    }
    true
}
