//! Compares a stated total with what the lines add up to.
//!
//! Senders state totals with or without allowances, charges and taxes, and round in their own ways. A total is a
//! contradiction only if no way leads to it. What is not certain is not compared.

use crate::edi::decimal;
use crate::edi::purchase_order::{AllowanceCharge, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use rust_decimal::{Decimal, RoundingStrategy};

/// Kinds of an allowance or charge: allowance, charge.
const ALLOWANCE: &str = "A";
const CHARGE: &str = "C";
/// Kinds that a total may contain.
const KINDS_IN_TOTALS: [&[&str]; 3] = [&[ALLOWANCE, CHARGE], &[ALLOWANCE], &[CHARGE]];
/// Ways of rounding an amount to cents: half up, half even, down.
const ROUNDINGS: [RoundingStrategy; 3] =
    [RoundingStrategy::MidpointAwayFromZero, RoundingStrategy::MidpointNearestEven, RoundingStrategy::ToZero];

/// Amounts before allowances and charges, and their quantity if it is in one unit.
struct ChargeBase<'l> {
    amount: Decimal,
    quantity: Option<Decimal>,
    unit: Option<&'l str>,
}

impl<'l> ChargeBase<'l> {
    fn of_line(line: &'l PurchaseOrderLine) -> Option<Self> {
        let quantity = line.quantity.as_deref().and_then(decimal::parse_decimal);
        Some(Self { amount: line.exact_amount()?, quantity, unit: line.unit.as_deref() })
    }

    fn of_lines(lines: &[Self]) -> Option<Self> {
        let unit = lines.first().and_then(|line| line.unit);
        let is_one_unit = lines.iter().all(|line| line.unit == unit);
        let amount = lines.iter().try_fold(Decimal::ZERO, |sum, line| sum.checked_add(line.amount))?;
        let quantity = lines.iter().try_fold(Decimal::ZERO, |sum, line| sum.checked_add(line.quantity?));
        Some(Self { amount, quantity: quantity.filter(|_| is_one_unit), unit })
    }
}

/// Returns what the lines add up to, if a stated total cannot be reached from them.
///
/// Returns None also if the lines, an allowance or a charge give no certain amount.
pub(crate) fn contradict_total(order: &PurchaseOrder, lines: &[&PurchaseOrderLine], stated: &str) -> Option<String> {
    if order.currency_obstacle(lines).is_some() {
        return None;
    }
    let lists: Vec<&[AllowanceCharge]> = lines.iter().map(|line| line.allowances.as_slice()).collect();
    let bases: Vec<ChargeBase<'_>> = lines.iter().map(|line| ChargeBase::of_line(line)).collect::<Option<_>>()?;
    let mut extras = order.extras.iter().chain(lines.iter().flat_map(|line| &line.extras));
    let states_tax = extras.any(is_tax);
    let sums = contradict_sums(&bases, &lists, &order.allowances, states_tax, stated)?;
    Some(format!("the lines add up to {sums}"))
}

/// Returns quantity times price, if a stated total of the line cannot be reached from it.
pub(crate) fn contradict_line_total(line: &PurchaseOrderLine, stated: &str) -> Option<String> {
    let base = ChargeBase::of_line(line)?;
    let states_tax = line.extras.iter().any(is_tax);
    let sums = contradict_sums(&[base], &[line.allowances.as_slice()], &[], states_tax, stated)?;
    Some(format!("quantity times price is {sums}"))
}

/// Returns true for a stated tax (TXI, `Taxes`), which no field has.
fn is_tax(extra: &OrderExtra) -> bool {
    extra.location.starts_with("TXI") || extra.location.split('/').any(|name| name == "Taxes" || name == "Tax")
}

/// Returns the sum, if no sum of the lines with some of the allowances and charges is the stated one.
fn contradict_sums(
    lines: &[ChargeBase<'_>],
    of_lines: &[&[AllowanceCharge]],
    of_order: &[AllowanceCharge],
    states_tax: bool,
    stated: &str,
) -> Option<String> {
    let stated = decimal::parse_decimal(stated)?;
    let all = ChargeBase::of_lines(lines)?;
    let rounded = |rounding| {
        let mut amounts = lines.iter().map(|line| line.amount.round_dp_with_strategy(2, rounding));
        amounts.try_fold(Decimal::ZERO, Decimal::checked_add)
    };
    let sums: Vec<Decimal> =
        ROUNDINGS.into_iter().map(rounded).chain([Some(all.amount)]).collect::<Option<Vec<Decimal>>>()?;
    let mut adjustments = vec![Decimal::ZERO];
    for kinds in KINDS_IN_TOTALS {
        for in_turn in [false, true] {
            let mut lines_sum = Decimal::ZERO;
            for (line, allowances) in lines.iter().zip(of_lines) {
                lines_sum = lines_sum.checked_add(sum_allowances(allowances, kinds, line, in_turn)?)?;
            }
            let order_sum = sum_allowances(of_order, kinds, &all, in_turn)?;
            let net = ChargeBase { amount: all.amount.checked_add(lines_sum)?, ..all };
            let net_sum = sum_allowances(of_order, kinds, &net, in_turn)?;
            adjustments.extend([lines_sum, order_sum, lines_sum.checked_add(order_sum)?]);
            adjustments.push(lines_sum.checked_add(net_sum)?);
        }
    }
    let totals: Vec<Decimal> =
        sums.iter().flat_map(|sum| adjustments.iter().filter_map(|adjustment| sum.checked_add(*adjustment))).collect();
    let is_close = |total: Decimal| total.checked_sub(stated).is_some_and(|gap| gap.abs() < Decimal::new(1, 2));
    let reaches = |total: &Decimal| *total == stated || (*total != round_to_cents(*total) && is_close(*total));
    // The tax itself is not read: it can only raise the total.
    if totals.iter().any(reaches) || (states_tax && totals.iter().any(|total| *total < stated)) {
        return None;
    }
    let sum = *sums.first()?;
    let with_all = adjustments.get(4).filter(|adjustment| !adjustment.is_zero());
    let with_all = with_all.and_then(|adjustment| sum.checked_add(*adjustment));
    let with_all = with_all.map(|total| format_number(round_to_cents(total)));
    let with = with_all.map_or_else(String::new, |total| format!(" ({total} with allowances and charges)"));
    Some(format!("{}{with}", format_number(sum)))
}

/// Returns what the allowances and charges of these kinds add. None if one of them is not certain.
///
/// With `in_turn`, a percentage is one of what those before it leave.
fn sum_allowances(
    allowances: &[AllowanceCharge],
    kinds: &[&str],
    base: &ChargeBase<'_>,
    in_turn: bool,
) -> Option<Decimal> {
    let mut sum = Decimal::ZERO;
    for allowance in allowances {
        let rest = if in_turn { base.amount.checked_add(sum)? } else { base.amount };
        let amount = read_amount(allowance, base, rest);
        match allowance.kind.as_str() {
            ALLOWANCE if kinds.contains(&ALLOWANCE) => sum = sum.checked_sub(amount?)?,
            CHARGE if kinds.contains(&CHARGE) => sum = sum.checked_add(amount?)?,
            _ => {}
        }
    }
    Some(sum)
}

/// Returns the amount of an allowance or charge: the stated one, else its percentage, else its rate for its quantity.
fn read_amount(allowance: &AllowanceCharge, base: &ChargeBase<'_>, rest: Decimal) -> Option<Decimal> {
    if let Some(amount) = &allowance.amount {
        return decimal::parse_decimal(amount);
    }
    if let Some(percent) = &allowance.percent {
        return rest.checked_mul(decimal::parse_decimal(percent)?)?.checked_div(Decimal::ONE_HUNDRED);
    }
    let rate = decimal::parse_decimal(allowance.rate.as_deref()?)?;
    let quantity = match &allowance.quantity {
        Some(quantity) => decimal::parse_decimal(quantity),
        None => base.quantity.filter(|_| allowance.unit.is_none() || allowance.unit.as_deref() == base.unit),
    };
    rate.checked_mul(quantity?)
}

/// Rounds an amount half up to cents.
pub(crate) fn round_to_cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

/// Formats a number without trailing zeros.
pub(crate) fn format_number(number: Decimal) -> String {
    number.normalize().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(quantity: &str, price: &str) -> PurchaseOrderLine {
        PurchaseOrderLine {
            quantity: Some(quantity.into()),
            unit: Some("CA".into()),
            price: Some(price.into()),
            ..PurchaseOrderLine::default()
        }
    }

    /// Returns an allowance from `A rate=2 quantity=50`.
    fn allowance(text: &str) -> AllowanceCharge {
        let field =
            |name: &str| text.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
        AllowanceCharge {
            kind: text[..1].to_owned(),
            amount: field("amount"),
            percent: field("percent"),
            rate: field("rate"),
            quantity: field("quantity"),
            unit: field("unit"),
            ..AllowanceCharge::default()
        }
    }

    #[test]
    fn total_is_a_contradiction_only_if_no_way_leads_to_it() {
        // 50 × 10 and 20 × 5, with allowances of the order and of the first line.
        for (of_order, of_line, stated, fits) in [
            (&[][..], &[][..], "600", true),
            (&[], &[], "599", false),
            (&["A rate=2 quantity=50"], &[], "500", true),
            (&["A rate=2 quantity=50"], &[], "501", false),
            (&["A rate=0.5 unit=CA"], &[], "565", true),
            (&["A rate=0.5 unit=EA"], &[], "1", true),
            (&["A rate=0.5"], &[], "565", true),
            (&["A"], &[], "1", true),
            (&[], &["A rate=0.25 unit=CA"], "587.50", true),
            (&[], &["A rate=0.25 quantity=50"], "588", false),
            (&["A percent=10", "A percent=5"], &[], "510", true),
            (&["A percent=10", "A percent=5"], &[], "513", true),
            (&["A percent=10", "C amount=25"], &[], "540", true),
            (&["A percent=10", "C amount=25"], &[], "565", true),
            (&["A percent=10", "C amount=25"], &[], "625", true),
            (&["A percent=10"], &["A percent=10"], "495", true),
            (&["N amount=7"], &[], "600", true),
            (&["N amount=7"], &[], "593", false),
        ] {
            let to_list = |texts: &[&str]| texts.iter().map(|text| allowance(text)).collect::<Vec<_>>();
            let order = PurchaseOrder { allowances: to_list(of_order), ..PurchaseOrder::default() };
            let first = PurchaseOrderLine { allowances: to_list(of_line), ..line("50", "10") };
            let found = contradict_total(&order, &[&first, &line("20", "5")], stated);
            assert_eq!(found.is_none(), fits, "{of_order:?} {of_line:?} {stated} {found:?}");
        }
    }

    #[test]
    fn roundings_and_taxes_are_no_contradiction() {
        let lines = [line("3", "0.335"), line("3", "0.335")];
        let lines: Vec<&PurchaseOrderLine> = lines.iter().collect();
        let mut order = PurchaseOrder::default();
        for (stated, fits) in [("2.01", true), ("2.02", true), ("2", true), ("2.00", true), ("2.03", false)] {
            assert_eq!(contradict_total(&order, &lines, stated).is_none(), fits, "{stated}");
        }
        order.extras.push(OrderExtra { location: "TXI".into(), value: "TX*0.15".into(), name: None });
        assert_eq!(contradict_total(&order, &lines, "2.16"), None);
        assert!(contradict_total(&order, &lines, "1.16").is_some());
    }
}
