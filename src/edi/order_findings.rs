//! What a person must look at in an order: contradictions, and stated sums that do not fit.
//!
//! [`add_document_findings`] compares what one document states about itself; the readers call it. The findings of a
//! line are computed from the order after all changes, so that a later change can settle them.

use crate::edi::decimal;
use crate::edi::order_conflicts;
use crate::edi::order_percentages;
use crate::edi::order_totals::{self, HeaderAmounts, LineTotals, format_number, round_to_cents};
use crate::edi::prices::SINGLE_UNITS;
use crate::edi::purchase_order::{EdiAmount, LineSchedule, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::{OrderState, OrderStatus};
use crate::text::format_count;
use rust_decimal::Decimal;

/// Most findings that `attention` names; `sps show` lists all.
const FINDINGS_NAMED_MAX: usize = 5;
/// Most findings of one document; bounds memory.
pub(crate) const FINDINGS_MAX: usize = 200;
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
    /// Price of one unit of a line.
    UnitPrice,
    Gross,
    Net,
    /// `TotalSalesAmount` of RSX.
    Sales,
}

/// Amounts of the header (522) that are totals of the order, with what each is.
const TOTALS_OF_ORDER: [(&str, StatedSum); 4] =
    [("1", StatedSum::LineTotal), ("GV", StatedSum::Gross), ("N", StatedSum::Net), ("TT", StatedSum::Total)];
/// Amounts of a line that its quantity and its price give. Element 522 defines LI as the price of one unit.
const AMOUNTS_OF_LINE: [(&str, StatedSum); 5] = [
    ("1", StatedSum::LineTotal),
    ("GV", StatedSum::Gross),
    ("LI", StatedSum::UnitPrice),
    ("N", StatedSum::Net),
    ("TT", StatedSum::Total),
];
/// Place of a total in RSX that has no field.
const SALES_TOTAL: &str = "Summary/TotalSalesAmount";

impl StatedSum {
    /// Returns the place of the sum in the format of a document.
    pub fn name(self, document: &PurchaseOrder) -> &'static str {
        let (is_rsx, is_grocery) = (document.origin.format.starts_with("rsx"), document.is_grocery_order());
        match self {
            Self::Lines if is_rsx => "Summary/TotalLineItemNumber",
            Self::Quantity if is_rsx => "Summary/TotalQuantity",
            Self::Total if is_rsx => "Summary/TotalAmount",
            Self::LineTotal if is_rsx => "ExtendedItemTotal or MonetaryAmounts 1",
            Self::UnitPrice if is_rsx => "MonetaryAmounts LI",
            Self::Gross if is_rsx => "MonetaryAmounts GV",
            Self::Net if is_rsx => "MonetaryAmounts N",
            Self::Sales => SALES_TOTAL,
            Self::Quantity if is_grocery => "G7601",
            Self::Total if is_grocery => "G7608",
            Self::Lines => "CTT01",
            Self::Quantity => "CTT02",
            Self::Total => "AMT*TT",
            Self::LineTotal => "AMT*1",
            Self::UnitPrice => "AMT*LI",
            Self::Gross => "AMT*GV",
            Self::Net => "AMT*N",
        }
    }
}

/// Fills the prices that are stated apart from the lines, adds what contradicts itself to the findings of the document,
/// and returns the stated sums that do not fit.
///
/// The number of lines that a change states is no finding: it may be that of the order, which is not known here.
pub(crate) fn add_document_findings(order: &mut PurchaseOrder) -> Vec<SumContradiction> {
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
    let contradictions = find_sum_contradictions(order);
    let is_certain = |contradiction: &&SumContradiction| !order.is_change || contradiction.sum != StatedSum::Lines;
    findings.extend(contradictions.iter().filter(is_certain).map(|contradiction| contradiction.message.clone()));
    if !order.is_change {
        findings.extend(order_percentages::find_percentage_findings(order));
    }
    order.findings.extend(findings);
    order.findings.truncate(FINDINGS_MAX);
    contradictions
}

fn find_sum_contradictions(order: &PurchaseOrder) -> Vec<SumContradiction> {
    let mut found = Vec::new();
    let mut add = |(sum, computed): (StatedSum, String), stated: &str| {
        let message = format!("{computed}, {} states {stated:?}", sum.name(order));
        found.push(SumContradiction { sum, message });
    };
    let counted: Vec<&PurchaseOrderLine> =
        order.lines.iter().filter(|line| order.is_change || line.change.is_none()).collect();
    if let Some(stated) = &order.stated_lines
        && decimal::parse_decimal(stated) != Some(counted.len().into())
    {
        let lines = format_count(counted.len(), "line", "lines");
        add((StatedSum::Lines, format!("the document has {lines}")), stated);
    }
    for index in 0..counted.len() {
        for amount in &counted[index].amounts {
            if let Some(contradiction) = contradict_line_amount(order, &counted, index, amount) {
                add(contradiction, &amount.amount);
            }
        }
    }
    // A change states its own lines, or the whole order: only the order itself is certain.
    if order.is_change {
        return found;
    }
    if let Some(stated) = &order.stated_quantity
        && !order_totals::fits_quantities(order, &counted, stated)
    {
        let sum = order_totals::sum_quantities(&counted).map_or_else(|| "no number".to_owned(), format_number);
        add((StatedSum::Quantity, format!("the quantities add up to {sum}")), stated);
    }
    let of_amount = |amount: &'_ EdiAmount| {
        let sum = TOTALS_OF_ORDER.iter().find(|(qualifier, _)| *qualifier == amount.qualifier)?.1;
        Some((sum, amount.amount.clone()))
    };
    let sales = order.extras.iter().filter(|extra| extra.location == SALES_TOTAL);
    let totals = (order.stated_total.iter().map(|total| (StatedSum::Total, total.clone())))
        .chain(order.amounts.iter().filter_map(of_amount))
        .chain(sales.map(|extra| (StatedSum::Sales, extra.value.clone())));
    let totals: Vec<(StatedSum, String)> = totals.collect();
    for (sum, stated) in &totals {
        if let Some(computed) = contradict_total(order, &counted, stated) {
            add((*sum, computed), stated);
        }
    }
    found
}

/// Returns what an amount of a line must be, if it is another one.
fn contradict_line_amount(
    order: &PurchaseOrder,
    lines: &[&PurchaseOrderLine],
    index: usize,
    amount: &EdiAmount,
) -> Option<(StatedSum, String)> {
    let sum = AMOUNTS_OF_LINE.iter().find(|(qualifier, _)| *qualifier == amount.qualifier)?.1;
    // In a change it may be the total of the document.
    if sum == StatedSum::Total && order.is_change {
        return None;
    }
    let line = lines[index];
    let (stated, exact) = (decimal::parse_decimal(&amount.amount)?, round_to_cents(line.exact_amount()?));
    // A line's total may be the one after its own allowances and charges.
    let fits_line = LineTotals::of(HeaderAmounts::default(), &[line]).is_some_and(|totals| totals.fits(stated));
    // Without a CTT before it, the total of the order follows the last line.
    let is_last = matches!(sum, StatedSum::Total | StatedSum::Gross | StatedSum::Net) && index + 1 == lines.len();
    let fits_order =
        || is_last && LineTotals::of(HeaderAmounts::of(order), lines).is_some_and(|totals| totals.fits(stated));
    let is_price =
        sum == StatedSum::UnitPrice && line.price.as_deref().and_then(decimal::parse_decimal) == Some(stated);
    if fits_line || is_price || fits_order() {
        return None;
    }
    let name = line.describe_position(index + 1);
    Some((sum, format!("{name}: quantity times price is {}", format_number(exact))))
}

/// Returns what the lines add up to, if a stated total is none of their totals.
///
/// If some lines have no certain amount, only a total that is too small for the others contradicts them.
fn contradict_total(order: &PurchaseOrder, lines: &[&PurchaseOrderLine], stated: &str) -> Option<String> {
    let stated = decimal::parse_decimal(stated)?;
    let header = HeaderAmounts::of(order);
    let Some(totals) = LineTotals::of(header, lines) else {
        let least = order_totals::find_least_total(header, lines)?;
        let number = format_number(least);
        return (stated < least).then(|| format!("the lines with a certain amount alone add up to {number}"));
    };
    (!totals.fits(stated)).then(|| format!("the lines add up to {}", totals.describe()))
}

impl OrderState {
    /// Returns what a person must look at in the order as it is now: the findings of its documents, and those of its
    /// open lines.
    #[must_use]
    pub fn findings(&self) -> Vec<String> {
        let open = self.order.lines.iter().zip(&self.line_statuses).enumerate();
        let open = open.filter(|(_, (_, status))| **status == OrderStatus::Open);
        let of_lines = open.flat_map(|(index, (line, _))| find_line_findings(line, index + 1));
        let is_empty = self.status == OrderStatus::Open
            && !self.line_statuses.is_empty()
            && self.line_statuses.iter().all(|status| *status == OrderStatus::Cancelled);
        let of_order = is_empty.then(|| "every line is deleted, but the order is not cancelled".to_owned());
        let conflicts = order_conflicts::list_order_conflicts(&self.order, &self.line_statuses);
        self.order.findings.iter().cloned().chain(of_order).chain(conflicts).chain(of_lines).collect()
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
    match line.quantity.as_deref().map(decimal::parse_decimal) {
        None => findings.push(format!("{name} has no quantity")),
        Some(Some(quantity)) if quantity <= Decimal::ZERO => {
            findings.push(format!("{name} has the quantity {}", format_number(quantity)));
        }
        Some(_) => {}
    }
    if line.unit.is_none() {
        findings.push(format!("{name} has no unit"));
    }
    if let Some(price) = line.price.as_deref().filter(|price| price.starts_with('-')) {
        findings.push(format!("{name} has the price {price}"));
    }
    findings.extend(line.contradict_price_by_quantity().map(|finding| format!("{name} {finding}")));
    let quantity = line.quantity.as_deref().and_then(decimal::parse_decimal);
    let of_schedules = find_schedule_findings(line, &[Decimal::ONE], "line");
    findings.extend(of_schedules.into_iter().map(|finding| format!("{name}: {finding}")));
    for (index, component) in line.components.iter().enumerate() {
        let number = component.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
        // The quantity is that of one set, those of the locations are of one set or of all.
        let factors = [Decimal::ONE, quantity.unwrap_or(Decimal::ONE)];
        let of_schedules = find_schedule_findings(component, &factors, "component");
        findings.extend(of_schedules.into_iter().map(|finding| format!("{name}, component {number}: {finding}")));
    }
    findings
}

/// Compares the quantities of the locations, of the dates, and of the schedules with neither, with the quantity of the
/// line or component times one of the factors.
fn find_schedule_findings(line: &PurchaseOrderLine, factors: &[Decimal], owner: &str) -> Vec<String> {
    let is_ordered = |part: &&LineSchedule| part.kind.as_deref().is_none_or(|kind| ORDERED_QUANTITIES.contains(&kind));
    let ordered: Vec<&LineSchedule> = line.schedules.iter().filter(is_ordered).collect();
    let Some(quantity) = line.quantity.as_deref().and_then(decimal::parse_decimal) else { return Vec::new() };
    let fits = |stated: Option<Decimal>| factors.iter().any(|factor| quantity.checked_mul(*factor) == stated);
    let of_line = line.unit.as_deref().unwrap_or_default();
    let (of_locations, others): (Vec<&LineSchedule>, Vec<&LineSchedule>) =
        ordered.into_iter().partition(|part| part.location.is_some());
    let (of_dates, totals): (Vec<&LineSchedule>, Vec<&LineSchedule>) =
        others.into_iter().partition(|part| part.on.is_some());
    let mut findings = Vec::new();
    let parse = |part: &&LineSchedule| decimal::parse_decimal(&part.quantity);
    let add_up =
        |parts: &[&LineSchedule]| parts.iter().try_fold(Decimal::ZERO, |sum, part| sum.checked_add(parse(part)?));
    // Some parts may state a location and others a date only.
    let is_mixed = !of_locations.is_empty()
        && !of_dates.is_empty()
        && fits(add_up(&[of_locations.as_slice(), of_dates.as_slice()].concat()));
    for (parts, noun) in [(of_locations, "locations"), (of_dates, "dates"), (totals, "schedules")] {
        let mut units: Vec<&str> = parts.iter().filter_map(|part| part.unit.as_deref()).collect();
        units.sort_unstable();
        units.dedup();
        if let Some(negative) = parts.iter().filter_map(parse).find(|number| *number < Decimal::ZERO) {
            findings.push(format!("a quantity of the {noun} is {}", format_number(negative)));
        }
        let sum = add_up(&parts);
        if let ([unit], Some(sum)) = (units.as_slice(), sum)
            && *unit != of_line
            && is_same_by_pack(line, quantity, sum, unit)
        {
            continue;
        }
        // Each schedule without a place and a date may state the whole quantity.
        let is_settled = if noun == "schedules" { parts.iter().all(|part| fits(parse(part))) } else { is_mixed };
        if units.iter().any(|unit| *unit != of_line) {
            let units = units.join(" and ");
            let of_line = if of_line.is_empty() { "no unit" } else { of_line };
            findings.push(format!("the quantities of the {noun} are in {units}, the {owner}'s is in {of_line}"));
        } else if !parts.is_empty() && !fits(sum) && !is_settled {
            let sum = sum.map_or_else(|| "no number".to_owned(), format_number);
            let unit = if of_line.is_empty() { String::new() } else { format!(" {of_line}") };
            findings.push(format!(
                "the quantities of the {noun} add up to {sum}{unit}, the {owner} states {}{unit}",
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
