//! Sums of the lines of an order, for comparison with stated totals.

use crate::edi::decimal;
use crate::edi::purchase_order::{AllowanceCharge, PurchaseOrderLine};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeMap;

/// Kinds of an allowance or charge: allowance, charge.
const ALLOWANCE: &str = "A";
const CHARGE: &str = "C";

/// Totals that lines can have: without their allowances and charges, and with those of the lines, the order or both.
#[derive(Debug, Clone)]
pub(crate) struct LineTotals {
    /// Sum of the amounts of the lines, each in cents.
    pub plain: Decimal,
    with_all: Option<Decimal>,
    possible: Vec<Decimal>,
}

impl LineTotals {
    /// Adds up lines. Returns None if the amount of a line is not certain.
    pub fn of(allowances: &[AllowanceCharge], lines: &[&PurchaseOrderLine]) -> Option<Self> {
        let amounts: Vec<Decimal> = lines.iter().map(|line| line.exact_amount()).collect::<Option<_>>()?;
        let exact = amounts.iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(*amount))?;
        let plain = amounts.iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(round_to_cents(*amount)))?;
        let (mut of_header, mut of_lines) = (Some(Decimal::ZERO), Some(Decimal::ZERO));
        for allowance in allowances {
            let amount = signed_amount(allowance, exact, None);
            of_header = of_header.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
        }
        for (line, amount) in lines.iter().zip(&amounts) {
            for allowance in &line.allowances {
                let quantity = line.quantity.as_deref().and_then(decimal::parse_decimal);
                let amount = signed_amount(allowance, *amount, quantity);
                of_lines = of_lines.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
            }
        }
        let of_all = of_lines.zip(of_header).and_then(|(lines, header)| lines.checked_add(header));
        let adjustments = [Some(Decimal::ZERO), of_header, of_lines, of_all];
        let possible = adjustments.into_iter().flatten().flat_map(|adjustment| {
            [exact, plain].into_iter().filter_map(move |sum| sum.checked_add(adjustment).map(round_to_cents))
        });
        let with_all = of_all.filter(|all| !all.is_zero()).and_then(|all| plain.checked_add(all));
        Some(Self { plain, with_all, possible: possible.collect() })
    }

    /// Returns the difference that a change makes to a total; a sender may state it without its sign.
    pub fn from_difference(difference: Decimal) -> Self {
        let difference = round_to_cents(difference);
        Self { plain: difference, with_all: None, possible: vec![difference, -difference] }
    }

    /// Returns true if the lines can have this total.
    pub fn fits(&self, stated: Decimal) -> bool {
        self.possible.contains(&round_to_cents(stated))
    }

    /// Returns the sum for a message: `500 (490 with allowances and charges)`.
    pub fn describe(&self) -> String {
        let with_all = self.with_all.map(|all| format!(" ({} with allowances and charges)", format_number(all)));
        format!("{}{}", format_number(self.plain), with_all.unwrap_or_default())
    }
}

/// Returns true if the stated quantity counts only the lines in one unit, as senders of mixed units do.
pub(crate) fn is_hash_of_units(lines: &[&PurchaseOrderLine], stated: &str) -> bool {
    let mut by_unit: BTreeMap<Option<&str>, Vec<&PurchaseOrderLine>> = BTreeMap::new();
    for line in lines {
        by_unit.entry(line.unit.as_deref()).or_default().push(line);
    }
    by_unit.len() > 1 && by_unit.values().any(|lines| sum_quantities(lines) == decimal::parse_decimal(stated))
}

/// Returns the sum of the quantities that are stated.
pub(crate) fn sum_quantities(lines: &[&PurchaseOrderLine]) -> Option<Decimal> {
    let mut quantities = lines.iter().filter_map(|line| decimal::parse_decimal(line.quantity.as_deref()?));
    quantities.try_fold(Decimal::ZERO, Decimal::checked_add)
}

/// Returns what an allowance subtracts or a charge adds. None if its amount is not certain.
///
/// `base` is the amount that a percentage is of, `quantity` the one that a rate per unit is for, if it states no other.
fn signed_amount(allowance: &AllowanceCharge, base: Decimal, quantity: Option<Decimal>) -> Option<Decimal> {
    let parse = |text: &Option<String>| text.as_deref().map(decimal::parse_decimal);
    let amount = if let Some(amount) = parse(&allowance.amount) {
        amount?
    } else if let Some(percent) = parse(&allowance.percent) {
        let base = parse(&allowance.basis_amount).flatten().unwrap_or(base);
        base.checked_mul(percent?)?.checked_div(Decimal::ONE_HUNDRED)?
    } else {
        parse(&allowance.rate)??.checked_mul(parse(&allowance.quantity).unwrap_or(quantity)?)?
    };
    match allowance.kind.as_str() {
        ALLOWANCE => Some(-amount),
        CHARGE => Some(amount),
        "" => None,
        _ => Some(Decimal::ZERO),
    }
}

pub(crate) fn round_to_cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

pub(crate) fn format_number(number: Decimal) -> String {
    number.normalize().to_string()
}
