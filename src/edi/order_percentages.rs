//! Compares the amount of an allowance, a charge, a tax or a discount of the terms with its percentage or its rate,
//! where the basis is certain.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::order_totals::{HeaderAmounts, LineTotals, format_number, round_to_cents, sum_quantities};
use crate::edi::purchase_order::{AllowanceCharge, PaymentTerms, PurchaseOrder, PurchaseOrderLine};
use rust_decimal::Decimal;

/// Bases of a percentage that are the amount of the goods (SAC06): gross, net of the allowances before it, base price.
const BASES_OF_GOODS: [&str; 3] = ["3", "4", "6"];

/// Amounts and quantities of which a percentage or a rate can be.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowanceBasis {
    /// Amount of the goods; None if it is not certain.
    goods: Option<Decimal>,
    /// Price of one unit, which some senders take for a line.
    price: Option<Decimal>,
    quantity: Option<Decimal>,
    /// Totals of the goods with and without allowances, of which a discount can be.
    totals: Vec<Decimal>,
    /// Difference that rounding each line can make.
    tolerance: Decimal,
}

impl AllowanceBasis {
    /// Returns the basis for the header of an order with these lines.
    pub fn of_lines(header: HeaderAmounts<'_>, lines: &[&PurchaseOrderLine]) -> Self {
        let totals = LineTotals::of(header, lines);
        Self {
            goods: totals.as_ref().map(|totals| totals.plain),
            price: None,
            quantity: sum_quantities(lines),
            totals: totals.map_or_else(Vec::new, |totals| totals.list_possible().to_vec()),
            tolerance: Decimal::new(i64::try_from(lines.len()).unwrap_or(1).max(1), 2),
        }
    }

    /// Returns the basis for one line.
    fn of_line(line: &PurchaseOrderLine) -> Self {
        let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
        let totals = LineTotals::of(HeaderAmounts::default(), &[line]);
        Self {
            goods: line.exact_amount(),
            price: parse(&line.price),
            quantity: parse(&line.quantity),
            totals: totals.map_or_else(Vec::new, |totals| totals.list_possible().to_vec()),
            tolerance: Decimal::new(1, 2),
        }
    }
}

/// Returns the contradictions between amounts and percentages or rates in the header and the lines of an order.
pub(crate) fn find_percentage_findings(order: &PurchaseOrder) -> Vec<String> {
    let lines: Vec<&PurchaseOrderLine> = order.lines.iter().filter(|line| line.change.is_none()).collect();
    let has_percentages = !order.allowances.is_empty() || !order.terms.is_empty();
    let of_order = if has_percentages {
        AllowanceBasis::of_lines(HeaderAmounts::of(order), &lines)
    } else {
        AllowanceBasis::default()
    };
    let mut findings = contradict_parts(&order.allowances, &order.terms, &[of_order]);
    for (index, line) in lines.iter().copied().enumerate() {
        let name = line.describe_position(index + 1);
        let found = find_line_percentage_findings(line, &[line]);
        findings.extend(found.into_iter().map(|finding| format!("{name}: {finding}")));
    }
    findings
}

/// Returns the contradictions of the allowances and terms that a line states, as parts of any of these versions of it.
pub(crate) fn find_line_percentage_findings(
    stated: &PurchaseOrderLine,
    versions: &[&PurchaseOrderLine],
) -> Vec<String> {
    if stated.allowances.is_empty() && stated.terms.is_empty() {
        return Vec::new();
    }
    let bases: Vec<AllowanceBasis> = versions.iter().map(|line| AllowanceBasis::of_line(line)).collect();
    contradict_parts(&stated.allowances, &stated.terms, &bases)
}

/// Returns the contradictions of allowances, charges and terms that fit none of the bases.
pub(crate) fn contradict_parts(
    allowances: &[AllowanceCharge],
    terms: &[PaymentTerms],
    bases: &[AllowanceBasis],
) -> Vec<String> {
    let list_found = |basis: &AllowanceBasis| {
        let mut found = list_contradictions(allowances, basis);
        found.extend(terms.iter().map(|terms| contradict_terms(terms, basis)));
        found
    };
    // What fits one basis is no contradiction.
    let mut versions = bases.iter().map(list_found);
    let mut found = versions.next().unwrap_or_default();
    for version in versions {
        for (first, other) in found.iter_mut().zip(version) {
            if other.is_none() {
                *first = None;
            }
        }
    }
    found.into_iter().flatten().collect()
}

/// Returns the contradiction between the amount and the percentage of a discount, if the total of the goods is certain.
fn contradict_terms(terms: &PaymentTerms, basis: &AllowanceBasis) -> Option<String> {
    let percent = decimal::parse_decimal(terms.discount_percent.as_deref()?)?;
    let amount = decimal::parse_decimal(terms.discount_amount.as_deref()?)?;
    let first = take_percentage(basis.goods?, percent)?;
    let fits = |total: &Decimal| {
        take_percentage(*total, percent).is_some_and(|discount| is_near(discount, amount, basis.tolerance))
    };
    (!basis.totals.iter().any(fits)).then(|| {
        let (percent, goods) = (format_number(percent), format_number(basis.goods.unwrap_or_default()));
        let first = format_number(round_to_cents(first));
        format!(
            "{percent} % of {goods} is {first}, the amount of the discount of the terms is {}",
            format_number(amount)
        )
    })
}

/// Returns, for each allowance or charge, the contradiction between its amount and its percentage or rate.
fn list_contradictions(allowances: &[AllowanceCharge], basis: &AllowanceBasis) -> Vec<Option<String>> {
    let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
    let mut findings = Vec::new();
    // What the allowances and charges before one leave of the goods.
    let mut net = basis.goods;
    for allowance in allowances {
        let (noun, sign) = match allowance.kind.as_str() {
            "A" => ("allowance", Some(-Decimal::ONE)),
            "C" => ("charge", Some(Decimal::ONE)),
            // The sign of a code without a meaning is not known, and its amount is.
            "" => ("allowance or charge", None),
            _ => {
                findings.push(None);
                continue;
            }
        };
        let Some(amount) = parse(&allowance.amount) else {
            // It is not certain what is left.
            net = None;
            findings.push(None);
            continue;
        };
        let checks = [check_percentage(allowance, basis, net), check_rate(allowance, basis)];
        let stated: Vec<(String, Vec<Decimal>)> = checks.into_iter().flatten().collect();
        let fits = |possible: &[Decimal]| {
            possible.iter().any(|wanted| is_near(round_to_cents(*wanted), amount, basis.tolerance))
        };
        let is_contradicted = !stated.is_empty() && !stated.iter().any(|(_, possible)| fits(possible));
        findings.push(stated.first().filter(|_| is_contradicted).map(|(fact, possible)| {
            let computed =
                possible.first().copied().map_or_else(String::new, |first| format_number(round_to_cents(first)));
            let code = allowance.code.as_deref().map(|code| format!(" {}", codes::ALLOWANCES.describe(code)));
            let name = format!("{noun}{}", code.unwrap_or_default());
            format!("{fact} is {computed}, the amount of the {name} is {}", format_number(amount))
        }));
        net = net.zip(sign).and_then(|(net, sign)| net.checked_add(amount.checked_mul(sign)?));
    }
    findings
}

/// Returns the fact and the amounts that a percentage can give, if its basis is certain.
fn check_percentage(
    allowance: &AllowanceCharge,
    basis: &AllowanceBasis,
    net: Option<Decimal>,
) -> Option<(String, Vec<Decimal>)> {
    let percent = decimal::parse_decimal(allowance.percent.as_deref()?)?;
    let stated = allowance.basis_amount.as_deref().and_then(decimal::parse_decimal);
    let of_goods = allowance.percent_basis.as_deref().is_none_or(|basis| BASES_OF_GOODS.contains(&basis));
    let possible: Vec<Decimal> = match stated {
        Some(stated) => vec![stated],
        None if of_goods => [Some(basis.goods?), net, basis.price].into_iter().flatten().collect(),
        None => return None,
    };
    let first = possible.first().copied().map_or_else(String::new, format_number);
    let amounts = possible.into_iter().filter_map(|base| take_percentage(base, percent)).collect();
    Some((format!("{} % of {first}", format_number(percent)), amounts))
}

/// Returns the fact and the amounts that a rate per unit can give, if its quantity is stated.
fn check_rate(allowance: &AllowanceCharge, basis: &AllowanceBasis) -> Option<(String, Vec<Decimal>)> {
    let rate = decimal::parse_decimal(allowance.rate.as_deref()?)?;
    let quantity = decimal::parse_decimal(allowance.quantity.as_deref()?)?;
    let fact = format!("{} for each of {}", format_number(rate), format_number(quantity));
    let quantities = [Some(quantity), basis.quantity].into_iter().flatten();
    Some((fact, quantities.filter_map(|quantity| quantity.checked_mul(rate)).collect()))
}

fn is_near(one: Decimal, other: Decimal, tolerance: Decimal) -> bool {
    one.checked_sub(other).is_some_and(|difference| difference.abs() <= tolerance)
}

fn take_percentage(base: Decimal, percent: Decimal) -> Option<Decimal> {
    base.checked_mul(percent)?.checked_div(Decimal::ONE_HUNDRED)
}

/// Returns the contradiction between the amount of a tax and its percentage of a stated basis. The percentage may also
/// be a fraction: 0.085.
pub(crate) fn contradict_tax(amount: &str, percent: &str, basis: &str) -> Option<String> {
    let amount = decimal::parse_decimal(amount)?;
    let (percent, basis) = (decimal::parse_decimal(percent)?, decimal::parse_decimal(basis)?);
    let tax = take_percentage(basis, percent)?;
    let is_tax = |tax: Decimal| is_near(round_to_cents(tax), amount, Decimal::new(1, 2));
    let fits = is_tax(tax) || tax.checked_mul(Decimal::ONE_HUNDRED).is_some_and(is_tax);
    (!fits).then(|| {
        let (percent, basis, tax) = (format_number(percent), format_number(basis), format_number(round_to_cents(tax)));
        format!("{percent} % of {basis} is {tax}, the amount of the tax is {}", format_number(amount))
    })
}
