//! Splits off the documents that repeat another one: the sender may send one file twice under two names.
//!
//! A document that is sent again after another statement is no repetition: it is the newest statement. So an order
//! counts again after its cancellation, a cancellation after a newer order, and a change or a replacement after another
//! change or replacement.

use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, Revision, RevisionOutcome, build_revision,
};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Document with the contents of another one.
pub(super) struct Repetition<'d> {
    document: &'d ReceivedDocument,
    first: &'d ReceivedDocument,
    /// True for an order of which a cancellation was certainly sent later.
    is_cancelled_later: bool,
    /// Other statement that arrived between both, if nothing but the days of arrival states a sequence.
    between: Option<&'d ReceivedDocument>,
}

/// Splits sorted documents into those that count and those that repeat one of these.
pub(super) fn split_repetitions<'d>(
    documents: &[&'d ReceivedDocument],
) -> (Vec<&'d ReceivedDocument>, Vec<Repetition<'d>>) {
    let (mut unique, mut repetitions) = (Vec::new(), Vec::new());
    let contents: Vec<String> = documents.iter().map(|document| document.content_key()).collect();
    let mut by_content: HashMap<&str, &ReceivedDocument> = HashMap::new();
    for (document, content) in documents.iter().copied().zip(&contents) {
        let Some(first) = by_content.get(content.as_str()).copied() else {
            by_content.insert(content, document);
            unique.push(document);
            continue;
        };
        let others = documents.iter().copied().zip(&contents).filter(|(_, other)| *other != content);
        let between: Vec<&ReceivedDocument> =
            others.map(|(other, _)| other).filter(|other| is_statement_between(first, other, document)).collect();
        if is_opposite_between(documents, first, document)
            || between.iter().any(|other| is_sent_between(first, other, document))
        {
            by_content.insert(content, document);
            unique.push(document);
            continue;
        }
        let is_later = |other: &&&ReceivedDocument| is_cancellation(other) && document.is_sent_before(other);
        let is_cancelled_later = documents.iter().any(|other| is_later(&other));
        repetitions.push(Repetition { document, first, is_cancelled_later, between: between.first().copied() });
    }
    (unique, repetitions)
}

/// Returns true if a cancellation lies certainly between two equal orders, or an order between two equal cancellations.
fn is_opposite_between(documents: &[&ReceivedDocument], first: &ReceivedDocument, second: &ReceivedDocument) -> bool {
    let is_opposite = |other: &ReceivedDocument| {
        if is_cancellation(first) { is_order(other) } else { is_order(first) && is_cancellation(other) }
    };
    documents.iter().any(|other| is_opposite(other) && is_before(first, other) && is_before(other, second))
}

/// Returns true if another document states other values, and lies between two equal documents.
///
/// An original order and a change with a number stay what they are, however often they are sent.
fn is_statement_between(first: &ReceivedDocument, other: &ReceivedDocument, second: &ReceivedDocument) -> bool {
    let is_change = second.order.is_change;
    let states_other_values = match second.purpose() {
        DocumentPurpose::Copy | DocumentPurpose::Uncertain | DocumentPurpose::Cancellation => false,
        _ if matches!(other.purpose(), DocumentPurpose::Copy | DocumentPurpose::Uncertain) => false,
        _ if is_change && second.order.sequence.is_some() => false,
        _ if is_change => other.order.is_change || other.purpose() != DocumentPurpose::Plain,
        DocumentPurpose::Replacement => true,
        DocumentPurpose::Plain => is_order(other),
    };
    // The days of an order and of a change have different meanings.
    let has_days_in_sequence = other.order.is_change != is_change
        || (first.effective_date() <= other.effective_date() && other.effective_date() <= second.effective_date());
    states_other_values && has_days_in_sequence && is_before(first, other) && is_before(other, second)
}

fn is_order(document: &ReceivedDocument) -> bool {
    !document.order.is_change && document.purpose().is_order()
}

fn is_cancellation(document: &ReceivedDocument) -> bool {
    document.purpose() == DocumentPurpose::Cancellation
}

/// Returns true if the senders' times, or the places in one file, put three documents in this sequence.
fn is_sent_between(first: &ReceivedDocument, other: &ReceivedDocument, second: &ReceivedDocument) -> bool {
    let is_less = |one, other| compare_sent(one, other) == Some(Ordering::Less);
    is_less(first, other) && is_less(other, second)
}

/// Compares the times at which both were sent, then the places in their file. Returns None if nothing states them.
fn compare_sent(one: &ReceivedDocument, other: &ReceivedDocument) -> Option<Ordering> {
    let of_file = (one.event_id == other.event_id).then(|| one.document_position.cmp(&other.document_position));
    match one.sent_at().zip(other.sent_at()).map(|(one, other)| one.cmp(other)) {
        Some(Ordering::Equal) => of_file.or(Some(Ordering::Equal)),
        Some(decided) => Some(decided),
        None => of_file,
    }
}

/// Returns true if a document is older: by the times at which both were sent, else by their days.
fn is_before(one: &ReceivedDocument, other: &ReceivedDocument) -> bool {
    match compare_sent(one, other) {
        Some(decided) => decided == Ordering::Less,
        None => one.effective_date() < other.effective_date(),
    }
}

impl Repetition<'_> {
    /// Returns the row of the history.
    pub(super) fn describe(&self, state: &OrderState, quantities: ChangeQuantities) -> Revision {
        let order = &self.document.order;
        let states_difference = quantities == ChangeQuantities::Delta
            && order.lines.iter().any(|line| matches!(line.change.as_deref(), Some("QI" | "QD")));
        let is_anonymous = order.sequence.is_none() && order.changed_on.is_none();
        let name = self.first.name_kind();
        // The same bytes under another name are certainly the same document.
        let may_be_newer = is_order(self.document)
            && state.status == OrderStatus::Cancelled
            && *order != self.first.order
            && !self.is_cancelled_later;
        let (outcome, message) = if states_difference && is_anonymous {
            let reason = "it has neither a number nor a date, so that it may be a second difference";
            (RevisionOutcome::Unclear, format!("not applied: repeats {name}, but {reason}"))
        } else if may_be_newer {
            let fact = format!("the order is cancelled{}", state.name_cancellation());
            let reason = "it is not certain whether the repetition was sent later";
            (RevisionOutcome::Unclear, format!("not applied: repeats {name}, but {fact}, and {reason}"))
        } else if let Some(between) = self.between {
            let between = between.name_kind();
            let reason = format!("{between} arrived between both, and no time states whether the repetition is newer");
            (RevisionOutcome::Unclear, format!("not applied: repeats {name}, but {reason}"))
        } else {
            (RevisionOutcome::NoEffect, format!("repeats {name}"))
        };
        build_revision(self.document, None, outcome, message)
    }
}
