//! Writing X12: one interchange with one group and one set, its fixed widths, counts and control numbers.

use crate::formats::purchase_order::Origin;
use std::fmt::Write as _;

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

const ELEMENT: char = '*';
const COMPONENT: char = '>';
const REPETITION: char = '^';
const SEGMENT: char = '~';
/// ST02 of the one set.
const SET: &str = "0001";

/// A value without what would break the segment: spaces stand for it. What is not ASCII is written with the letters next to it,
/// since X12 names no encoding.
fn clean(value: &str) -> String {
    deunicode::deunicode(value)
        .chars()
        .map(|letter| {
            let separates = [ELEMENT, COMPONENT, REPETITION, SEGMENT].contains(&letter);
            if separates || letter.is_control() { ' ' } else { letter }
        })
        .collect::<String>()
        .trim_end()
        .to_owned()
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
        let (standard, version) = if is_new { (REPETITION, "00501") } else { ('U', "00401") };
        let (interchange, group) = (numbers.interchange % 1_000_000_000, (numbers.group % 1_000_000_000).to_string());
        let mut text = String::new();
        let _ = writeln!(
            text,
            "ISA*00*{:10}*00*{:10}*{}*{}*{}*{}*{}*{time}*{standard}*{version}*{interchange:09}*0*{}*{COMPONENT}~",
            "",
            "",
            fixed(&origin.receiver.0, 2),
            fixed(&origin.receiver.1, 15),
            fixed(&origin.sender.0, 2),
            fixed(&origin.sender.1, 15),
            &date[2..],
            if self.is_test { 'T' } else { 'P' },
        );
        let mut add = |parts: &[&str]| {
            let parts: Vec<String> = parts.iter().map(|part| clean(part)).collect();
            let used = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
            text.push_str(&parts[..used].join("*"));
            text.push_str("~\n");
        };
        let release: String = origin.version.chars().take(12).collect();
        let (from, to) = (&origin.application_receiver, &origin.application_sender);
        add(&["GS", self.functional_id, from, to, date, time, &group, "X", &release]);
        add(&["ST", self.kind, SET]);
        for segment in &self.segments {
            add(&segment.iter().map(String::as_str).collect::<Vec<_>>());
        }
        add(&["SE", &(self.segments.len() + 2).to_string(), SET]);
        add(&["GE", "1", &group]);
        add(&["IEA", "1", &format!("{interchange:09}")]);
        text
    }
}
