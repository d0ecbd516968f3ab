//! What a person must look at in an order: contradictions, and stated sums that do not fit.
//!
//! [`add_document_findings`] compares what one document states about itself; the readers call it. The findings of a
//! line are computed from the order after all changes, so that a later change can settle them.

use crate::edi::decimal;
use crate::edi::purchase_order::{LineSchedule, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::{OrderState, OrderStatus};
use crate::text::format_count;
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeMap;

/// Most findings that `attention` names; `sps show` lists all.
const FINDINGS_NAMED_MAX: usize = 5;
/// Most findings of one document; bounds memory.
pub(crate) const FINDINGS_MAX: usize = 200;
/// Kinds of an allowance or charge: allowance, charge.
const ALLOWANCE: &str = "A";
const CHARGE: &str = "C";
/// Kinds of a part's quantity that add up to the ordered quantity: none stated, discrete, ordered.
const ORDERED_QUANTITIES: [&str; 2] = ["01", "21"];

/// Sum that a document states and its lines do not add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SumContradiction {
    pub sum: StatedSum,
    pub message: String,
}

/// Sum that a document states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatedSum {
    Lines,
    Quantity,
    Total,
    /// Total of one line, or of all lines before allowances.
    LineTotal,
}

/// Fills the prices that are stated apart from the lines, adds what contradicts itself to the findings of the document,
/// and returns the stated sums that do not fit. `name_sum` returns the place of a sum in the format.
pub(crate) fn add_document_findings(
    order: &mut PurchaseOrder,
    name_sum: impl Fn(StatedSum) -> &'static str,
) -> Vec<SumContradiction> {
    let mut findings = Vec::new();
    for (index, line) in order.lines.iter_mut().enumerate() {
        let name = line.describe_position(index + 1);
        findings.extend(line.fill_price().into_iter().map(|finding| format!("{name} {finding}")));
        for component in &mut line.components {
            let of_component = component.describe_position(1);
            let of_component =
                component.fill_price().into_iter().map(|finding| format!("{name}, {of_component} {finding}"));
            findings.extend(of_component.collect::<Vec<_>>());
        }
    }
    let contradictions = find_sum_contradictions(order, name_sum);
    findings.extend(contradictions.iter().map(|contradiction| contradiction.message.clone()));
    order.findings.extend(findings);
    order.findings.truncate(FINDINGS_MAX);
    contradictions
}

fn find_sum_contradictions(
    order: &PurchaseOrder,
    name_sum: impl Fn(StatedSum) -> &'static str,
) -> Vec<SumContradiction> {
    let mut found = Vec::new();
    let mut add = |sum, computed: String, stated: &str| {
        let message = format!("{computed}, {} states {stated:?}", name_sum(sum));
        found.push(SumContradiction { sum, message });
    };
    let counted: Vec<&PurchaseOrderLine> =
        order.lines.iter().filter(|line| order.is_change || line.change.is_none()).collect();
    if let Some(stated) = &order.stated_lines
        && decimal::parse_decimal(stated) != Some(counted.len().into())
    {
        let lines = format_count(counted.len(), "line", "lines");
        add(StatedSum::Lines, format!("the document has {lines}"), stated);
    }
    for (index, line) in counted.iter().enumerate() {
        for amount in line.amounts.iter().filter(|amount| amount.qualifier == "1") {
            let (stated, exact) = (decimal::parse_decimal(&amount.amount), line.exact_amount());
            if let (Some(stated), Some(exact)) = (stated, exact.map(round_to_cents))
                && stated != exact
            {
                let name = line.describe_position(index + 1);
                let computed = format!("{name}: quantity times price is {}", format_number(exact));
                add(StatedSum::LineTotal, computed, &amount.amount);
            }
        }
    }
    // A change states its own lines, or the whole order: only the order itself is certain.
    if order.is_change {
        return found;
    }
    if let Some(stated) = &order.stated_quantity {
        let sum = sum_quantities(&counted);
        if decimal::parse_decimal(stated) != sum && !is_hash_of_units(order, &counted, stated) {
            let sum = sum.map_or_else(|| "no number".to_owned(), format_number);
            add(StatedSum::Quantity, format!("the quantities add up to {sum}"), stated);
        }
    }
    let totals = order.stated_total.iter().map(|total| (StatedSum::Total, total));
    let of_lines = order
        .amounts
        .iter()
        .filter(|amount| amount.qualifier == "1")
        .map(|amount| (StatedSum::LineTotal, &amount.amount));
    for (sum, stated) in totals.chain(of_lines) {
        if let Some(computed) = contradict_total(order, &counted, stated) {
            add(sum, computed, stated);
        }
    }
    found
}

/// Returns true if the stated quantity counts only the lines in one unit, as senders of mixed units do.
fn is_hash_of_units(order: &PurchaseOrder, lines: &[&PurchaseOrderLine], stated: &str) -> bool {
    let mut by_unit: BTreeMap<Option<&str>, Vec<&PurchaseOrderLine>> = BTreeMap::new();
    for line in lines {
        by_unit.entry(line.unit.as_deref()).or_default().push(line);
    }
    by_unit.len() > 1
        && order.stated_quantity.is_some()
        && by_unit.values().any(|lines| sum_quantities(lines) == decimal::parse_decimal(stated))
}

fn sum_quantities(lines: &[&PurchaseOrderLine]) -> Option<Decimal> {
    let mut quantities = lines.iter().filter_map(|line| decimal::parse_decimal(line.quantity.as_deref()?));
    quantities.try_fold(Decimal::ZERO, Decimal::checked_add)
}

/// Returns what the lines add up to, if a stated total is neither the sum of the lines nor that sum with allowances and
/// charges.
///
/// Returns None also if the lines give no certain sum.
fn contradict_total(order: &PurchaseOrder, lines: &[&PurchaseOrderLine], stated: &str) -> Option<String> {
    let stated = decimal::parse_decimal(stated)?;
    let amounts: Vec<Decimal> = lines.iter().map(|line| line.exact_amount()).collect::<Option<_>>()?;
    let exact = amounts.iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(*amount))?;
    let rounded = amounts.iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(round_to_cents(*amount)))?;
    let (mut of_header, mut of_all) = (Some(Decimal::ZERO), Some(Decimal::ZERO));
    for allowance in &order.allowances {
        let amount = signed_amount(allowance, exact);
        of_header = of_header.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
    }
    for (line, amount) in lines.iter().zip(&amounts) {
        for allowance in &line.allowances {
            let amount = signed_amount(allowance, *amount);
            of_all = of_all.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
        }
    }
    let of_lines = of_all;
    of_all = of_all.zip(of_header).and_then(|(lines, header)| lines.checked_add(header));
    let fits = |adjustment: Option<Decimal>| {
        adjustment.is_some_and(|adjustment| {
            [exact, rounded].into_iter().any(|sum| round_to_cents(sum + adjustment) == round_to_cents(stated))
        })
    };
    if [Some(Decimal::ZERO), of_header, of_lines, of_all].into_iter().any(fits) {
        return None;
    }
    let sum = format_number(rounded);
    let all = of_all.filter(|all| !all.is_zero()).map(|all| format_number(rounded + all));
    let with = all.map_or_else(String::new, |all| format!(" ({all} with allowances and charges)"));
    Some(format!("the lines add up to {sum}{with}"))
}

/// Returns what an allowance subtracts or a charge adds. None if its amount is not certain.
fn signed_amount(allowance: &crate::edi::purchase_order::AllowanceCharge, base: Decimal) -> Option<Decimal> {
    let amount = match (&allowance.amount, &allowance.percent) {
        (Some(amount), _) => decimal::parse_decimal(amount)?,
        (None, Some(percent)) => {
            base.checked_mul(decimal::parse_decimal(percent)?)?.checked_div(Decimal::ONE_HUNDRED)?
        }
        (None, None) => return None,
    };
    match allowance.kind.as_str() {
        ALLOWANCE => Some(-amount),
        CHARGE => Some(amount),
        _ => Some(Decimal::ZERO),
    }
}

fn round_to_cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

fn format_number(number: Decimal) -> String {
    number.normalize().to_string()
}

impl OrderState {
    /// Returns what a person must look at in the order as it is now: the findings of its documents, and those of its
    /// open lines.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let open = self.order.lines.iter().zip(&self.line_statuses).enumerate();
        let open = open.filter(|(_, (_, status))| **status == OrderStatus::Open);
        let of_lines = open.flat_map(|(index, (line, _))| find_line_findings(line, index + 1));
        self.order.findings.iter().cloned().chain(of_lines).collect()
    }
}

/// Joins findings to one text, or returns None if there is none.
pub(crate) fn summarize_findings(mut findings: Vec<String>) -> Option<String> {
    let more = findings.len().saturating_sub(FINDINGS_NAMED_MAX);
    findings.truncate(FINDINGS_NAMED_MAX);
    if more > 0 {
        findings.push(format!("and {more} more in the printed order (sps show)"));
    }
    (!findings.is_empty()).then(|| findings.join("; "))
}

/// Returns the findings of an open line; `position` counts from 1.
fn find_line_findings(line: &PurchaseOrderLine, position: usize) -> Vec<String> {
    let name = line.describe_position(position);
    let mut findings = Vec::new();
    if line.quantity.is_none() {
        findings.push(format!("{name} has no quantity"));
    }
    findings.extend(find_schedule_findings(line).into_iter().map(|finding| format!("{name}: {finding}")));
    findings
}

/// Compares the quantities of the locations, and those of the dates, with the quantity of the line.
fn find_schedule_findings(line: &PurchaseOrderLine) -> Vec<String> {
    let is_ordered = |part: &&LineSchedule| part.kind.as_deref().is_none_or(|kind| ORDERED_QUANTITIES.contains(&kind));
    let ordered: Vec<&LineSchedule> = line.schedules.iter().filter(is_ordered).collect();
    let Some(quantity) = line.quantity.as_deref().and_then(decimal::parse_decimal) else { return Vec::new() };
    let of_line = line.unit.as_deref().unwrap_or_default();
    let (of_locations, of_dates): (Vec<&LineSchedule>, Vec<&LineSchedule>) =
        ordered.into_iter().partition(|part| part.location.is_some());
    let mut findings = Vec::new();
    for (parts, noun) in [(of_locations, "locations"), (of_dates, "dates")] {
        let mut units: Vec<&str> = parts.iter().filter_map(|part| part.unit.as_deref()).collect();
        units.sort_unstable();
        units.dedup();
        let sum =
            parts.iter().try_fold(Decimal::ZERO, |sum, part| sum.checked_add(decimal::parse_decimal(&part.quantity)?));
        if units.iter().any(|unit| *unit != of_line) {
            let units = units.join(" and ");
            let of_line = if of_line.is_empty() { "no unit" } else { of_line };
            findings.push(format!("the quantities of the {noun} are in {units}, the line's is in {of_line}"));
        } else if !parts.is_empty() && sum != Some(quantity) {
            let sum = sum.map_or_else(|| "no number".to_owned(), format_number);
            let unit = if of_line.is_empty() { String::new() } else { format!(" {of_line}") };
            findings.push(format!(
                "the quantities of the {noun} add up to {sum}{unit}, the line states {}{unit}",
                format_number(quantity)
            ));
        }
    }
    findings
}
