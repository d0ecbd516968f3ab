//! Reads an 824: each OTI names a document and states what the partner's application did with it. REF adds numbers of
//! the document, TED, NTE, CTX, RED and LQ the reasons.

use crate::edi::answers::{AnswerScope, EdiAnswer, Verdict, codes};
use crate::edi::x12::answers::{add_reason, describe_unknown_verdict, join_elements};
use crate::edi::x12::envelope::parse_number;
use crate::edi::x12::tokenizer::X12Segment;
use crate::edi::x12::{Interchange, TransactionSet};

/// Reads one 824: one answer for each OTI.
pub(super) fn read_application_advice(interchange: &Interchange<'_>, set: &TransactionSet<'_>) -> Vec<EdiAnswer> {
    let mut answers: Vec<EdiAnswer> = Vec::new();
    for segment in &set.segments {
        if segment.has_id("OTI") {
            answers.push(read_oti(interchange, set, segment));
        } else if let Some(answer) = answers.last_mut() {
            read_detail(answer, segment);
        }
    }
    for answer in &mut answers {
        // An acceptance that states an error is one with errors.
        if answer.verdict == Verdict::Accepted && !answer.reasons.is_empty() {
            answer.verdict = Verdict::AcceptedWithErrors;
        }
    }
    if answers.is_empty() {
        let mut answer = EdiAnswer::new(&set.kind, &interchange.sender.1, interchange.is_test, AnswerScope::Set);
        add_reason(&mut answer.reasons, "the answer has no OTI, which names the document");
        answers.push(answer);
    }
    answers
}

fn read_oti(interchange: &Interchange<'_>, set: &TransactionSet<'_>, oti: &X12Segment<'_>) -> EdiAnswer {
    let code = oti.element(1).trim().to_ascii_uppercase();
    let scope = match code.chars().next() {
        Some('I') => AnswerScope::Item,
        Some('G' | 'B') => AnswerScope::Group,
        _ => AnswerScope::Set,
    };
    let mut answer = EdiAnswer::new(&set.kind, &interchange.sender.1, interchange.is_test, scope);
    answer.verdict = match codes::APPLICATION_VERDICTS.find(&code).and(code.chars().nth(1)) {
        Some('A') => Verdict::Accepted,
        Some('C' | 'E') => Verdict::AcceptedWithErrors,
        Some('P') => Verdict::Partial,
        Some('R') => Verdict::Rejected,
        _ => Verdict::Unclear,
    };
    if answer.verdict == Verdict::Unclear {
        add_reason(&mut answer.reasons, describe_unknown_verdict("OTI01", "TA, TE, TR, IA, IE, IR …", &code));
    }
    if code.ends_with('C') {
        add_reason(&mut answer.reasons, codes::APPLICATION_VERDICTS.describe(&code));
    }
    answer.code = code;
    answer.references.extend(oti.non_empty_element(2).zip(oti.non_empty_element(3)));
    answer.group_number = parse_number(oti.element(8));
    answer.set_number = oti.non_empty_element(9);
    answer.document_kind = oti.non_empty_element(10);
    answer
}

/// Reads a segment after an OTI.
fn read_detail(answer: &mut EdiAnswer, segment: &X12Segment<'_>) {
    match segment.id.to_ascii_uppercase().as_str() {
        "REF" => answer.references.extend(segment.non_empty_element(1).zip(segment.non_empty_element(2))),
        "TED" => add_reason(&mut answer.reasons, describe_technical_error(segment)),
        "NTE" => add_reason(&mut answer.reasons, segment.element(2).trim()),
        "CTX" => add_reason(&mut answer.reasons, format!("context: {}", join_elements(segment, 1))),
        "RED" => add_reason(&mut answer.reasons, join_elements(segment, 1)),
        "LQ" => add_reason(&mut answer.reasons, format!("code {}", join_elements(segment, 1))),
        _ => {}
    }
}

/// Returns the error of a TED in words: its code, its text, its place and its values.
fn describe_technical_error(ted: &X12Segment<'_>) -> String {
    let mut text = ted.non_empty_element(1).map_or(String::new(), |code| codes::APPLICATION_ERRORS.describe(&code));
    if let Some(message) = ted.non_empty_element(2) {
        text = if text.is_empty() { message } else { format!("{text}: {message}") };
    }
    let segment = match (ted.non_empty_element(3), ted.non_empty_element(4)) {
        (Some(id), Some(position)) => Some(format!("segment {position} ({id})")),
        (Some(id), None) => Some(format!("segment {id}")),
        (None, Some(position)) => Some(format!("segment {position}")),
        (None, None) => None,
    };
    let number = ted.non_empty_element(6).map(|number| format!("data element {number}"));
    let element = match (ted.non_empty_element(5), number) {
        (Some(position), Some(number)) => Some(format!("element {position} ({number})")),
        (Some(position), None) => Some(format!("element {position}")),
        (None, number) => number,
    };
    let sent = ted.non_empty_element(7).map(|value| format!("sent {value:?}"));
    let expected = ted.non_empty_element(8).map(|value| format!("expected {value:?}"));
    let place: Vec<String> = [segment, element, sent, expected].into_iter().flatten().collect();
    match (text.is_empty(), place.is_empty()) {
        (_, true) => text,
        (true, false) => place.join(", "),
        (false, false) => format!("{text}; {}", place.join(", ")),
    }
}
