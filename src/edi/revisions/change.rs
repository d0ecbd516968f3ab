//! Applies one change, an 860 or `OrderChange`, to the order: its header, then its lines.
//!
//! All lines are looked up before the first one is applied. Lines that name one line of the order with different
//! values contradict each other, and none of them is applied.

use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::purchase_order::{PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::cancellations::{self, join_names};
use crate::edi::revisions::line_change::{self, LineEffect, LineTarget};
use crate::edi::revisions::line_match::{LineIndex, LineMatch, name_line, normalize_line_number};
use crate::edi::revisions::totals::TotalsBefore;
use crate::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, RevisionOutcome, build_revision, difference,
    overwrite, quantity, totals,
};
use std::collections::{HashMap, HashSet};

/// Codes of lines that cannot be combined with another line of the change for the same goods.
const EXCLUSIVE_CODES: [&str; 8] = ["AI", "DI", "RZ", "NC", "NCH", "PO1", "POC", "G68"];

/// Most lines for the same goods that are compared and named; more contradict each other.
const CLAIMS_MAX: usize = 10;

/// Line of the order, or a new one, at which a line of a change aims.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum TargetKey {
    Line(usize),
    /// A line that the order does not have, by its number or else its goods.
    New(String),
}

/// Applies a change and adds its rows to the history.
pub(super) fn apply_change(state: &mut OrderState, document: &ReceivedDocument, quantities: ChangeQuantities) {
    let converted;
    let document = if quantities == ChangeQuantities::Left {
        converted = read_quantities_left(state, document);
        &converted
    } else {
        document
    };
    let change = &document.order;
    let is_cancellation = document.purpose() == DocumentPurpose::Cancellation;
    if state.status == OrderStatus::Cancelled {
        let fact = if is_cancellation { "the order is cancelled already" } else { "the order is cancelled" };
        let effect = LineEffect::refuse(format!("{fact}{}", state.name_cancellation()));
        return state.add_revision(document, None, effect);
    }
    if is_cancellation {
        return cancellations::cancel_by_change(state, document);
    }
    let first_row = state.revisions.len();
    let totals = TotalsBefore::of(state, change);
    let (header, doubts) = change_header(state, change);
    change_lines(state, document, quantities);
    let row_count = state.revisions.len();
    totals::check_change_totals(state, document, totals);
    let header = difference::list_header_differences(&header, &state.order);
    let is_without_effect = header.is_empty()
        && doubts.is_empty()
        && state.revisions[first_row..row_count].iter().all(|revision| revision.outcome == RevisionOutcome::NoEffect);
    if !header.is_empty() || !doubts.is_empty() {
        // The rows of the header come before those of the lines.
        let end = state.revisions.len();
        let effect = if header.is_empty() {
            LineEffect::refuse(doubts.join("; "))
        } else {
            LineEffect::apply(difference::join_differences(&header)).with_doubts(&doubts)
        };
        state.add_revision(document, None, effect);
        let added = state.revisions.len() - end;
        state.revisions[first_row..].rotate_right(added);
    }
    if is_without_effect {
        let fact = "the change changes nothing: the order has each stated value already";
        state.revisions.push(build_revision(document, None, RevisionOutcome::Unclear, fact.to_owned()));
    }
}

/// Returns the document with POC04 as the new quantities of its lines.
fn read_quantities_left(state: &OrderState, document: &ReceivedDocument) -> ReceivedDocument {
    let mut document = document.clone();
    let targets = find_targets(state, &document.order.lines);
    for (line, target) in document.order.lines.iter_mut().zip(&targets) {
        let own = target.index().filter(|_| line.change.as_deref() != Some("AI"));
        quantity::read_quantity_left(line, own.and_then(|index| quantity::parse_quantity(&state.order.lines[index])));
    }
    document
}

/// Overwrites the header. Returns the one before, and what is not certain.
fn change_header(state: &mut OrderState, change: &PurchaseOrder) -> (PurchaseOrder, Vec<String>) {
    // The header is copied without its lines, of which an order may have thousands.
    let lines = std::mem::take(&mut state.order.lines);
    let before = state.order.clone();
    let doubts = overwrite::overwrite_header(&mut state.order, change);
    state.order.lines = lines;
    (before, doubts)
}

fn change_lines(state: &mut OrderState, document: &ReceivedDocument, quantities: ChangeQuantities) {
    let change = &document.order;
    let is_replacement = document.purpose() == DocumentPurpose::Replacement && !change.lines.is_empty();
    let targets = find_targets(state, &change.lines);
    let refusals = find_contradictions(state, change, &targets, quantities);
    let line_count = state.order.lines.len();
    let mut unmatched = Vec::new();
    for ((line, target), refusal) in change.lines.iter().zip(&targets).zip(refusals) {
        let is_cancelled = state.status == OrderStatus::Cancelled;
        let effect = match refusal {
            _ if is_cancelled => LineEffect::refuse("another line of the change cancels the order"),
            Some(effect) => effect,
            None => line_change::apply_line(state, line, target, quantities),
        };
        if target.index().is_none() && effect.is_refusal() {
            unmatched
                .push(line.number.as_ref().map_or_else(|| describe_claim(line), |number| format!("line {number}")));
        }
        // A replacement states all lines, also those that stay as they are.
        let stays = is_replacement && effect.changes_nothing();
        if !stays {
            state.add_revision(document, Some(line), effect);
        }
        if state.status == OrderStatus::Cancelled && state.cancelled_by.is_none() {
            state.cancelled_by = Some(document.name());
        }
    }
    if is_replacement && state.status != OrderStatus::Cancelled {
        let named: HashSet<usize> = targets.iter().filter_map(LineTarget::index).collect();
        cancel_unnamed_lines(state, document, (&named, line_count), &unmatched);
    }
}

/// Cancels the lines that a replacement does not name, of those that the order had before it.
///
/// Lines of the replacement that fit no line of the order may stand for these, so that none is cancelled.
fn cancel_unnamed_lines(
    state: &mut OrderState,
    document: &ReceivedDocument,
    (named, line_count): (&HashSet<usize>, usize),
    unmatched: &[String],
) {
    let is_open = |index: &usize| state.line_statuses[*index] == OrderStatus::Open;
    let left_out: Vec<usize> = (0..line_count).filter(|index| !named.contains(index)).filter(is_open).collect();
    if !unmatched.is_empty() && !left_out.is_empty() {
        let missing: Vec<String> = left_out.iter().map(|index| name_line(&state.order.lines[*index], *index)).collect();
        let effect = LineEffect::refuse(format!(
            "the replacement of the order leaves out {}, but it states {}, which the order does not have: no line is \
             deleted",
            join_names(&missing),
            join_names(unmatched)
        ));
        return state.add_revision(document, None, effect);
    }
    for index in left_out {
        state.line_statuses[index] = OrderStatus::Cancelled;
        let message = "deleted: the replacement of the order leaves the line out".to_owned();
        let mut revision = build_revision(document, None, RevisionOutcome::Applied, message);
        revision.line_number.clone_from(&state.order.lines[index].number);
        state.revisions.push(revision);
    }
}

impl LineTarget {
    pub(super) fn index(&self) -> Option<usize> {
        match self.found {
            LineMatch::Found { index, .. } => Some(index),
            LineMatch::Missing(_) => None,
        }
    }
}

/// Finds the line of the order at which each line of a change aims.
pub(super) fn find_targets(state: &OrderState, lines: &[PurchaseOrderLine]) -> Vec<LineTarget> {
    let index = LineIndex::new(&state.order.lines);
    let is_open = |index: usize| state.line_statuses[index] == OrderStatus::Open;
    lines
        .iter()
        .map(|line| LineTarget {
            found: index.find_line(&state.order.lines, line, &is_open),
            numbered: line.number.as_deref().and_then(|number| index.find_numbered_line(number)),
        })
        .collect()
}

/// Returns the key of the line at which a line of a change aims; `None` if it names nothing.
pub(super) fn find_target_key(line: &PurchaseOrderLine, target: &LineTarget) -> Option<TargetKey> {
    let is_addition = line.change.as_deref() == Some("AI");
    match (target.index(), &line.number) {
        (Some(index), _) if !is_addition || target.numbered == Some(index) => Some(TargetKey::Line(index)),
        (_, Some(number)) => Some(TargetKey::New(normalize_line_number(number))),
        (_, None) if line.ids.is_empty() => None,
        (_, None) => {
            let ids: Vec<String> = line.ids.iter().map(|id| format!("{} {}", id.qualifier, id.value)).collect();
            Some(TargetKey::New(ids.join(", ")))
        }
    }
}

/// Returns, for each line of a change, the effect of its contradiction with another line of the same change.
fn find_contradictions(
    state: &OrderState,
    change: &PurchaseOrder,
    targets: &[LineTarget],
    quantities: ChangeQuantities,
) -> Vec<Option<LineEffect>> {
    let mut by_target: HashMap<TargetKey, Vec<usize>> = HashMap::new();
    for (position, (line, target)) in change.lines.iter().zip(targets).enumerate() {
        if let Some(key) = find_target_key(line, target) {
            by_target.entry(key).or_default().push(position);
        }
    }
    let mut refusals: Vec<Option<LineEffect>> = change.lines.iter().map(|_| None).collect();
    for (key, positions) in by_target.into_iter().filter(|(_, positions)| positions.len() > 1) {
        let lines: Vec<&PurchaseOrderLine> = positions.iter().map(|position| &change.lines[*position]).collect();
        let name = match &key {
            TargetKey::Line(index) => name_line(&state.order.lines[*index], *index),
            TargetKey::New(number) => format!("the new line {number}"),
        };
        if lines.windows(2).all(|pair| pair[0] == pair[1]) {
            // One line stated twice; of a difference it is not certain that it counts once.
            let is_difference =
                quantities == ChangeQuantities::Delta && matches!(lines[0].change.as_deref(), Some("QI" | "QD"));
            for position in positions.iter().skip(usize::from(!is_difference)) {
                refusals[*position] = Some(if is_difference {
                    LineEffect::refuse(format!("the change states the same difference of {name} more than once"))
                } else {
                    LineEffect::skip(format!("repeats {name} of the same change"))
                });
            }
        } else if !can_combine(&lines) {
            let claims: Vec<String> = lines.iter().take(CLAIMS_MAX).map(|line| describe_claim(line)).collect();
            let stated = claims.join("; ");
            for position in positions {
                let reason = format!("the change states {name} more than once, with different values: {stated}");
                refusals[position] = Some(LineEffect::refuse(reason));
            }
        }
    }
    refusals
}

/// Returns true if no two of the lines state different values, so that all of them can be applied.
fn can_combine(lines: &[&PurchaseOrderLine]) -> bool {
    let is_exclusive =
        |line: &&PurchaseOrderLine| line.change.as_deref().is_some_and(|code| EXCLUSIVE_CODES.contains(&code));
    if lines.len() > CLAIMS_MAX || lines.iter().any(is_exclusive) {
        return false;
    }
    // Lines without a contradiction give the same result in either order.
    let fold = |lines: &mut dyn Iterator<Item = &&PurchaseOrderLine>| {
        let mut folded = PurchaseOrderLine::default();
        lines.for_each(|line| drop(overwrite::overwrite_line(&mut folded, line)));
        folded
    };
    let (forwards, backwards) = (fold(&mut lines.iter()), fold(&mut lines.iter().rev()));
    difference::list_line_differences(&forwards, &backwards).is_empty()
}

/// Returns the code and the main values of a line of a change: `QI 60 EA at 10`.
pub(super) fn describe_claim(line: &PurchaseOrderLine) -> String {
    let price = line.price.as_ref().map(|price| format!("at {price}"));
    let parts = [line.change.clone(), line.quantity.clone(), line.unit.clone(), price];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl OrderState {
    pub(super) fn add_revision(
        &mut self,
        document: &ReceivedDocument,
        line: Option<&PurchaseOrderLine>,
        effect: LineEffect,
    ) {
        self.revisions.push(build_revision(document, line, effect.outcome, effect.message));
    }
}
