//! Reads an 850 or 860 as a [`PurchaseOrder`], with its faults.
//!
//! The reader is a small state machine over the segments of the set: the header, then the lines. A segment after N1
//! belongs to that address, a segment after PO1 or POC to that line. Values that are not read here remain in the
//! event's body.

use crate::edi::decimal;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrder, PurchaseOrderLine};
use crate::edi::x12::tokenizer::X12Segment;
use crate::edi::x12::{Interchange, TransactionSet, segments};
use crate::text::format_count;
use rust_decimal::Decimal;

/// Returns true for the transaction sets that are read here.
#[must_use]
pub fn is_order_set(kind: &str) -> bool {
    matches!(kind, "850" | "860")
}

/// Reads a set. The order is `None` if a fault rejects it.
#[must_use]
pub fn read_x12_order(
    interchange: &Interchange<'_>,
    set: &TransactionSet<'_>,
) -> (Option<PurchaseOrder>, Vec<EdiFault>) {
    let mut reader = X12OrderReader {
        order: PurchaseOrder {
            is_change: set.kind == "860",
            partner: interchange.sender.1.clone(),
            is_test: interchange.is_test,
            ..PurchaseOrder::default()
        },
        faults: Vec::new(),
        section: OrderSection::Header,
        has_begin_segment: false,
        has_error: false,
    };
    for (index, segment) in set.segments.iter().enumerate() {
        reader.read_segment(segment, index + 1);
    }
    reader.check_completeness(set);
    let is_rejected = reader.faults.iter().chain(&set.faults).any(|fault| fault.severity == FaultSeverity::Error);
    ((!is_rejected).then_some(reader.order), reader.faults)
}

/// Most faults that are stored for one set.
const FAULTS_MAX: usize = 1_000;
/// Most lines of one order; bounds the time to store it.
const LINES_MAX: usize = 20_000;
/// Segments of an 850 or 860 that are no fault, although not all of their values are read.
const IGNORED_SEGMENTS: &[&str] = &[
    "ADV", "AMT", "CN1", "CSH", "CTB", "CTP", "CUR", "DIS", "DTM", "EFI", "FA1", "FA2", "FOB", "G53", "IN2", "INC",
    "IT3", "IT8", "ITD", "LDT", "LE", "LIN", "LM", "LQ", "LS", "MAN", "MEA", "MSG", "MTX", "N9", "NTE", "NX2", "PAM",
    "PCT", "PER", "PID", "PKG", "PO3", "PO4", "PWK", "QTY", "REF", "SAC", "SCH", "SDQ", "SI", "SLN", "SPI", "TAX",
    "TC2", "TD1", "TD3", "TD4", "TD5", "TFS", "TXI",
];

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
    /// Subline, which is not read.
    Subline,
    Summary,
}

struct X12OrderReader {
    order: PurchaseOrder,
    faults: Vec<EdiFault>,
    section: OrderSection,
    has_begin_segment: bool,
    /// True after a fault that rejects the order.
    has_error: bool,
}

impl X12OrderReader {
    fn add_fault(
        &mut self,
        severity: FaultSeverity,
        at: (&X12Segment<'_>, usize),
        element: usize,
        code: SyntaxErrorCode,
        message: impl Into<String>,
    ) {
        // The first error is always stored, because it rejects the order.
        if self.faults.len() >= FAULTS_MAX && (severity == FaultSeverity::Warning || self.has_error) {
            return;
        }
        self.has_error |= severity == FaultSeverity::Error;
        let (segment, position) = at;
        let location = if element == 0 { segment.id.to_owned() } else { format!("{}{element:02}", segment.id) };
        self.faults.push(EdiFault {
            severity,
            line: segment.line,
            location,
            position,
            element,
            code,
            message: message.into(),
        });
    }

    /// Returns the element; adds an error if it is missing.
    fn require_element(
        &mut self,
        at: (&X12Segment<'_>, usize),
        element: usize,
        number: u16,
        name: &str,
    ) -> Option<String> {
        let value = at.0.non_empty_element(element);
        if value.is_none() {
            let code = SyntaxErrorCode::Element(number, 1, String::new());
            self.add_fault(FaultSeverity::Error, at, element, code, format!("{name} is missing"));
        }
        value
    }

    /// Returns the number in an element, if it has one.
    ///
    /// A value that is not a number rejects the set: a wrong quantity is worse than none.
    fn read_number(&mut self, at: (&X12Segment<'_>, usize), element: usize, number: u16, name: &str) -> Option<String> {
        let text = at.0.non_empty_element(element)?;
        let value = decimal::normalize_decimal(&text);
        if value.is_none() {
            let message = format!("{name} is {text:?}, which is not a number");
            self.add_fault(FaultSeverity::Error, at, element, SyntaxErrorCode::Element(number, 6, text), message);
        }
        value
    }

    fn read_date(&mut self, at: (&X12Segment<'_>, usize), element: usize, name: &str) -> Option<String> {
        let text = at.0.non_empty_element(element)?;
        let value = segments::parse_x12_date(&text);
        if value.is_none() {
            let message = format!("{name} is {text:?}, which is not a date");
            self.add_fault(FaultSeverity::Warning, at, element, SyntaxErrorCode::Element(373, 8, text), message);
        }
        value
    }

    fn check_length(
        &mut self,
        at: (&X12Segment<'_>, usize),
        element: usize,
        number: u16,
        chars_max: usize,
        name: &str,
    ) {
        let text = at.0.element(element);
        let char_count = text.chars().count();
        if char_count > chars_max {
            let copy = text.chars().take(99).collect();
            let message = format!("{name} has {char_count} characters; at most {chars_max} are allowed");
            self.add_fault(FaultSeverity::Warning, at, element, SyntaxErrorCode::Element(number, 5, copy), message);
        }
    }

    fn read_begin_segment(&mut self, at: (&X12Segment<'_>, usize)) {
        self.has_begin_segment = true;
        let is_change = at.0.has_id("BCH");
        self.order.purpose = self.require_element(at, 1, 353, "the purpose").unwrap_or_default();
        self.order.kind = at.0.non_empty_element(2);
        self.order.number = self.require_element(at, 3, 324, "the purchase order number").unwrap_or_default();
        self.check_length(at, 3, 324, 22, "the purchase order number");
        self.order.release = at.0.non_empty_element(4).unwrap_or_default();
        let date_element = if is_change { 6 } else { 5 };
        for (element, reference, name) in [(2, 92, "the order type"), (date_element, 373, "the order date")] {
            if at.0.element(element).is_empty() {
                self.add_fault(
                    FaultSeverity::Warning,
                    at,
                    element,
                    SyntaxErrorCode::Element(reference, 1, String::new()),
                    format!("{name} is missing"),
                );
            }
        }
        if is_change {
            self.order.sequence = at.0.non_empty_element(5);
            self.order.ordered_on = self.read_date(at, 6, "the order date");
            self.order.contract = at.0.non_empty_element(8);
            // BCH11 is the date of the request for the change; some senders use BCH10 instead.
            let (other, requested) =
                (self.read_date(at, 10, "the date in BCH10"), self.read_date(at, 11, "the change date"));
            self.order.changed_on = requested.or(other);
        } else {
            self.order.ordered_on = self.read_date(at, 5, "the order date");
            self.order.contract = at.0.non_empty_element(6);
        }
    }

    fn read_line(&mut self, at: (&X12Segment<'_>, usize)) {
        let is_poc = at.0.has_id("POC");
        if self.order.lines.len() >= LINES_MAX {
            let message = format!("the order has more than {LINES_MAX} lines: it is rejected");
            return self.add_fault(FaultSeverity::Error, at, 0, SyntaxErrorCode::Segment(5), message);
        }
        let mut line = PurchaseOrderLine { number: at.0.non_empty_element(1), ..PurchaseOrderLine::default() };
        if is_poc {
            line.change = self.require_element(at, 2, 670, "the change code");
            line.quantity = self.read_number(at, 3, 380, "the quantity");
            line.quantity_left = self.read_number(at, 4, 380, "the quantity left to receive");
            // A composite element; its first component is the unit.
            line.unit =
                at.0.non_empty_element(5).map(|unit| unit.chars().take_while(char::is_ascii_alphanumeric).collect());
            line.price = self.read_number(at, 6, 212, "the price");
            line.price_basis = at.0.non_empty_element(7);
            line.ids = segments::read_product_ids(at.0, 8);
        } else {
            line.quantity = self.read_number(at, 2, 330, "the quantity");
            line.unit = at.0.non_empty_element(3);
            line.price = self.read_number(at, 4, 212, "the price");
            line.price_basis = at.0.non_empty_element(5);
            line.ids = segments::read_product_ids(at.0, 6);
            if at.0.element(2).is_empty() {
                let code = SyntaxErrorCode::Element(330, 1, String::new());
                self.add_fault(FaultSeverity::Warning, at, 2, code, "the line has no quantity");
            }
        }
        self.order.lines.push(line);
        self.section = OrderSection::Line;
    }

    fn read_segment(&mut self, segment: &X12Segment<'_>, position: usize) {
        let at = (segment, position);
        let id = segment.id.to_ascii_uppercase();
        match id.as_str() {
            "ST" | "SE" => {}
            "BEG" | "BCH" if self.has_begin_segment => {
                self.add_fault(
                    FaultSeverity::Error,
                    at,
                    0,
                    SyntaxErrorCode::Segment(5),
                    format!("a second {id}: the order number is ambiguous"),
                );
            }
            "PO1" | "POC" if (id == "POC") != self.order.is_change => {
                let message = format!("{id} does not belong in this set: the line is unclear and is not applied");
                self.add_fault(FaultSeverity::Warning, at, 0, SyntaxErrorCode::Segment(2), message);
                self.read_line(at);
                if let Some(line) = self.order.lines.last_mut() {
                    line.change = Some(id);
                }
            }
            "BEG" | "BCH" if self.order.is_change == (id == "BCH") => self.read_begin_segment(at),
            "PO1" if !self.order.is_change => self.read_line(at),
            "POC" if self.order.is_change => self.read_line(at),
            "CTT" => {
                self.section = OrderSection::Summary;
                self.order.stated_lines = segment.non_empty_element(1);
                self.order.stated_quantity = segment.non_empty_element(2);
            }
            "N1" => self.begin_address(at),
            "SLN" if !self.order.lines.is_empty() => self.section = OrderSection::Subline,
            "N2" | "N3" | "N4" => {
                if !self.current_address().is_some_and(|address| segments::extend_address(address, segment)) {
                    self.add_fault(
                        FaultSeverity::Warning,
                        at,
                        0,
                        SyntaxErrorCode::Segment(2),
                        format!("{id} without an N1 before it"),
                    );
                }
            }
            _ if !IGNORED_SEGMENTS.contains(&id.as_str()) => {
                let message = format!("{id} is not known in this set: it is ignored");
                self.add_fault(FaultSeverity::Warning, at, 0, SyntaxErrorCode::Segment(1), message);
            }
            _ if self.section == OrderSection::Subline => {}
            _ if self.section == OrderSection::Line || self.section == OrderSection::LineAddress => {
                self.read_line_segment(at, &id);
            }
            _ => self.read_header_segment(at, &id),
        }
    }

    fn begin_address(&mut self, at: (&X12Segment<'_>, usize)) {
        let address = segments::read_n1(at.0);
        let (addresses, section) = match (self.section, self.order.lines.last_mut()) {
            (OrderSection::Line | OrderSection::LineAddress | OrderSection::Subline, Some(line)) => {
                (&mut line.addresses, OrderSection::LineAddress)
            }
            _ => (&mut self.order.addresses, OrderSection::HeaderAddress),
        };
        addresses.push(address);
        self.section = section;
        if at.0.element(1).is_empty() {
            self.require_element(at, 1, 98, "the role of the address");
        }
    }

    /// Returns the address to which N2, N3 and N4 add.
    fn current_address(&mut self) -> Option<&mut EdiAddress> {
        match self.section {
            OrderSection::HeaderAddress => self.order.addresses.last_mut(),
            OrderSection::LineAddress => self.order.lines.last_mut()?.addresses.last_mut(),
            _ => None,
        }
    }

    fn read_header_segment(&mut self, at: (&X12Segment<'_>, usize), id: &str) {
        let segment = at.0;
        // A segment inside an address describes the address and not the order.
        let is_of_order = self.section != OrderSection::HeaderAddress;
        match id {
            "CUR" => self.order.currency = segment.non_empty_element(2).or_else(|| self.order.currency.take()),
            "REF" if is_of_order => {
                let reference = segments::read_ref(segment);
                match reference.qualifier.as_str() {
                    "DP" => self.order.department.clone_from(&reference.value),
                    "IA" | "VR" => self.order.vendor.clone_from(&reference.value),
                    _ => {}
                }
                self.order.references.push(reference);
            }
            "PER" if is_of_order => self.order.contacts.push(segments::read_per(segment)),
            "DTM" if is_of_order => {
                self.read_date(at, 2, "the date");
                self.order.dates.push(segments::read_dtm(segment));
            }
            "SAC" => {
                let (allowance, has_point) = segments::read_sac(segment);
                self.order.allowances.push(allowance);
                self.check_sac_amount(at, has_point);
            }
            "ITD" => self.order.terms.push(segments::read_itd(segment)),
            "TD5" if is_of_order => self.order.carriers.push(segments::read_td5(segment)),
            "PKG" | "TD4" | "FOB" if is_of_order => self.order.instructions.extend(segments::read_instruction(segment)),
            "N9" => {
                self.section = OrderSection::Header;
                self.order.references.push(segments::read_ref(segment));
            }
            "MSG" | "MTX" | "NTE" => self.order.notes.extend(read_note(segment)),
            "AMT" if self.section == OrderSection::Summary || segment.element(1) == "TT" => {
                let stated = segment.non_empty_element(2);
                self.order.stated_total = stated.as_deref().and_then(decimal::normalize_decimal);
                if let (Some(text), None) = (stated, &self.order.stated_total) {
                    let message = format!("the total is {text:?}, which is not a number");
                    self.add_fault(FaultSeverity::Warning, at, 2, SyntaxErrorCode::Element(782, 6, text), message);
                }
            }
            _ => {}
        }
    }

    fn read_line_segment(&mut self, at: (&X12Segment<'_>, usize), id: &str) {
        let segment = at.0;
        let is_of_line = self.section == OrderSection::Line;
        let (mut amount_has_point, mut has_unreadable_quantity) = (false, false);
        let Some(line) = self.order.lines.last_mut() else { return };
        match id {
            "PID" => {
                let text = segment.non_empty_element(5);
                match (&mut line.description, text) {
                    // A longer description is of no use to a person.
                    (Some(before), Some(text)) if before.len() < 1_000 => {
                        before.push_str(", ");
                        before.push_str(&text);
                    }
                    (Some(_), _) => {}
                    (none, text) => *none = text,
                }
            }
            "PO4" => {
                line.pack = segment.non_empty_element(1).filter(|text| decimal::parse_decimal(text).is_some());
                line.pack_size = segments::read_pack_size(segment);
            }
            "PKG" | "TD4" if is_of_line => line.instructions.extend(segments::read_instruction(segment)),
            "REF" if is_of_line => line.references.push(segments::read_ref(segment)),
            "N9" => {
                self.section = OrderSection::Line;
                line.references.push(segments::read_ref(segment));
            }
            "LIN" => line.ids.extend(segments::read_product_ids(segment, 2)),
            "DTM" if is_of_line => {
                line.dates.push(segments::read_dtm(segment));
                self.read_date(at, 2, "the date");
            }
            "SAC" => {
                let (allowance, has_point) = segments::read_sac(segment);
                line.allowances.push(allowance);
                amount_has_point = has_point;
            }
            "SDQ" => {
                let schedules = segments::read_sdq(segment);
                let stated = (3..=21).step_by(2).filter(|position| !segment.element(*position).is_empty());
                has_unreadable_quantity = stated.count() != schedules.len();
                line.schedules.extend(schedules);
            }
            "SCH" => {
                let schedule = segments::read_sch(segment);
                has_unreadable_quantity = schedule.is_none();
                line.schedules.extend(schedule);
            }
            "MSG" | "MTX" | "NTE" => line.notes.extend(read_note(segment)),
            _ => {}
        }
        self.check_sac_amount(at, amount_has_point);
        if has_unreadable_quantity {
            let message = format!("a quantity of {id} is not a number: it is ignored");
            self.add_fault(FaultSeverity::Warning, at, 0, SyntaxErrorCode::Segment(8), message);
        }
    }

    fn check_sac_amount(&mut self, at: (&X12Segment<'_>, usize), has_point: bool) {
        if at.0.has_id("SAC") && !at.0.element(5).is_empty() && decimal::parse_n2(at.0.element(5)).is_none() {
            let copy = at.0.element(5).to_owned();
            let message = format!("the amount is {copy:?}, which is not a number: it is ignored");
            self.add_fault(FaultSeverity::Warning, at, 5, SyntaxErrorCode::Element(610, 6, copy), message);
        }
        if has_point {
            let message = "the amount has a decimal point, although X12 implies two decimals: it is read as written";
            let code = SyntaxErrorCode::Element(610, 6, at.0.element(5).to_owned());
            self.add_fault(FaultSeverity::Warning, at, 5, code, message);
        }
    }

    /// Checks for missing segments and compares the stated totals, after the last segment.
    fn check_completeness(&mut self, set: &TransactionSet<'_>) {
        let begin = if self.order.is_change { "BCH" } else { "BEG" };
        let Some(last) = set.segments.last() else { return };
        if self.order.partner.is_empty() {
            let message = "the sender is not known: ISA is missing, or its sender is empty";
            self.add_fault(FaultSeverity::Error, (last, set.segments.len()), 0, SyntaxErrorCode::None, message);
        }
        if !self.has_begin_segment {
            let at = set.segments.get(1).unwrap_or(last);
            self.add_missing_segment(at, 2, begin, format!("there is no {begin}: the order number is not known"));
        } else if self.order.lines.iter().all(|line| line.change.is_some())
            && !self.order.is_change
            && self.order.purpose != "01"
        {
            self.add_missing_segment(
                last,
                set.segments.len(),
                "PO1",
                "there is no PO1: the order has no lines".to_owned(),
            );
        }
        let ctt = set.segments.iter().enumerate().rfind(|(_, segment)| segment.has_id("CTT"));
        let Some(ctt) = ctt.map(|(index, ctt)| (ctt, index + 1)) else { return };
        let is_counted = |line: &&PurchaseOrderLine| self.order.is_change || line.change.is_none();
        let line_count = self.order.lines.iter().filter(is_counted).count();
        if let Some(stated) = &self.order.stated_lines
            && decimal::parse_decimal(stated) != Some(line_count.into())
        {
            let lines = format_count(line_count, "line", "lines");
            let message = format!("the set has {lines}, CTT01 states {stated:?}");
            self.add_fault(FaultSeverity::Warning, ctt, 1, SyntaxErrorCode::None, message);
        }
        let mut quantities =
            self.order.lines.iter().filter_map(|line| decimal::parse_decimal(line.quantity.as_deref()?));
        let sum = quantities.try_fold(Decimal::ZERO, Decimal::checked_add);
        if let (Some(stated), Some(sum), false) = (&self.order.stated_quantity, sum, self.order.is_change)
            && decimal::parse_decimal(stated) != Some(sum)
        {
            let message = format!("the quantities add up to {sum}, CTT02 states {stated:?}");
            self.add_fault(FaultSeverity::Warning, ctt, 2, SyntaxErrorCode::None, message);
        }
    }

    fn add_missing_segment(&mut self, at: &X12Segment<'_>, position: usize, id: &str, message: String) {
        self.faults.push(EdiFault {
            severity: FaultSeverity::Error,
            line: at.line,
            location: id.to_owned(),
            position,
            element: 0,
            code: SyntaxErrorCode::Segment(3),
            message,
        });
    }
}

/// Returns the text of a note: MSG01, MTX02 or NTE02.
fn read_note(segment: &X12Segment<'_>) -> Option<String> {
    segment.non_empty_element(if segment.has_id("MSG") { 1 } else { 2 })
}
