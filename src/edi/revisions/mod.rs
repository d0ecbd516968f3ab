//! Folds the documents of a purchase order into its current state and its revision history.
//!
//! The same documents give the same order, in whatever sequence they arrive: only their contents, their own numbers and
//! dates, and the day of their arrival count. A change that arrives before its order waits for it. Nothing is guessed:
//! what contradicts the order, itself or another document is `unclear`, and a person must look at it. The store calls
//! [`fold_documents`] after each new document. docs/edi.md has the rules.

mod change;
mod copies;
mod difference;
mod line_change;
mod line_match;
mod originals;
mod overwrite;
mod quantity;
mod sequence;

use crate::edi::order_findings::summarize_findings;
use crate::edi::order_totals;
use crate::edi::purchase_order::{DocumentOrigin, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use originals::{DocumentPurpose, DocumentRoles, OrderBase};
use rust_decimal::Decimal;
use std::collections::HashMap;

/// Purchase order or change as received, with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedDocument {
    pub order: PurchaseOrder,
    pub event_id: i64,
    /// Position of the document in its file, from 1.
    pub document_position: i64,
    /// Day on which the file arrived (UTC): the date of a document that states none.
    pub received_on: String,
}

impl ReceivedDocument {
    /// Returns the day as of which the document is: its own date, else the day on which it arrived.
    fn effective_date(&self) -> &str {
        let own = if self.order.is_change { &self.order.changed_on } else { &self.order.ordered_on };
        own.as_deref().unwrap_or(&self.received_on)
    }

    /// Returns the time at which the sender made the group, if the format states it.
    fn sent_at(&self) -> Option<&str> {
        self.order.origin.sent_at.as_deref()
    }

    /// Returns true if the sender made this document certainly before the other one, by the times of their groups.
    fn is_sent_before(&self, other: &Self) -> bool {
        self.sent_at().zip(other.sent_at()).is_some_and(|(own, other)| own < other)
    }

    /// Returns the contents as text. Format and control numbers are no content, and the findings follow from it.
    fn content_key(&self) -> String {
        let mut order = PurchaseOrder { origin: DocumentOrigin::default(), findings: Vec::new(), ..self.order.clone() };
        order.extras.retain(|extra| !is_document_extra(extra));
        serde_json::to_string(&order).unwrap_or_default()
    }

    /// Returns the name of the document for messages: `event 5`, or `event 5, document 2`.
    fn name(&self) -> String {
        match self.document_position {
            ..=1 => format!("event {}", self.event_id),
            position => format!("event {}, document {position}", self.event_id),
        }
    }

    /// Returns the kind and the name of the document: `the order of event 5`.
    fn name_kind(&self) -> String {
        format!("the {} of {}", if self.order.is_change { "change" } else { "order" }, self.name())
    }
}

/// Status of an order or of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    Open,
    Cancelled,
    /// Only changes arrived, not the order.
    Waiting,
}

impl OrderStatus {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Cancelled => "cancelled",
            Self::Waiting => "waiting",
        }
    }
}

/// Outcome of one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionOutcome {
    Applied,
    /// The document is understood and does not change the order: a repetition, a copy, a replaced document.
    NoEffect,
    Waiting,
    /// A person must look at the order. The message states whether the change is applied.
    Unclear,
}

impl RevisionOutcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NoEffect => "no_effect",
            Self::Waiting => "waiting",
            Self::Unclear => "unclear",
        }
    }
}

/// Message of a change whose values the order has already ends with this word, or has it before a document's name.
const ALREADY: &str = " already";

/// One entry of the revision history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub event_id: i64,
    pub sequence: Option<String>,
    pub changed_on: Option<String>,
    pub line_number: Option<String>,
    pub code: Option<String>,
    pub outcome: RevisionOutcome,
    pub message: String,
}

impl Revision {
    /// Returns true if the change states what the order has already.
    fn states_what_is_so(&self) -> bool {
        self.outcome == RevisionOutcome::NoEffect || self.message.contains(ALREADY)
    }
}

/// Purchase order after all its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    pub order: PurchaseOrder,
    pub status: OrderStatus,
    /// Status of each line of `order`.
    pub line_statuses: Vec<OrderStatus>,
    pub revisions: Vec<Revision>,
    pub change_count: usize,
    /// Event of the order itself; `None` while only changes arrived.
    pub event_id: Option<i64>,
    /// Newest event among the documents.
    pub last_event_id: i64,
    /// Document that cancelled the order, for messages.
    cancelled_by: Option<String>,
}

impl OrderState {
    /// Returns the reason why a person must look at the order, if there is one.
    #[must_use]
    pub fn attention(&self) -> Option<String> {
        if self.status == OrderStatus::Waiting {
            return Some("a change arrived before the order that it changes".to_owned());
        }
        summarize_findings(self.describe_unclear_changes().into_iter().chain(self.findings()).collect())
    }

    fn describe_unclear_changes(&self) -> Option<String> {
        let mut unclear = self.revisions.iter().filter(|revision| revision.outcome == RevisionOutcome::Unclear);
        let first = unclear.next()?;
        let line = first.line_number.as_ref().map_or_else(String::new, |line| format!("line {line}: "));
        let fact: String = first.message.chars().take(ATTENTION_CHARS_MAX).collect();
        let rest = if fact.len() < first.message.len() { "…" } else { "" };
        let fact = format!("event {}: {line}{fact}{rest}", first.event_id);
        Some(match 1 + unclear.count() {
            1 => format!("1 change is unclear: see purchase_order_changes; {fact}"),
            count => format!("{count} changes are unclear: see purchase_order_changes; {fact}"),
        })
    }

    /// Returns the sum of quantity times price over the open lines, rounded to cents.
    ///
    /// Returns `None` if a line lacks one of them, if the basis of its price does not make the amount certain, or if
    /// the lines are in several currencies.
    #[must_use]
    pub fn open_lines_total(&self) -> Option<String> {
        let open = self.order.lines.iter().zip(&self.line_statuses).filter(|(_, status)| **status == OrderStatus::Open);
        let lines: Vec<&PurchaseOrderLine> = open.map(|(line, _)| line).collect();
        if self.order.currency_obstacle(&lines).is_some() {
            return None;
        }
        let mut total = Decimal::ZERO;
        for line in lines {
            total = total.checked_add(line.exact_amount()?)?;
        }
        Some(order_totals::format_number(order_totals::round_to_cents(total)))
    }
}

/// Most characters of a message that the reason for attention repeats.
const ATTENTION_CHARS_MAX: usize = 160;

/// Folds all documents of one order. With `delta`, the quantities of the partner's QI and QD are differences, not new
/// totals.
#[must_use]
pub fn fold_documents(documents: &[ReceivedDocument], delta: bool) -> OrderState {
    // A test document never changes a real order.
    let has_real = documents.iter().any(|document| !document.order.is_test);
    let last_event_id = documents.iter().map(|document| document.event_id).max().unwrap_or_default();
    let mut sorted: Vec<&ReceivedDocument> = documents.iter().collect();
    // The numbers of the events depend on the arrival, and decide only between documents that are equal.
    sorted.sort_by_cached_key(|document| {
        let sent_at = document.sent_at().unwrap_or("~").to_owned();
        (sent_at, document.received_on.clone(), document.content_key(), document.event_id, document.document_position)
    });
    let (documents, tests): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|document| !(has_real && document.order.is_test));
    let change_count = documents.iter().filter(|document| document.order.is_change).count();
    let (documents, repetitions) = split_repetitions(documents, delta);
    let roles = DocumentRoles::new(documents);
    let mut state = match OrderBase::choose(&roles) {
        Some(base) => fold_on_base(&roles, &base, delta),
        None => OrderState::without_base(&[roles.changes, roles.change_copies].concat()),
    };
    state.change_count = change_count;
    state.last_event_id = last_event_id;
    state.revisions.extend(repetitions);
    state.revisions.extend(tests.into_iter().map(|test| {
        build_revision(test, None, RevisionOutcome::Unclear, "ignored: it is a test and the order is not".to_owned())
    }));
    state
}

/// Returns true if a document with this purpose is an order, and no cancellation and no copy of one.
#[must_use]
pub fn is_order_purpose(purpose: &str) -> bool {
    matches!(DocumentPurpose::of(purpose), DocumentPurpose::Plain | DocumentPurpose::Replacement)
}

/// Splits off the documents that repeat another one: the sender may send one file twice under two names.
fn split_repetitions(documents: Vec<&ReceivedDocument>, delta: bool) -> (Vec<&ReceivedDocument>, Vec<Revision>) {
    let (mut unique, mut repetitions) = (Vec::new(), Vec::new());
    let mut by_content: HashMap<String, &ReceivedDocument> = HashMap::new();
    for document in documents {
        let Some(first) = by_content.get(&document.content_key()) else {
            by_content.insert(document.content_key(), document);
            unique.push(document);
            continue;
        };
        let order = &document.order;
        let states_difference =
            delta && order.lines.iter().any(|line| matches!(line.change.as_deref(), Some("QI" | "QD")));
        let is_anonymous = order.sequence.is_none() && order.changed_on.is_none();
        let (outcome, message) = if states_difference && is_anonymous {
            let reason = "it has neither a number nor a date, so that it may be a second difference";
            (RevisionOutcome::Unclear, format!("not applied: repeats {}, but {reason}", first.name_kind()))
        } else {
            (RevisionOutcome::NoEffect, format!("repeats {}", first.name_kind()))
        };
        repetitions.push(build_revision(document, None, outcome, message));
    }
    (unique, repetitions)
}

/// Folds the documents on the order that counts.
fn fold_on_base(roles: &DocumentRoles<'_>, base: &OrderBase<'_>, delta: bool) -> OrderState {
    let mut state = OrderState::from_base(base.document);
    state.revisions.extend(base.describe_orders());
    // Copies are compared with each version of the order.
    let mut versions: Vec<PurchaseOrder> = roles.orders.iter().map(|document| document.order.clone()).collect();
    let has_copies = !roles.order_copies.is_empty();
    if base.purpose() == DocumentPurpose::Cancellation {
        // Only the cancellation arrived: the changes wait for the order itself.
        state.revisions.extend(roles.changes.iter().map(|change| build_waiting_revision(change)));
    } else {
        sequence::apply_changes(&mut state, &roles.changes, base, delta, &mut |state| {
            if has_copies {
                versions.push(state.copy_open_order());
            }
        });
    }
    originals::apply_cancellations(&mut state, roles, base);
    copies::compare_order_copies(&mut state, roles, base, &versions);
    copies::compare_change_copies(&mut state, roles, delta);
    state
}

fn build_waiting_revision(change: &ReceivedDocument) -> Revision {
    build_revision(change, None, RevisionOutcome::Waiting, "waits for the order that it changes".to_owned())
}

/// Returns true for an extra of the document that carries an order, and not of the order: control numbers, versions,
/// and what the first segment of a change states about the change.
fn is_document_extra(extra: &OrderExtra) -> bool {
    const OF_ORDER: [&str; 2] = ["Meta/IsDropShip", "Meta/OrderManagement"];
    let location = extra.location.as_str();
    (location.starts_with("Meta/") && !OF_ORDER.contains(&location))
        || location.starts_with("BCH")
        || location.starts_with("Header/OrderHeader/Document")
}

fn build_revision(
    document: &ReceivedDocument,
    line: Option<&PurchaseOrderLine>,
    outcome: RevisionOutcome,
    message: String,
) -> Revision {
    Revision {
        event_id: document.event_id,
        sequence: document.order.sequence.clone(),
        changed_on: document.order.changed_on.clone(),
        line_number: line.and_then(|line| line.number.clone()),
        code: line.and_then(|line| line.change.clone()),
        outcome,
        message,
    }
}

impl OrderState {
    /// Returns the order as its original states it, before any change.
    fn from_base(base: &ReceivedDocument) -> Self {
        let mut order = base.order.clone();
        // A line with a change code (POC) does not belong in an order.
        let (misplaced, lines): (Vec<_>, Vec<_>) =
            order.lines.into_iter().partition(|line| line.change.is_some() && !base.order.is_change);
        order.lines = lines;
        let message = "not applied: a line of an order must be a PO1 segment, found POC";
        let refuse = |line| build_revision(base, Some(line), RevisionOutcome::Unclear, message.to_owned());
        Self {
            status: OrderStatus::Open,
            line_statuses: vec![OrderStatus::Open; order.lines.len()],
            order,
            revisions: misplaced.iter().map(refuse).collect(),
            change_count: 0,
            event_id: Some(base.event_id),
            last_event_id: 0,
            cancelled_by: None,
        }
    }

    /// Returns an order of which only changes arrived, so that all of them wait.
    fn without_base(changes: &[&ReceivedDocument]) -> Self {
        let mut order = PurchaseOrder::default();
        if let Some(first) = changes.first() {
            order.partner.clone_from(&first.order.partner);
            order.number.clone_from(&first.order.number);
            order.release.clone_from(&first.order.release);
            order.is_test = first.order.is_test;
        }
        Self {
            order,
            status: OrderStatus::Waiting,
            line_statuses: Vec::new(),
            revisions: changes.iter().map(|change| build_waiting_revision(change)).collect(),
            change_count: 0,
            event_id: None,
            last_event_id: 0,
            cancelled_by: None,
        }
    }

    /// Returns the order with its open lines only.
    fn copy_open_order(&self) -> PurchaseOrder {
        let mut order = self.order.clone();
        let mut statuses = self.line_statuses.iter();
        order.lines.retain(|_| statuses.next() == Some(&OrderStatus::Open));
        order
    }
}
