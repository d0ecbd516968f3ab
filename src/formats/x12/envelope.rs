//! Interchanges, groups and sets, with their counts and control numbers checked.

use super::tokens::{SEGMENTS_MAX, Segment, Tokens, trimmed};
use crate::formats::fault::{Code, Fault, Severity};
use std::collections::HashSet;

/// ISA to IEA.
#[derive(Debug, Clone, Default)]
pub struct Interchange<'t> {
    /// ISA05 and ISA06.
    pub sender: (String, String),
    /// ISA07 and ISA08.
    pub receiver: (String, String),
    /// ISA12.
    pub version: String,
    /// ISA13.
    pub control: String,
    /// ISA15 is T.
    pub is_test: bool,
    pub groups: Vec<Group<'t>>,
    pub faults: Vec<Fault>,
}

/// GS to GE.
#[derive(Debug, Clone, Default)]
pub struct Group<'t> {
    /// GS01: PO, PC, FA …
    pub functional_id: String,
    pub sender: String,
    pub receiver: String,
    /// GS06.
    pub control: String,
    /// GS08.
    pub version: String,
    pub sets: Vec<Set<'t>>,
    /// GE01; `None` where there was no GE.
    pub stated_sets: Option<u64>,
    pub faults: Vec<Fault>,
}

/// ST to SE.
#[derive(Debug, Clone, Default)]
pub struct Set<'t> {
    /// ST01: 850, 860 …
    pub kind: String,
    /// ST02.
    pub control: String,
    /// ST03, in 5010.
    pub convention: String,
    /// From ST to SE.
    pub segments: Vec<Segment<'t>>,
    pub faults: Vec<Fault>,
}

/// Everything of a file.
#[derive(Debug, Clone, Default)]
pub struct File<'t> {
    pub interchanges: Vec<Interchange<'t>>,
    /// What belongs to no interchange.
    pub faults: Vec<Fault>,
}

/// Most interchanges, groups and sets of one file together.
const ENVELOPES_MAX: usize = 5_000;
/// Most faults of one interchange or group that are kept.
const FAULTS_MAX: usize = 1_000;

/// What GS01 is for a set.
const FUNCTIONAL_IDS: [(&str, &str); 7] =
    [("850", "PO"), ("860", "PC"), ("855", "PR"), ("865", "CA"), ("810", "IN"), ("856", "SH"), ("997", "FA")];

fn fault(severity: Severity, segment: &Segment<'_>, element: usize, code: Code, text: impl Into<String>) -> Fault {
    let at = if element == 0 { segment.id.to_owned() } else { format!("{}{element:02}", segment.id) };
    Fault { severity, line: segment.line, at, position: 0, element, code, text: text.into() }
}

fn number(text: &str) -> Option<u64> {
    trimmed(text).parse().ok()
}

fn same_number(one: &str, other: &str) -> bool {
    let (one, other) = (trimmed(one), trimmed(other));
    one == other || number(one).is_some_and(|one| Some(one) == number(other))
}

/// Reads a text; what is no X12 has no interchanges.
#[must_use]
pub fn read(text: &str) -> File<'_> {
    let mut reader = Reader::default();
    let mut tokens = Tokens::new(text);
    let (mut count, mut envelopes) = (0, 0);
    while let Some(segment) = tokens.next() {
        count += 1;
        envelopes += usize::from(["ISA", "GS", "ST"].iter().any(|id| segment.is(id)));
        if count > SEGMENTS_MAX || envelopes > ENVELOPES_MAX {
            let text = format!(
                "the file has more than {SEGMENTS_MAX} segments or {ENVELOPES_MAX} interchanges, groups and sets: the rest was not read"
            );
            reader.file.faults.push(fault(Severity::Error, &segment, 0, Code::None, text));
            break;
        }
        // The first one may be called otherwise; its component separator may have been taken for an empty end.
        let isa = count == 1 && segment.len() >= 15 && !segment.is("GS") || segment.is("ISA");
        reader.take(segment, isa);
        for (line, text) in tokens.complaints.drain(..) {
            let at = "ISA".to_owned();
            let fault =
                Fault { severity: Severity::Warning, line, at, position: 0, element: 0, code: Code::None, text };
            reader.note(fault);
        }
    }
    reader.end()
}

#[derive(Default)]
struct Reader<'t> {
    file: File<'t>,
    interchange: Option<Interchange<'t>>,
    group: Option<Group<'t>>,
    set: Option<Set<'t>>,
    last: Option<Segment<'t>>,
    has_ta1: bool,
    /// Control numbers that were seen in the interchange and in the group.
    group_numbers: HashSet<String>,
    set_numbers: HashSet<String>,
}

impl<'t> Reader<'t> {
    fn take(&mut self, segment: Segment<'t>, isa: bool) {
        self.last = Some(segment.clone());
        if isa {
            self.close_interchange(None);
            let text = |place| trimmed(segment.get(place)).to_owned();
            self.has_ta1 = false;
            self.group_numbers.clear();
            self.interchange = Some(Interchange {
                sender: (text(5), text(6)),
                receiver: (text(7), text(8)),
                version: text(12),
                control: text(13),
                is_test: text(15).eq_ignore_ascii_case("T"),
                ..Interchange::default()
            });
        } else if segment.is("GS") {
            self.close_group(None);
            self.set_numbers.clear();
            let text = |place| trimmed(segment.get(place)).to_owned();
            let mut group = Group {
                functional_id: text(1).to_ascii_uppercase(),
                sender: text(2),
                receiver: text(3),
                control: text(6),
                version: text(8),
                ..Group::default()
            };
            if number(&group.control).is_none() {
                group.faults.push(fault(
                    Severity::Warning,
                    &segment,
                    6,
                    Code::Group(6),
                    "the group's control number is no number",
                ));
            }
            if !self.group_numbers.insert(group.control.trim_start_matches('0').to_owned()) {
                group.faults.push(fault(
                    Severity::Warning,
                    &segment,
                    6,
                    Code::Group(6),
                    "another group of this interchange has the same control number",
                ));
            }
            self.group = Some(group);
        } else if segment.is("ST") {
            self.close_set(None);
            self.open_set(segment);
        } else if segment.is("SE") && self.set.is_some() {
            self.close_set(Some(&segment));
        } else if segment.is("GE") && self.group.is_some() {
            self.close_group(Some(&segment));
        } else if segment.is("IEA") && self.interchange.is_some() {
            self.close_interchange(Some(&segment));
        } else if let Some(set) = &mut self.set {
            set.segments.push(segment);
        } else if segment.is("TA1") {
            self.has_ta1 = true;
        } else {
            let text = format!("{} stands outside of a set: it was left aside", segment.id);
            self.note(fault(Severity::Warning, &segment, 0, Code::None, text));
        }
    }

    /// A fault where it belongs now.
    fn note(&mut self, fault: Fault) {
        let faults = match (&mut self.group, &mut self.interchange) {
            (Some(group), _) => &mut group.faults,
            (None, Some(interchange)) => &mut interchange.faults,
            (None, None) => &mut self.file.faults,
        };
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }

    fn open_set(&mut self, segment: Segment<'t>) {
        let text = |place| trimmed(segment.get(place)).to_owned();
        let mut set = Set { kind: text(1), control: text(2), convention: text(3), ..Set::default() };
        let code = |code| Code::Set(code);
        let mut warn = |element, code, text: String| {
            let mut fault = fault(Severity::Warning, &segment, element, code, text);
            fault.position = 1;
            set.faults.push(fault);
        };
        if !(4..=9).contains(&set.control.chars().count()) {
            warn(2, code(7), format!("the control number {:?} has not 4 to 9 characters", set.control));
        }
        if let Some(group) = &self.group {
            if !self.set_numbers.insert(set.control.clone()) {
                warn(2, code(7), format!("another set of this group has the control number {:?} too", set.control));
            }
            if let Some((kind, id)) = FUNCTIONAL_IDS.iter().find(|(kind, _)| *kind == set.kind)
                && *id != group.functional_id
            {
                warn(
                    1,
                    code(6),
                    format!("a group of {:?} (GS01) holds an {kind}, which is one of {id}", group.functional_id),
                );
            }
        }
        set.segments.push(segment);
        self.set = Some(set);
    }

    fn close_set(&mut self, se: Option<&Segment<'t>>) {
        let Some(mut set) = self.set.take() else { return };
        let position = set.segments.len() + 1;
        let place = |mut fault: Fault| {
            fault.position = position;
            fault
        };
        if let Some(se) = se {
            let counted = set.segments.len() as u64 + 1;
            if number(se.get(1)) != Some(counted) {
                let text = format!("the set has {counted} segments, SE01 says {:?}", se.get(1));
                set.faults.push(place(fault(Severity::Warning, se, 1, Code::Set(4), text)));
            }
            if !same_number(se.get(2), &set.control) {
                let text = format!("ST02 is {:?}, SE02 is {:?}", set.control, se.get(2));
                set.faults.push(place(fault(Severity::Warning, se, 2, Code::Set(3), text)));
            }
            set.segments.push(se.clone());
        } else if let Some(last) = set.segments.last() {
            let text = format!("the set {:?} has no SE: the file was cut off, or a segment is missing", set.control);
            let missing = place(fault(Severity::Error, last, 0, Code::Set(2), text));
            set.faults.push(missing);
        }
        self.group.get_or_insert_with(Group::default).sets.push(set);
    }

    fn close_group(&mut self, ge: Option<&Segment<'t>>) {
        self.close_set(None);
        let Some(mut group) = self.group.take() else { return };
        let counted = group.sets.len() as u64;
        if let Some(ge) = ge {
            group.stated_sets = number(ge.get(1));
            if group.stated_sets != Some(counted) {
                let text = format!("the group has {counted} sets, GE01 says {:?}", ge.get(1));
                group.faults.push(fault(Severity::Warning, ge, 1, Code::Group(5), text));
            }
            if !same_number(ge.get(2), &group.control) {
                let text = format!("GS06 is {:?}, GE02 is {:?}", group.control, ge.get(2));
                group.faults.push(fault(Severity::Warning, ge, 2, Code::Group(4), text));
            }
        } else if let Some(last) = &self.last {
            group.faults.push(fault(Severity::Warning, last, 0, Code::Group(3), "the group has no GE"));
        }
        self.interchange.get_or_insert_with(Interchange::default).groups.push(group);
    }

    fn close_interchange(&mut self, iea: Option<&Segment<'t>>) {
        self.close_group(None);
        let Some(mut interchange) = self.interchange.take() else { return };
        let counted = interchange.groups.len() as u64;
        if let Some(iea) = iea {
            // One that holds nothing but a TA1 has no groups, and some say 1.
            if number(iea.get(1)) != Some(counted) && !(counted == 0 && self.has_ta1) {
                let text = format!("the interchange has {counted} groups, IEA01 says {:?}", iea.get(1));
                interchange.faults.push(fault(Severity::Warning, iea, 1, Code::None, text));
            }
            if !same_number(iea.get(2), &interchange.control) {
                let text = format!("ISA13 is {:?}, IEA02 is {:?}", interchange.control, iea.get(2));
                interchange.faults.push(fault(Severity::Warning, iea, 2, Code::None, text));
            }
        } else if let Some(last) = &self.last {
            interchange.faults.push(fault(Severity::Warning, last, 0, Code::None, "the interchange has no IEA"));
        }
        self.file.interchanges.push(interchange);
    }

    fn end(mut self) -> File<'t> {
        self.close_interchange(None);
        self.file
    }
}
