//! Any segments as an answer of a partner: 997, 999, 824, TA1, and as a document for a person. The target reads them,
//! folds the answers to one document, and folds them again in the reverse order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use novex_ingest::internals::edi::answers::Verdict;
use novex_ingest::internals::edi::answers::state::{AnswerFact, SentState, fold_answers};
use novex_ingest::internals::edi::file::read_edi_file;

const ISA: &str =
    "ISA*00*          *00*          *ZZ*ACMERETAIL     *ZZ*NOVEX          *261124*1041*U*00401*000000055*0*P*>~";
const KINDS: [&str; 6] = ["997", "999", "824", "864", "820", "812"];

fuzz_target!(|input: &[u8]| {
    let Some((first, segments)) = input.split_first() else { return };
    let kind = KINDS[usize::from(*first) % KINDS.len()];
    let mut text = format!("{ISA}TA1*000000001*261124*1041*A*000~GS*FA*A*B*20261124*1041*7*X*004010~ST*{kind}*0001~");
    text.push_str(&String::from_utf8_lossy(segments));
    let file = read_edi_file(text.as_bytes());
    let facts: Vec<AnswerFact> = file
        .answers
        .iter()
        .zip(1..)
        .map(|(answer, event_id)| AnswerFact {
            event_id,
            kind: answer.kind.clone(),
            scope: answer.scope,
            code: answer.code.clone(),
            verdict: answer.verdict,
            reasons: answer.reasons.clone(),
        })
        .collect();
    let folded = fold_answers(&facts, true);
    let reversed: Vec<AnswerFact> = facts.iter().rev().cloned().collect();
    assert_eq!(fold_answers(&reversed, true), folded);
    if facts.iter().any(|fact| fact.verdict == Verdict::Rejected) {
        assert!(matches!(folded.0, SentState::Rejected | SentState::Unclear), "a rejection was lost");
    }
    for answer in &file.answers {
        assert!(answer.verdict != Verdict::Unclear || !answer.reasons.is_empty(), "an unclear answer has no reason");
        let _ = answer.describe_target();
    }
    for (index, message) in &file.messages {
        assert!(*index < file.documents.len());
        let _ = message.summarize();
    }
});
