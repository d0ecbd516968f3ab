//! Sums of the lines of an order, for comparison with stated totals.

use crate::edi::decimal;
use crate::edi::purchase_order::{AllowanceCharge, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of an allowance or charge: allowance, charge.
const ALLOWANCE: &str = "A";
const CHARGE: &str = "C";

/// Methods of handling whose allowance or charge is no part of the invoice (element 331): bill back, a check or a
/// credit of the vendor, a charge that the vendor pays, information only.
const HANDLINGS_BESIDE_INVOICE: [&str; 5] = ["01", "03", "04", "05", "15"];

/// Values of the header that count towards a total.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeaderAmounts<'o> {
    pub allowances: &'o [AllowanceCharge],
    /// The taxes are among them.
    pub extras: &'o [OrderExtra],
}

impl<'o> HeaderAmounts<'o> {
    pub fn of(order: &'o PurchaseOrder) -> Self {
        Self { allowances: &order.allowances, extras: &order.extras }
    }
}

/// Sum of some allowances and charges: of all, and of those that are a part of the invoice. None if it is not certain.
#[derive(Debug, Clone, Copy)]
struct AdjustmentSum {
    all: Option<Decimal>,
    on_invoice: Option<Decimal>,
}

impl AdjustmentSum {
    const ZERO: Self = Self { all: Some(Decimal::ZERO), on_invoice: Some(Decimal::ZERO) };

    fn add(&mut self, allowance: &AllowanceCharge, base: Decimal, quantity: Option<Decimal>) {
        let amount = signed_amount(allowance, base, quantity);
        let add = |sum: Option<Decimal>| sum.zip(amount).and_then(|(sum, amount)| sum.checked_add(amount));
        self.all = add(self.all);
        let handling = allowance.handling.as_deref().unwrap_or_default();
        if !HANDLINGS_BESIDE_INVOICE.contains(&handling) {
            self.on_invoice = add(self.on_invoice);
        }
    }

    /// Returns the sums that a total may contain.
    fn list_possible(self) -> Vec<Decimal> {
        list_distinct([Some(Decimal::ZERO), self.on_invoice, self.all])
    }
}

fn list_distinct(amounts: impl IntoIterator<Item = Option<Decimal>>) -> Vec<Decimal> {
    let amounts: BTreeSet<Decimal> = amounts.into_iter().flatten().collect();
    amounts.into_iter().collect()
}

/// Totals that lines can have: without their allowances, charges and taxes, and with those of the lines, the order or
/// both.
#[derive(Debug, Clone)]
pub(crate) struct LineTotals {
    /// Sum of the amounts of the lines, each in cents.
    pub plain: Decimal,
    with_all: Option<Decimal>,
    possible: Vec<Decimal>,
    /// Largest total, if a tax states no amount.
    taxed_max: Option<Decimal>,
}

impl LineTotals {
    /// Adds up lines. Returns None if the amount of a line is not certain.
    pub fn of(header: HeaderAmounts<'_>, lines: &[&PurchaseOrderLine]) -> Option<Self> {
        let amounts: Vec<Decimal> = lines.iter().map(|line| line.exact_amount()).collect::<Option<_>>()?;
        let exact = amounts.iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(*amount))?;
        let plain = amounts.iter().try_fold(Decimal::ZERO, |sum, amount| sum.checked_add(round_to_cents(*amount)))?;
        let (mut of_header, mut of_lines) = (AdjustmentSum::ZERO, AdjustmentSum::ZERO);
        for allowance in header.allowances {
            of_header.add(allowance, exact, None);
        }
        for (line, amount) in lines.iter().zip(&amounts) {
            let quantity = line.quantity.as_deref().and_then(decimal::parse_decimal);
            for allowance in &line.allowances {
                of_lines.add(allowance, *amount, quantity);
            }
        }
        let header_taxes = TaxSum::of(header.extras, plain);
        let mut line_taxes = TaxSum::default();
        for line in lines {
            line_taxes.add(&line.extras, plain);
        }
        let taxes = [
            Some(Decimal::ZERO),
            Some(header_taxes.amount),
            Some(line_taxes.amount),
            header_taxes.amount.checked_add(line_taxes.amount),
        ];
        let mut possible = BTreeSet::new();
        let taxes = list_distinct(taxes);
        for sum in list_distinct([Some(exact), Some(plain)]) {
            for of_header in of_header.list_possible() {
                for of_lines in of_lines.list_possible() {
                    let net = sum.checked_add(of_header).and_then(|net| net.checked_add(of_lines));
                    let totals = taxes.iter().filter_map(|tax| net?.checked_add(*tax));
                    possible.extend(totals.map(round_to_cents));
                }
            }
        }
        let of_all =
            of_lines.on_invoice.zip(of_header.on_invoice).and_then(|(lines, header)| lines.checked_add(header));
        let with_all = of_all.filter(|all| !all.is_zero()).and_then(|all| plain.checked_add(all));
        let open_tax = header_taxes.open.into_iter().chain(line_taxes.open).reduce(Decimal::saturating_add);
        let taxed_max = open_tax.and_then(|open| Some(plain.max(*possible.last()?).saturating_add(open)));
        Some(Self { plain, with_all, possible: possible.into_iter().collect(), taxed_max })
    }

    /// Returns all totals that the lines can have.
    pub fn list_possible(&self) -> &[Decimal] {
        &self.possible
    }

    /// Returns the difference that a change makes to a total; a sender may state it without its sign.
    pub fn from_difference(difference: Decimal) -> Self {
        let difference = round_to_cents(difference);
        Self { plain: difference, with_all: None, possible: vec![difference, -difference], taxed_max: None }
    }

    /// Returns true if the lines can have this total.
    pub fn fits(&self, stated: Decimal) -> bool {
        let is_taxed = |max: Decimal| stated > self.plain && stated <= max;
        self.possible.contains(&round_to_cents(stated)) || self.taxed_max.is_some_and(is_taxed)
    }

    /// Returns the sum for a message: `500 (490 with allowances and charges)`.
    pub fn describe(&self) -> String {
        let with_all = self.with_all.map(|all| format!(" ({} with allowances and charges)", format_number(all)));
        format!("{}{}", format_number(self.plain), with_all.unwrap_or_default())
    }
}

/// Returns the least total that lines can have of which some have no certain amount, such as a line without a price.
///
/// Returns None if an allowance may be of any amount.
pub(crate) fn find_least_total(header: HeaderAmounts<'_>, lines: &[&PurchaseOrderLine]) -> Option<Decimal> {
    let is_negative = |text: &Option<String>| text.as_deref().is_some_and(|text| text.trim().starts_with('-'));
    let mut sum = Decimal::ZERO;
    for line in lines {
        if is_negative(&line.price) || is_negative(&line.quantity) {
            return None;
        }
        let Some(amount) = line.exact_amount() else { continue };
        let quantity = line.quantity.as_deref().and_then(decimal::parse_decimal);
        // The sender may round each line, or only the total.
        sum = sum.checked_add(amount.min(round_to_cents(amount)))?;
        for allowance in &line.allowances {
            sum = sum.checked_add(signed_amount(allowance, amount, quantity)?.min(Decimal::ZERO))?;
        }
    }
    // A percentage of all lines leaves its part of each.
    let certain = sum;
    for allowance in header.allowances {
        sum = sum.checked_add(signed_amount(allowance, certain, None)?.min(Decimal::ZERO))?;
    }
    Some(sum)
}

/// Returns true if the stated quantity is the sum of the quantities without regard to their decimal points: 240 for 1.5
/// and 2.25. X12 defines a hash total (element 347) in this way.
fn is_hash_of_digits(lines: &[&PurchaseOrderLine], stated: &str) -> bool {
    let quantities: Option<Vec<Decimal>> =
        lines.iter().map(|line| decimal::parse_decimal(line.quantity.as_deref()?)).collect();
    let Some(quantities) = quantities else { return false };
    let digits = |number: &Decimal| Decimal::try_from_i128_with_scale(number.normalize().mantissa(), 0).ok();
    let plain = quantities.iter().try_fold(Decimal::ZERO, |sum, number| sum.checked_add(digits(number)?));
    // Every quantity may have the same number of decimals: 1.50 and 2.25.
    let scale = quantities.iter().map(|number| number.normalize().scale()).max().unwrap_or_default();
    let factor = 10_i64.checked_pow(scale).map(Decimal::from);
    let padded = quantities.iter().try_fold(Decimal::ZERO, |sum, number| sum.checked_add(number.checked_mul(factor?)?));
    let stated = decimal::parse_decimal(stated);
    scale > 0 && stated.is_some() && (stated == plain || stated == padded)
}

/// Returns true if a document can state this quantity for the lines: their sum, that of one unit, or the hash of X12.
pub(crate) fn fits_quantities(document: &PurchaseOrder, lines: &[&PurchaseOrderLine], stated: &str) -> bool {
    let has_hash_total = matches!(document.origin.transaction_set.as_str(), "850" | "860");
    decimal::parse_decimal(stated) == sum_quantities(lines)
        || is_hash_of_units(lines, stated)
        || (has_hash_total && is_hash_of_digits(lines, stated))
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

/// Sum of stated taxes, which are extras of the order or its lines (TXI, `Taxes`).
#[derive(Debug, Clone, Copy, Default)]
struct TaxSum {
    /// Sum of the taxes that state their amount.
    amount: Decimal,
    /// Most that the taxes without an amount can add.
    open: Option<Decimal>,
}

impl TaxSum {
    fn of(extras: &[OrderExtra], goods: Decimal) -> Self {
        let mut sum = Self::default();
        sum.add(extras, goods);
        sum
    }

    /// Adds the taxes among the extras. `goods` is the amount of which a percentage is, if it states no amount.
    fn add(&mut self, extras: &[OrderExtra], goods: Decimal) {
        let mut of_rsx: BTreeMap<&str, (Option<&str>, Option<&str>)> = BTreeMap::new();
        for extra in extras {
            let value = extra.value.as_str();
            match extra.location.as_str() {
                "TXI" => {
                    let elements: Vec<&str> = value.split('*').collect();
                    let element = |index: usize| elements.get(index).copied().filter(|text| !text.is_empty());
                    self.add_tax(element(1), element(2), goods);
                }
                "TXI02" => self.add_tax(Some(value), None, goods),
                "TXI03" => self.add_tax(None, Some(value), goods),
                location if location.starts_with("TXI") => self.add_tax(None, None, goods),
                location => {
                    let Some((path, name)) = location.rsplit_once('/') else { continue };
                    let parent = path.rsplit('/').next().unwrap_or_default();
                    if !matches!(parent.split(' ').next(), Some("Taxes" | "Tax")) {
                        continue;
                    }
                    let (amount, percent) = of_rsx.entry(path).or_default();
                    match name {
                        "TaxAmount" => *amount = Some(value),
                        "TaxPercent" => *percent = Some(value),
                        _ => {}
                    }
                }
            }
        }
        for (amount, percent) in of_rsx.into_values() {
            self.add_tax(amount, percent, goods);
        }
    }

    fn add_tax(&mut self, amount: Option<&str>, percent: Option<&str>, goods: Decimal) {
        if let Some(amount) = amount.and_then(decimal::parse_decimal) {
            self.amount = self.amount.saturating_add(amount);
            return;
        }
        let percent = percent.and_then(decimal::parse_decimal);
        // Some senders write a percentage as a fraction: 0.085.
        let factor =
            percent.map(|percent| if percent < Decimal::ONE { percent } else { percent / Decimal::ONE_HUNDRED });
        let most = factor
            .and_then(|factor| goods.checked_mul(factor))
            .map(|tax| round_to_cents(tax).saturating_add(Decimal::ONE));
        self.open = Some(self.open.unwrap_or_default().saturating_add(most.unwrap_or(Decimal::MAX)));
    }
}

pub(crate) fn round_to_cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

pub(crate) fn format_number(number: Decimal) -> String {
    number.normalize().to_string()
}
