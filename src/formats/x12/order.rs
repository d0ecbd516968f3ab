//! An 850 or 860 as a purchase order, with what is wrong in it.
//!
//! A small state machine over the segments of the set: the header, then lines; a segment after N1 belongs to that address, one
//! after PO1 or POC to that line. What is not known here stays in the event's bytes.

use super::segments as parts;
use super::tokens::Segment;
use super::{Interchange, Set};
use crate::formats::decimal;
use crate::formats::fault::{Code, Fault, Severity};
use crate::formats::purchase_order::{Address, Line, PurchaseOrder};
use rust_decimal::Decimal;

/// Whether this set is read here.
#[must_use]
pub fn is_order(kind: &str) -> bool {
    matches!(kind, "850" | "860")
}

/// Reads a set; the order is `None` when it cannot be taken, and then a fault says why.
#[must_use]
pub fn read(interchange: &Interchange<'_>, set: &Set<'_>) -> (Option<PurchaseOrder>, Vec<Fault>) {
    let mut reader = Reader {
        order: PurchaseOrder {
            is_change: set.kind == "860",
            partner: interchange.sender.1.clone(),
            is_test: interchange.is_test,
            ..PurchaseOrder::default()
        },
        faults: Vec::new(),
        place: Place::Header,
        begun: false,
        refused: false,
    };
    for (index, segment) in set.segments.iter().enumerate() {
        reader.take(segment, index + 1);
    }
    reader.end(set);
    let refused = reader.faults.iter().chain(&set.faults).any(|fault| fault.severity == Severity::Error);
    ((!refused).then_some(reader.order), reader.faults)
}

/// Most faults of one set that are kept.
const FAULTS_MAX: usize = 1_000;
/// Most lines of one order: bounds how long it takes to write.
const LINES_MAX: usize = 20_000;
/// Segments of an 850 or 860 that say nothing that is kept here, and are no fault.
const LEFT_ASIDE: &[&str] = &[
    "ADV", "AMT", "CN1", "CSH", "CTB", "CTP", "CUR", "DIS", "DTM", "EFI", "FA1", "FA2", "FOB", "G53", "IN2", "INC",
    "IT3", "IT8", "ITD", "LDT", "LE", "LIN", "LM", "LQ", "LS", "MAN", "MEA", "MSG", "MTX", "N9", "NTE", "NX2", "PAM",
    "PCT", "PER", "PID", "PKG", "PO3", "PO4", "PWK", "QTY", "REF", "SAC", "SCH", "SDQ", "SI", "SLN", "SPI", "TAX",
    "TC2", "TD1", "TD3", "TD4", "TD5", "TFS", "TXI",
];

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    /// In an address of the header.
    HeaderAddress,
    /// In the last line.
    Line,
    /// In an address of the last line.
    LineAddress,
    /// In a subline: it is not read.
    Subline,
    Summary,
}

struct Reader {
    order: PurchaseOrder,
    faults: Vec<Fault>,
    place: Place,
    begun: bool,
    /// There is an error already.
    refused: bool,
}

impl Reader {
    fn fault(
        &mut self,
        severity: Severity,
        at: (&Segment<'_>, usize),
        element: usize,
        code: Code,
        text: impl Into<String>,
    ) {
        // An error that keeps the order from being taken is never left out.
        if self.faults.len() >= FAULTS_MAX && (severity == Severity::Warning || self.refused) {
            return;
        }
        self.refused |= severity == Severity::Error;
        let (segment, position) = at;
        let name = if element == 0 { segment.id.to_owned() } else { format!("{}{element:02}", segment.id) };
        self.faults.push(Fault { severity, line: segment.line, at: name, position, element, code, text: text.into() });
    }

    /// An element that must be there.
    fn must(&mut self, at: (&Segment<'_>, usize), element: usize, number: u16, what: &str) -> Option<String> {
        let value = at.0.some(element);
        if value.is_none() {
            let code = Code::Element(number, 1, String::new());
            self.fault(Severity::Error, at, element, code, format!("{what} is missing"));
        }
        value
    }

    /// A number, if there is one; what is none is a fault that keeps the set from being taken: a wrong quantity is worse than none.
    fn number(&mut self, at: (&Segment<'_>, usize), element: usize, number: u16, what: &str) -> Option<String> {
        let text = at.0.some(element)?;
        let value = decimal::normal(&text);
        if value.is_none() {
            let said = format!("{what} is {text:?}, which is no number");
            self.fault(Severity::Error, at, element, Code::Element(number, 6, text), said);
        }
        value
    }

    fn day(&mut self, at: (&Segment<'_>, usize), element: usize, what: &str) -> Option<String> {
        let text = at.0.some(element)?;
        let value = parts::day(&text);
        if value.is_none() {
            let said = format!("{what} is {text:?}, which is no day");
            self.fault(Severity::Warning, at, element, Code::Element(373, 8, text), said);
        }
        value
    }

    fn length(&mut self, at: (&Segment<'_>, usize), element: usize, number: u16, most: usize, what: &str) {
        let text = at.0.get(element);
        let letters = text.chars().count();
        if letters > most {
            let copy = text.chars().take(99).collect();
            let said = format!("{what} has {letters} characters, {most} are allowed");
            self.fault(Severity::Warning, at, element, Code::Element(number, 5, copy), said);
        }
    }

    fn begin(&mut self, at: (&Segment<'_>, usize)) {
        self.begun = true;
        let change = at.0.is("BCH");
        self.order.purpose = self.must(at, 1, 353, "the purpose").unwrap_or_default();
        self.order.kind = at.0.some(2);
        self.order.number = self.must(at, 3, 324, "the purchase order's number").unwrap_or_default();
        self.length(at, 3, 324, 22, "the purchase order's number");
        self.order.release = at.0.some(4).unwrap_or_default();
        let (day, number) = if change { (6, "the order's date") } else { (5, "the order's date") };
        for (element, reference, what) in [(2, 92, "the order's type"), (day, 373, number)] {
            if at.0.get(element).is_empty() {
                self.fault(
                    Severity::Warning,
                    at,
                    element,
                    Code::Element(reference, 1, String::new()),
                    format!("{what} is missing"),
                );
            }
        }
        if change {
            self.order.sequence = at.0.some(5);
            self.order.ordered_on = self.day(at, 6, "the order's date");
            self.order.contract = at.0.some(8);
            self.order.changed_on = self.day(at, 11, "the change's date");
        } else {
            self.order.ordered_on = self.day(at, 5, "the order's date");
            self.order.contract = at.0.some(6);
        }
    }

    fn line(&mut self, at: (&Segment<'_>, usize)) {
        let poc = at.0.is("POC");
        if self.order.lines.len() >= LINES_MAX {
            let said = format!("the order has more than {LINES_MAX} lines: it is not taken");
            return self.fault(Severity::Error, at, 0, Code::Segment(5), said);
        }
        let mut line = Line { number: at.0.some(1), ..Line::default() };
        if poc {
            line.change = self.must(at, 2, 670, "the change's code");
            line.quantity = self.number(at, 3, 380, "the quantity");
            // A composite: its first part is the unit.
            line.unit = at.0.some(5).map(|unit| unit.chars().take_while(char::is_ascii_alphanumeric).collect());
            line.price = self.number(at, 6, 212, "the price");
            line.price_basis = at.0.some(7);
            line.ids = parts::product_ids(at.0, 8);
        } else {
            line.quantity = self.number(at, 2, 330, "the quantity");
            line.unit = at.0.some(3);
            line.price = self.number(at, 4, 212, "the price");
            line.price_basis = at.0.some(5);
            line.ids = parts::product_ids(at.0, 6);
            if at.0.get(2).is_empty() {
                let code = Code::Element(330, 1, String::new());
                self.fault(Severity::Warning, at, 2, code, "the line has no quantity");
            }
        }
        self.order.lines.push(line);
        self.place = Place::Line;
    }

    fn take(&mut self, segment: &Segment<'_>, position: usize) {
        let at = (segment, position);
        let id = segment.id.to_ascii_uppercase();
        match id.as_str() {
            "ST" | "SE" => {}
            "BEG" | "BCH" if self.begun => {
                self.fault(
                    Severity::Error,
                    at,
                    0,
                    Code::Segment(5),
                    format!("a second {id}: which order this is cannot be told"),
                );
            }
            "PO1" | "POC" if (id == "POC") != self.order.is_change => {
                let said = format!("{id} does not belong into this set: it was left aside");
                self.fault(Severity::Warning, at, 0, Code::Segment(2), said);
            }
            "BEG" | "BCH" if self.order.is_change == (id == "BCH") => self.begin(at),
            "PO1" if !self.order.is_change => self.line(at),
            "POC" if self.order.is_change => self.line(at),
            "CTT" => {
                self.place = Place::Summary;
                self.order.stated_lines = segment.some(1);
                self.order.stated_quantity = segment.some(2);
            }
            "N1" => {
                let address = parts::address(segment);
                let (list, place) = match (self.place, self.order.lines.last_mut()) {
                    (Place::Line | Place::LineAddress | Place::Subline, Some(line)) => {
                        (&mut line.addresses, Place::LineAddress)
                    }
                    _ => (&mut self.order.addresses, Place::HeaderAddress),
                };
                list.push(address);
                self.place = place;
                if segment.get(1).is_empty() {
                    self.must(at, 1, 98, "what the address is for");
                }
            }
            "SLN" if !self.order.lines.is_empty() => self.place = Place::Subline,
            "N2" | "N3" | "N4" => {
                if !self.address().is_some_and(|address| parts::more_of_address(address, segment)) {
                    self.fault(Severity::Warning, at, 0, Code::Segment(2), format!("{id} without an N1 before it"));
                }
            }
            _ if !LEFT_ASIDE.contains(&id.as_str()) => {
                let said = format!("{id} is not known in this set: it was left aside");
                self.fault(Severity::Warning, at, 0, Code::Segment(1), said);
            }
            _ if self.place == Place::Subline => {}
            _ if self.place == Place::Line || self.place == Place::LineAddress => self.of_line(at, &id),
            _ => self.of_header(at, &id),
        }
    }

    /// The address that N2, N3 and N4 add to.
    fn address(&mut self) -> Option<&mut Address> {
        match self.place {
            Place::HeaderAddress => self.order.addresses.last_mut(),
            Place::LineAddress => self.order.lines.last_mut()?.addresses.last_mut(),
            _ => None,
        }
    }

    fn of_header(&mut self, at: (&Segment<'_>, usize), id: &str) {
        let segment = at.0;
        // What is said within an address is the address's own and is not the order's.
        let own = self.place != Place::HeaderAddress;
        match id {
            "CUR" => self.order.currency = segment.some(2).or_else(|| self.order.currency.take()),
            "REF" if own => {
                let reference = parts::reference(segment);
                match reference.qualifier.as_str() {
                    "DP" => self.order.department.clone_from(&reference.value),
                    "IA" | "VR" => self.order.vendor.clone_from(&reference.value),
                    _ => {}
                }
                self.order.references.push(reference);
            }
            "PER" if own => self.order.contacts.push(parts::contact(segment)),
            "DTM" if own => {
                self.day(at, 2, "the date");
                self.order.dates.push(parts::date(segment));
            }
            "SAC" => {
                let (allowance, pointed) = parts::allowance(segment);
                self.order.allowances.push(allowance);
                self.pointed(at, pointed);
            }
            "ITD" => self.order.terms.push(parts::terms(segment)),
            "TD5" if own => self.order.carriers.push(parts::carrier(segment)),
            "N9" => {
                self.place = Place::Header;
                self.order.references.push(parts::reference(segment));
            }
            "MSG" | "MTX" | "NTE" => self.order.notes.extend(note(segment)),
            "AMT" if self.place == Place::Summary || segment.get(1) == "TT" => {
                let stated = segment.some(2);
                self.order.stated_total = stated.as_deref().and_then(decimal::normal);
                if let (Some(text), None) = (stated, &self.order.stated_total) {
                    let said = format!("the total is {text:?}, which is no number");
                    self.fault(Severity::Warning, at, 2, Code::Element(782, 6, text), said);
                }
            }
            _ => {}
        }
    }

    fn of_line(&mut self, at: (&Segment<'_>, usize), id: &str) {
        let segment = at.0;
        let own = self.place == Place::Line;
        let (mut pointed, mut unread) = (false, false);
        let Some(line) = self.order.lines.last_mut() else { return };
        match id {
            "PID" => {
                let text = segment.some(5);
                match (&mut line.description, text) {
                    // Enough for people.
                    (Some(before), Some(text)) if before.len() < 1_000 => {
                        before.push_str(", ");
                        before.push_str(&text);
                    }
                    (Some(_), _) => {}
                    (none, text) => *none = text,
                }
            }
            "PO4" => line.pack = segment.some(1).filter(|text| decimal::parse(text).is_some()),
            "REF" if own => line.references.push(parts::reference(segment)),
            "N9" => {
                self.place = Place::Line;
                line.references.push(parts::reference(segment));
            }
            "LIN" => line.ids.extend(parts::product_ids(segment, 2)),
            "DTM" if own => {
                line.dates.push(parts::date(segment));
                self.day(at, 2, "the date");
            }
            "SAC" => {
                let (allowance, has_point) = parts::allowance(segment);
                line.allowances.push(allowance);
                pointed = has_point;
            }
            "SDQ" => {
                let places = parts::places(segment);
                unread = (3..=21).step_by(2).filter(|place| !segment.get(*place).is_empty()).count() != places.len();
                line.schedules.extend(places);
            }
            "SCH" => {
                let schedule = parts::schedule(segment);
                unread = schedule.is_none();
                line.schedules.extend(schedule);
            }
            "MSG" | "MTX" | "NTE" => line.notes.extend(note(segment)),
            _ => {}
        }
        self.pointed(at, pointed);
        if unread {
            let said = format!("a quantity of {id} cannot be read: that part was left aside");
            self.fault(Severity::Warning, at, 0, Code::Segment(8), said);
        }
    }

    fn pointed(&mut self, at: (&Segment<'_>, usize), pointed: bool) {
        if at.0.is("SAC") && !at.0.get(5).is_empty() && decimal::from_n2(at.0.get(5)).is_none() {
            let (copy, said) = (
                at.0.get(5).to_owned(),
                format!("the amount is {:?}, which is no number: it was left aside", at.0.get(5)),
            );
            self.fault(Severity::Warning, at, 5, Code::Element(610, 6, copy), said);
        }
        if pointed {
            let text = "the amount has a point, though its last two digits are the decimals: it was taken as it stands";
            self.fault(Severity::Warning, at, 5, Code::Element(610, 6, at.0.get(5).to_owned()), text);
        }
    }

    /// What can be told only at the end.
    fn end(&mut self, set: &Set<'_>) {
        let begin = if self.order.is_change { "BCH" } else { "BEG" };
        let Some(last) = set.segments.last() else { return };
        if self.order.partner.is_empty() {
            let said = "who ordered is not known: there is no ISA, or its sender is empty".to_owned();
            self.fault(Severity::Error, (last, set.segments.len()), 0, Code::None, said);
        }
        if !self.begun {
            let at = set.segments.get(1).unwrap_or(last);
            self.missing(at, 2, begin, format!("there is no {begin}: which order this is cannot be told"));
        } else if self.order.lines.is_empty() && !self.order.is_change && self.order.purpose != "01" {
            self.missing(last, set.segments.len(), "PO1", "there is no PO1: an order without lines".to_owned());
        }
        let ctt = set.segments.iter().enumerate().rfind(|(_, segment)| segment.is("CTT"));
        let Some(ctt) = ctt.map(|(place, ctt)| (ctt, place + 1)) else { return };
        let counted = self.order.lines.len();
        if let Some(stated) = &self.order.stated_lines
            && decimal::parse(stated) != Some(counted.into())
        {
            let text = format!("the set has {counted} lines, CTT01 says {stated:?}");
            self.fault(Severity::Warning, ctt, 1, Code::None, text);
        }
        let mut quantities = self.order.lines.iter().filter_map(|line| decimal::parse(line.quantity.as_deref()?));
        let sum = quantities.try_fold(Decimal::ZERO, Decimal::checked_add);
        if let (Some(stated), Some(sum), false) = (&self.order.stated_quantity, sum, self.order.is_change)
            && decimal::parse(stated) != Some(sum)
        {
            let text = format!("the quantities come to {sum}, CTT02 says {stated:?}");
            self.fault(Severity::Warning, ctt, 2, Code::None, text);
        }
    }

    fn missing(&mut self, at: &Segment<'_>, position: usize, id: &str, text: String) {
        self.faults.push(Fault {
            severity: Severity::Error,
            line: at.line,
            at: id.to_owned(),
            position,
            element: 0,
            code: Code::Segment(3),
            text,
        });
    }
}

/// MSG01, MTX02, NTE02.
fn note(segment: &Segment<'_>) -> Option<String> {
    segment.some(if segment.is("MSG") { 1 } else { 2 })
}
