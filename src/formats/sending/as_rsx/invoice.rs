//! An `Invoice`.

use super::{Fields, address, carrier, description, line};
use crate::formats::decimal;
use crate::formats::sending::Terms;
use crate::formats::sending::invoice::{Adjustment, AdjustmentKind, Bill, Billed};
use crate::formats::sending::ordered::addresses;
use rust_decimal::Decimal;

/// Its elements.
#[must_use]
pub fn fields(bill: &Bill<'_>) -> Fields {
    let (invoice, order) = (bill.invoice, &bill.order.state.order);
    let mut own = Fields::default();
    own.text("TradingPartnerId", Some(&order.partner));
    own.text("InvoiceNumber", Some(&invoice.invoice_number));
    own.text("InvoiceDate", Some(&invoice.invoice_date));
    own.text("PurchaseOrderDate", order.ordered_on.as_deref());
    own.text("PurchaseOrderNumber", Some(&order.number));
    own.text("ReleaseNumber", Some(&order.release));
    own.text("InvoiceTypeCode", Some("DR"));
    own.text("TsetPurposeCode", Some("00"));
    own.text("BuyersCurrency", invoice.currency.as_deref().or(order.currency.as_deref()));
    own.text("Department", order.department.as_deref());
    own.text("Vendor", order.vendor.as_deref());
    own.text("CarrierProNumber", invoice.pro_number.as_deref());
    own.text("BillOfLadingNumber", invoice.bill_of_lading.as_deref());
    own.text("ShipDate", invoice.shipped_on.as_deref());
    let mut header = Fields::default();
    header.object("InvoiceHeader", own);
    let of = if invoice.terms.is_empty() { &order.terms } else { &invoice.terms };
    header.list("PaymentTerms", of.iter().map(terms));
    let places = addresses(&invoice.addresses, &order.addresses, &["BT", "ST", "BY"]);
    header.list("Address", places.iter().map(address));
    header.list(
        "Taxes",
        invoice.taxes.iter().map(|tax| {
            let mut fields = Fields::default();
            fields.text("TaxTypeCode", Some(&tax.code));
            fields.number("TaxAmount", Some(tax.amount));
            fields.number("TaxPercent", tax.percent);
            fields
        }),
    );
    header.list("ChargesAllowances", invoice.allowances.iter().map(adjustment));
    header.list("CarrierInformation", invoice.carrier.iter().map(carrier));
    let mut all = Fields::default();
    all.object("Header", header);
    all.list("LineItem", bill.lines.iter().map(item));
    all.object("Summary", summary(bill));
    all
}

fn terms(terms: &Terms) -> Fields {
    let number = |text: &Option<String>| text.as_deref().and_then(decimal::parse);
    let mut fields = Fields::default();
    fields.text("TermsType", terms.kind.as_deref());
    fields.text("TermsBasisDateCode", terms.basis.as_deref());
    fields.number("TermsDiscountPercentage", number(&terms.discount_percent));
    fields.text("TermsDiscountDate", terms.discount_on.as_deref());
    fields.number("TermsDiscountDueDays", number(&terms.discount_days));
    fields.text("TermsNetDueDate", terms.net_on.as_deref());
    fields.number("TermsNetDueDays", number(&terms.net_days));
    fields.number("TermsDiscountAmount", number(&terms.discount_amount));
    fields.text("TermsDescription", terms.description.as_deref());
    fields
}

fn adjustment(part: &Adjustment) -> Fields {
    let mut fields = Fields::default();
    fields.text("AllowChrgIndicator", Some(part.kind.as_str()));
    fields.text("AllowChrgCode", Some(&part.code));
    fields.number("AllowChrgAmt", Some(part.amount));
    fields.text("AllowChrgHandlingCode", part.handling.as_deref());
    fields.text("AllowChrgHandlingDescription", part.description.as_deref());
    fields
}

fn item(billed: &Billed<'_>) -> Fields {
    let mut own = line(billed.at.line);
    own.number("InvoiceQty", Some(billed.given.quantity));
    own.text("InvoiceQtyUOM", billed.unit);
    own.number("PurchasePrice", Some(billed.price));
    own.text("PurchasePriceBasis", billed.at.line.price_basis.as_deref());
    own.number("ExtendedItemTotal", Some(billed.amount));
    let mut fields = Fields::default();
    fields.object("InvoiceLine", own);
    fields.list("ProductOrItemDescription", description(billed.at.line));
    fields.list("ChargesAllowances", billed.given.allowances.iter().map(adjustment));
    fields
}

fn summary(bill: &Bill<'_>) -> Fields {
    let invoice = bill.invoice;
    let all = || invoice.allowances.iter().chain(invoice.lines.iter().flat_map(|line| &line.allowances));
    let sum = |kind| all().filter(|part| part.kind == kind).map(|part| part.amount).sum::<Decimal>();
    let some = |amount: Decimal| (!amount.is_zero()).then_some(amount);
    let mut fields = Fields::default();
    fields.number("TotalAmount", Some(invoice.total));
    fields.number("TotalSalesAmount", Some(bill.lines.iter().map(|line| line.amount).sum()));
    fields.number("TotalAllowancesAmount", some(sum(AdjustmentKind::Allowance)));
    fields.count("TotalLineItemNumber", bill.lines.len());
    fields.number("TotalChargesAmount", some(sum(AdjustmentKind::Charge)));
    fields
}
