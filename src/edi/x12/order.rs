//! Reads an order or a change of any kind (850, 860, 875, 876) as a [`PurchaseOrder`], with its faults.
//!
//! The reader is a small state machine over the segments of the set: the header, then the lines. A segment after N1
//! belongs to that address, a segment after PO1, POC or G68 to that line, a segment after SLN to that component. A
//! [`SegmentCursor`] marks each element that is read; every other value becomes an extra of the order or its line.

use crate::edi::codes;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::purchase_order::{DocumentOrigin, EdiAddress, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use crate::edi::x12::cursor::{SegmentCursor, X12FaultCollector};
use crate::edi::x12::order_layout::OrderSetLayout;
use crate::edi::x12::order_parts::{self, PartLists};
use crate::edi::x12::tokenizer::X12Segment;
use crate::edi::x12::{Interchange, TransactionSet, grocery, order_checks, order_lines, segments};

/// Reads a set: the order, which is `None` if a fault rejects it or if the set is no order, its partner and number, and
/// its faults.
#[must_use]
pub fn read_x12_order(
    interchange: &Interchange<'_>,
    set: &TransactionSet<'_>,
) -> (Option<PurchaseOrder>, (String, String), Vec<EdiFault>) {
    let Some(layout) = OrderSetLayout::find(&set.kind) else { return (None, Default::default(), Vec::new()) };
    let mut reader = X12OrderReader {
        layout,
        order: PurchaseOrder {
            is_change: layout.is_change,
            origin: DocumentOrigin { transaction_set: set.kind.clone(), ..DocumentOrigin::default() },
            partner: interchange.sender.1.clone(),
            is_test: interchange.is_test,
            ..PurchaseOrder::default()
        },
        faults: X12FaultCollector::default(),
        section: OrderSection::Header,
        has_begin_segment: false,
        extra_count: 0,
    };
    for (index, segment) in set.segments.iter().enumerate() {
        reader.read_segment(segment, index + 1);
    }
    let X12OrderReader { mut order, mut faults, has_begin_segment, .. } = reader;
    order_checks::check_completeness(&mut order, &mut faults, (set, layout), has_begin_segment);
    let is_rejected = faults.faults.iter().chain(&set.faults).any(|fault| fault.severity == FaultSeverity::Error);
    let key = (order.partner.clone(), order.number.clone());
    ((!is_rejected).then_some(order), key, faults.faults)
}

/// Most lines of one order; bounds the time to store it.
const LINES_MAX: usize = 20_000;
/// Most extras of one order; bounds the time to store it.
const EXTRAS_MAX: usize = 20_000;

/// Part of the order that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderSection {
    Header,
    /// Address of the header.
    HeaderAddress,
    /// The last line.
    Line,
    /// Address of the last line.
    LineAddress,
    /// The last component of the last line.
    Component,
    /// Address of the last component of the last line.
    ComponentAddress,
    Summary,
}

struct X12OrderReader {
    layout: &'static OrderSetLayout,
    order: PurchaseOrder,
    faults: X12FaultCollector,
    section: OrderSection,
    has_begin_segment: bool,
    extra_count: usize,
}

impl X12OrderReader {
    fn read_begin_segment(&mut self, cursor: &mut SegmentCursor<'_, '_>) {
        self.has_begin_segment = true;
        let (order, faults) = (&mut self.order, &mut self.faults);
        if self.layout.is_grocery {
            return grocery::read_begin_segment(order, cursor, faults);
        }
        let is_change = order.is_change;
        let purpose = faults.require_element(cursor, 1, 353, "the purpose").unwrap_or_default();
        order.purpose = codes::restore_leading_zeros(&purpose.to_uppercase(), codes::PURPOSE_LENGTH);
        order.kind = cursor.take(2);
        order.number = faults.require_element(cursor, 3, 324, "the purchase order number").unwrap_or_default();
        faults.check_length(cursor, 3, 324, 22, "the purchase order number");
        order.release = cursor.take(4).unwrap_or_default();
        let date_element = if is_change { 6 } else { 5 };
        for (element, reference, name) in [(2, 92, "the order type"), (date_element, 373, "the order date")] {
            if cursor.segment.element(element).is_empty() {
                let code = SyntaxErrorCode::Element(reference, 1, String::new());
                faults.add_warning(cursor, element, code, format!("{name} is missing"));
            }
        }
        if is_change {
            order.sequence = cursor.take(5);
            order.ordered_on = order_parts::read_date(cursor, faults, 6, "the order date");
            order.contract = cursor.take(8);
            // BCH11 is the date of the request for the change; some senders use BCH10 instead.
            order.changed_on = order_parts::read_date(cursor, faults, 11, "the change date");
            if order.changed_on.is_none() {
                order.changed_on = order_parts::read_date(cursor, faults, 10, "the date in BCH10");
            }
        } else {
            order.ordered_on = order_parts::read_date(cursor, faults, 5, "the order date");
            order.contract = cursor.take(6);
        }
    }

    fn begin_line(&mut self, cursor: &mut SegmentCursor<'_, '_>) {
        if self.order.lines.len() >= LINES_MAX {
            let message = format!("the order has more than {LINES_MAX} lines: it is rejected");
            return self.faults.add_error(cursor, 0, SyntaxErrorCode::Segment(5), message);
        }
        let (mut line, finding) = if cursor.id == "G68" {
            let change = self.order.is_change.then_some(self.order.purpose.as_str());
            (grocery::read_line(cursor, &mut self.faults, change), None)
        } else {
            order_lines::read_line(cursor, &mut self.faults)
        };
        if cursor.id != self.layout.line {
            let message = format!("{} does not belong in this set: the line is unclear and is not applied", cursor.id);
            self.faults.add_warning(cursor, 0, SyntaxErrorCode::Segment(2), message);
            line.change = Some(cursor.id.clone());
        }
        let name = line.describe_position(self.order.lines.len() + 1);
        self.order.findings.extend(finding.map(|finding| format!("{name}: {finding}")));
        self.order.lines.push(line);
        self.section = OrderSection::Line;
    }

    /// Returns the line or component that is being read; `None` in the header and the summary.
    fn current_line(&mut self) -> Option<&mut PurchaseOrderLine> {
        let line = self.order.lines.last_mut()?;
        match self.section {
            OrderSection::Line | OrderSection::LineAddress => Some(line),
            OrderSection::Component | OrderSection::ComponentAddress => line.components.last_mut(),
            OrderSection::Header | OrderSection::HeaderAddress | OrderSection::Summary => None,
        }
    }

    /// Returns the lists of the header, line or component that is being read.
    fn current_parts(&mut self) -> PartLists<'_> {
        let is_of_order =
            matches!(self.section, OrderSection::Header | OrderSection::HeaderAddress | OrderSection::Summary)
                || self.order.lines.is_empty();
        if is_of_order {
            return PartLists::of_order(&mut self.order);
        }
        let is_component = matches!(self.section, OrderSection::Component | OrderSection::ComponentAddress);
        let line = self.order.lines.len() - 1;
        let line = &mut self.order.lines[line];
        if is_component && !line.components.is_empty() {
            let component = line.components.len() - 1;
            return PartLists::of_line(&mut line.components[component]);
        }
        PartLists::of_line(line)
    }

    /// Returns true inside an address.
    fn is_in_address(&self) -> bool {
        matches!(self.section, OrderSection::HeaderAddress | OrderSection::LineAddress | OrderSection::ComponentAddress)
    }

    /// Returns true inside the address of a line in a grocery set, which may have a quantity and references.
    fn is_in_grocery_location(&self) -> bool {
        self.layout.is_grocery && self.section == OrderSection::LineAddress
    }

    /// Returns the label of the address that is being read.
    fn current_address_label(&mut self) -> Option<String> {
        if !self.is_in_address() {
            return None;
        }
        self.current_parts().addresses.last().map(EdiAddress::label)
    }

    /// Returns the id and its issuer of the address of a line or component that is being read.
    fn find_line_address(&mut self) -> Option<(String, Option<String>)> {
        let is_in_line = matches!(self.section, OrderSection::LineAddress | OrderSection::ComponentAddress);
        let last = self.current_parts();
        let address = last.addresses.last().filter(|_| is_in_line)?;
        Some((address.id.clone()?, address.id_qualifier.clone()))
    }

    fn read_segment(&mut self, segment: &X12Segment<'_>, position: usize) {
        let mut cursor = SegmentCursor::new(segment, position);
        let id = cursor.id.clone();
        let address = self.current_address_label();
        match id.as_str() {
            // The envelope checks the type, the control numbers and the count.
            "ST" | "SE" => {
                cursor.take(1);
                cursor.take(2);
            }
            id if OrderSetLayout::is_begin_segment(id) && self.has_begin_segment => {
                let message = format!("a second {id}: the order number is ambiguous");
                self.faults.add_error(&cursor, 0, SyntaxErrorCode::Segment(5), message);
            }
            id if id == self.layout.begin => self.read_begin_segment(&mut cursor),
            id if OrderSetLayout::is_line_segment(id) => self.begin_line(&mut cursor),
            "G76" if self.layout.is_grocery => {
                self.section = OrderSection::Summary;
                grocery::read_totals(&mut self.order, &mut cursor, &mut self.faults);
            }
            "CTT" if !self.layout.is_grocery => {
                self.section = OrderSection::Summary;
                if self.order.stated_lines.is_none() && self.order.stated_quantity.is_none() {
                    self.order.stated_lines = cursor.take(1);
                    self.order.stated_quantity = cursor.take(2);
                } else {
                    let stated = [&self.order.stated_lines, &self.order.stated_quantity];
                    order_checks::compare_second_totals(&cursor, &mut self.faults, &[1, 2], &stated);
                }
            }
            "SLN" if self.current_line().is_some() => self.begin_component(&mut cursor),
            "N1" => self.begin_address(&mut cursor),
            "N2" | "N3" | "N4" => self.extend_address(&mut cursor),
            "QTY" if self.is_in_grocery_location() => {
                if let Some(line) = self.order.lines.last_mut() {
                    grocery::read_location_quantity(line, &mut cursor, &mut self.faults);
                }
            }
            _ => self.read_part(&mut cursor, address.as_deref()),
        }
        // The address that N1 begins is its own context. Another segment may have ended the address.
        let context = if id == "N1" { self.current_address_label() } else { address.filter(|_| self.is_in_address()) };
        self.keep_extras(cursor, context);
    }

    /// Keeps what nobody took of the segment.
    fn keep_extras(&mut self, cursor: SegmentCursor<'_, '_>, address: Option<String>) {
        let (segment, position) = (cursor.segment, cursor.position);
        let is_component = matches!(self.section, OrderSection::Component | OrderSection::ComponentAddress);
        let address = address.map(|label| format!("address {label}"));
        let extras: Vec<OrderExtra> = cursor.into_extras(address.as_deref());
        if extras.is_empty() {
            return;
        }
        if self.extra_count == EXTRAS_MAX {
            let message =
                format!("the order has more than {EXTRAS_MAX} values without a column: only its file has the others");
            self.order.findings.push(message.clone());
            let at = (segment, position);
            self.faults.add_fault(FaultSeverity::Warning, at, 0, SyntaxErrorCode::None, message);
        }
        if self.extra_count >= EXTRAS_MAX {
            self.extra_count += 1;
            return;
        }
        self.extra_count += extras.len().min(EXTRAS_MAX - self.extra_count);
        debug_assert!(!is_component || self.current_line().is_some());
        self.current_parts().extras.extend(extras);
    }

    fn begin_component(&mut self, cursor: &mut SegmentCursor<'_, '_>) {
        let component = order_lines::read_component(cursor, &mut self.faults);
        if let Some(line) = self.order.lines.last_mut() {
            line.components.push(component);
        }
        self.section = OrderSection::Component;
    }

    fn begin_address(&mut self, cursor: &mut SegmentCursor<'_, '_>) {
        let address = segments::read_n1(cursor);
        if address.kind.is_empty() {
            let code = SyntaxErrorCode::Element(98, 1, String::new());
            self.faults.add_error(cursor, 1, code, "the role of the address is missing");
        }
        let section = match self.section {
            OrderSection::Line | OrderSection::LineAddress => OrderSection::LineAddress,
            OrderSection::Component | OrderSection::ComponentAddress => OrderSection::ComponentAddress,
            OrderSection::Header | OrderSection::HeaderAddress | OrderSection::Summary => OrderSection::HeaderAddress,
        };
        self.current_parts().addresses.push(address);
        self.section = section;
    }

    /// Adds an N2, N3 or N4 to the address that is being read.
    fn extend_address(&mut self, cursor: &mut SegmentCursor<'_, '_>) {
        let id = cursor.id.clone();
        let is_in_address = self.is_in_address();
        let parts = self.current_parts();
        let Some(address) = parts.addresses.last_mut().filter(|_| is_in_address) else {
            let message = format!("{id} without an N1 before it");
            return self.faults.add_warning(cursor, 0, SyntaxErrorCode::Segment(2), message);
        };
        if id != "N4" {
            segments::read_address_lines(address, cursor);
        } else if !segments::read_n4(address, cursor) {
            let message = format!("a second N4 of the address {}: the first one is kept", address.label());
            self.faults.add_warning(cursor, 0, SyntaxErrorCode::Segment(5), message);
        }
    }

    /// Reads any other segment of the header, a line or a component.
    fn read_part(&mut self, cursor: &mut SegmentCursor<'_, '_>, mut address: Option<&str>) {
        if cursor.id == "N9" && !self.is_in_grocery_location() {
            address = None;
            // A loop of its own: it ends the address before it.
            self.section = match self.section {
                OrderSection::HeaderAddress => OrderSection::Header,
                OrderSection::LineAddress => OrderSection::Line,
                OrderSection::ComponentAddress => OrderSection::Component,
                other => other,
            };
        }
        let currency = self.order.currency.clone();
        let position = self.order.lines.len();
        let place = self.find_line_address();
        let mut faults = std::mem::take(&mut self.faults);
        let parts = &mut self.current_parts();
        let is_read = order_parts::read_shared_segment(parts, cursor, &mut faults, address)
            || grocery::read_shared_segment(parts, cursor, &mut faults, address)
            || match self.current_line() {
                Some(line) => {
                    if cursor.id == "CUR" {
                        let name = line.describe_position(position);
                        order_parts::check_line_currency(cursor, &mut faults, (&name, currency.as_deref()));
                    }
                    order_lines::read_line_segment(line, cursor, &mut faults, place)
                        || grocery::read_line_segment(line, cursor, &mut faults)
                }
                None => order_parts::read_header_segment(&mut self.order, cursor, &mut faults),
            };
        order_parts::check_readable(cursor, &mut faults);
        self.faults = faults;
        if !is_read && !order_parts::is_known_segment(&cursor.id) {
            let message = format!("{} is not known in this set: its values are kept as they are", cursor.id);
            self.faults.add_warning(cursor, 0, SyntaxErrorCode::Segment(1), message);
        }
    }
}
