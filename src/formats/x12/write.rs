//! Writing X12: one interchange with one group, its fixed widths, counts and control numbers.

use std::fmt::Write as _;

/// Who writes to whom, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interchange {
    /// Qualifier and id: ISA05 and 06, ISA07 and 08.
    pub sender: (String, String),
    pub receiver: (String, String),
    /// GS01, 02 and 03.
    pub functional_id: String,
    pub application_sender: String,
    pub application_receiver: String,
    /// GS08: 004010, 005010 …
    pub version: String,
    /// ISA11 is a repetition separator and ISA12 is 00501: what 5010 writes.
    pub repetition: bool,
    pub is_test: bool,
    /// ISA13 and GS06.
    pub numbers: (u64, u64),
    /// `20261124` and `1330`.
    pub date: String,
    pub time: String,
}

/// Writes sets into one group of one interchange.
#[derive(Debug)]
pub struct Writer {
    text: String,
    numbers: (u64, u64),
    sets: usize,
    /// Segments of the set that is open.
    segments: usize,
    control: String,
}

const ELEMENT: char = '*';
const COMPONENT: char = '>';
const REPETITION: char = '^';
const SEGMENT: char = '~';

/// A value without what would break the segment; `None` separators: spaces stand for them.
fn clean(value: &str) -> String {
    value
        .chars()
        .map(|letter| {
            let separates = [ELEMENT, REPETITION, SEGMENT].contains(&letter);
            if separates || letter.is_control() { ' ' } else { letter }
        })
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// Exactly so many characters.
fn fixed(value: &str, width: usize) -> String {
    let value: String = clean(value).replace(COMPONENT, " ").chars().take(width).collect();
    format!("{value:<width$}")
}

impl Writer {
    /// Begins an interchange and its group.
    #[must_use]
    pub fn new(interchange: &Interchange) -> Self {
        let Interchange { sender, receiver, date, time, numbers, .. } = interchange;
        let (standard, version) = if interchange.repetition { (REPETITION, "00501") } else { ('U', "00401") };
        let mut writer = Self { text: String::new(), numbers: *numbers, sets: 0, segments: 0, control: String::new() };
        let _ = writeln!(
            writer.text,
            "ISA*00*{:10}*00*{:10}*{}*{}*{}*{}*{}*{}*{standard}*{version}*{:09}*0*{}*{COMPONENT}~",
            "",
            "",
            fixed(&sender.0, 2),
            fixed(&sender.1, 15),
            fixed(&receiver.0, 2),
            fixed(&receiver.1, 15),
            date.get(2..).unwrap_or("000000"),
            time.get(..4).unwrap_or("0000"),
            numbers.0 % 1_000_000_000,
            if interchange.is_test { 'T' } else { 'P' },
        );
        writer.raw(&[
            "GS".to_owned(),
            interchange.functional_id.clone(),
            interchange.application_sender.clone(),
            interchange.application_receiver.clone(),
            date.clone(),
            time.clone(),
            numbers.1.to_string(),
            "X".to_owned(),
            interchange.version.chars().take(12).collect(),
        ]);
        writer
    }

    /// Begins a set.
    pub fn begin(&mut self, kind: &str) {
        self.sets += 1;
        self.segments = 0;
        self.control = format!("{:04}", self.sets);
        self.segment(&["ST".to_owned(), kind.to_owned(), self.control.clone()]);
    }

    /// A segment of the set: its id and its elements; trailing empty ones are left out.
    pub fn segment(&mut self, parts: &[String]) {
        self.segments += 1;
        self.raw(parts);
    }

    fn raw(&mut self, parts: &[String]) {
        let parts: Vec<String> = parts.iter().map(|part| clean(part)).collect();
        let used = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
        self.text.push_str(&parts[..used].join("*"));
        self.text.push_str("~\n");
    }

    /// Ends the set that is open.
    pub fn end_set(&mut self) {
        let count = (self.segments + 1).to_string();
        let control = self.control.clone();
        self.segment(&["SE".to_owned(), count, control]);
    }

    /// Ends the set, the group and the interchange.
    #[must_use]
    pub fn end(mut self) -> String {
        self.end_set();
        let (interchange, group) = self.numbers;
        let sets = self.sets.to_string();
        self.raw(&["GE".to_owned(), sets, group.to_string()]);
        self.raw(&["IEA".to_owned(), "1".to_owned(), format!("{:09}", interchange % 1_000_000_000)]);
        self.text
    }
}
