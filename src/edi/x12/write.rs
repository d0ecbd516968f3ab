//! Writes X12: one interchange with one group and one transaction set, with fixed widths, counts and control numbers.

use crate::edi::purchase_order::DocumentOrigin;

/// Outbound transaction set, without its control numbers and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X12Draft {
    /// Transaction set id: 997, 810, 856, 880.
    pub kind: &'static str,
    /// Functional identifier (GS01): FA, IN, SH, GP.
    pub functional_id: &'static str,
    /// Origin of the document that this one answers. The answer goes to its sender, in its version.
    pub origin: DocumentOrigin,
    pub is_test: bool,
    /// Segments without ST and SE, each its id and its elements. Trailing empty elements are left out on writing.
    pub segments: Vec<Vec<String>>,
}

/// Control numbers of an outbound interchange: ISA13 and GS06.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlNumbers {
    pub interchange: u64,
    pub group: u64,
}

/// ST02 of the only transaction set.
pub const SET_CONTROL_NUMBER: &str = "0001";
/// Control numbers have at most nine digits.
const CONTROL_NUMBER_LIMIT: u64 = 1_000_000_000;

impl ControlNumbers {
    /// Returns the numbers as the file has them: after nine digits they begin again.
    #[must_use]
    pub fn as_written(self) -> Self {
        Self { interchange: self.interchange % CONTROL_NUMBER_LIMIT, group: self.group % CONTROL_NUMBER_LIMIT }
    }
}

/// Separators, which ISA defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OutputSeparators {
    element: char,
    component: char,
    repetition: char,
    segment: char,
}

impl OutputSeparators {
    /// Returns the usual separators, and others for those that occur in the values, so that a partner's numbers stay
    /// unchanged.
    ///
    /// The last candidate of each is a control character, which never occurs in a value.
    fn choose_unused(values: &str) -> Self {
        let first = |candidates: &[char]| {
            let last = candidates[candidates.len() - 1];
            candidates.iter().copied().find(|candidate| !values.contains(*candidate)).unwrap_or(last)
        };
        Self {
            element: first(&['*', '|', '\u{1d}']),
            component: first(&['>', ':', '\u{1f}']),
            repetition: first(&['^', '!', '\u{1e}']),
            segment: first(&['~', '\u{1c}']),
        }
    }
}

/// Returns a value as ASCII without control characters.
///
/// Other characters are transliterated, because X12 defines no encoding.
fn to_printable_ascii(value: &str) -> String {
    let value = deunicode::deunicode(value);
    let chars = value.chars().map(|char| if char.is_control() { ' ' } else { char });
    chars.collect::<String>().trim_end().to_owned()
}

/// Returns a value with exactly `width` characters, truncated or padded with spaces.
fn to_fixed_width(value: &str, width: usize) -> String {
    let value: String = to_printable_ascii(value).chars().take(width).collect();
    format!("{value:<width$}")
}

/// Elements that hold a date (element 373): segment id and position.
const DATE_ELEMENTS: [(&str, usize); 13] = [
    ("GS", 4),
    ("BIG", 1),
    ("BIG", 3),
    ("BSN", 3),
    ("DTM", 2),
    ("G01", 1),
    ("G01", 3),
    ("G23", 6),
    ("G23", 8),
    ("G62", 2),
    ("PRF", 4),
    ("ITD", 4),
    ("ITD", 6),
];

/// Writes the dates of a segment without their century.
fn shorten_dates(segment: &mut [String]) {
    for (id, position) in DATE_ELEMENTS {
        if segment.first().is_some_and(|own| own == id)
            && let Some(date) = segment.get_mut(position)
            && date.len() == 8
        {
            date.drain(..2);
        }
    }
}

/// Builds a segment from its id and its elements.
pub fn build_segment<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> Vec<String> {
    parts.into_iter().map(|part| part.as_ref().to_owned()).collect()
}

impl X12Draft {
    /// Writes the file. `sent_at` is a time such as `2026-11-24T13:30:59.123Z`, of which the digits up to the minute
    /// count.
    #[must_use]
    pub fn write_interchange(&self, numbers: ControlNumbers, sent_at: &str) -> String {
        let digits: String = sent_at.chars().filter(char::is_ascii_digit).collect();
        let (date, time) = (digits.get(..8).unwrap_or("00000000"), digits.get(8..12).unwrap_or("0000"));
        let numbers = numbers.as_written();
        let origin = &self.origin;
        let envelope = self.build_envelope(numbers, date, time);
        let ids = [&origin.receiver.1, &origin.sender.1].map(|id| to_fixed_width(id, 15));
        let values: String = envelope.iter().flatten().chain(&ids).map(String::as_str).collect();
        let separators = OutputSeparators::choose_unused(&values);
        let version = origin.answer_interchange_version();
        // ISA11 is the repetition separator from 00402 on, and before it the code U for the ANSI standards.
        let standard = if version >= "00402" { separators.repetition } else { 'U' };
        let blank = " ".repeat(10);
        let isa = [
            "ISA".to_owned(),
            "00".to_owned(),
            blank.clone(),
            "00".to_owned(),
            blank,
            to_fixed_width(&origin.receiver.0, 2),
            ids[0].clone(),
            to_fixed_width(&origin.sender.0, 2),
            ids[1].clone(),
            date[2..].to_owned(),
            time.to_owned(),
            standard.to_string(),
            version.to_owned(),
            format!("{:09}", numbers.interchange),
            "0".to_owned(),
            if self.is_test { "T" } else { "P" }.to_owned(),
            separators.component.to_string(),
        ];
        let mut text = String::new();
        for (index, segment) in std::iter::once(isa.as_slice()).chain(envelope.iter().map(Vec::as_slice)).enumerate() {
            let length = segment.iter().rposition(|part| index == 0 || !part.is_empty()).map_or(0, |last| last + 1);
            text.push_str(&segment[..length].join(&separators.element.to_string()));
            text.push(separators.segment);
            text.push('\n');
        }
        text
    }

    /// Builds all segments after ISA: GS to IEA, in printable ASCII.
    fn build_envelope(&self, numbers: ControlNumbers, date: &str, time: &str) -> Vec<Vec<String>> {
        let origin = &self.origin;
        let release: String = origin.version.chars().take(12).collect();
        let group = numbers.group.to_string();
        // GS02 and GS03 are mandatory. An order without them is answered with the ids of its interchange.
        let or = |own: &str, other: &str| if own.trim().is_empty() { other.trim().to_owned() } else { own.to_owned() };
        let from = or(&origin.application_receiver, &origin.receiver.1);
        let to = or(&origin.application_sender, &origin.sender.1);
        let mut segments: Vec<Vec<String>> = Vec::new();
        let mut add = |parts: &[&str]| segments.push(parts.iter().map(|part| to_printable_ascii(part)).collect());
        add(&["GS", self.functional_id, &from, &to, date, time, &group, "X", &release]);
        add(&["ST", self.kind, SET_CONTROL_NUMBER]);
        for segment in &self.segments {
            add(&segment.iter().map(String::as_str).collect::<Vec<_>>());
        }
        add(&["SE", &(self.segments.len() + 2).to_string(), SET_CONTROL_NUMBER]);
        add(&["GE", "1", &group]);
        add(&["IEA", "1", &format!("{:09}", numbers.interchange)]);
        if origin.has_short_dates() {
            for segment in &mut segments {
                shorten_dates(segment);
            }
        }
        segments
    }
}
