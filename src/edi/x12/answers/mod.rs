//! Reads the answers to sent documents: 997, 999 and 824, and the TA1 segments of an interchange.
//!
//! Source: X12 004010 and 005010 as documented at stedi.com/edi. Reading never fails: an answer without a verdict is
//! unclear, and its reason says what was expected.

mod acknowledgements;
mod advice;

use crate::edi::answers::{AnswerScope, EdiAnswer, Verdict, codes};
use crate::edi::x12::envelope::parse_number;
use crate::edi::x12::tokenizer::X12Segment;
use crate::edi::x12::{Interchange, TransactionSet};

/// Most reasons of one answer; bounds the text of an answer full of errors.
const REASONS_MAX: usize = 50;
/// Most characters of one reason.
const REASON_CHARS_MAX: usize = 300;

/// Returns true for the transaction sets that are answers.
#[must_use]
pub fn is_answer_set(kind: &str) -> bool {
    matches!(kind, "997" | "999" | "824")
}

/// Reads the answers of a transaction set; none for a set of another kind.
#[must_use]
pub fn read_answer_set(interchange: &Interchange<'_>, set: &TransactionSet<'_>) -> Vec<EdiAnswer> {
    match set.kind.as_str() {
        "997" | "999" => acknowledgements::read_acknowledgement(interchange, set),
        "824" => advice::read_application_advice(interchange, set),
        _ => Vec::new(),
    }
}

/// Reads the TA1 segments of an interchange: each answers one interchange.
#[must_use]
pub fn read_interchange_answers(interchange: &Interchange<'_>) -> Vec<EdiAnswer> {
    interchange.ta1_segments.iter().map(|ta1| read_ta1(interchange, ta1)).collect()
}

fn read_ta1(interchange: &Interchange<'_>, ta1: &X12Segment<'_>) -> EdiAnswer {
    let mut answer = EdiAnswer::new("TA1", &interchange.sender.1, interchange.is_test, AnswerScope::Interchange);
    answer.interchange = parse_number(ta1.element(1));
    let note = ta1.non_empty_element(5).filter(|code| code != "000");
    answer.reasons.extend(note.iter().map(|code| codes::INTERCHANGE_ERRORS.describe(code)));
    answer.code = ta1.non_empty_element(4).unwrap_or_default();
    answer.verdict = match (answer.code.as_str(), note.is_some()) {
        ("A", false) => Verdict::Accepted,
        ("A" | "E", _) => Verdict::AcceptedWithErrors,
        ("R", _) => Verdict::Rejected,
        _ => Verdict::Unclear,
    };
    if answer.verdict == Verdict::Unclear {
        add_reason(&mut answer.reasons, describe_unknown_verdict("TA104", "A, E or R", &answer.code));
    }
    answer
}

/// Describes a verdict that the standard does not have.
fn describe_unknown_verdict(place: &str, expected: &str, found: &str) -> String {
    format!("{place} should be {expected}, but is {found:?}")
}

/// Adds a reason, within the limits of one answer and without a repetition.
fn add_reason(reasons: &mut Vec<String>, reason: impl Into<String>) {
    let reason: String = reason.into().chars().take(REASON_CHARS_MAX).collect();
    if !reason.is_empty() && reasons.len() < REASONS_MAX && !reasons.contains(&reason) {
        reasons.push(reason);
    }
}

/// Returns the elements from a position on that are not empty, joined by a blank.
fn join_elements(segment: &X12Segment<'_>, first: usize) -> String {
    let texts: Vec<String> =
        (first..=segment.len()).filter_map(|position| segment.non_empty_element(position)).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edi::x12::envelope::read_interchanges;
    use crate::edi::x12::text::X12Text;
    use proptest::prelude::*;

    const ISA: &str =
        "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~";

    fn read_text(body: &str) -> Vec<EdiAnswer> {
        let text = format!("{ISA}{body}IEA*1*000000055~");
        let text = X12Text::prepare(&text);
        let file = read_interchanges(&text);
        let mut answers = Vec::new();
        for interchange in &file.interchanges {
            answers.extend(read_interchange_answers(interchange));
            for set in interchange.groups.iter().flat_map(|group| &group.sets) {
                answers.extend(read_answer_set(interchange, set));
            }
        }
        answers
    }

    fn read_set(kind: &str, segments: &str) -> Vec<EdiAnswer> {
        read_text(&format!(
            "GS*FA*ACMERETAIL*NOVEX*20261124*1041*7*X*004010~ST*{kind}*0001~{segments}SE*9*0001~GE*1*7~"
        ))
    }

    #[test]
    fn acknowledgement_of_a_rejected_set_states_each_reason() {
        let answers = read_set(
            "997",
            "AK1*IN*5~AK2*810*0001~AK3*IT1*8**8~AK4*7*234*1~AK4*2>1*355*7*XX~AK3*REF*4*N1*3~AK5*R*5*4~AK9*R*1*1*0~",
        );
        let [set, group] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((set.scope, set.verdict, set.code.as_str()), (AnswerScope::Set, Verdict::Rejected, "R"));
        assert_eq!(
            (set.functional_id.as_deref(), set.group_number, set.set_number.as_deref()),
            (Some("IN"), Some(5), Some("0001"))
        );
        assert_eq!(set.document_kind.as_deref(), Some("810"));
        assert_eq!(
            set.reasons,
            [
                "segment 8 (IT1), element 7 (data element 234): mandatory element is missing (1)",
                "segment 8 (IT1), element 2>1 (data element 355): invalid code value (7): \"XX\"",
                "segment 4 (REF) in loop N1: mandatory segment is missing (3)",
                "one or more segments are in error (5)",
                "number of segments differs from the trailer (4)",
            ]
        );
        assert_eq!((group.scope, group.verdict), (AnswerScope::Group, Verdict::Rejected));
    }

    #[test]
    fn implementation_acknowledgement_has_its_own_segments() {
        let answers = read_set(
            "999",
            "AK1*SH*9*005010~AK2*856*0001*005010~IK3*HL*3**I6~CTX*SITUATIONAL TRIGGER>HL*3~IK4*4*1033*I9~IK5*E*I5~AK9*E*1*1*1~",
        );
        assert_eq!(answers[0].verdict, Verdict::AcceptedWithErrors);
        assert_eq!(
            answers[0].reasons,
            [
                "segment 3 (HL): segment that the partner's guide needs here is missing (I6)",
                "context: SITUATIONAL TRIGGER>HL 3",
                "segment 3 (HL), element 4 (data element 1033): element that the partner's guide needs here is missing (I9)",
                "one or more segments are in error by the partner's guide (I5)",
            ]
        );
        assert_eq!(answers[1].verdict, Verdict::AcceptedWithErrors);
    }

    #[test]
    fn verdict_that_contradicts_its_reasons_is_not_taken_as_it_is() {
        let verdicts =
            |segments: &str| read_set("997", segments).iter().map(|answer| answer.verdict).collect::<Vec<_>>();
        let one = |segments: &str| verdicts(segments)[0];
        assert_eq!(one("AK1*IN*5~AK9*A*1*1*1~"), Verdict::Accepted);
        assert_eq!(one("AK1*IN*5~AK9*P*2*2*1~"), Verdict::Partial);
        assert_eq!(one("AK1*IN*5~AK9*A*1*1*1*2~"), Verdict::AcceptedWithErrors);
        assert_eq!(one("AK1*IN*5~AK9*A*1*1*0~"), Verdict::Unclear, "accepted, but no set is");
        assert_eq!(one("AK1*IN*5~AK9*R*1*1*1~"), Verdict::Unclear, "rejected, but a set is accepted");
        assert_eq!(one("AK1*IN*5~AK9*Q*1*1*1~"), Verdict::Unclear);
        assert_eq!(one("AK1*IN*5~AK9*x*1*1*0~"), Verdict::Rejected);
        assert_eq!(verdicts("AK1*IN*5~AK2*810*0001~"), [Verdict::Unclear, Verdict::Unclear], "it is cut off");
        assert_eq!(
            verdicts("AK1*IN*5~AK2*810*0001~AK2*810*0002~AK5*A~AK9*A*2*2*2~")[..2],
            [Verdict::Unclear, Verdict::Accepted]
        );
        assert_eq!(one("AK2*810*0001~AK3*N1*4**3~AK5*A~AK9*A*1*1*1~"), Verdict::AcceptedWithErrors);
        assert_eq!(verdicts(""), [Verdict::Unclear], "it answers nothing");
    }

    #[test]
    fn interchange_answers_are_read_alone_and_beside_groups() {
        let alone = read_text("TA1*000000012*261124*1200*A*000~TA1*13*261124*1200*R*008~TA1*x*261124*1200*Z*000~");
        let facts: Vec<_> = alone.iter().map(|answer| (answer.interchange, answer.verdict)).collect();
        assert_eq!(facts, [(Some(12), Verdict::Accepted), (Some(13), Verdict::Rejected), (None, Verdict::Unclear)]);
        assert_eq!(alone[1].reasons, ["receiver id is invalid (008)"]);
        let beside = read_text(
            "TA1*000000012*261124*1200*E*025~GS*FA*A*B*20261124*1041*7*X*004010~ST*997*0001~AK1*IN*5~AK9*A*1*1*1~SE*4*0001~GE*1*7~",
        );
        assert_eq!(beside.len(), 2);
        assert_eq!((beside[0].kind.as_str(), beside[0].verdict), ("TA1", Verdict::AcceptedWithErrors));
    }

    #[test]
    fn advice_names_documents_by_numbers_and_references() {
        let answers = read_set(
            "824",
            "BGN*11*A-1*20261124~N1*FR*Acme~REF*IA*77~OTI*TR*IV*INV-1*NOVEX*ACME***000000005*0001*810~REF*PO*PO1~DTM*097*20261124~\
             TED*133*Item 7 is unknown*IT1*8*7*234*B9*B1~NTE*ERN*Call us~RED*Price*94*IF*C1~OTI*TA*SI*SH-1~TED*ZZZ~OTI**IV*X~OTI*GR*TN*1~",
        );
        let [rejected, accepted, unclear, group] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!((rejected.verdict, rejected.scope), (Verdict::Rejected, AnswerScope::Set));
        assert_eq!((rejected.group_number, rejected.set_number.as_deref()), (Some(5), Some("0001")));
        assert_eq!(rejected.document_kind.as_deref(), Some("810"));
        let pair = |qualifier: &str, value: &str| (qualifier.to_owned(), value.to_owned());
        assert_eq!(rejected.references, [pair("IV", "INV-1"), pair("PO", "PO1")]);
        assert_eq!(
            rejected.reasons,
            [
                "item is not on the purchase order (133): Item 7 is unknown; segment 8 (IT1), element 7 (data element 234), \
                 sent \"B9\", expected \"B1\"",
                "Call us",
                "Price 94 IF C1",
            ]
        );
        assert_eq!(
            (accepted.verdict, accepted.reasons.as_slice()),
            (Verdict::AcceptedWithErrors, &["as agreed with the partner (ZZZ)".to_owned()][..])
        );
        assert_eq!(unclear.verdict, Verdict::Unclear);
        assert_eq!((group.verdict, group.scope), (Verdict::Rejected, AnswerScope::Group));
        assert_eq!(read_set("824", "BGN*11*A-1*20261124~")[0].verdict, Verdict::Unclear);
    }

    #[test]
    fn each_verdict_of_an_advice_is_known() {
        for (code, verdict) in [
            ("TA", Verdict::Accepted),
            ("TC", Verdict::AcceptedWithErrors),
            ("TE", Verdict::AcceptedWithErrors),
            ("TP", Verdict::Partial),
            ("TR", Verdict::Rejected),
            ("IA", Verdict::Accepted),
            ("IE", Verdict::AcceptedWithErrors),
            ("IR", Verdict::Rejected),
            ("BP", Verdict::Partial),
            ("GE", Verdict::AcceptedWithErrors),
            ("TZ", Verdict::Unclear),
            ("R", Verdict::Unclear),
        ] {
            assert_eq!(read_set("824", &format!("BGN*11*1*20261124~OTI*{code}*IV*1~"))[0].verdict, verdict, "{code}");
        }
    }

    proptest! {
        #[test]
        fn any_segments_are_read(segments in "((AK[1-9]|IK[345]|CTX|OTI|TED|NTE|TA1|REF|RED|BGN)[*]([A-Z0-9>]{0,4}[*]){0,11}[0-9]{0,9}~){0,12}") {
            for kind in ["997", "999", "824"] {
                for answer in read_set(kind, &segments) {
                    prop_assert!(answer.reasons.len() <= REASONS_MAX);
                    prop_assert!(answer.verdict != Verdict::Unclear || !answer.reasons.is_empty());
                }
            }
        }
    }
}
