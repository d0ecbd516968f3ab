//! Reads 997 and 999: AK1 names the group, each AK2 a set, AK5 or IK5 states the verdict on the set, AK9 on the group.

use crate::edi::answers::{AnswerScope, EdiAnswer, Verdict, codes};
use crate::edi::codes::CodeList;
use crate::edi::x12::answers::{add_reason, describe_unknown_verdict, join_elements};
use crate::edi::x12::envelope::parse_number;
use crate::edi::x12::tokenizer::X12Segment;
use crate::edi::x12::{Interchange, TransactionSet};

/// Reads one 997 or 999. The last answer is about the group.
pub(super) fn read_acknowledgement(interchange: &Interchange<'_>, set: &TransactionSet<'_>) -> Vec<EdiAnswer> {
    let mut reader = AcknowledgementReader {
        template: EdiAnswer::new(&set.kind, &interchange.sender.1, interchange.is_test, AnswerScope::Group),
        answers: Vec::new(),
        open_set: None,
        segment_place: String::new(),
        is_group_answered: false,
    };
    for segment in &set.segments {
        reader.read_segment(segment);
    }
    reader.finish()
}

struct AcknowledgementReader {
    /// The group that AK1 names.
    template: EdiAnswer,
    answers: Vec<EdiAnswer>,
    /// The set of the last AK2, until its AK5.
    open_set: Option<EdiAnswer>,
    /// The segment of the last AK3, for people.
    segment_place: String,
    is_group_answered: bool,
}

impl AcknowledgementReader {
    fn read_segment(&mut self, segment: &X12Segment<'_>) {
        match segment.id.to_ascii_uppercase().as_str() {
            "AK1" => {
                self.template.functional_id = segment.non_empty_element(1).map(|id| id.to_ascii_uppercase());
                self.template.group_number = parse_number(segment.element(2));
            }
            "AK2" => {
                self.close_set();
                let mut answer = EdiAnswer { scope: AnswerScope::Set, ..self.template.clone() };
                answer.document_kind = segment.non_empty_element(1);
                answer.set_number = segment.non_empty_element(2);
                self.open_set = Some(answer);
            }
            "AK3" | "IK3" => self.read_segment_note(segment),
            "AK4" | "IK4" => self.read_element_note(segment),
            "CTX" => {
                let context = format!("context: {}", join_elements(segment, 1));
                if let Some(answer) = &mut self.open_set {
                    add_reason(&mut answer.reasons, context);
                }
            }
            "AK5" | "IK5" => {
                if let Some(mut answer) = self.open_set.take() {
                    let has_notes = !answer.reasons.is_empty();
                    let has_codes = add_codes(&mut answer, segment, 2, codes::SET_ERRORS);
                    set_verdict(&mut answer, segment.element(1), "AK501", has_notes || has_codes);
                    self.answers.push(answer);
                }
            }
            "AK9" => self.read_group_verdict(segment),
            _ => {}
        }
    }

    fn read_segment_note(&mut self, segment: &X12Segment<'_>) {
        let loop_text = segment.non_empty_element(3).map_or(String::new(), |name| format!(" in loop {name}"));
        self.segment_place = format!("segment {} ({})", segment.element(2).trim(), segment.element(1).trim());
        // Code 8 only announces the AK4 segments.
        let codes: Vec<String> =
            (4..=segment.len()).filter_map(|at| segment.non_empty_element(at)).filter(|code| code != "8").collect();
        let Some(answer) = &mut self.open_set else { return };
        for code in codes {
            let meaning = codes::SEGMENT_ERRORS.describe(&code);
            add_reason(&mut answer.reasons, format!("{}{loop_text}: {meaning}", self.segment_place));
        }
    }

    fn read_element_note(&mut self, segment: &X12Segment<'_>) {
        let Some(answer) = &mut self.open_set else { return };
        let number = segment.non_empty_element(2).map_or(String::new(), |number| format!(" (data element {number})"));
        let copy = segment.non_empty_element(4).map_or(String::new(), |value| format!(": {value:?}"));
        let code =
            segment.non_empty_element(3).map_or("no code".to_owned(), |code| codes::ELEMENT_ERRORS.describe(&code));
        let reason = format!("{}, element {}{number}: {code}{copy}", self.segment_place, segment.element(1).trim());
        add_reason(&mut answer.reasons, reason);
    }

    fn read_group_verdict(&mut self, ak9: &X12Segment<'_>) {
        self.close_set();
        self.is_group_answered = true;
        let mut answer = self.template.clone();
        let has_codes = add_codes(&mut answer, ak9, 5, codes::GROUP_ERRORS);
        set_verdict(&mut answer, ak9.element(1), "AK901", has_codes);
        let accepted_count = parse_number(ak9.element(4));
        let is_contradiction = match answer.verdict {
            Verdict::Accepted | Verdict::AcceptedWithErrors | Verdict::Partial => accepted_count == Some(0),
            Verdict::Rejected => accepted_count.is_some_and(|count| count > 0),
            Verdict::Unclear => false,
        };
        if is_contradiction {
            answer.verdict = Verdict::Unclear;
            let reason = format!("AK901 is {}, but AK904 states {} accepted sets", answer.code, ak9.element(4).trim());
            add_reason(&mut answer.reasons, reason);
        }
        self.answers.push(answer);
    }

    /// Ends a set that has no AK5.
    fn close_set(&mut self) {
        if let Some(mut answer) = self.open_set.take() {
            add_reason(&mut answer.reasons, "the answer has no AK5 for the set: it may be cut off");
            self.answers.push(answer);
        }
    }

    fn finish(mut self) -> Vec<EdiAnswer> {
        self.close_set();
        if !self.is_group_answered {
            let mut answer = self.template;
            add_reason(&mut answer.reasons, "the answer has no AK9 for the group: it may be cut off");
            self.answers.push(answer);
        }
        self.answers
    }
}

/// Adds the codes from a position on as reasons. Returns false if there are none.
fn add_codes(answer: &mut EdiAnswer, segment: &X12Segment<'_>, first: usize, list: CodeList) -> bool {
    let codes: Vec<String> = (first..=segment.len()).filter_map(|at| segment.non_empty_element(at)).collect();
    for code in &codes {
        add_reason(&mut answer.reasons, list.describe(code));
    }
    !codes.is_empty()
}

/// Sets the verdict of an AK501 or AK901. An acceptance with an error code is one with errors.
fn set_verdict(answer: &mut EdiAnswer, code: &str, place: &str, has_errors: bool) {
    let code = code.trim().to_ascii_uppercase();
    answer.verdict = match code.as_str() {
        "A" if has_errors => Verdict::AcceptedWithErrors,
        "A" => Verdict::Accepted,
        "E" => Verdict::AcceptedWithErrors,
        "P" => Verdict::Partial,
        "M" | "R" | "W" | "X" => Verdict::Rejected,
        _ => Verdict::Unclear,
    };
    if matches!(code.as_str(), "M" | "W" | "X") {
        add_reason(&mut answer.reasons, codes::VERDICTS.describe(&code));
    }
    if answer.verdict == Verdict::Unclear {
        add_reason(&mut answer.reasons, describe_unknown_verdict(place, "A, E, M, P, R, W or X", &code));
    }
    answer.code = code;
}
