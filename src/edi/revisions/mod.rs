//! Folds the documents of a purchase order into its current state and its revision history.
//!
//! The same documents give the same order, in whatever sequence they arrive: only their contents, their own numbers and
//! dates, and the day of their arrival count. A change that arrives before its order waits for it. Nothing is guessed:
//! what contradicts the order, itself or another document is `unclear`, and a person must look at it. The store calls
//! [`fold_documents`] after each new document. docs/edi.md has the rules.

mod allowed_values;
mod cancellations;
mod change;
mod copies;
mod difference;
mod line_change;
pub(in crate::edi) mod line_match;
mod listed_parts;
mod originals;
mod overwrite;
mod quantity;
mod repetitions;
mod sequence;
mod totals;

use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::order_findings::summarize_findings;
use crate::edi::order_totals;
use crate::edi::purchase_order::{DocumentOrigin, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use originals::{DocumentRoles, OrderBase};
pub use quantity::ChangeQuantities;
use rust_decimal::Decimal;

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

    /// Returns the effect that the document has by its purpose.
    fn purpose(&self) -> DocumentPurpose {
        DocumentPurpose::of(&self.order)
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

/// Quantity, unit and price of a line before all changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OriginalAmount {
    quantity: Option<String>,
    unit: Option<String>,
    price: Option<String>,
}

impl OriginalAmount {
    fn of(line: &PurchaseOrderLine) -> Self {
        Self { quantity: line.quantity.clone(), unit: line.unit.clone(), price: line.price.clone() }
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
    /// Amount of each line before all changes. A cancellation often repeats the order as it was first sent.
    original_amounts: Vec<OriginalAmount>,
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

/// Folds all documents of one order. `quantities` is the meaning of the quantities in the partner's changes.
#[must_use]
pub fn fold_documents(documents: &[ReceivedDocument], quantities: ChangeQuantities) -> OrderState {
    // A test document never changes a real order.
    let has_real = documents.iter().any(|document| !document.order.is_test);
    let last_event_id = documents.iter().map(|document| document.event_id).max().unwrap_or_default();
    let mut sorted: Vec<&ReceivedDocument> = documents.iter().collect();
    // The numbers of the events depend on the arrival, and decide only between documents that are equal.
    sorted.sort_by_cached_key(|document| {
        let sent_at = document.sent_at().unwrap_or("~").to_owned();
        let text = serde_json::to_string(&document.order).unwrap_or_default();
        let ids = (document.event_id, document.document_position);
        (sent_at, document.received_on.clone(), document.content_key(), text, ids)
    });
    let (documents, tests): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|document| !(has_real && document.order.is_test));
    let change_count = documents.iter().filter(|document| document.order.is_change).count();
    let (documents, repetitions) = repetitions::split_repetitions(&documents);
    let roles = DocumentRoles::new(documents);
    let mut state = match OrderBase::choose(&roles) {
        Some(base) => fold_on_base(&roles, &base, quantities),
        None => OrderState::without_base(&[roles.changes, roles.change_copies].concat()),
    };
    state.change_count = change_count;
    state.last_event_id = last_event_id;
    let rows: Vec<Revision> = repetitions.iter().map(|repetition| repetition.describe(&state, quantities)).collect();
    state.revisions.extend(rows);
    state.revisions.extend(tests.into_iter().map(|test| {
        build_revision(test, None, RevisionOutcome::Unclear, "ignored: it is a test and the order is not".to_owned())
    }));
    state
}

/// Folds the documents on the order that counts.
fn fold_on_base(roles: &DocumentRoles<'_>, base: &OrderBase<'_>, quantities: ChangeQuantities) -> OrderState {
    let mut state = OrderState::from_base(base.document);
    state.revisions.extend(base.describe_orders());
    // Copies are compared with each version of the order.
    let mut versions: Vec<PurchaseOrder> = roles.orders.iter().map(|document| document.order.clone()).collect();
    let has_copies = !roles.order_copies.is_empty();
    if base.purpose() == DocumentPurpose::Cancellation {
        // Only the cancellation arrived: the changes wait for the order itself.
        state.revisions.extend(roles.changes.iter().map(|change| build_waiting_revision(change)));
    } else {
        sequence::apply_changes(&mut state, &roles.changes, base, quantities, &mut |state| {
            if has_copies {
                versions.push(state.copy_open_order());
            }
        });
    }
    cancellations::apply_cancellations(&mut state, roles, base);
    copies::compare_order_copies(&mut state, roles, base, &versions);
    copies::compare_change_copies(&mut state, roles, quantities);
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
        || location.starts_with("ISA")
        || location.starts_with("GS0")
        || location.starts_with("BCH")
        || location.starts_with("G92")
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
        // A line with a change code, or of the segment of another set, does not belong in an order.
        let (misplaced, lines): (Vec<_>, Vec<_>) =
            order.lines.into_iter().partition(|line| line.change.is_some() && !base.order.is_change);
        order.lines = lines;
        let refuse = |line: &PurchaseOrderLine| {
            let found = line.change.as_deref().unwrap_or_default();
            let expected = "a line must be a PO1 segment in an 850 and a G68 segment in an 875";
            let message = format!("not applied: {expected}, found {found}");
            build_revision(base, Some(line), RevisionOutcome::Unclear, message)
        };
        Self {
            status: OrderStatus::Open,
            line_statuses: vec![OrderStatus::Open; order.lines.len()],
            original_amounts: order.lines.iter().map(OriginalAmount::of).collect(),
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
            original_amounts: Vec::new(),
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
