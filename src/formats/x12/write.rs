//! Writing X12: one interchange with one group and one set, its fixed widths, counts and control numbers.

use crate::formats::purchase_order::Origin;

/// A set that is to go out, but for its control numbers and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// 997, 810, 856.
    pub kind: &'static str,
    /// GS01: FA, IN, SH.
    pub functional_id: &'static str,
    /// Of what is answered: who sent it gets the answer, in the version that it was written in.
    pub origin: Origin,
    pub is_test: bool,
    /// Each its id and its elements, without ST and SE. Trailing empty elements are left out.
    pub segments: Vec<Vec<String>>,
}

/// ISA13 and GS06 of what goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    pub interchange: u64,
    pub group: u64,
}

/// ST02 of the one set.
const SET: &str = "0001";

/// What separates; each announced by ISA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Separators {
    element: char,
    component: char,
    repetition: char,
    segment: char,
}

impl Separators {
    /// The usual ones; where one stands in what is sent, another that does not: a partner's own numbers must stay as they are.
    /// The last of each is a control character, which never stands there.
    fn free_of(values: &str) -> Self {
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

/// A value in ASCII without control characters. What is not ASCII is written with the letters next to it, since X12 names no
/// encoding.
fn clean(value: &str) -> String {
    let value = deunicode::deunicode(value);
    let letters = value.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    letters.collect::<String>().trim_end().to_owned()
}

/// Exactly so many characters.
fn fixed(value: &str, width: usize) -> String {
    let value: String = clean(value).chars().take(width).collect();
    format!("{value:<width$}")
}

/// One segment of an id and elements.
pub fn segment<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> Vec<String> {
    parts.into_iter().map(|part| part.as_ref().to_owned()).collect()
}

impl Draft {
    /// The file. `at`: when it is sent, of `2026-11-24T13:30:59.123Z` the digits up to the minute.
    #[must_use]
    pub fn write(&self, numbers: Numbers, at: &str) -> String {
        let digits: String = at.chars().filter(char::is_ascii_digit).collect();
        let (date, time) = (digits.get(..8).unwrap_or("00000000"), digits.get(8..12).unwrap_or("0000"));
        let origin = &self.origin;
        // ISA11 is a repetition separator from 00402 on; 5010 writes 00501.
        let is_new = origin.version.as_str() >= "005" || origin.interchange_version.as_str() >= "00402";
        let mut rest: Vec<Vec<String>> = Vec::new();
        let mut add = |parts: &[&str]| rest.push(parts.iter().map(|part| clean(part)).collect());
        let release: String = origin.version.chars().take(12).collect();
        let (number, group) = (numbers.interchange % 1_000_000_000, (numbers.group % 1_000_000_000).to_string());
        // GS02 and 03 must be there; where the order had none, the interchange's stand for them.
        let or = |own: &str, other: &str| if own.trim().is_empty() { other.trim().to_owned() } else { own.to_owned() };
        let from = or(&origin.application_receiver, &origin.receiver.1);
        let to = or(&origin.application_sender, &origin.sender.1);
        add(&["GS", self.functional_id, &from, &to, date, time, &group, "X", &release]);
        add(&["ST", self.kind, SET]);
        for segment in &self.segments {
            add(&segment.iter().map(String::as_str).collect::<Vec<_>>());
        }
        add(&["SE", &(self.segments.len() + 2).to_string(), SET]);
        add(&["GE", "1", &group]);
        add(&["IEA", "1", &format!("{number:09}")]);
        let ids = [&origin.receiver.1, &origin.sender.1].map(|id| fixed(id, 15));
        let values: String = rest.iter().flatten().chain(&ids).map(String::as_str).collect();
        let by = Separators::free_of(&values);
        let (standard, version) = if is_new { (by.repetition, "00501") } else { ('U', "00401") };
        let is_test = if self.is_test { "T" } else { "P" };
        let blank = " ".repeat(10);
        let isa = [
            "ISA".to_owned(),
            "00".to_owned(),
            blank.clone(),
            "00".to_owned(),
            blank,
            fixed(&origin.receiver.0, 2),
            ids[0].clone(),
            fixed(&origin.sender.0, 2),
            ids[1].clone(),
            date[2..].to_owned(),
            time.to_owned(),
            standard.to_string(),
            version.to_owned(),
            format!("{number:09}"),
            "0".to_owned(),
            is_test.to_owned(),
            by.component.to_string(),
        ];
        let mut text = String::new();
        for (place, segment) in std::iter::once(isa.as_slice()).chain(rest.iter().map(Vec::as_slice)).enumerate() {
            let used = segment.iter().rposition(|part| place == 0 || !part.is_empty()).map_or(0, |last| last + 1);
            text.push_str(&segment[..used].join(&by.element.to_string()));
            text.push(by.segment);
            text.push('\n');
        }
        text
    }
}
