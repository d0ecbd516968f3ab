//! Faults of one RSX document, and the reading of numbers and dates that adds them.

use crate::edi::decimal;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::purchase_order::{EdiDate, PurchaseOrderLine};
use crate::edi::rsx::tree::RsxNode;

/// Faults of one document.
#[derive(Debug, Default)]
pub(crate) struct RsxFaultCollector {
    pub faults: Vec<EdiFault>,
    /// What a person must look at.
    pub findings: Vec<String>,
    /// Values that cannot be read, although the model has a field for them.
    pub unreadable: Vec<String>,
}

impl RsxFaultCollector {
    fn add_fault(&mut self, severity: FaultSeverity, location: &str, message: String) {
        self.faults.push(EdiFault {
            severity,
            line: 0,
            location: location.to_owned(),
            position: 0,
            element: 0,
            code: SyntaxErrorCode::None,
            message,
        });
    }

    pub fn add_error(&mut self, location: &str, message: impl Into<String>) {
        self.add_fault(FaultSeverity::Error, location, message.into());
    }

    pub fn add_warning(&mut self, location: &str, message: impl Into<String>) {
        self.add_fault(FaultSeverity::Warning, location, message.into());
    }

    /// Adds a finding about a line, and the warning of the same text.
    pub fn add_finding(&mut self, at: &str, line: &PurchaseOrderLine, finding: String) {
        let name = line.number.as_ref().map_or_else(|| at.to_owned(), |number| format!("line {number}"));
        self.findings.push(format!("{name} {finding}"));
        self.add_warning(at, finding);
    }

    /// Adds a finding about the order, and the warning of the same text at its place.
    pub fn add_order_finding(&mut self, at: &str, finding: String) {
        self.findings.push(format!("{at} {finding}"));
        self.add_warning(at, finding);
    }

    /// Returns the only child with this name. Of several, the first one is read; if another one differs from it, that
    /// is a finding. `at` is the path of the parent.
    pub fn find_single<'n>(&mut self, node: &'n RsxNode, name: &str, at: &str) -> Option<&'n RsxNode> {
        let mut children = node.children.iter().filter(|child| child.name == name && child.has_text());
        let Some(first) = children.next() else { return node.first_child(&[name]) };
        let more = children.filter(|other| *other != first).count();
        if more > 0 {
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            self.add_order_finding(&path, format!("is stated {} times: only the first one is read", more + 1));
        }
        Some(first)
    }

    /// Takes a number; a text that is none stays an extra, with a warning.
    pub fn take_number(&mut self, node: &RsxNode, at: &str, name: &str) -> Option<String> {
        self.read_number(node, at, name, FaultSeverity::Warning)
    }

    /// Takes a number; a text that is none rejects the order, because a wrong quantity is worse than none.
    pub fn take_exact_number(&mut self, node: &RsxNode, at: &str, name: &str) -> Option<String> {
        self.read_number(node, at, name, FaultSeverity::Error)
    }

    fn read_number(&mut self, node: &RsxNode, at: &str, name: &str, severity: FaultSeverity) -> Option<String> {
        let number = node.take_parsed(&[name], decimal::normalize_decimal);
        if let (None, Some(text)) = (&number, node.child_text(&[name])) {
            let (location, message) = (format!("{at}/{name}"), format!("{text:?} is not a number"));
            self.unreadable.push(format!("{location}: {message}"));
            self.add_fault(severity, &location, message);
        }
        number
    }

    /// Takes a day. A text with a time beside the day stays an extra too; a text that is none gives a warning.
    pub fn take_date(&mut self, node: &RsxNode, at: &str, names: &[&str]) -> Option<String> {
        let text = node.child_text(names)?;
        let day = parse_day(&text);
        if day.is_none() {
            let name = names.first().copied().unwrap_or_default();
            let (location, message) = (format!("{at}/{name}"), format!("{text:?} is not a date"));
            self.unreadable.push(format!("{location}: {message}"));
            self.add_warning(&location, message);
        }
        node.take_parsed(names, |text| parse_day(text).filter(|_| text.len() == DAY_LENGTH));
        day
    }
}

/// Returns the contradiction between `ShipDate`, which stays an extra, and the date 010 (shipment requested).
pub(crate) fn contradict_ship_date(details: &RsxNode, dates: &[EdiDate]) -> Option<String> {
    let day = parse_day(&details.child_text(&["ShipDate"])?)?;
    let requested = dates.iter().filter(|date| date.qualifier == "010" && date.address.is_none());
    let other = requested.filter_map(|date| date.on.as_ref()).find(|other| **other != day)?;
    Some(format!("states ShipDate {day} and the date 010 {other}"))
}

/// Length of `2026-11-24`.
const DAY_LENGTH: usize = 10;

/// Parses the day at the beginning of a text; some senders add a time to the date.
fn parse_day(text: &str) -> Option<String> {
    let day = jiff::civil::Date::strptime("%Y-%m-%d", text.get(..DAY_LENGTH)?).ok()?;
    let rest = &text[DAY_LENGTH..];
    (rest.is_empty() || rest.starts_with(['T', ' ', 'Z', '+', '-'])).then(|| day.to_string())
}

/// Splits a time from its zone: `16:13:03-05:00` has the zone `-05:00`.
pub(crate) fn split_time_zone(text: &str) -> (String, Option<String>) {
    match text.find(['Z', '+', '-']).filter(|offset| *offset > 0) {
        Some(offset) => (text[..offset].trim().to_owned(), Some(text[offset..].to_owned())),
        None => (text.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_zones_are_split() {
        assert_eq!(split_time_zone("16:13:03-05:00"), ("16:13:03".into(), Some("-05:00".into())));
        assert_eq!(split_time_zone("16:13:03Z"), ("16:13:03".into(), Some("Z".into())));
        assert_eq!(split_time_zone("16:13"), ("16:13".into(), None));
        assert_eq!(parse_day("2026-11-24T10:00:00").as_deref(), Some("2026-11-24"));
        assert_eq!(parse_day("2026-11-245"), None);
    }
}
