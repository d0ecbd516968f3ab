//! An invoice for one purchase order: every amount adds up, or it is not sent.

use super::ordered::{Ordered, Position};
use super::{Prepared, Problems, Reference, Sent, as_rsx, as_x12, given};
use crate::formats::outgoing::{Content, Outgoing, name};
use crate::formats::purchase_order::{Address, Carrier, Terms};
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
    #[serde(deserialize_with = "given::number")]
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
    /// Quantity times price, to the cent; must be there when the price is not for one unit.
    #[serde(default, deserialize_with = "given::optional")]
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
    #[serde(deserialize_with = "given::number")]
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
    #[serde(deserialize_with = "given::number")]
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
    pub amount: Decimal,
}

/// An invoice with its order: what is written.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        self.head(order, &mut problems);
        let mut lines: Vec<Billed<'_>> = Vec::new();
        for line in &self.lines {
            match order.find(line.line.as_deref(), line.item.as_deref()) {
                Err(problem) => problems.add(problem),
                Ok(at) => {
                    let already = lines.iter().filter(|other| other.at.index == at.index);
                    let already = already.map(|other| other.given.quantity).sum();
                    problems.quantity(order, &at, line.quantity, line.unit.as_deref(), already, lenient);
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
        let origin = &order.state.order.origin;
        let (content, end) = match origin.dialect.as_str() {
            "x12" => (Content::X12(Box::new(as_x12::invoice::draft(&bill))), "edi"),
            "rsx-json" => (Content::Text(as_rsx::json(&as_rsx::invoice::fields(&bill))), "json"),
            _ => (Content::Text(as_rsx::xml("Invoices", "Invoice", &as_rsx::invoice::fields(&bill))), "xml"),
        };
        let sent = bill.lines.iter().map(|line| Sent {
            order: 0,
            line: order.key(line.at.index),
            quantity: line.given.quantity,
            unit: line.unit.map(str::to_owned),
        });
        // RSX files are told by SPS's letters for what is in them.
        let first = if end == "edi" { "810" } else { "IN" };
        let name = name(first, &[&order.state.order.partner, &self.invoice_number], end);
        problems.end(Prepared {
            lines: sent.collect(),
            total: Some(self.total.normalize().to_string()),
            outgoing: Outgoing { kind: "810", name, content },
        })
    }

    fn head(&self, order: &Ordered, problems: &mut Problems) {
        if let Some(closed) = order.closed() {
            problems.add(closed);
        }
        problems.code("invoice_number", &self.invoice_number, 22);
        problems.day("invoice_date", &self.invoice_date);
        if let Some(day) = &self.shipped_on {
            problems.day("shipped_on", day);
        }
        problems.optional("bill_of_lading", self.bill_of_lading.as_deref(), 30);
        problems.optional("pro_number", self.pro_number.as_deref(), 30);
        problems.optional("currency", self.currency.as_deref(), 3);
        if let (Some(own), Some(ordered)) = (&self.currency, &order.state.order.currency)
            && own != ordered
        {
            problems.add(format!("the currency is {own}, the order's is {ordered}"));
        }
        for tax in &self.taxes {
            problems.code("the code of a tax", &tax.code, 2);
        }
        for part in self.allowances.iter().chain(self.lines.iter().flat_map(|line| &line.allowances)) {
            problems.code("the code of an allowance or charge", &part.code, 4);
            if part.amount < Decimal::ZERO {
                problems.add(format!("{}: an amount below 0; write \"allowance\" or \"charge\"", part.code));
            }
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
        let sum = cents(of_lines + adjustments + taxes);
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
    let exact = at.line.is_priced_by_unit().then(|| line.quantity.checked_mul(price)).flatten();
    let amount = match (line.amount, exact) {
        (Some(amount), Some(exact)) if cents(amount) != cents(exact) => {
            problems.add(format!(
                "{}: {} times {price} is {}, but the amount is {amount}",
                at.name,
                line.quantity,
                exact.normalize()
            ));
            amount
        }
        (Some(amount), _) => amount,
        (None, Some(exact)) => exact,
        (None, None) => {
            let basis = at.line.price_basis.as_deref().unwrap_or_default();
            problems.add(format!("{}: the price is not for one unit ({basis}): state the line's amount", at.name));
            return None;
        }
    };
    let unit = line.unit.as_deref().or(at.line.unit.as_deref());
    Some(Billed { given: line, unit, price, amount, at })
}
