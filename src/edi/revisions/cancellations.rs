//! Cancels an order, by a change or by an order with the purpose of a cancellation.
//!
//! The lines that a cancellation states must fit the order: codes that keep goods, or other quantities than those of
//! the order, contradict it, and nothing is cancelled.

use crate::edi::decimal;
use crate::edi::purchase_order::PurchaseOrderLine;
use crate::edi::revisions::change::{describe_claim, find_targets};
use crate::edi::revisions::line_change::{LineEffect, LineTarget};
use crate::edi::revisions::line_match::{LineMatch, name_line};
use crate::edi::revisions::originals::{DocumentRoles, OrderBase};
use crate::edi::revisions::quantity::parse_quantity;
use crate::edi::revisions::{
    OrderState, OrderStatus, OriginalAmount, ReceivedDocument, Revision, RevisionOutcome, build_revision, overwrite,
    totals,
};
use std::cmp::Ordering;
use std::collections::HashSet;

/// Codes of lines that a cancellation may state: deleted, changed or unchanged, and the segment of the order.
const CANCELLED_LINE_CODES: [&str; 8] = ["DI", "CA", "CL", "MU", "NC", "NCH", "CF", "PO1"];

/// Cancels the order by a change. Lines that it states must not contradict it.
pub(super) fn cancel_by_change(state: &mut OrderState, document: &ReceivedDocument) {
    let targets = find_targets(state, &document.order.lines);
    match find_contradiction(state, &document.order.lines, &targets) {
        Some(reason) => refuse_cancellation(state, document, &reason),
        None => state.cancel(document, &targets),
    }
    totals::check_cancellation_count(state, document);
}

fn refuse_cancellation(state: &mut OrderState, document: &ReceivedDocument, reason: &str) {
    let purpose = &document.order.purpose;
    let effect = LineEffect::refuse(format!("its purpose {purpose} cancels the order, but {reason}"));
    state.add_revision(document, None, effect);
}

/// Returns the reason why the lines of a cancellation contradict it.
fn find_contradiction(state: &OrderState, lines: &[PurchaseOrderLine], targets: &[LineTarget]) -> Option<String> {
    let is_open = |index: &usize| state.line_statuses[*index] == OrderStatus::Open;
    if let Some(line) = lines.iter().find(|line| keeps_goods(line)) {
        return Some(format!("one of its lines states {}", describe_claim(line)));
    }
    let contradictions = list_other_amounts(state, lines, targets, false);
    if !contradictions.is_empty() {
        return Some(join_names(&contradictions));
    }
    let is_deletion = |line: &PurchaseOrderLine| line.change.as_deref() == Some("DI");
    let deleted: HashSet<usize> = lines
        .iter()
        .zip(targets)
        .filter(|(line, _)| is_deletion(line))
        .filter_map(|(_, target)| target.index())
        .collect();
    let kept: Vec<String> = (0..state.order.lines.len())
        .filter(|index| is_open(index) && !deleted.contains(index))
        .map(|index| name_line(&state.order.lines[index], index))
        .collect();
    let is_part = lines.iter().any(is_deletion) && !kept.is_empty();
    is_part.then(|| format!("its lines delete only a part of the order: {} would stay", join_names(&kept)))
}

/// Returns the open lines for which a cancellation states another amount than the order has: that of the order before
/// all changes, or any other.
fn list_other_amounts(
    state: &OrderState,
    lines: &[PurchaseOrderLine],
    targets: &[LineTarget],
    is_original: bool,
) -> Vec<String> {
    let describe = |(line, target): (&PurchaseOrderLine, &LineTarget)| {
        let index = target.index().filter(|index| state.line_statuses[*index] == OrderStatus::Open)?;
        let own = &state.order.lines[index];
        let (stated, has) = find_other_amount(own, line)?;
        let was_stated = state.original_amounts.get(index).is_some_and(|original| {
            let OriginalAmount { quantity, unit, price } = original.clone();
            let original = PurchaseOrderLine { quantity, unit, price, ..own.clone() };
            find_other_amount(&original, line).is_none()
        });
        (was_stated == is_original)
            .then(|| format!("{} states {stated}, and the order has {has}", name_line(own, index)))
    };
    lines.iter().zip(targets).filter_map(describe).collect()
}

/// Returns true if the code of a line says that goods of the line stay ordered.
fn keeps_goods(line: &PurchaseOrderLine) -> bool {
    let is_zero = parse_quantity(line).is_some_and(|quantity| quantity.is_zero());
    match line.change.as_deref() {
        None => false,
        Some("QD") => !is_zero,
        Some(code) => !CANCELLED_LINE_CODES.contains(&code),
    }
}

/// Returns the amount that a line of a cancellation states and the one of the order, if both differ.
fn find_other_amount(own: &PurchaseOrderLine, line: &PurchaseOrderLine) -> Option<(String, String)> {
    let has = parse_quantity(own);
    let other = |stated: &Option<String>| {
        let line = PurchaseOrderLine { quantity: stated.clone(), ..PurchaseOrderLine::default() };
        parse_quantity(&line).filter(|stated| !stated.is_zero() && Some(*stated) != has)
    };
    let unit = |line: &PurchaseOrderLine| line.unit.clone().unwrap_or_default();
    let of_order = format!("{} {}", own.quantity.as_deref().unwrap_or("no quantity"), unit(own)).trim_end().to_owned();
    if let Some(quantity) = other(&line.quantity) {
        return Some((format!("{quantity} {}", unit(line)).trim_end().to_owned(), of_order));
    }
    if let Some(left) = other(&line.quantity_left) {
        return Some((format!("{left} {} left to receive", unit(line)), of_order));
    }
    let is_other_unit = line.quantity.is_some() && own.unit.is_some() && line.unit.is_some() && own.unit != line.unit;
    if is_other_unit {
        return Some((format!("{} {}", line.quantity.as_deref().unwrap_or_default(), unit(line)), of_order));
    }
    let parse = |price: &Option<String>| price.as_deref().and_then(decimal::parse_decimal);
    let (stated, has) = (parse(&line.price).filter(|price| !price.is_zero())?, parse(&own.price)?);
    (stated != has).then(|| (format!("the price {}", stated.normalize()), has.normalize().to_string()))
}

/// Joins names for a message; of many it states the number.
pub(super) fn join_names(names: &[String]) -> String {
    const NAMES_MAX: usize = 10;
    match names.len().saturating_sub(NAMES_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..NAMES_MAX].join(", ")),
    }
}

/// Applies the orders that have the purpose of a cancellation. They count after all changes, whose dates are newer than
/// the date of the order that a cancellation states.
pub(super) fn apply_cancellations(state: &mut OrderState, roles: &DocumentRoles<'_>, base: &OrderBase<'_>) {
    let is_base = |cancellation: &&ReceivedDocument| std::ptr::eq(*cancellation, base.document);
    // If no other order arrived, one of the cancellations is the order.
    let (base_first, others): (Vec<_>, Vec<_>) = roles.cancellations.iter().copied().partition(is_base);
    for cancellation in base_first.into_iter().chain(others) {
        let (date, order_date) = (cancellation.effective_date(), base.document.effective_date());
        let names = format!("it is {}", base.name_dates(cancellation));
        // The date of a cancellation is often that of the first order: then the times decide.
        let order = if date < order_date { Some(Ordering::Less) } else { base.compare_issue(cancellation) };
        if state.status == OrderStatus::Cancelled {
            let fact = format!("the order is cancelled already{}", state.name_cancellation());
            state.add_revision(cancellation, None, LineEffect::refuse(fact));
        } else if is_base(&cancellation) {
            state.cancel(cancellation, &[]);
            let message = "only the cancellation arrived, and the order itself did not".to_owned();
            state.revisions.push(build_revision(cancellation, None, RevisionOutcome::Unclear, message));
        } else if order == Some(Ordering::Less) {
            state.add_revision(cancellation, None, LineEffect::refuse(format!("{names}: the order stays open")));
        } else {
            let targets = find_targets(state, &cancellation.order.lines);
            if let Some(reason) = find_contradiction(state, &cancellation.order.lines, &targets) {
                refuse_cancellation(state, cancellation, &reason);
                continue;
            }
            state.cancel(cancellation, &targets);
            if order.is_none() && base.is_reissue() {
                let message = format!("applied, but it is not certain that the cancellation is newer: {names}");
                state.revisions.push(build_revision(cancellation, None, RevisionOutcome::Unclear, message));
            }
            report_newer_changes(state, roles, cancellation, order_date);
        }
    }
}

/// Reports the changes that are newer than a cancellation, if its date is not only the date of the order.
fn report_newer_changes(
    state: &mut OrderState,
    roles: &DocumentRoles<'_>,
    cancellation: &ReceivedDocument,
    order_date: &str,
) {
    let date = cancellation.effective_date();
    for change in roles.changes.iter().filter(|change| order_date < date && change.effective_date() > date) {
        let message = format!(
            "it is dated {}, after the cancellation of {} ({date}): the order stays cancelled",
            change.effective_date(),
            cancellation.name()
        );
        state.revisions.push(build_revision(change, None, RevisionOutcome::Unclear, message));
    }
}

impl OrderState {
    /// Cancels the order by a document. `targets` are the lines that it states; lines that do not fit are unclear.
    pub(super) fn cancel(&mut self, document: &ReceivedDocument, targets: &[LineTarget]) {
        let named: HashSet<usize> = targets.iter().filter_map(LineTarget::index).collect();
        let is_open = |index: &usize| self.line_statuses[*index] == OrderStatus::Open;
        let unnamed: Vec<String> = (0..self.order.lines.len())
            .filter(|index| !targets.is_empty() && !named.contains(index))
            .filter(is_open)
            .map(|index| name_line(&self.order.lines[index], index))
            .collect();
        let missing = targets.iter().find_map(|target| match &target.found {
            LineMatch::Missing(reason) => Some(reason.clone()),
            LineMatch::Found { .. } => None,
        });
        let originals = if targets.is_empty() {
            Vec::new()
        } else {
            list_other_amounts(self, &document.order.lines, targets, true)
        };
        self.cancel_all_lines();
        overwrite::add_new(&mut self.order.findings, &document.order.findings);
        self.cancelled_by = Some(document.name());
        let fact = "the order is cancelled";
        let (outcome, message) = match (missing, unnamed.is_empty()) {
            (Some(reason), _) => (RevisionOutcome::Unclear, format!("applied, {fact}; {reason}")),
            (None, false) => {
                let missing = join_names(&unnamed);
                (RevisionOutcome::Unclear, format!("applied, {fact}; the cancellation does not state {missing}"))
            }
            (None, true) if !originals.is_empty() => {
                let originals = join_names(&originals);
                (RevisionOutcome::Unclear, format!("applied, {fact}; {originals}"))
            }
            (None, true) => (RevisionOutcome::Applied, fact.to_owned()),
        };
        self.revisions.push(Revision { line_number: None, ..build_revision(document, None, outcome, message) });
    }

    pub(super) fn cancel_all_lines(&mut self) {
        self.status = OrderStatus::Cancelled;
        self.line_statuses.fill(OrderStatus::Cancelled);
    }

    /// Returns the document that cancelled the order, for a message.
    pub(super) fn name_cancellation(&self) -> String {
        self.cancelled_by.as_ref().map_or_else(String::new, |name| format!(" ({name})"))
    }
}
