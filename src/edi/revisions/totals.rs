//! Compares the totals that a change states with its own lines and with the order after it.
//!
//! Neither X12 nor RSX decides whether the totals of a change are those of the change or of the new order. So each
//! total that fits one of them is right. A total that fits neither is for a person.

use crate::edi::decimal;
use crate::edi::order_findings::StatedSum;
use crate::edi::order_percentages::{self, AllowanceBasis};
use crate::edi::order_totals::{self, HeaderAmounts, LineTotals, format_number};
use crate::edi::purchase_order::{EdiAmount, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::{
    OrderState, OrderStatus, ReceivedDocument, RevisionOutcome, build_revision, change, overwrite,
};
use crate::text::format_count;
use rust_decimal::Decimal;

/// Totals of the order before a change.
pub(super) struct TotalsBefore {
    stated: Option<String>,
    /// Sum of the open lines, if it is certain and the change states a total.
    sum: Option<Decimal>,
    /// Basis of the percentages in the header of the change.
    basis: AllowanceBasis,
}

impl TotalsBefore {
    pub(super) fn of(state: &OrderState, change: &PurchaseOrder) -> Self {
        let totals = change.stated_total.as_ref().and_then(|_| state.add_up_open_lines());
        Self {
            stated: state.order.stated_total.clone(),
            sum: totals.map(|totals| totals.plain),
            basis: state.find_allowance_basis(change),
        }
    }
}

/// Flags the totals of a change that fit neither the change nor the order after it. A total of the change is no total
/// of the order.
pub(super) fn check_change_totals(state: &mut OrderState, document: &ReceivedDocument, before: TotalsBefore) {
    let change = &document.order;
    let bases = [state.find_allowance_basis(change), before.basis];
    for fact in order_percentages::contradict_parts(&change.allowances, &change.terms, &bases) {
        state.revisions.push(build_revision(document, None, RevisionOutcome::Unclear, fact));
    }
    let mut found = Vec::new();
    found.extend(contradict_line_count(state, change));
    found.extend(contradict_quantity(state, change));
    let parse_total = |total: &EdiAmount| decimal::parse_decimal(&total.amount).filter(|_| total.qualifier == "TT");
    let others: Vec<Decimal> = change.amounts.iter().filter_map(parse_total).collect();
    if let Some(fact) = contradict_other_totals(state, change, &others, before.sum) {
        state.revisions.push(build_revision(document, None, RevisionOutcome::Unclear, fact));
    }
    if let Some(stated) = change.stated_total.as_deref().and_then(decimal::parse_decimal) {
        let of_order = state.add_up_open_lines();
        if !of_order.as_ref().is_some_and(|totals| totals.fits(stated)) {
            let sums = list_sums_of_change(state, change, of_order.as_ref().zip(before.sum));
            if sums.iter().any(|sum| sum.fits(stated)) {
                state.order.stated_total = before.stated;
            } else if let Some(of_order) = of_order {
                found.push((StatedSum::Total, describe_totals(sums.first(), &of_order)));
            }
        }
    }
    add_findings(state, document, found);
}

/// Returns the contradiction between further totals of a change and its lines, or the order after it.
fn contradict_other_totals(
    state: &OrderState,
    change: &PurchaseOrder,
    others: &[Decimal],
    sum_before: Option<Decimal>,
) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let of_order = state.add_up_open_lines()?;
    let sums = list_sums_of_change(state, change, Some(&of_order).zip(sum_before));
    let fits = |stated: &Decimal| of_order.fits(*stated) || sums.iter().any(|sum| sum.fits(*stated));
    let wrong = others.iter().find(|stated| !fits(stated))?;
    let sums = describe_totals(sums.first(), &of_order);
    Some(format!("a further total of the change is {}: {sums}", format_number(*wrong)))
}

/// Flags the number of lines of a cancellation.
pub(super) fn check_cancellation_count(state: &mut OrderState, document: &ReceivedDocument) {
    let found = contradict_line_count(state, &document.order);
    add_findings(state, document, found.into_iter().collect());
}

fn add_findings(state: &mut OrderState, document: &ReceivedDocument, found: Vec<(StatedSum, String)>) {
    let change = &document.order;
    for (sum, fact) in found {
        let stated = match sum {
            StatedSum::Lines => &change.stated_lines,
            StatedSum::Quantity => &change.stated_quantity,
            _ => &change.stated_total,
        };
        let message = format!("{} states {:?}: {fact}", sum.name(change), stated.as_deref().unwrap_or_default());
        state.revisions.push(build_revision(document, None, RevisionOutcome::Unclear, message));
    }
}

fn contradict_line_count(state: &OrderState, change: &PurchaseOrder) -> Option<(StatedSum, String)> {
    let stated = change.stated_lines.as_deref()?;
    let open = state.line_statuses.iter().filter(|status| **status == OrderStatus::Open).count();
    let (own, all) = (change.lines.len(), state.order.lines.len());
    let number = decimal::parse_decimal(stated);
    if [own, open, all].iter().any(|count| number == Some((*count).into())) {
        return None;
    }
    let count = |count: usize| format_count(count, "line", "lines");
    Some((StatedSum::Lines, format!("the change has {}, the order has {}", count(own), count(open))))
}

fn contradict_quantity(state: &OrderState, change: &PurchaseOrder) -> Option<(StatedSum, String)> {
    let stated = change.stated_quantity.as_deref()?;
    let (own, kept): (Vec<_>, Vec<_>) =
        (change.lines.iter().collect(), change.lines.iter().filter(|line| !is_deletion(line)).collect());
    let open = state.list_open_lines();
    let fits = |lines: &Vec<&PurchaseOrderLine>| order_totals::fits_quantities(change, lines, stated);
    if [&own, &kept, &open].into_iter().any(fits) {
        return None;
    }
    let sum = |lines: &[&PurchaseOrderLine]| {
        order_totals::sum_quantities(lines).map_or_else(|| "no number".to_owned(), format_number)
    };
    let (own, open) = (sum(&own), sum(&open));
    Some((StatedSum::Quantity, format!("the quantities of the change add up to {own}, those of the order to {open}")))
}

fn is_deletion(line: &PurchaseOrderLine) -> bool {
    line.change.as_deref() == Some("DI")
}

/// Returns the sums of the lines of a change, with and without those that it deletes, and the difference that it makes
/// to the order. A price or quantity that a line leaves out is that of the order.
fn list_sums_of_change(
    state: &OrderState,
    change: &PurchaseOrder,
    after_and_before: Option<(&LineTotals, Decimal)>,
) -> Vec<LineTotals> {
    let targets = change::find_targets(state, &change.lines);
    let complete = |(line, target): (&PurchaseOrderLine, &super::line_change::LineTarget)| {
        let mut completed = target.index().map_or_else(PurchaseOrderLine::default, |index| PurchaseOrderLine {
            allowances: Vec::new(),
            ..state.order.lines[index].clone()
        });
        overwrite::overwrite_line(&mut completed, line);
        completed
    };
    let lines: Vec<(bool, PurchaseOrderLine)> =
        change.lines.iter().zip(&targets).map(|pair| (is_deletion(pair.0), complete(pair))).collect();
    let add_up = |lines: Vec<&PurchaseOrderLine>| {
        (!lines.is_empty()).then(|| LineTotals::of(HeaderAmounts::of(change), &lines)).flatten()
    };
    let all = add_up(lines.iter().map(|(_, line)| line).collect());
    let kept = add_up(lines.iter().filter(|(is_deleted, _)| !is_deleted).map(|(_, line)| line).collect());
    let difference = after_and_before.and_then(|(after, before)| after.plain.checked_sub(before));
    let difference = difference.filter(|difference| !difference.is_zero()).map(LineTotals::from_difference);
    [all, kept, difference].into_iter().flatten().collect()
}

fn describe_totals(of_change: Option<&LineTotals>, of_order: &LineTotals) -> String {
    match of_change {
        Some(sum) => {
            format!(
                "the lines of the change add up to {}, those of the order to {}",
                sum.describe(),
                of_order.describe()
            )
        }
        None => format!("the lines of the order add up to {}", of_order.describe()),
    }
}

impl OrderState {
    /// Returns the open lines.
    pub(super) fn list_open_lines(&self) -> Vec<&PurchaseOrderLine> {
        let lines = self.order.lines.iter().zip(&self.line_statuses);
        lines.filter(|(_, status)| **status == OrderStatus::Open).map(|(line, _)| line).collect()
    }

    /// Returns the basis of the percentages that the header of a change states; an empty one if it states none.
    fn find_allowance_basis(&self, change: &PurchaseOrder) -> AllowanceBasis {
        if change.allowances.is_empty() && change.terms.is_empty() {
            return AllowanceBasis::default();
        }
        AllowanceBasis::of_lines(HeaderAmounts::of(&self.order), &self.list_open_lines())
    }

    fn add_up_open_lines(&self) -> Option<LineTotals> {
        LineTotals::of(HeaderAmounts::of(&self.order), &self.list_open_lines())
    }
}
