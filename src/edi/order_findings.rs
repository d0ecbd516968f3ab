//! What a person must look at in an order: contradictions, and stated sums that do not fit.
//!
//! [`add_document_findings`] compares what one document states about itself; the readers call it. The findings of a
//! line are computed from the order after all changes, so that a later change can settle them.

use crate::edi::decimal;
use crate::edi::order_totals::{self, format_number};
use crate::edi::prices::SINGLE_UNITS;
use crate::edi::purchase_order::{LineSchedule, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::{OrderState, OrderStatus};
use crate::text::format_count;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Most findings that `attention` names; `sps show` lists all.
const FINDINGS_NAMED_MAX: usize = 5;
/// Most findings of one document; bounds memory.
const FINDINGS_MAX: usize = 200;
/// Amount that is the total of the order.
const ORDER_TOTAL: &str = "TT";
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
    /// Total of the order, at a line.
    TotalAtLine,
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
    take_total_of_last_line(order);
    let contradictions = find_sum_contradictions(order, name_sum);
    findings.extend(contradictions.iter().map(|contradiction| contradiction.message.clone()));
    order.findings.extend(findings);
    order.findings.truncate(FINDINGS_MAX);
    contradictions
}

/// Takes the total of an order from its last line, if it is none of the line: without a CTT before it, AMT belongs to
/// the last line.
fn take_total_of_last_line(order: &mut PurchaseOrder) {
    if order.is_change || order.stated_total.is_some() {
        return;
    }
    let Some(last) = order.lines.last() else { return };
    let lines: Vec<&PurchaseOrderLine> = order.lines.iter().filter(|line| line.change.is_none()).collect();
    let is_of_order = |amount: &str| {
        order_totals::contradict_line_total(last, amount).is_some()
            && order_totals::contradict_total(order, &lines, amount).is_none()
    };
    let found = last.amounts.iter().position(|amount| amount.qualifier == ORDER_TOTAL && is_of_order(&amount.amount));
    if let (Some(position), Some(last)) = (found, order.lines.last_mut()) {
        order.stated_total = Some(last.amounts.remove(position).amount);
    }
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
        for amount in &line.amounts {
            let sum = match amount.qualifier.as_str() {
                "1" => StatedSum::LineTotal,
                ORDER_TOTAL if !order.is_change => StatedSum::TotalAtLine,
                _ => continue,
            };
            if let Some(computed) = order_totals::contradict_line_total(line, &amount.amount) {
                add(sum, format!("{}: {computed}", line.describe_position(index + 1)), &amount.amount);
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
        if let Some(computed) = order_totals::contradict_total(order, &counted, stated) {
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

impl OrderState {
    /// Returns what a person must look at in the order as it is now: the findings of its documents, and those of its
    /// open lines.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let open: Vec<(usize, &PurchaseOrderLine)> = (self.order.lines.iter().zip(&self.line_statuses).enumerate())
            .filter(|(_, (_, status))| **status == OrderStatus::Open)
            .map(|(index, (line, _))| (index + 1, line))
            .collect();
        let of_lines = open.iter().flat_map(|(position, line)| find_line_findings(line, *position));
        let lines: Vec<&PurchaseOrderLine> = open.iter().map(|(_, line)| *line).collect();
        let of_currency = self.order.currency_obstacle(&lines).map(|obstacle| format!("there is no total: {obstacle}"));
        let of_order = self.order.findings.iter().cloned().chain(of_currency);
        of_order.chain(of_lines).chain(find_repeated_lines(&lines)).collect()
    }
}

/// Returns the numbers that several lines have, and lines without a number that are equal.
fn find_repeated_lines(lines: &[&PurchaseOrderLine]) -> Vec<String> {
    let mut by_number: BTreeMap<&str, Vec<&PurchaseOrderLine>> = BTreeMap::new();
    for line in lines {
        by_number.entry(line.number.as_deref().unwrap_or_default()).or_default().push(line);
    }
    let describe = |(number, lines): (&str, Vec<&PurchaseOrderLine>)| {
        let first = *lines.first()?;
        let count = lines.len();
        let equal = lines.iter().filter(|line| **line == first).count();
        match (number, count, equal) {
            (_, 0 | 1, _) | ("", _, 0 | 1) => None,
            ("", ..) => Some(format!("{equal} lines without a number are equal")),
            (_, _, 0 | 1) => Some(format!("{count} lines have the number {number}")),
            _ => Some(format!("line {number} is stated {equal} times with the same values")),
        }
    };
    by_number.into_iter().filter_map(describe).collect()
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
    let number = |text: Option<&str>| text.and_then(decimal::parse_decimal);
    match &line.quantity {
        None => findings.push(format!("{name} has no quantity")),
        Some(text) if number(Some(text)).is_some_and(|quantity| quantity <= Decimal::ZERO) => {
            findings.push(format!("{name} has the quantity {text}"));
        }
        Some(_) => {}
    }
    if line.unit.is_none() {
        findings.push(format!("{name} has no unit"));
    }
    if let Some(price) = line.price.as_deref().filter(|price| number(Some(price)) < Some(Decimal::ZERO)) {
        findings.push(format!("{name} has the price {price}"));
    }
    findings.extend(line.contradict_price_by_quantity().map(|finding| format!("{name} {finding}")));
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
        let numbers: Option<Vec<Decimal>> = parts.iter().map(|part| decimal::parse_decimal(&part.quantity)).collect();
        let negative = numbers.iter().flatten().find(|number| number.is_sign_negative() && !number.is_zero());
        if let Some(negative) = negative {
            findings.push(format!("a quantity of the {noun} is {}", format_number(*negative)));
        }
        let sum = numbers.and_then(|numbers| numbers.into_iter().try_fold(Decimal::ZERO, Decimal::checked_add));
        if units.iter().any(|unit| *unit != of_line) {
            if let ([unit], Some(sum)) = (units.as_slice(), sum)
                && is_same_by_pack(line, quantity, sum, unit)
            {
                continue;
            }
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

/// Returns true if a quantity in another unit is the line's: cases and the single units in them, by the pack.
fn is_same_by_pack(line: &PurchaseOrderLine, quantity: Decimal, sum: Decimal, unit: &str) -> bool {
    let of_line = line.unit.as_deref().unwrap_or_default();
    let pack = line.pack.as_deref().and_then(decimal::parse_decimal).filter(|pack| *pack > Decimal::ZERO);
    let times_pack = |count: Decimal| pack.and_then(|pack| count.checked_mul(pack));
    match (SINGLE_UNITS.contains(&of_line), SINGLE_UNITS.contains(&unit)) {
        (false, true) => times_pack(quantity) == Some(sum),
        (true, false) => times_pack(sum) == Some(quantity),
        (true, true) => sum == quantity,
        (false, false) => false,
    }
}
