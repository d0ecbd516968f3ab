//! Folds the documents of a purchase order into its current state and its revision history.
//!
//! Documents are sorted by their own numbers and dates, never by their arrival. The same documents give the same order,
//! in whatever sequence they arrive. A change that arrives before its order waits for it. Nothing is guessed: an
//! ambiguous change is `unclear`, and a person must look at it. The store calls [`fold_documents`] after each new
//! document.

use crate::edi::decimal;
use crate::edi::purchase_order::{PurchaseOrder, PurchaseOrderLine};
use rust_decimal::Decimal;
use std::collections::HashSet;

/// Purchase order or change as received, with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedDocument {
    pub order: PurchaseOrder,
    pub event_id: i64,
    /// Position of the document in its file, from 1.
    pub document_position: i64,
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
    Waiting,
    Unclear,
}

impl RevisionOutcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Waiting => "waiting",
            Self::Unclear => "unclear",
        }
    }
}

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
}

impl OrderState {
    /// Returns the sum of quantity times price over the open lines.
    ///
    /// Returns `None` if a line lacks one of them, or if the basis of its price does not make the amount certain.
    #[must_use]
    pub fn open_lines_total(&self) -> Option<String> {
        let open = self.order.lines.iter().zip(&self.line_statuses).filter(|(_, status)| **status == OrderStatus::Open);
        let mut total = Decimal::ZERO;
        for (line, _) in open {
            total = total.checked_add(line.exact_amount()?)?;
        }
        Some(total.normalize().to_string())
    }
}

/// Folds all documents of one order. With `delta`, the quantities of the partner's QI and QD are differences, not new
/// totals.
#[must_use]
pub fn fold_documents(documents: &[ReceivedDocument], delta: bool) -> OrderState {
    // A test document never changes a real order.
    let has_real = documents.iter().any(|document| !document.order.is_test);
    let (documents, tests): (Vec<&ReceivedDocument>, Vec<&ReceivedDocument>) =
        documents.iter().partition(|document| !(has_real && document.order.is_test));
    let (changes, originals) = documents.into_iter().partition(|document| document.order.is_change);
    let (changes, originals) = (sort_changes(changes), sort_originals(originals));
    let mut state = match find_base(&originals) {
        Some(base) => {
            let mut state = OrderState::from_base(base, changes.len());
            state.apply_changes(&changes, base, delta);
            // A cancellation counts whenever it arrived.
            if let Some(cancellation) = originals.iter().find(|document| document.order.purpose == "01") {
                state.cancel(cancellation);
            }
            state
        }
        None => OrderState::without_base(&changes),
    };
    state.revisions.extend(tests.into_iter().map(|test| {
        build_revision(test, None, RevisionOutcome::Unclear, "ignored: it is a test and the order is not".to_owned())
    }));
    state
}

/// Sorts the originals, so that the last one counts.
fn sort_originals(mut originals: Vec<&ReceivedDocument>) -> Vec<&ReceivedDocument> {
    // A replacement outranks the document that it replaces. Any other document outranks a copy for information.
    let rank = |document: &ReceivedDocument| match document.order.purpose.as_str() {
        "05" => 2,
        "06" | "07" | "22" | "CN" => 0,
        _ => 1,
    };
    originals.sort_by_key(|document| (rank(document), document.event_id, document.document_position));
    originals
}

/// Sorts the changes by their own numbers and dates, then by arrival.
fn sort_changes(mut changes: Vec<&ReceivedDocument>) -> Vec<&ReceivedDocument> {
    changes.sort_by_key(|document| {
        // The standard: a change without a sequence number is the first one.
        let sequence = document.order.sequence.as_deref().unwrap_or("1");
        let number = sequence.parse::<u64>().unwrap_or(u64::MAX);
        let changed_on = document.order.changed_on.clone();
        (number, sequence.to_owned(), changed_on, document.event_id, document.document_position)
    });
    changes
}

/// Returns the original to which the changes apply: the last that is not a cancellation, else the last cancellation.
fn find_base<'d>(originals: &[&'d ReceivedDocument]) -> Option<&'d ReceivedDocument> {
    originals.iter().rev().find(|document| document.order.purpose != "01").or(originals.last()).copied()
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

/// Replaces the elements that have the kind of a new one, and keeps the others.
fn replace_same_kind<T: Clone>(old: &mut Vec<T>, new: &[T], kind: impl Fn(&T) -> &str) {
    old.retain(|old| !new.iter().any(|new| kind(new) == kind(old)));
    old.extend_from_slice(new);
}

/// Returns the quantity as a number, if it is one.
fn parse_quantity(line: &PurchaseOrderLine) -> Option<Decimal> {
    decimal::parse_decimal(line.quantity.as_deref()?)
}

impl OrderState {
    /// Returns the order as its original states it, before any change.
    fn from_base(base: &ReceivedDocument, change_count: usize) -> Self {
        let mut order = base.order.clone();
        // A line with a change code (POC) does not belong in an order.
        let (misplaced, lines): (Vec<_>, Vec<_>) =
            order.lines.into_iter().partition(|line| line.change.is_some() && !base.order.is_change);
        order.lines = lines;
        let message = "a line of an order must be a PO1 segment: this one is not in the order";
        let refuse = |line| build_revision(base, Some(line), RevisionOutcome::Unclear, message.to_owned());
        Self {
            status: OrderStatus::Open,
            line_statuses: vec![OrderStatus::Open; order.lines.len()],
            order,
            revisions: misplaced.iter().map(refuse).collect(),
            change_count,
            event_id: Some(base.event_id),
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
        let wait = |change: &&ReceivedDocument| {
            build_revision(change, None, RevisionOutcome::Waiting, "waits for the order that it changes".to_owned())
        };
        Self {
            order,
            status: OrderStatus::Waiting,
            line_statuses: Vec::new(),
            revisions: changes.iter().map(wait).collect(),
            change_count: changes.len(),
            event_id: None,
        }
    }

    fn apply_changes(&mut self, changes: &[&ReceivedDocument], base: &ReceivedDocument, delta: bool) {
        let mut seen = HashSet::new();
        for change in changes {
            // The sender may send one file twice under two names.
            let is_repeated = !seen.insert(serde_json::to_string(&change.order).unwrap_or_default());
            // A replacement of the order includes the changes that came before it.
            let is_replaced = base.order.purpose == "05"
                && (change.event_id, change.document_position) < (base.event_id, base.document_position);
            let skipped = match (is_repeated, is_replaced) {
                (true, _) => "repeats an earlier change",
                (false, true) => "is part of the order that replaced the earlier one",
                (false, false) => {
                    self.apply_change(change, delta);
                    continue;
                }
            };
            self.revisions.push(build_revision(change, None, RevisionOutcome::Applied, skipped.to_owned()));
        }
    }

    fn cancel(&mut self, document: &ReceivedDocument) {
        self.cancel_all_lines();
        let message = "the order is cancelled".to_owned();
        self.revisions.push(build_revision(document, None, RevisionOutcome::Applied, message));
    }

    fn cancel_all_lines(&mut self) {
        self.status = OrderStatus::Cancelled;
        self.line_statuses.fill(OrderStatus::Cancelled);
    }

    fn apply_change(&mut self, document: &ReceivedDocument, delta: bool) {
        let change = &document.order;
        if change.purpose == "01" && change.lines.is_empty() {
            return self.cancel(document);
        }
        self.overwrite_header(change);
        if change.lines.is_empty() {
            let message = "changes the order's header".to_owned();
            self.revisions.push(build_revision(document, None, RevisionOutcome::Applied, message));
        }
        let mut named: HashSet<usize> = HashSet::new();
        for line in &change.lines {
            let before = self.order.lines.len();
            let found = self.find_line(line);
            let (outcome, message) = self.apply_line_change(line, delta);
            named.extend(found.or((self.order.lines.len() > before).then_some(before)));
            self.revisions.push(build_revision(document, Some(line), outcome, message));
        }
        // A replacement lists all lines: a line that it leaves out is no longer ordered.
        if change.purpose == "05" && !change.lines.is_empty() {
            for index in (0..self.line_statuses.len()).filter(|index| !named.contains(index)) {
                self.line_statuses[index] = OrderStatus::Cancelled;
                let message = "deleted: the replacement of the order leaves it out".to_owned();
                let mut revision = build_revision(document, None, RevisionOutcome::Applied, message);
                revision.line_number.clone_from(&self.order.lines[index].number);
                self.revisions.push(revision);
            }
        }
    }

    /// Overwrites the values of the header that the change states.
    fn overwrite_header(&mut self, change: &PurchaseOrder) {
        let order = &mut self.order;
        replace_same_kind(&mut order.dates, &change.dates, |date| &date.qualifier);
        replace_same_kind(&mut order.references, &change.references, |reference| &reference.qualifier);
        replace_same_kind(&mut order.addresses, &change.addresses, |address| &address.kind);
        replace_same_kind(&mut order.contacts, &change.contacts, |contact| &contact.kind);
        replace_same_kind(&mut order.allowances, &change.allowances, |allowance| {
            allowance.code.as_deref().unwrap_or("")
        });
        if !change.terms.is_empty() {
            order.terms.clone_from(&change.terms);
        }
        if !change.carriers.is_empty() {
            order.carriers.clone_from(&change.carriers);
        }
        add_new(&mut order.instructions, &change.instructions);
        add_new(&mut order.notes, &change.notes);
        if change.stated_total.is_some() {
            order.stated_total.clone_from(&change.stated_total);
        }
        order.overwrite_further_parts(change);
    }

    fn apply_line_change(&mut self, line: &PurchaseOrderLine, delta: bool) -> (RevisionOutcome, String) {
        let code = line.change.as_deref().unwrap_or("CA");
        let found = self.find_line(line);
        if code == "CF" {
            self.cancel_all_lines();
            return (RevisionOutcome::Applied, "the order is cancelled".to_owned());
        }
        if code == "AI" {
            return self.add_line(line, found);
        }
        let Some(index) = found else {
            return (RevisionOutcome::Unclear, "it does not identify one line of the order".to_owned());
        };
        match code {
            "DI" => {
                self.line_statuses[index] = OrderStatus::Cancelled;
                (RevisionOutcome::Applied, "deleted".to_owned())
            }
            "NC" | "NCH" => (RevisionOutcome::Applied, "no change".to_owned()),
            "QI" | "QD" if delta => self.add_quantity(index, line, code),
            "RZ" => {
                let before = self.order.lines[index].clone();
                self.order.lines[index] =
                    PurchaseOrderLine { number: before.number.clone(), change: None, ..line.clone() };
                self.line_statuses[index] = OrderStatus::Open;
                (RevisionOutcome::Applied, describe_difference(&before, &self.order.lines[index]))
            }
            "AI" | "CA" | "MU" | "PC" | "QI" | "QD" | "PQ" | "PR" | "RQ" | "CT" | "CB" | "CD" | "RB" | "RS" | "RA"
            | "CC" | "CE" | "CG" | "CL" | "CS" | "RE" | "RM" => self.overwrite_values(index, line, code),
            other => (RevisionOutcome::Unclear, format!("the change code {other} is not known")),
        }
    }

    /// Adds a line. The same addition twice gives one line.
    fn add_line(&mut self, line: &PurchaseOrderLine, found: Option<usize>) -> (RevisionOutcome, String) {
        if let Some(index) = found.filter(|_| line.number.is_some()) {
            let other = &self.order.lines[index];
            let is_same_item =
                line.ids.is_empty() || other.ids.is_empty() || line.ids.iter().any(|id| other.ids.contains(id));
            if !is_same_item {
                return (RevisionOutcome::Unclear, "the order has a line with this number and another item".to_owned());
            }
            self.order.lines[index] = line.clone();
            self.line_statuses[index] = OrderStatus::Open;
            return (RevisionOutcome::Applied, "the order has this line already: it is replaced".to_owned());
        }
        self.order.lines.push(line.clone());
        self.line_statuses.push(OrderStatus::Open);
        let quantity = line.quantity.as_deref().unwrap_or("no quantity");
        (RevisionOutcome::Applied, format!("added: {quantity} {}", line.unit.as_deref().unwrap_or("")))
    }

    /// Adds (QI) or subtracts (QD) a difference of the quantity.
    fn add_quantity(&mut self, index: usize, line: &PurchaseOrderLine, code: &str) -> (RevisionOutcome, String) {
        let before = self.order.lines[index].clone();
        let (Some(old), Some(by)) = (parse_quantity(&before), parse_quantity(line)) else {
            return (RevisionOutcome::Unclear, "the order or the change states no quantity".to_owned());
        };
        let new = if code == "QI" { old.checked_add(by) } else { old.checked_sub(by) };
        match new {
            Some(new) if !new.is_sign_negative() => {
                let mut line = line.clone();
                line.quantity = Some(new.normalize().to_string());
                self.overwrite_line(index, &line);
                (RevisionOutcome::Applied, describe_difference(&before, &self.order.lines[index]))
            }
            _ => (RevisionOutcome::Unclear, format!("{old} minus {by} is less than zero")),
        }
    }

    /// Overwrites the values that the change states. A QI that lowers the quantity, or a QD that raises it, is unclear.
    fn overwrite_values(&mut self, index: usize, line: &PurchaseOrderLine, code: &str) -> (RevisionOutcome, String) {
        let before = self.order.lines[index].clone();
        self.overwrite_line(index, line);
        let after = &self.order.lines[index];
        let contradicts_code = match (parse_quantity(&before), parse_quantity(after)) {
            (Some(old), Some(new)) => code == "QI" && new < old || code == "QD" && new > old,
            _ => false,
        };
        let difference = describe_difference(&before, after);
        if !contradicts_code {
            return (RevisionOutcome::Applied, difference);
        }
        let expected = if code == "QI" { "an increase" } else { "a decrease" };
        let message = format!(
            "{difference}: {code} means {expected}; if this partner sends differences, run \
             novex-ingest sps map partner PARTNER CUSTOMER --quantity delta"
        );
        (RevisionOutcome::Unclear, message)
    }

    /// Returns the index of the line that a change names: by its number, else by its item if only one line has it.
    fn find_line(&self, line: &PurchaseOrderLine) -> Option<usize> {
        let lines = &self.order.lines;
        if let Some(number) = line.number.as_deref() {
            let has_number = |other: &PurchaseOrderLine| {
                other.number.as_deref().is_some_and(|other| {
                    other == number
                        || matches!((other.parse::<u64>(), number.parse::<u64>()), (Ok(one), Ok(two)) if one == two)
                })
            };
            let mut matches = lines.iter().enumerate().filter(|(_, other)| has_number(other));
            let found = matches.next();
            if found.is_some() && matches.next().is_none() {
                return found.map(|(index, _)| index);
            }
        }
        for wanted in &line.ids {
            let mut matches = lines.iter().enumerate().filter(|(_, other)| other.ids.contains(wanted));
            if let (Some((index, other)), None) = (matches.next(), matches.next()) {
                // The change names another line by its number: the item does not overrule that.
                let contradicts = line.number.is_some() && other.number.is_some() && line.number != other.number;
                return (!contradicts).then_some(index);
            }
        }
        None
    }

    /// Overwrites each value of a line that the change states.
    fn overwrite_line(&mut self, index: usize, change: &PurchaseOrderLine) {
        let line = &mut self.order.lines[index];
        for (old, new) in [
            (&mut line.quantity, &change.quantity),
            (&mut line.unit, &change.unit),
            (&mut line.price, &change.price),
            (&mut line.price_basis, &change.price_basis),
            (&mut line.description, &change.description),
            (&mut line.pack, &change.pack),
            (&mut line.pack_size, &change.pack_size),
        ] {
            if new.is_some() {
                old.clone_from(new);
            }
        }
        replace_same_kind(&mut line.ids, &change.ids, |id| &id.qualifier);
        replace_same_kind(&mut line.dates, &change.dates, |date| &date.qualifier);
        replace_same_kind(&mut line.references, &change.references, |reference| &reference.qualifier);
        replace_same_kind(&mut line.addresses, &change.addresses, |address| &address.kind);
        replace_same_kind(&mut line.allowances, &change.allowances, |allowance| {
            allowance.code.as_deref().unwrap_or("")
        });
        if !change.schedules.is_empty() {
            line.schedules.clone_from(&change.schedules);
        }
        add_new(&mut line.instructions, &change.instructions);
        add_new(&mut line.notes, &change.notes);
        line.overwrite_further_parts(change);
    }
}

/// Adds the notes or instructions that are not there yet.
fn add_new<T: Clone + PartialEq>(entries: &mut Vec<T>, new: &[T]) {
    let added: Vec<T> = new.iter().filter(|entry| !entries.contains(entry)).cloned().collect();
    entries.extend(added);
}

/// Describes the differences between two versions of a line.
fn describe_difference(before: &PurchaseOrderLine, after: &PurchaseOrderLine) -> String {
    let show = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let mut differences = Vec::new();
    for (name, old, new) in [
        ("quantity", &before.quantity, &after.quantity),
        ("unit", &before.unit, &after.unit),
        ("price", &before.price, &after.price),
    ] {
        if old != new {
            differences.push(format!("{name} {} → {}", show(old), show(new)));
        }
    }
    if before.dates != after.dates {
        differences.push("dates changed".to_owned());
    }
    if before.ids != after.ids {
        differences.push("item numbers changed".to_owned());
    }
    if differences.is_empty() { "no difference in the stored values".to_owned() } else { differences.join(", ") }
}
