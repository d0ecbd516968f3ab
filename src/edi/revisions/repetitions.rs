//! Splits off the documents that repeat another one: the sender may send one file twice under two names.
//!
//! An order that is sent again after its cancellation is no repetition: it is the newer order. The same holds for a
//! cancellation that is sent again after a newer order.

use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, Revision, RevisionOutcome, build_revision,
};
use std::collections::HashMap;

/// Document with the contents of another one.
pub(super) struct Repetition<'d> {
    document: &'d ReceivedDocument,
    first: &'d ReceivedDocument,
    /// True for an order of which a cancellation was certainly sent later.
    is_cancelled_later: bool,
}

/// Splits sorted documents into those that count and those that repeat one of these.
pub(super) fn split_repetitions<'d>(
    documents: &[&'d ReceivedDocument],
) -> (Vec<&'d ReceivedDocument>, Vec<Repetition<'d>>) {
    let (mut unique, mut repetitions) = (Vec::new(), Vec::new());
    let mut by_content: HashMap<String, &ReceivedDocument> = HashMap::new();
    for document in documents.iter().copied() {
        let content = document.content_key();
        let first = by_content.get(&content).copied();
        match first {
            Some(first) if !is_sent_again(documents, first, document) => {
                let is_later = |other: &&&ReceivedDocument| is_cancellation(other) && document.is_sent_before(other);
                let is_cancelled_later = documents.iter().any(|other| is_later(&other));
                repetitions.push(Repetition { document, first, is_cancelled_later });
            }
            _ => {
                by_content.insert(content, document);
                unique.push(document);
            }
        }
    }
    (unique, repetitions)
}

/// Returns true if a cancellation lies certainly between two equal orders, or an order between two equal cancellations.
fn is_sent_again(documents: &[&ReceivedDocument], first: &ReceivedDocument, second: &ReceivedDocument) -> bool {
    let is_opposite = |other: &ReceivedDocument| {
        if is_cancellation(first) { is_order(other) } else { is_order(first) && is_cancellation(other) }
    };
    documents.iter().any(|other| is_opposite(other) && is_before(first, other) && is_before(other, second))
}

fn is_order(document: &ReceivedDocument) -> bool {
    !document.order.is_change && document.purpose().is_order()
}

fn is_cancellation(document: &ReceivedDocument) -> bool {
    document.purpose() == DocumentPurpose::Cancellation
}

/// Returns true if a document is certainly older: by the times at which both were sent, else by their days.
fn is_before(one: &ReceivedDocument, other: &ReceivedDocument) -> bool {
    match one.sent_at().zip(other.sent_at()) {
        Some((one, other)) => one < other,
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
        } else {
            (RevisionOutcome::NoEffect, format!("repeats {name}"))
        };
        build_revision(self.document, None, outcome, message)
    }
}
