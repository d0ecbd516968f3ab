//! Folds all answers to one document into its state. The order of the answers and repetitions have no effect.
//!
//! A TA1 is about the interchange, a 997 or 999 about the syntax, an 824 about the content. A later level may reject
//! what an earlier one accepted. Any other acceptance beside a rejection is a contradiction, which a person resolves.

use crate::edi::answers::{AnswerScope, Verdict};
use std::collections::BTreeSet;

/// State of a sent document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentState {
    /// No answer is expected.
    None,
    Waiting,
    Accepted,
    AcceptedWithErrors,
    Rejected,
    /// A person must look at the answers.
    Unclear,
}

impl SentState {
    /// Returns the name that the database stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::AcceptedWithErrors => "accepted-with-errors",
            Self::Rejected => "rejected",
            Self::Unclear => "unclear",
        }
    }
}

/// One answer to the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFact {
    pub event_id: i64,
    /// 997, 999, TA1 or 824.
    pub kind: String,
    pub scope: AnswerScope,
    pub code: String,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

impl AnswerFact {
    /// Returns the level: 1 for the interchange, 2 for the syntax, 3 for the content.
    fn level(&self) -> u8 {
        match self.kind.as_str() {
            "TA1" => 1,
            "824" => 3,
            _ => 2,
        }
    }

    fn is_acceptance(&self) -> bool {
        matches!(self.verdict, Verdict::Accepted | Verdict::AcceptedWithErrors)
    }

    /// Returns true if this is an acceptance that contradicts the rejection.
    fn contradicts(&self, rejection: &Self) -> bool {
        // The items of one document can have different verdicts.
        let is_same_level = self.level() == rejection.level() && self.scope != AnswerScope::Item;
        self.is_acceptance() && (is_same_level || self.level() > rejection.level())
    }

    fn describe_source(&self) -> String {
        format!("{} of event {}", self.kind, self.event_id)
    }
}

/// Returns the state of a document and the reasons for it. `is_answer_due` is false if the partner answers no such
/// document, as a 997.
#[must_use]
pub fn fold_answers(answers: &[AnswerFact], is_answer_due: bool) -> (SentState, Vec<String>) {
    let contradictions = describe_contradictions(answers);
    let unclear: Vec<&AnswerFact> = answers.iter().filter(|answer| is_unclear(answer, answers)).collect();
    if !contradictions.is_empty() || !unclear.is_empty() {
        let mut reasons = contradictions;
        reasons.extend(list_reasons(&unclear));
        let negative = answers.iter().filter(|answer| answer.verdict == Verdict::Rejected);
        reasons.extend(list_reasons(&negative.collect::<Vec<_>>()));
        return (SentState::Unclear, reasons);
    }
    let with = |verdict| answers.iter().filter(|answer| answer.verdict == verdict).collect::<Vec<_>>();
    let rejections = with(Verdict::Rejected);
    if !rejections.is_empty() {
        return (SentState::Rejected, list_reasons(&rejections));
    }
    let with_errors = with(Verdict::AcceptedWithErrors);
    let reasons = list_reasons(&with_errors);
    // A TA1 only says that the interchange arrived.
    let is_answered = answers.iter().any(|answer| answer.is_acceptance() && (answer.level() > 1 || !is_answer_due));
    let state = match (is_answered, with_errors.is_empty()) {
        (true, true) => SentState::Accepted,
        (true, false) => SentState::AcceptedWithErrors,
        (false, _) if is_answer_due => SentState::Waiting,
        (false, _) => SentState::None,
    };
    (state, reasons)
}

/// Returns true for an answer without a usable verdict. Partial acceptance of a group is clear if its sets have
/// verdicts of their own.
fn is_unclear(answer: &AnswerFact, all: &[AnswerFact]) -> bool {
    let has_own_verdict = || {
        all.iter().any(|other| {
            other.level() == answer.level() && other.scope != AnswerScope::Group && other.verdict != Verdict::Partial
        })
    };
    match answer.verdict {
        Verdict::Unclear => true,
        Verdict::Partial => answer.scope != AnswerScope::Group || !has_own_verdict(),
        Verdict::Accepted | Verdict::AcceptedWithErrors | Verdict::Rejected => false,
    }
}

/// Names both answers of each contradiction.
fn describe_contradictions(answers: &[AnswerFact]) -> Vec<String> {
    let mut texts = BTreeSet::new();
    for rejection in answers.iter().filter(|answer| answer.verdict == Verdict::Rejected) {
        for acceptance in answers.iter().filter(|answer| answer.contradicts(rejection)) {
            texts.insert(format!(
                "{} accepted it, {} rejected it: ask the partner which one counts",
                acceptance.describe_source(),
                rejection.describe_source()
            ));
        }
    }
    texts.into_iter().collect()
}

/// Returns the reasons of answers, each once, by level. An answer without a reason states its code, unless another of
/// its level has reasons.
fn list_reasons(answers: &[&AnswerFact]) -> Vec<String> {
    let mut lines: Vec<(u8, usize, String)> = Vec::new();
    for answer in answers {
        let has_reasons = |level| answers.iter().any(|other| other.level() == level && !other.reasons.is_empty());
        let own = answer.reasons.iter().enumerate();
        lines.extend(own.map(|(at, reason)| (answer.level(), at, format!("{}: {reason}", answer.kind))));
        if !has_reasons(answer.level()) {
            let verdict = answer.verdict.as_str();
            lines.push((answer.level(), 0, format!("{}: {verdict} ({}) without a reason", answer.kind, answer.code)));
        }
    }
    lines.sort();
    let mut seen = BTreeSet::new();
    lines.into_iter().map(|(_, _, line)| line).filter(|line| seen.insert(line.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fact(event_id: i64, kind: &str, scope: AnswerScope, verdict: Verdict) -> AnswerFact {
        let reasons = if verdict == Verdict::Accepted { Vec::new() } else { vec![format!("reason {event_id}")] };
        AnswerFact { event_id, kind: kind.to_owned(), scope, code: "X".to_owned(), verdict, reasons }
    }

    fn state_of(answers: &[(&str, AnswerScope, Verdict)]) -> SentState {
        let facts: Vec<AnswerFact> =
            (1..).zip(answers).map(|(event, (kind, scope, verdict))| fact(event, kind, *scope, *verdict)).collect();
        fold_answers(&facts, true).0
    }

    #[test]
    fn worst_answer_wins_and_contradictions_are_unclear() {
        use AnswerScope::{Group, Interchange, Item, Set};
        use Verdict::{Accepted, AcceptedWithErrors, Partial, Rejected, Unclear};
        for (answers, state) in [
            (vec![], SentState::Waiting),
            (vec![("TA1", Interchange, Accepted)], SentState::Waiting),
            (vec![("TA1", Interchange, AcceptedWithErrors)], SentState::Waiting),
            (vec![("TA1", Interchange, Rejected)], SentState::Rejected),
            (vec![("997", Group, Accepted)], SentState::Accepted),
            (vec![("997", Set, Accepted), ("997", Group, AcceptedWithErrors)], SentState::AcceptedWithErrors),
            (vec![("997", Set, Rejected), ("997", Group, Partial)], SentState::Rejected),
            (vec![("997", Set, Accepted), ("997", Group, Partial)], SentState::Accepted),
            (vec![("997", Group, Partial)], SentState::Unclear),
            (vec![("999", Set, Unclear), ("997", Group, Accepted)], SentState::Unclear),
            (vec![("997", Set, Accepted), ("824", Set, Rejected)], SentState::Rejected),
            (vec![("997", Set, Accepted), ("824", Set, AcceptedWithErrors)], SentState::AcceptedWithErrors),
            (vec![("997", Set, Rejected), ("824", Set, Accepted)], SentState::Unclear),
            (vec![("TA1", Interchange, Rejected), ("997", Set, Accepted)], SentState::Unclear),
            (vec![("TA1", Interchange, Accepted), ("997", Set, Rejected)], SentState::Rejected),
            (vec![("997", Set, Accepted), ("997", Set, Rejected)], SentState::Unclear),
            (vec![("997", Set, Accepted), ("999", Group, Rejected)], SentState::Unclear),
            (vec![("824", Set, Accepted), ("824", Set, Rejected)], SentState::Unclear),
            (vec![("824", Set, Accepted), ("824", Item, Rejected)], SentState::Unclear),
            (vec![("824", Item, Accepted), ("824", Item, Rejected)], SentState::Rejected),
            (vec![("997", Set, Rejected), ("824", Item, Accepted)], SentState::Unclear),
            (vec![("824", Set, Partial)], SentState::Unclear),
        ] {
            assert_eq!(state_of(&answers), state, "{answers:?}");
        }
        let acknowledged = |answers: &[AnswerFact]| fold_answers(answers, false).0;
        assert_eq!(acknowledged(&[]), SentState::None);
        assert_eq!(acknowledged(&[fact(1, "TA1", Interchange, Accepted)]), SentState::Accepted);
    }

    #[test]
    fn reasons_name_their_source_once() {
        let rejected = |event, scope| fact(event, "997", scope, Verdict::Rejected);
        let mut group = rejected(4, AnswerScope::Group);
        group.reasons.clear();
        let answers = [group.clone(), rejected(4, AnswerScope::Set), rejected(4, AnswerScope::Set)];
        assert_eq!(fold_answers(&answers, true), (SentState::Rejected, vec!["997: reason 4".to_owned()]));
        assert_eq!(fold_answers(&[group], true).1, ["997: rejected (X) without a reason"]);
        let contradiction = [rejected(9, AnswerScope::Set), fact(4, "997", AnswerScope::Set, Verdict::Accepted)];
        let (_, reasons) = fold_answers(&contradiction, true);
        assert_eq!(
            reasons,
            [
                "997 of event 4 accepted it, 997 of event 9 rejected it: ask the partner which one counts",
                "997: reason 9"
            ]
        );
    }

    fn any_fact() -> impl Strategy<Value = AnswerFact> {
        let kinds = prop::sample::select(vec!["TA1", "997", "999", "824"]);
        let scopes = prop::sample::select(vec![AnswerScope::Group, AnswerScope::Set, AnswerScope::Item]);
        let verdicts = prop::sample::select(vec![
            Verdict::Accepted,
            Verdict::AcceptedWithErrors,
            Verdict::Partial,
            Verdict::Rejected,
            Verdict::Unclear,
        ]);
        (1..9_i64, kinds, scopes, verdicts).prop_map(|(event, kind, scope, verdict)| fact(event, kind, scope, verdict))
    }

    proptest! {
        #[test]
        fn order_and_repetition_change_nothing(
            (facts, shuffled) in prop::collection::vec(any_fact(), 0..7)
                .prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
            is_answer_due: bool,
        ) {
            let folded = fold_answers(&facts, is_answer_due);
            prop_assert_eq!(&fold_answers(&shuffled, is_answer_due), &folded);
            let twice: Vec<AnswerFact> = facts.iter().chain(&shuffled).cloned().collect();
            prop_assert_eq!(&fold_answers(&twice, is_answer_due), &folded);
            // No rejection is lost.
            if facts.iter().any(|fact| fact.verdict == Verdict::Rejected) {
                prop_assert!(matches!(folded.0, SentState::Rejected | SentState::Unclear));
                prop_assert!(!folded.1.is_empty());
            }
        }
    }
}
