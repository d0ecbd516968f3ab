//! Compares the amount of an allowance, a charge or a tax with its percentage or its rate, where the basis is certain.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::order_totals::{LineTotals, format_number, round_to_cents, sum_quantities};
use crate::edi::purchase_order::{AllowanceCharge, PurchaseOrder, PurchaseOrderLine};
use rust_decimal::Decimal;

/// Bases of a percentage that are the amount of the goods (SAC06): gross, net of the allowances before it, base price.
const BASES_OF_GOODS: [&str; 3] = ["3", "4", "6"];

/// Amounts and quantities of which a percentage or a rate can be.
#[derive(Default)]
struct AllowanceBasis {
    /// Amount of the goods; None if it is not certain.
    goods: Option<Decimal>,
    /// Price of one unit, which some senders take for a line.
    price: Option<Decimal>,
    quantity: Option<Decimal>,
    /// Difference that rounding each line can make.
    tolerance: Decimal,
}

/// Returns the contradictions between amounts and percentages or rates in the header and the lines.
pub(crate) fn find_percentage_findings(order: &PurchaseOrder) -> Vec<String> {
    let lines: Vec<&PurchaseOrderLine> = order.lines.iter().filter(|line| line.change.is_none()).collect();
    let of_order = AllowanceBasis {
        goods: LineTotals::of(&[], &lines).map(|totals| totals.plain),
        price: None,
        quantity: sum_quantities(&lines),
        tolerance: Decimal::new(i64::try_from(lines.len()).unwrap_or(1).max(1), 2),
    };
    let mut findings = list_contradictions(&order.allowances, &of_order);
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.allowances.is_empty()) {
        let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
        let of_line = AllowanceBasis {
            goods: line.exact_amount(),
            price: parse(&line.price),
            quantity: parse(&line.quantity),
            tolerance: Decimal::new(1, 2),
        };
        let name = line.describe_position(index + 1);
        let found = list_contradictions(&line.allowances, &of_line);
        findings.extend(found.into_iter().map(|finding| format!("{name}: {finding}")));
    }
    findings
}

fn list_contradictions(allowances: &[AllowanceCharge], basis: &AllowanceBasis) -> Vec<String> {
    let parse = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
    let mut findings = Vec::new();
    // What the allowances and charges before one leave of the goods.
    let mut net = basis.goods;
    for allowance in allowances {
        let (noun, sign) = match allowance.kind.as_str() {
            "A" => ("allowance", -Decimal::ONE),
            "C" => ("charge", Decimal::ONE),
            _ => continue,
        };
        let Some(amount) = parse(&allowance.amount) else {
            // It is not certain what is left.
            net = None;
            continue;
        };
        let checks = [check_percentage(allowance, basis, net), check_rate(allowance, basis)];
        let stated: Vec<(String, Vec<Decimal>)> = checks.into_iter().flatten().collect();
        let fits = |possible: &[Decimal]| {
            possible.iter().any(|wanted| (round_to_cents(*wanted) - amount).abs() <= basis.tolerance)
        };
        if let Some((fact, possible)) = stated.first()
            && !stated.iter().any(|(_, possible)| fits(possible))
        {
            let computed =
                possible.first().copied().map_or_else(String::new, |first| format_number(round_to_cents(first)));
            let code = allowance.code.as_deref().map(|code| format!(" {}", codes::ALLOWANCES.describe(code)));
            let name = format!("{noun}{}", code.unwrap_or_default());
            findings.push(format!("{fact} is {computed}, the amount of the {name} is {}", format_number(amount)));
        }
        net = net.and_then(|net| net.checked_add(amount.checked_mul(sign)?));
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

fn take_percentage(base: Decimal, percent: Decimal) -> Option<Decimal> {
    base.checked_mul(percent)?.checked_div(Decimal::ONE_HUNDRED)
}

/// Returns the contradiction between the amount of a tax and its percentage of a stated basis. The percentage may also
/// be a fraction: 0.085.
pub(crate) fn contradict_tax(amount: &str, percent: &str, basis: &str) -> Option<String> {
    let amount = decimal::parse_decimal(amount)?;
    let (percent, basis) = (decimal::parse_decimal(percent)?, decimal::parse_decimal(basis)?);
    let tax = take_percentage(basis, percent)?;
    let is_near = |tax: Decimal| (round_to_cents(tax) - amount).abs() <= Decimal::new(1, 2);
    let fits = is_near(tax) || tax.checked_mul(Decimal::ONE_HUNDRED).is_some_and(is_near);
    (!fits).then(|| {
        let (percent, basis, tax) = (format_number(percent), format_number(basis), format_number(round_to_cents(tax)));
        format!("{percent} % of {basis} is {tax}, the amount of the tax is {}", format_number(amount))
    })
}
