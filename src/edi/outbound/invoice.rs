//! Invoices. An invoice is for one purchase order, and is sent only if its amounts add up. For a grocery order (875) it
//! is an 880, else an 810.

use crate::edi::codes;
use crate::edi::outbound::checks::DocumentChecker;
use crate::edi::outbound::more_facts::{self, OutboundContact, OutboundDate, OutboundReference};
use crate::edi::outbound::order_balance::{MatchedOrderLine, OrderBalance};
use crate::edi::outbound::partner_rules::{FactKind, PartnerRules};
use crate::edi::outbound::{
    OutboundCarrier, OutboundWeight, PaymentTerms, PreparedDocument, PurchaseOrderReference, SentLine, as_rsx, as_x12,
    json_decimal, required_facts,
};
use crate::edi::purchase_order::EdiAddress;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Deserialize;

/// Most REF segments in the header of an 810.
const REFERENCES_MAX: usize = 12;

/// Invoice as the ERP gives it. Dates are `2026-11-24`, amounts are in the order's currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the keys of the JSON document")]
pub struct Invoice {
    pub invoice_number: String,
    pub invoice_date: String,
    pub purchase_order: String,
    /// Partner, needed if several partners use the number.
    pub partner: Option<String>,
    pub release: Option<String>,
    pub currency: Option<String>,
    pub shipped_on: Option<String>,
    pub bill_of_lading: Option<String>,
    /// Carrier's number of the shipment.
    pub pro_number: Option<String>,
    pub carrier: Option<OutboundCarrier>,
    /// Who pays the freight (FOB01): CC the buyer, PP the seller …; the order's if left out.
    pub freight_payer: Option<String>,
    /// References and dates beyond those with a field of their own.
    #[serde(default)]
    pub references: Vec<OutboundReference>,
    #[serde(default)]
    pub dates: Vec<OutboundDate>,
    /// Persons of the seller whom the partner can ask.
    #[serde(default)]
    pub contacts: Vec<OutboundContact>,
    /// Notes for a person of the partner.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Payment terms; the order's if empty.
    #[serde(default)]
    pub terms: Vec<PaymentTerms>,
    /// Addresses: RI remit to, SF ship from …; BT, ST and BY come from the order if they are missing here.
    #[serde(default)]
    pub addresses: Vec<EdiAddress>,
    pub lines: Vec<InvoiceLine>,
    #[serde(default)]
    pub allowances: Vec<InvoiceAdjustment>,
    #[serde(default)]
    pub taxes: Vec<InvoiceTax>,
    /// Amount to pay, before any discount for early payment.
    #[serde(deserialize_with = "json_decimal::deserialize_money")]
    pub total: Decimal,
}

/// Line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InvoiceLine {
    /// Line number of the retailer.
    pub line: Option<String>,
    /// Any product id that the order states for the item.
    pub item: Option<String>,
    #[serde(deserialize_with = "json_decimal::deserialize_number")]
    pub quantity: Decimal,
    /// Unit of measure; the order's if left out.
    pub unit: Option<String>,
    /// Price; the order's if left out.
    #[serde(default, deserialize_with = "json_decimal::deserialize_optional_number")]
    pub price: Option<Decimal>,
    /// Quantity times price, to the cent. Mandatory if the price is not for a number of units, such as a price by
    /// weight.
    #[serde(default, deserialize_with = "json_decimal::deserialize_optional_money")]
    pub amount: Option<Decimal>,
    /// Net weight of the quantity. Mandatory in X12 if the price is for a weight.
    pub weight: Option<OutboundWeight>,
    #[serde(default)]
    pub allowances: Vec<InvoiceAdjustment>,
}

/// Allowance, which reduces the total, or charge, which increases it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InvoiceAdjustment {
    pub kind: AdjustmentKind,
    /// C310 discount, D240 freight …; in an 880 53 freight allowance, 504 freight …
    pub code: String,
    #[serde(deserialize_with = "json_decimal::deserialize_money")]
    pub amount: Decimal,
    /// Method of handling: 02 off the invoice, 06 paid by the customer …
    pub handling: Option<String>,
    pub description: Option<String>,
}

/// Kind of an adjustment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdjustmentKind {
    Allowance,
    Charge,
}

impl AdjustmentKind {
    /// Returns the code of SAC01.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowance => "A",
            Self::Charge => "C",
        }
    }
}

/// Tax on the whole invoice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InvoiceTax {
    /// Tax type: ST sales tax, GS goods and services tax …
    pub code: String,
    #[serde(deserialize_with = "json_decimal::deserialize_money")]
    pub amount: Decimal,
    #[serde(default, deserialize_with = "json_decimal::deserialize_optional_number")]
    pub percent: Option<Decimal>,
}

/// Invoice line with the order line that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedInvoiceLine<'i> {
    pub matched: MatchedOrderLine<'i>,
    pub line: &'i InvoiceLine,
    pub unit: Option<&'i str>,
    pub price: Decimal,
    /// Amount, to the cent.
    pub amount: Decimal,
}

/// Invoice with its order, ready to be written.
#[derive(Debug, Clone)]
pub struct ResolvedInvoice<'i> {
    pub invoice: &'i Invoice,
    pub order: &'i OrderBalance,
    pub lines: Vec<ResolvedInvoiceLine<'i>>,
}

impl ResolvedInvoiceLine<'_> {
    /// Returns true if the price is not for the ordered unit, and the weight explains the amount.
    #[must_use]
    pub fn is_priced_by_weight(&self) -> bool {
        self.line.weight.is_some() && self.matched.line.units_per_price().is_none()
    }
}

impl ResolvedInvoice<'_> {
    /// Returns the payment terms: the ERP's, else the order's. The order states a discount of its own total, so the
    /// discount of this invoice is computed from the percentage.
    #[must_use]
    pub fn terms(&self) -> Vec<PaymentTerms> {
        if !self.invoice.terms.is_empty() {
            return self.invoice.terms.clone();
        }
        let recompute = |terms: &PaymentTerms| {
            let percent = terms.discount_percent.as_deref().and_then(crate::edi::decimal::parse_decimal);
            let amount = percent.map(|percent| round_to_cents(self.invoice.total * percent / Decimal::ONE_HUNDRED));
            let amount = terms.discount_amount.as_ref().and(amount).map(|amount| amount.normalize().to_string());
            PaymentTerms { discount_amount: amount, ..terms.clone() }
        };
        self.order.state.order.terms.iter().map(recompute).collect()
    }
}

/// Formats an amount for a message, with two decimals.
fn format_money(amount: Decimal) -> String {
    format!("{amount:.2}")
}

/// Rounds an amount to the cent, half up.
#[must_use]
pub fn round_to_cents(amount: Decimal) -> Decimal {
    amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
}

impl Invoice {
    /// Returns the reference to its purchase order.
    #[must_use]
    pub fn order_reference(&self) -> PurchaseOrderReference {
        PurchaseOrderReference {
            number: self.purchase_order.clone(),
            partner: self.partner.clone(),
            release: self.release.clone(),
        }
    }

    pub(crate) fn prepare(
        &self,
        order: &OrderBalance,
        lenient: bool,
        rules: &PartnerRules,
    ) -> Result<PreparedDocument, Vec<String>> {
        let mut checker = DocumentChecker::new("invoiced");
        self.check_header(order, lenient, &mut checker);
        let mut lines: Vec<ResolvedInvoiceLine<'_>> = Vec::new();
        for line in &self.lines {
            match order.find_line(line.line.as_deref(), line.item.as_deref(), lenient) {
                Err(error) => checker.add_error(error),
                Ok(at) => {
                    checker.check_quantity(order, &at, (line.quantity, line.unit.as_ref()), lenient);
                    checker.check_weight(&format!("{}: the weight", at.name), line.weight.as_ref());
                    let is_x12 = order.state.order.origin.format == "x12";
                    lines.extend(resolve_invoice_line(line, at, (lenient, is_x12), &mut checker));
                }
            }
        }
        if self.lines.is_empty() {
            checker.add_error("it has no lines");
        }
        if lines.len() == self.lines.len() {
            self.check_total(&lines, &mut checker);
        }
        let resolved = ResolvedInvoice { invoice: self, order, lines };
        let facts = required_facts::list_invoice_facts(&resolved);
        checker.check_required_facts(&order.state.order.partner, FactKind::Invoice, rules, &facts);
        let is_grocery = order.state.order.is_grocery_order();
        if is_grocery {
            as_x12::grocery_invoice::check_grocery_invoice(&resolved, &mut checker);
        } else {
            self.check_room_for_refs(&resolved, &mut checker);
        }
        let sent_lines = resolved.lines.iter().map(|line| SentLine {
            order_index: 0,
            line_number: order.line_number(line.matched.index),
            item_key: order.item_key(line.matched.index).to_owned(),
            quantity: line.line.quantity,
            unit: line.unit.map(str::to_owned),
        });
        let draft = || {
            if is_grocery {
                as_x12::grocery_invoice::draft_grocery_invoice(&resolved)
            } else {
                as_x12::invoice::draft_invoice(&resolved)
            }
        };
        let writers = (draft, || as_rsx::invoice::build_rsx_invoice(&resolved));
        checker.finish(())?;
        Ok(PreparedDocument {
            lines: sent_lines.collect(),
            total: Some(self.total.normalize().to_string()),
            sscc_labels: Vec::new(),
            document: crate::edi::outbound::build_outbound_document(
                if is_grocery { "880" } else { "810" },
                &self.invoice_number,
                &order.state.order,
                writers,
            )?,
        })
    }

    fn check_header(&self, order: &OrderBalance, lenient: bool, checker: &mut DocumentChecker) {
        if let Some(closed) = order.closed_reason(lenient) {
            checker.add_error(closed);
        }
        checker.check_code("invoice_number", &self.invoice_number, (1, 22));
        checker.check_date("invoice_date", Some(&self.invoice_date));
        checker.check_date("shipped_on", self.shipped_on.as_ref());
        checker.check_optional_code("bill_of_lading", self.bill_of_lading.as_ref(), (1, 30));
        checker.check_optional_code("pro_number", self.pro_number.as_ref(), (1, 30));
        checker.check_optional_code("currency", self.currency.as_ref(), (3, 3));
        if let (Some(own), Some(ordered)) = (&self.currency, &order.state.order.currency)
            && own != ordered
        {
            checker.add_error(format!("the currency is {own}, but the order has {ordered}"));
        }
        checker.check_carrier(self.carrier.as_ref(), 4);
        checker.check_optional_code("freight_payer", self.freight_payer.as_ref(), (2, 2));
        checker.check_references("references", &self.references, &more_facts::NAMED_REFERENCES);
        checker.check_dates("dates", &self.dates, &more_facts::NAMED_INVOICE_DATES);
        checker.check_contacts(&self.contacts);
        checker.check_notes(&self.notes);
        self.terms.iter().for_each(|terms| checker.check_terms(terms));
        self.addresses.iter().for_each(|address| checker.check_address(address));
        for tax in &self.taxes {
            checker.check_code("the code of a tax", &tax.code, (2, 2));
            if tax.amount < Decimal::ZERO {
                checker.add_error(format!("the tax {} is less than 0", tax.code));
            }
        }
        for part in self.allowances.iter().chain(self.lines.iter().flat_map(|line| &line.allowances)) {
            let is_grocery = order.state.order.is_grocery_order();
            let length = if is_grocery { (1, 3) } else { (4, 4) };
            checker.check_code("the code of an allowance or charge", &part.code, length);
            checker.check_optional_code("the handling of an allowance or charge", part.handling.as_ref(), (2, 2));
            checker.check_description("an allowance or charge", part.description.as_ref());
            if part.amount <= Decimal::ZERO {
                checker.add_error(format!(
                    "{}: the amount must be more than 0; its kind decides whether it is added or subtracted",
                    part.code
                ));
            }
        }
        if self.total < Decimal::ZERO {
            checker
                .add_error(format!("the total {} is less than 0: a credit cannot be sent as an invoice", self.total));
        }
    }

    /// Checks that the references fit into the header of an X12 invoice.
    fn check_room_for_refs(&self, resolved: &ResolvedInvoice<'_>, checker: &mut DocumentChecker) {
        let count = as_x12::invoice::build_header_refs(resolved).len();
        let own = self.references.len();
        if resolved.order.state.order.origin.format == "x12" && count > REFERENCES_MAX {
            checker.add_error(format!(
                "references: an X12 invoice has room for {REFERENCES_MAX} references, and {} of the order come before \
                 your {own}: leave out {}",
                count - own,
                count - REFERENCES_MAX
            ));
        }
    }

    /// Checks that the total is the sum of lines, allowances, charges and taxes.
    fn check_total(&self, lines: &[ResolvedInvoiceLine<'_>], checker: &mut DocumentChecker) {
        let signed = |part: &InvoiceAdjustment| match part.kind {
            AdjustmentKind::Allowance => -part.amount,
            AdjustmentKind::Charge => part.amount,
        };
        let line_sum: Decimal = lines.iter().map(|line| line.amount).sum();
        let adjustments = self.lines.iter().flat_map(|line| &line.allowances).chain(&self.allowances);
        let adjustment_sum: Decimal = adjustments.map(signed).sum();
        let tax_sum: Decimal = self.taxes.iter().map(|tax| tax.amount).sum();
        let sum = line_sum + adjustment_sum + tax_sum;
        if self.total == sum {
            return;
        }
        let difference = (self.total - sum).normalize();
        let (difference, direction) =
            (difference.abs(), if difference > Decimal::ZERO { "too much" } else { "too little" });
        let (total, lines) = (self.total, format_money(line_sum));
        let parts = if adjustment_sum.is_zero() && tax_sum.is_zero() {
            format!("lines add up to {lines}")
        } else {
            format!(
                "lines ({lines}), allowances and charges ({}) and taxes ({}) add up to {}",
                format_money(adjustment_sum),
                format_money(tax_sum),
                format_money(sum)
            )
        };
        let (total, difference) = (format_money(total), format_money(difference));
        checker.add_error(format!("total states {total}, {parts} ({difference} {direction})"));
    }
}

/// Resolves the price and amount of a line. Returns `None` if they are not known, with an error.
fn resolve_invoice_line<'i>(
    line: &'i InvoiceLine,
    at: MatchedOrderLine<'i>,
    (lenient, is_x12): (bool, bool),
    checker: &mut DocumentChecker,
) -> Option<ResolvedInvoiceLine<'i>> {
    let ordered = at.line.price.as_deref().and_then(crate::edi::decimal::parse_decimal);
    let Some(price) = line.price.or(ordered) else {
        checker.add_error(format!("{}: neither the line nor the order states a price", at.name));
        return None;
    };
    if let (Some(ordered), false) = (ordered, lenient)
        && ordered != price
    {
        checker.add_error(format!("{}: the price is {price}, but the order has {ordered}", at.name));
    }
    if price < Decimal::ZERO || price.normalize().to_string().len() > 14 {
        checker.add_error(format!("{}: the price {price} cannot be sent", at.name));
    }
    // The number of units that the price is for, and how messages name it.
    let (quantity, noun) = match (at.line.units_per_price(), &line.weight) {
        (None, Some(weight)) => (weight.value, format!("{} {}", weight.value.normalize(), weight.unit)),
        _ => (line.quantity, line.quantity.to_string()),
    };
    let count = at.line.units_per_price().or_else(|| line.weight.as_ref().map(|_| Decimal::ONE));
    let exact = count.and_then(|count| quantity.checked_mul(price)?.checked_div(count)).map(round_to_cents);
    if count.is_none() && is_x12 {
        let basis = codes::PRICE_BASES.describe(at.line.price_basis.as_deref().unwrap_or_default());
        checker.add_error(format!(
            "{}: the price is {basis}, and an X12 invoice must state its quantity: add the line's weight",
            at.name
        ));
    }
    let amount = match (line.amount, exact) {
        (Some(amount), Some(exact)) if amount != exact => {
            let exact = exact.normalize();
            checker.add_error(format!("{}: the amount is {amount}, but {noun} times {price} is {exact}", at.name));
            amount
        }
        (Some(amount), _) if amount < Decimal::ZERO => {
            checker.add_error(format!("{}: the amount {amount} is less than 0", at.name));
            amount
        }
        (Some(amount), _) => amount,
        (None, Some(exact)) => exact,
        (None, None) => {
            let basis = at.line.price_basis.as_deref().unwrap_or_default();
            let name = &at.name;
            checker.add_error(format!(
                "{name}: the price is not for a number of units ({basis}): state the line's amount"
            ));
            return None;
        }
    };
    let unit = line.unit.as_deref().or(at.line.unit.as_deref());
    Some(ResolvedInvoiceLine { line, unit, price, amount, matched: at })
}
