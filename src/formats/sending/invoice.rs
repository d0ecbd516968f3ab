//! An invoice for one purchase order: every amount adds up, or it is not sent.

use super::ordered::{Ordered, Position};
use super::problems::Problems;
use super::{Carrier, Prepared, Reference, Sent, Terms, as_rsx, as_x12, given};
use crate::formats::purchase_order::{Address, Line};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;

/// An invoice as the ERP gives it. Days are `2026-11-24`, amounts are in the order's currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Invoice {
    pub invoice_number: String,
    pub invoice_date: String,
    pub purchase_order: String,
    /// Where several partners have the number.
    pub partner: Option<String>,
    pub release: Option<String>,
    pub currency: Option<String>,
    pub shipped_on: Option<String>,
    pub bill_of_lading: Option<String>,
    /// The carrier's number of the shipment.
    pub pro_number: Option<String>,
    pub carrier: Option<Carrier>,
    /// The order's, where it says none.
    #[serde(default)]
    pub terms: Vec<Terms>,
    /// RI remit to, SF ship from …; ST and BT are the order's where it has none itself.
    #[serde(default)]
    pub addresses: Vec<Address>,
    pub lines: Vec<InvoiceLine>,
    #[serde(default)]
    pub allowances: Vec<Adjustment>,
    #[serde(default)]
    pub taxes: Vec<Tax>,
    /// What is to be paid, before any discount for paying early.
    #[serde(deserialize_with = "given::money")]
    pub total: Decimal,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InvoiceLine {
    /// The retailer's number of the line.
    pub line: Option<String>,
    /// Any number of the goods that the order has.
    pub item: Option<String>,
    #[serde(deserialize_with = "given::number")]
    pub quantity: Decimal,
    /// The order's, where it is left out.
    pub unit: Option<String>,
    /// The order's, where it is left out.
    #[serde(default, deserialize_with = "given::optional")]
    pub price: Option<Decimal>,
    /// Quantity times price, to the cent; must be there when the price is for a weight or the like.
    #[serde(default, deserialize_with = "given::optional_money")]
    pub amount: Option<Decimal>,
    #[serde(default)]
    pub allowances: Vec<Adjustment>,
}

/// An allowance, which lessens the total, or a charge, which adds to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Adjustment {
    pub kind: AdjustmentKind,
    /// C310 discount, D240 freight …
    pub code: String,
    #[serde(deserialize_with = "given::money")]
    pub amount: Decimal,
    /// How it is settled: 02 off the invoice, 06 paid by the customer …
    pub handling: Option<String>,
    pub description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdjustmentKind {
    Allowance,
    Charge,
}

impl AdjustmentKind {
    /// SAC01.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowance => "A",
            Self::Charge => "C",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tax {
    /// ST sales tax, GS goods and services tax …
    pub code: String,
    #[serde(deserialize_with = "given::money")]
    pub amount: Decimal,
    #[serde(default, deserialize_with = "given::optional")]
    pub percent: Option<Decimal>,
}

/// A line with what the order says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed<'i> {
    pub at: Position<'i>,
    pub given: &'i InvoiceLine,
    pub unit: Option<&'i str>,
    pub price: Decimal,
    /// To the cent.
    pub amount: Decimal,
}

/// An invoice with its order: what is written.
#[derive(Debug, Clone)]
pub struct Bill<'i> {
    pub invoice: &'i Invoice,
    pub order: &'i Ordered,
    pub lines: Vec<Billed<'i>>,
}

/// To the cent, half up.
#[must_use]
pub fn cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

impl Invoice {
    /// Which order it is for.
    #[must_use]
    pub fn order(&self) -> Reference {
        Reference { number: self.purchase_order.clone(), partner: self.partner.clone(), release: self.release.clone() }
    }

    pub(super) fn prepare(&self, order: &Ordered, lenient: bool) -> Result<Prepared, Vec<String>> {
        let mut problems = Problems::default();
        self.head(order, lenient, &mut problems);
        let mut lines: Vec<Billed<'_>> = Vec::new();
        for line in &self.lines {
            match order.find(line.line.as_deref(), line.item.as_deref(), lenient) {
                Err(problem) => problems.add(problem),
                Ok(at) => {
                    problems.quantity(order, &at, (line.quantity, line.unit.as_ref()), lenient);
                    lines.extend(billed(line, at, lenient, &mut problems));
                }
            }
        }
        if self.lines.is_empty() {
            problems.add("it has no lines");
        }
        if lines.len() == self.lines.len() {
            self.add_up(&lines, &mut problems);
        }
        let bill = Bill { invoice: self, order, lines };
        let sent = bill.lines.iter().map(|line| Sent {
            order: 0,
            line: order.number(line.at.index),
            goods: order.goods(line.at.index).to_owned(),
            quantity: line.given.quantity,
            unit: line.unit.map(str::to_owned),
        });
        let writers = (|| as_x12::invoice::draft(&bill), || as_rsx::invoice::fields(&bill));
        problems.end(())?;
        Ok(Prepared {
            lines: sent.collect(),
            total: Some(self.total.normalize().to_string()),
            labels: Vec::new(),
            outgoing: super::outgoing("810", &self.invoice_number, &order.state.order, writers)?,
        })
    }

    fn head(&self, order: &Ordered, lenient: bool, problems: &mut Problems) {
        if let Some(closed) = order.closed(lenient) {
            problems.add(closed);
        }
        problems.code("invoice_number", &self.invoice_number, (1, 22));
        problems.day("invoice_date", Some(&self.invoice_date));
        problems.day("shipped_on", self.shipped_on.as_ref());
        problems.optional("bill_of_lading", self.bill_of_lading.as_ref(), (1, 30));
        problems.optional("pro_number", self.pro_number.as_ref(), (1, 30));
        problems.optional("currency", self.currency.as_ref(), (3, 3));
        if let (Some(own), Some(ordered)) = (&self.currency, &order.state.order.currency)
            && own != ordered
        {
            problems.add(format!("the currency is {own}, the order's is {ordered}"));
        }
        problems.carrier(self.carrier.as_ref(), 4);
        self.terms.iter().for_each(|terms| problems.terms(terms));
        self.addresses.iter().for_each(|address| problems.address(address));
        for tax in &self.taxes {
            problems.code("the code of a tax", &tax.code, (2, 2));
            if tax.amount < Decimal::ZERO {
                problems.add(format!("the tax {} is below 0", tax.code));
            }
        }
        for part in self.allowances.iter().chain(self.lines.iter().flat_map(|line| &line.allowances)) {
            problems.code("the code of an allowance or charge", &part.code, (4, 4));
            problems.optional("the handling of an allowance or charge", part.handling.as_ref(), (2, 2));
            problems.description("an allowance or charge", part.description.as_ref());
            if part.amount <= Decimal::ZERO {
                problems.add(format!(
                    "{}: its amount is not more than 0; whether it is taken off or added says its kind",
                    part.code
                ));
            }
        }
        if self.total < Decimal::ZERO {
            problems.add(format!("the total {} is below 0: a credit is no invoice", self.total));
        }
    }

    /// The total is what the lines, allowances, charges and taxes come to.
    fn add_up(&self, lines: &[Billed<'_>], problems: &mut Problems) {
        let signed = |part: &Adjustment| match part.kind {
            AdjustmentKind::Allowance => -part.amount,
            AdjustmentKind::Charge => part.amount,
        };
        let of_lines: Decimal = lines.iter().map(|line| line.amount).sum();
        let all = self.lines.iter().flat_map(|line| &line.allowances).chain(&self.allowances);
        let adjustments: Decimal = all.map(signed).sum();
        let taxes: Decimal = self.taxes.iter().map(|tax| tax.amount).sum();
        let sum = of_lines + adjustments + taxes;
        if self.total == sum {
            return;
        }
        let difference = (self.total - sum).normalize();
        let (by, how) = (difference.abs(), if difference > Decimal::ZERO { "more" } else { "less" });
        problems.add(format!(
            "the total is {}, but the lines come to {}, allowances and charges to {}, taxes to {}: together {sum}; the total is {by} {how}",
            self.total,
            of_lines.normalize(),
            adjustments.normalize(),
            taxes.normalize()
        ));
    }
}

/// For how many units the price is; `None` where it is for a weight or the like, which nobody here can reckon.
fn priced_for(line: &Line) -> Option<Decimal> {
    match line.price_basis.as_deref() {
        Some("HP") => Some(Decimal::ONE_HUNDRED),
        Some("HT") => Some(Decimal::ONE_THOUSAND),
        _ => line.is_priced_by_unit().then_some(Decimal::ONE),
    }
}

/// A line with its price and amount, if they can be told.
fn billed<'i>(line: &'i InvoiceLine, at: Position<'i>, lenient: bool, problems: &mut Problems) -> Option<Billed<'i>> {
    let ordered = at.line.price.as_deref().and_then(crate::formats::decimal::parse);
    let Some(price) = line.price.or(ordered) else {
        problems.add(format!("{}: has no price, and neither has the order", at.name));
        return None;
    };
    if let (Some(ordered), false) = (ordered, lenient)
        && ordered != price
    {
        problems.add(format!("{}: the price is {price}, the order's is {ordered}", at.name));
    }
    if price < Decimal::ZERO || price.normalize().to_string().len() > 14 {
        problems.add(format!("{}: the price {price} cannot be sent", at.name));
    }
    let exact = priced_for(at.line).and_then(|count| line.quantity.checked_mul(price)?.checked_div(count)).map(cents);
    let amount = match (line.amount, exact) {
        (Some(amount), Some(exact)) if amount != exact => {
            let exact = exact.normalize();
            problems
                .add(format!("{}: {} times {price} is {exact}, but the amount is {amount}", at.name, line.quantity));
            amount
        }
        (Some(amount), _) if amount < Decimal::ZERO => {
            problems.add(format!("{}: the amount {amount} is below 0", at.name));
            amount
        }
        (Some(amount), _) => amount,
        (None, Some(exact)) => exact,
        (None, None) => {
            let basis = at.line.price_basis.as_deref().unwrap_or_default();
            let said = "the price is not for a number of units";
            problems.add(format!("{}: {said} ({basis}): state the line's amount", at.name));
            return None;
        }
    };
    let unit = line.unit.as_deref().or(at.line.unit.as_deref());
    Some(Billed { given: line, unit, price, amount, at })
}
