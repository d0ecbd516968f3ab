//! Reads a segment element by element, and keeps what no reader took.

use crate::edi::codes;
use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode};
use crate::edi::purchase_order::OrderExtra;
use crate::edi::x12::tokenizer::X12Segment;

/// Segment whose elements are taken one by one. An element that nobody took becomes an extra of the order, so that no
/// value can vanish.
#[derive(Debug)]
pub(crate) struct SegmentCursor<'s, 't> {
    pub segment: &'s X12Segment<'t>,
    /// Position in the transaction set, where ST is 1.
    pub position: usize,
    /// Id in upper case.
    pub id: String,
    taken: Vec<bool>,
}

impl<'s, 't> SegmentCursor<'s, 't> {
    pub fn new(segment: &'s X12Segment<'t>, position: usize) -> Self {
        Self { segment, position, id: segment.id.to_ascii_uppercase(), taken: vec![false; segment.len()] }
    }

    /// Returns the element without taking it; empty if it is missing.
    pub fn peek(&self, element: usize) -> &'t str {
        self.segment.element(element).trim()
    }

    /// Takes an element and returns it, or `None` if it is empty.
    pub fn take(&mut self, element: usize) -> Option<String> {
        self.take_parsed(element, |text| Some(text.to_owned()))
    }

    /// Takes an element if it can be parsed. Any other text stays, and becomes an extra.
    pub fn take_parsed<T>(&mut self, element: usize, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.peek(element);
        if text.is_empty() {
            return None;
        }
        let value = parse(text)?;
        if let Some(taken) = self.taken.get_mut(element - 1) {
            *taken = true;
        }
        Some(value)
    }

    /// Takes an element that states one of these values, which the model implies.
    pub fn take_implied(&mut self, element: usize, values: &[&str]) -> bool {
        self.take_parsed(element, |text| values.contains(&text).then_some(())).is_some()
    }

    /// Returns true if an element has a value that nobody took.
    pub fn is_left(&self, element: usize) -> bool {
        !self.peek(element).is_empty() && self.taken.get(element - 1) == Some(&false)
    }

    /// Returns what nobody took: the whole segment, or its single elements. `context` names what the segment belongs
    /// to, such as an address.
    pub fn into_extras(self, context: Option<&str>) -> Vec<OrderExtra> {
        let left: Vec<usize> = (1..=self.segment.len())
            .filter(|element| !self.taken[element - 1] && !self.peek(*element).is_empty())
            .collect();
        let meaning = codes::SEGMENTS.find(&self.id);
        let is_untouched = !self.taken.contains(&true);
        // The first element is the qualifier of most segments.
        let first = if self.taken.first() == Some(&true) { self.peek(1) } else { "" };
        let name = [meaning.unwrap_or_default(), if first.chars().count() > 3 { "" } else { first }].join(" ");
        let name = [name.trim(), context.unwrap_or_default()];
        let name: Vec<&str> = name.into_iter().filter(|part| !part.is_empty()).collect();
        let name = (!name.is_empty()).then(|| name.join(", "));
        if is_untouched && left.len() > 1 {
            let elements: Vec<&str> = (1..=self.segment.len()).map(|element| self.peek(element)).collect();
            return vec![OrderExtra { location: self.id, name, value: elements.join("*") }];
        }
        let to_extra = |element: usize| OrderExtra {
            location: format!("{}{element:02}", self.id),
            name: name.clone(),
            value: self.peek(element).to_owned(),
        };
        left.into_iter().map(to_extra).collect()
    }
}

/// Most faults that are stored for one set.
const FAULTS_MAX: usize = 1_000;

/// Faults of one transaction set.
#[derive(Debug, Default)]
pub(crate) struct X12FaultCollector {
    pub faults: Vec<EdiFault>,
    /// True after a fault that rejects the set.
    pub has_error: bool,
    /// What a person must look at.
    pub findings: Vec<String>,
    /// Values that cannot be read, although the model has a field for them.
    pub unreadable: Vec<String>,
}

impl X12FaultCollector {
    /// Adds a fault at an element, or at the whole segment if `element` is 0.
    pub fn add_fault(
        &mut self,
        severity: FaultSeverity,
        (segment, position): (&X12Segment<'_>, usize),
        element: usize,
        code: SyntaxErrorCode,
        message: impl Into<String>,
    ) {
        // The first error is always stored, because it rejects the set.
        if self.faults.len() >= FAULTS_MAX && (severity == FaultSeverity::Warning || self.has_error) {
            return;
        }
        self.has_error |= severity == FaultSeverity::Error;
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

    pub fn add_warning(
        &mut self,
        cursor: &SegmentCursor<'_, '_>,
        element: usize,
        code: SyntaxErrorCode,
        message: impl Into<String>,
    ) {
        self.add_fault(FaultSeverity::Warning, (cursor.segment, cursor.position), element, code, message);
    }

    /// Adds a warning about a value that cannot be read.
    pub fn add_unreadable(
        &mut self,
        cursor: &SegmentCursor<'_, '_>,
        element: usize,
        code: SyntaxErrorCode,
        message: String,
    ) {
        self.unreadable.push(format!("{}{element:02}: {message}", cursor.id));
        self.add_warning(cursor, element, code, message);
    }

    pub fn add_error(
        &mut self,
        cursor: &SegmentCursor<'_, '_>,
        element: usize,
        code: SyntaxErrorCode,
        message: impl Into<String>,
    ) {
        self.add_fault(FaultSeverity::Error, (cursor.segment, cursor.position), element, code, message);
    }

    /// Takes an element; adds an error if it is missing.
    pub fn require_element(
        &mut self,
        cursor: &mut SegmentCursor<'_, '_>,
        element: usize,
        reference: u16,
        name: &str,
    ) -> Option<String> {
        let value = cursor.take(element);
        if value.is_none() {
            let code = SyntaxErrorCode::Element(reference, 1, String::new());
            self.add_error(cursor, element, code, format!("{name} is missing"));
        }
        value
    }

    /// Checks the length of an element in characters; a longer one is a warning.
    pub fn check_length(
        &mut self,
        cursor: &SegmentCursor<'_, '_>,
        element: usize,
        reference: u16,
        chars_max: usize,
        name: &str,
    ) {
        let text = cursor.segment.element(element);
        let char_count = text.chars().count();
        if char_count > chars_max {
            let copy = text.chars().take(99).collect();
            let message = format!("{name} has {char_count} characters; at most {chars_max} are allowed");
            self.add_warning(cursor, element, SyntaxErrorCode::Element(reference, 5, copy), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edi::x12::text::X12Text;
    use crate::edi::x12::tokenizer::X12Tokenizer;

    fn read_extras(segment: &str, taken: &[usize]) -> Vec<(String, Option<String>, String)> {
        let text = format!(
            "ISA*00*          *00*          *ZZ*A              *ZZ*B              *261124*1041*U*00401*000000055*0*P*>~{segment}~"
        );
        let text = X12Text::prepare(&text);
        let segment = X12Tokenizer::new(&text).nth(1).unwrap();
        let mut cursor = SegmentCursor::new(&segment, 2);
        for element in taken {
            cursor.take(*element);
        }
        let extras = cursor.into_extras(Some("address ST 0012"));
        extras.into_iter().map(|extra| (extra.location, extra.name, extra.value)).collect()
    }

    #[test]
    fn what_nobody_takes_is_an_extra() {
        assert_eq!(
            read_extras("PER*IC*Ada*TE*1**", &[1, 2, 3, 4]),
            [],
            "every value is taken; an empty element states nothing"
        );
        let name = || Some("contact IC, address ST 0012".to_owned());
        assert_eq!(
            read_extras("PER*IC*Ada*TE*1*TE*2", &[1, 2, 3, 4]),
            [("PER05".into(), name(), "TE".into()), ("PER06".into(), name(), "2".into())]
        );
        let name = || Some("measurement, address ST 0012".to_owned());
        assert_eq!(read_extras("mea*PD*N**5", &[]), [("MEA".into(), name(), "PD*N**5".into())]);
        assert_eq!(read_extras("MEA*PD", &[]), [("MEA01".into(), name(), "PD".into())]);
    }
}
