//! Reads interchanges, functional groups and transaction sets, and checks their counts and control numbers.

use crate::edi::fault::{EdiFault, FaultSeverity, SyntaxErrorCode, WHOLE_FILE};
use crate::edi::purchase_order::OrderExtra;
use crate::edi::x12::order_layout::is_order_set;
use crate::edi::x12::text::X12Text;
use crate::edi::x12::tokenizer::{SEGMENTS_MAX, X12Segment, X12Tokenizer, trim_fillers};
use crate::edi::x12::{envelope_extras, segments};
use crate::text::format_count;
use std::collections::HashSet;

/// Interchange: ISA to IEA.
#[derive(Debug, Clone, Default)]
pub struct Interchange<'t> {
    /// Qualifier and id (ISA05 and ISA06).
    pub sender: (String, String),
    /// Qualifier and id (ISA07 and ISA08).
    pub receiver: (String, String),
    /// Interchange control version (ISA12).
    pub version: String,
    /// Control number (ISA13).
    pub control_number: String,
    /// True if ISA15 is T.
    pub is_test: bool,
    pub groups: Vec<FunctionalGroup<'t>>,
    /// Values of the ISA that no field has: authorization (ISA02), and that there is a password (ISA04).
    pub extras: Vec<OrderExtra>,
    /// TA1 segments: each answers an interchange that its receiver sent.
    pub ta1_segments: Vec<X12Segment<'t>>,
    pub faults: Vec<EdiFault>,
}

/// Functional group: GS to GE.
#[derive(Debug, Clone, Default)]
pub struct FunctionalGroup<'t> {
    /// Functional identifier (GS01): PO, PC, FA …
    pub functional_id: String,
    pub sender: String,
    pub receiver: String,
    /// Control number (GS06).
    pub control_number: String,
    /// Version (GS08).
    pub version: String,
    /// Time at which the sender made the group, in its local time (GS04, GS05): `2026-11-24T10:41`.
    pub sent_at: Option<String>,
    pub sets: Vec<TransactionSet<'t>>,
    /// Number of sets that the sender states (GE01); `None` without a GE.
    pub stated_set_count: Option<u64>,
    pub faults: Vec<EdiFault>,
}

/// Transaction set: ST to SE.
#[derive(Debug, Clone, Default)]
pub struct TransactionSet<'t> {
    /// Transaction set id (ST01): 850, 860 …
    pub kind: String,
    /// Control number (ST02).
    pub control_number: String,
    /// Segments from ST to SE, both included.
    pub segments: Vec<X12Segment<'t>>,
    pub faults: Vec<EdiFault>,
    /// What a person must look at in the file around the set.
    pub findings: Vec<String>,
}

/// All interchanges of a file.
#[derive(Debug, Clone, Default)]
pub struct X12File<'t> {
    pub interchanges: Vec<Interchange<'t>>,
    /// Faults that belong to no interchange.
    pub faults: Vec<EdiFault>,
}

/// Most interchanges, groups and sets of one file together; bounds memory.
const ENVELOPES_MAX: usize = 5_000;
/// Most segments outside of a set that are findings.
const STRAY_SEGMENTS_MAX: usize = 20;
/// Most characters of a segment that a finding shows.
const SHOWN_SEGMENT_CHARS_MAX: usize = 80;
/// Most faults that are stored for one interchange or group.
const FAULTS_MAX: usize = 1_000;

/// GS01 for each transaction set id.
const FUNCTIONAL_IDS: [(&str, &str); 10] = [
    ("850", "PO"),
    ("860", "PC"),
    ("855", "PR"),
    ("865", "CA"),
    ("875", "OG"),
    ("876", "OG"),
    ("810", "IN"),
    ("880", "GP"),
    ("856", "SH"),
    ("997", "FA"),
];

fn build_fault(
    severity: FaultSeverity,
    segment: &X12Segment<'_>,
    element: usize,
    code: SyntaxErrorCode,
    message: impl Into<String>,
) -> EdiFault {
    let location = if element == 0 { segment.id.to_owned() } else { format!("{}{element:02}", segment.id) };
    EdiFault { severity, line: segment.line, location, position: 0, element, code, message: message.into() }
}

/// Returns the beginning of a segment as it is written in most files.
fn show_segment(segment: &X12Segment<'_>) -> String {
    let elements = (1..=segment.len()).map(|element| segment.element(element));
    let text: Vec<&str> = std::iter::once(segment.id).chain(elements).collect();
    text.join("*").chars().take(SHOWN_SEGMENT_CHARS_MAX).collect()
}

/// Parses a number of an envelope: digits, with or without leading zeros.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    trim_fillers(text).parse().ok()
}

fn is_same_number(one: &str, other: &str) -> bool {
    let (one, other) = (trim_fillers(one), trim_fillers(other));
    one == other || parse_number(one).is_some_and(|one| Some(one) == parse_number(other))
}

/// Sender and receiver of one interchange (ISA06 and ISA08).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterchangeParties {
    pub sender: String,
    pub receiver: String,
}

/// Returns the parties of each interchange, without keeping any other segment.
#[must_use]
pub fn find_interchange_parties(text: &str) -> Vec<InterchangeParties> {
    let text = X12Text::prepare(text);
    let segments = X12Tokenizer::new(&text).take(SEGMENTS_MAX).enumerate();
    let openings = segments.filter(|(index, segment)| is_isa_segment(segment, *index == 0)).take(ENVELOPES_MAX);
    let to_parties = |segment: X12Segment<'_>| InterchangeParties {
        sender: trim_fillers(segment.element(6)).to_owned(),
        receiver: trim_fillers(segment.element(8)).to_owned(),
    };
    openings.map(|(_, segment)| to_parties(segment)).collect()
}

/// Returns true for the first segment of an interchange. The first segment of a file may have another id than ISA. Its
/// component separator can look like a trailing empty element.
fn is_isa_segment(segment: &X12Segment<'_>, is_first: bool) -> bool {
    is_first && segment.len() >= 15 && !segment.has_id("GS") || segment.has_id("ISA")
}

/// Reads a text. Text that is not X12 has no interchanges.
#[must_use]
pub fn read_interchanges<'t>(text: &'t X12Text<'t>) -> X12File<'t> {
    let mut reader = EnvelopeReader::default();
    reader.file.faults.extend(text.warnings.iter().take(FAULTS_MAX).map(|(line, message)| EdiFault {
        severity: FaultSeverity::Warning,
        line: *line,
        location: WHOLE_FILE.to_owned(),
        position: 0,
        element: 0,
        code: SyntaxErrorCode::None,
        message: message.clone(),
    }));
    let mut tokens = X12Tokenizer::new(text);
    let (mut count, mut envelopes) = (0, 0);
    while let Some(segment) = tokens.next() {
        count += 1;
        envelopes += usize::from(["ISA", "GS", "ST"].iter().any(|id| segment.has_id(id)));
        if count > SEGMENTS_MAX || envelopes > ENVELOPES_MAX {
            let message = format!(
                "the file has more than {SEGMENTS_MAX} segments or {ENVELOPES_MAX} interchanges, groups and sets: \
                 reading stopped here"
            );
            reader.file.faults.push(build_fault(FaultSeverity::Error, &segment, 0, SyntaxErrorCode::None, message));
            break;
        }
        let is_isa = is_isa_segment(&segment, count == 1);
        reader.read_segment(segment, is_isa);
        for (line, message) in tokens.isa_warnings.drain(..) {
            let fault = EdiFault {
                severity: FaultSeverity::Warning,
                line,
                location: "ISA".to_owned(),
                position: 0,
                element: 0,
                code: SyntaxErrorCode::None,
                message,
            };
            reader.add_fault(fault);
        }
    }
    reader.finish()
}

#[derive(Default)]
struct EnvelopeReader<'t> {
    file: X12File<'t>,
    interchange: Option<Interchange<'t>>,
    group: Option<FunctionalGroup<'t>>,
    set: Option<TransactionSet<'t>>,
    last_segment: Option<X12Segment<'t>>,
    /// Control numbers of the groups of this interchange so far.
    group_control_numbers: HashSet<String>,
    /// Control numbers of the sets of this group so far.
    set_control_numbers: HashSet<String>,
    /// True after the end of a set, group or interchange was missing: the file is cut off, and that is reported.
    is_cut: bool,
    /// Number of segments of this interchange that are outside of a set.
    stray_count: usize,
    /// Findings before the first order of the interchange, which become those of that order.
    early_findings: Vec<String>,
}

impl<'t> EnvelopeReader<'t> {
    fn read_segment(&mut self, segment: X12Segment<'t>, is_isa: bool) {
        self.last_segment = Some(segment.clone());
        if is_isa {
            self.close_interchange(None);
            self.open_interchange(&segment);
        } else if segment.has_id("GS") {
            self.close_group(None);
            self.open_group(&segment);
        } else if segment.has_id("ST") {
            self.close_set(None);
            self.open_set(segment);
        } else if segment.has_id("SE") && self.set.is_some() {
            self.close_set(Some(&segment));
        } else if segment.has_id("GE") && self.group.is_some() {
            self.close_group(Some(&segment));
        } else if segment.has_id("IEA") && self.interchange.is_some() {
            self.close_interchange(Some(&segment));
        } else if let Some(set) = &mut self.set {
            set.segments.push(segment);
        } else if segment.has_id("TA1") {
            let interchange = self.interchange.get_or_insert_with(Interchange::default);
            if interchange.ta1_segments.len() < ENVELOPES_MAX {
                interchange.ta1_segments.push(segment);
            }
        } else {
            let message = format!("{} is outside a transaction set: it is ignored", segment.id);
            self.add_fault(build_fault(FaultSeverity::Warning, &segment, 0, SyntaxErrorCode::None, message));
            self.stray_count += 1;
            if self.stray_count <= STRAY_SEGMENTS_MAX {
                self.add_finding(format!("{} is outside a transaction set: it is not read", show_segment(&segment)));
            }
        }
    }

    /// Adds a fault to the group, interchange or file that is being read.
    fn add_fault(&mut self, fault: EdiFault) {
        let faults = match (&mut self.group, &mut self.interchange) {
            (Some(group), _) => &mut group.faults,
            (None, Some(interchange)) => &mut interchange.faults,
            (None, None) => &mut self.file.faults,
        };
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }

    /// Adds a finding to the last order of the interchange that is being read. Without one, the next order has it.
    fn add_finding(&mut self, finding: String) {
        let of_interchange = self.interchange.iter_mut().flat_map(|interchange| &mut interchange.groups);
        let groups = of_interchange.chain(&mut self.group);
        let last = groups.rev().flat_map(|group| group.sets.iter_mut().rev()).find(|set| is_order_set(&set.kind));
        last.map_or(&mut self.early_findings, |set| &mut set.findings).push(finding);
    }

    /// Adds a finding if nothing reported yet that the file is cut off.
    fn add_cut_finding(&mut self, fact: &str) {
        if !std::mem::replace(&mut self.is_cut, true) {
            self.add_finding(format!("{fact}: the file may be cut off"));
        }
    }

    fn open_interchange(&mut self, isa: &X12Segment<'t>) {
        (self.is_cut, self.stray_count) = (false, 0);
        self.early_findings.clear();
        let text = |position| trim_fillers(isa.element(position)).to_owned();
        self.group_control_numbers.clear();
        self.interchange = Some(Interchange {
            sender: (text(5), text(6)),
            receiver: (text(7), text(8)),
            version: text(12),
            control_number: text(13),
            // I is information: no production order either.
            is_test: matches!(text(15).to_uppercase().as_str(), "T" | "I"),
            extras: envelope_extras::list_interchange_extras(isa),
            ..Interchange::default()
        });
    }

    fn open_group(&mut self, gs: &X12Segment<'t>) {
        self.set_control_numbers.clear();
        let text = |position| trim_fillers(gs.element(position)).to_owned();
        let mut group = FunctionalGroup {
            functional_id: text(1).to_ascii_uppercase(),
            sender: text(2),
            receiver: text(3),
            control_number: text(6),
            version: text(8),
            sent_at: segments::parse_x12_date(gs.element(4))
                .zip(segments::parse_x12_time(gs.element(5)))
                .map(|(day, time)| format!("{day}T{time}")),
            ..FunctionalGroup::default()
        };
        let mut warn = |message: &str| {
            let code = SyntaxErrorCode::FunctionalGroup(6);
            group.faults.push(build_fault(FaultSeverity::Warning, gs, 6, code, message));
        };
        if parse_number(&group.control_number).is_none() {
            warn("the group's control number is not a number");
        }
        if !self.group_control_numbers.insert(group.control_number.trim_start_matches('0').to_owned()) {
            warn("another group of this interchange has the same control number");
        }
        self.group = Some(group);
    }

    fn open_set(&mut self, segment: X12Segment<'t>) {
        let text = |position| trim_fillers(segment.element(position)).to_owned();
        let mut set = TransactionSet { kind: text(1), control_number: text(2), ..TransactionSet::default() };
        let code = |code| SyntaxErrorCode::TransactionSet(code);
        let mut warn = |element, code, message: String| {
            let mut fault = build_fault(FaultSeverity::Warning, &segment, element, code, message);
            fault.position = 1;
            set.faults.push(fault);
        };
        if !(4..=9).contains(&set.control_number.chars().count()) {
            warn(2, code(7), format!("the control number {:?} does not have 4 to 9 characters", set.control_number));
        }
        if let Some(group) = &self.group {
            if !self.set_control_numbers.insert(set.control_number.clone()) {
                warn(
                    2,
                    code(7),
                    format!("another set of this group has the same control number {:?}", set.control_number),
                );
            }
            if let Some((kind, id)) = FUNCTIONAL_IDS.iter().find(|(kind, _)| *kind == set.kind)
                && *id != group.functional_id
            {
                warn(
                    1,
                    code(6),
                    format!("GS01 is {:?}, but the group contains an {kind}, which needs {id}", group.functional_id),
                );
            }
        }
        set.segments.push(segment);
        if is_order_set(&set.kind) {
            set.findings.append(&mut self.early_findings);
        }
        self.set = Some(set);
    }

    fn close_set(&mut self, se: Option<&X12Segment<'t>>) {
        let Some(mut set) = self.set.take() else { return };
        let position = set.segments.len() + 1;
        let set_position = |mut fault: EdiFault| {
            fault.position = position;
            fault
        };
        if let Some(se) = se {
            let segment_count = set.segments.len() as u64 + 1;
            if parse_number(se.element(1)) != Some(segment_count) {
                let message = format!("the set has {segment_count} segments, SE01 states {:?}", se.element(1));
                set.faults.push(set_position(build_fault(
                    FaultSeverity::Warning,
                    se,
                    1,
                    SyntaxErrorCode::TransactionSet(4),
                    message,
                )));
            }
            if !is_same_number(se.element(2), &set.control_number) {
                let message = format!("ST02 is {:?}, SE02 is {:?}", set.control_number, se.element(2));
                set.faults.push(set_position(build_fault(
                    FaultSeverity::Warning,
                    se,
                    2,
                    SyntaxErrorCode::TransactionSet(3),
                    message,
                )));
            }
            set.segments.push(se.clone());
        } else if let Some(last) = set.segments.last() {
            let message =
                format!("the set {:?} has no SE: the file is truncated, or a segment is missing", set.control_number);
            let code = SyntaxErrorCode::TransactionSet(2);
            let fault = set_position(build_fault(FaultSeverity::Error, last, 0, code, message));
            set.faults.push(fault);
            self.is_cut = true;
        }
        self.group.get_or_insert_with(FunctionalGroup::default).sets.push(set);
    }

    /// Adds a finding if the group has no end, or states more or fewer sets than it has.
    fn find_missing_sets(&mut self, ge: Option<&X12Segment<'t>>) {
        let Some(group) = &self.group else { return };
        let set_count = group.sets.len() as u64;
        match ge {
            Some(ge) if parse_number(ge.element(1)) != Some(set_count) => {
                let documents = format_count(set_count, "document", "documents");
                let stated = ge.element(1);
                self.add_finding(format!("the group has {documents}, GE01 states {stated:?}: one may be missing"));
            }
            None => self.add_cut_finding("the group has no GE"),
            Some(_) => {}
        }
    }

    fn close_group(&mut self, ge: Option<&X12Segment<'t>>) {
        self.close_set(None);
        self.find_missing_sets(ge);
        let Some(mut group) = self.group.take() else { return };
        let set_count = group.sets.len() as u64;
        if let Some(ge) = ge {
            group.stated_set_count = parse_number(ge.element(1));
            if group.stated_set_count != Some(set_count) {
                let message = format!("the group has {set_count} sets, GE01 states {:?}", ge.element(1));
                group.faults.push(build_fault(
                    FaultSeverity::Warning,
                    ge,
                    1,
                    SyntaxErrorCode::FunctionalGroup(5),
                    message,
                ));
            }
            if !is_same_number(ge.element(2), &group.control_number) {
                let message = format!("GS06 is {:?}, GE02 is {:?}", group.control_number, ge.element(2));
                group.faults.push(build_fault(
                    FaultSeverity::Warning,
                    ge,
                    2,
                    SyntaxErrorCode::FunctionalGroup(4),
                    message,
                ));
            }
        } else if let Some(last) = &self.last_segment {
            group.faults.push(build_fault(
                FaultSeverity::Warning,
                last,
                0,
                SyntaxErrorCode::FunctionalGroup(3),
                "the group has no GE",
            ));
        }
        self.interchange.get_or_insert_with(Interchange::default).groups.push(group);
    }

    /// Adds a finding if the interchange has no end, or states more or fewer groups than it has.
    fn find_missing_groups(&mut self, iea: Option<&X12Segment<'t>>) {
        let Some(interchange) = &self.interchange else { return };
        let group_count = interchange.groups.len() as u64;
        match iea {
            Some(iea) if parse_number(iea.element(1)) != Some(group_count) => {
                let groups = format_count(group_count, "group", "groups");
                let stated = iea.element(1);
                self.add_finding(format!("the interchange has {groups}, IEA01 states {stated:?}: one may be missing"));
            }
            None => self.add_cut_finding("the interchange has no IEA"),
            Some(_) => {}
        }
    }

    fn close_interchange(&mut self, iea: Option<&X12Segment<'t>>) {
        self.close_group(None);
        self.find_missing_groups(iea);
        let Some(mut interchange) = self.interchange.take() else { return };
        let group_count = interchange.groups.len() as u64;
        let has_ta1 = !interchange.ta1_segments.is_empty();
        if let Some(iea) = iea {
            // An interchange with only a TA1 has no groups, but some senders state 1.
            if parse_number(iea.element(1)) != Some(group_count) && !(group_count == 0 && has_ta1) {
                let message = format!("the interchange has {group_count} groups, IEA01 states {:?}", iea.element(1));
                interchange.faults.push(build_fault(FaultSeverity::Warning, iea, 1, SyntaxErrorCode::None, message));
            }
            if !is_same_number(iea.element(2), &interchange.control_number) {
                let message = format!("ISA13 is {:?}, IEA02 is {:?}", interchange.control_number, iea.element(2));
                interchange.faults.push(build_fault(FaultSeverity::Warning, iea, 2, SyntaxErrorCode::None, message));
            }
        } else if let Some(last) = &self.last_segment {
            interchange.faults.push(build_fault(
                FaultSeverity::Warning,
                last,
                0,
                SyntaxErrorCode::None,
                "the interchange has no IEA",
            ));
        }
        self.file.interchanges.push(interchange);
    }

    fn finish(mut self) -> X12File<'t> {
        self.close_interchange(None);
        self.file
    }
}
