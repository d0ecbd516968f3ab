//! Builds an RSX `Invoice`.

use crate::edi::decimal;
use crate::edi::outbound::PaymentTerms;
use crate::edi::outbound::as_rsx::{
    self, RsxFields, build_address, build_carrier, build_description, build_line_ids, build_net_weight,
};
use crate::edi::outbound::invoice::{AdjustmentKind, InvoiceAdjustment, ResolvedInvoice, ResolvedInvoiceLine};
use crate::edi::outbound::order_balance::merge_addresses;
use rust_decimal::Decimal;

/// Builds the elements of an `Invoice`.
#[must_use]
pub fn build_rsx_invoice(resolved: &ResolvedInvoice<'_>) -> RsxFields {
    let (invoice, order) = (resolved.invoice, &resolved.order.state.order);
    let mut invoice_header = RsxFields::default();
    invoice_header.add_text("TradingPartnerId", Some(&order.partner));
    invoice_header.add_text("InvoiceNumber", Some(&invoice.invoice_number));
    invoice_header.add_text("InvoiceDate", Some(&invoice.invoice_date));
    invoice_header.add_text("PurchaseOrderDate", order.ordered_on.as_deref());
    invoice_header.add_text("PurchaseOrderNumber", Some(&order.number));
    invoice_header.add_text("ReleaseNumber", Some(&order.release));
    invoice_header.add_text("InvoiceTypeCode", Some("DR"));
    invoice_header.add_text("TsetPurposeCode", Some("00"));
    invoice_header.add_text("BuyersCurrency", invoice.currency.as_deref().or(order.currency.as_deref()));
    invoice_header.add_text("Department", order.department.as_deref());
    invoice_header.add_text("Vendor", order.vendor.as_deref());
    invoice_header.add_text("CarrierProNumber", invoice.pro_number.as_deref());
    invoice_header.add_text("BillOfLadingNumber", invoice.bill_of_lading.as_deref());
    invoice_header.add_text("ShipDate", invoice.shipped_on.as_deref());
    let mut header = RsxFields::default();
    header.add_object("InvoiceHeader", invoice_header);
    header.add_list("PaymentTerms", resolved.terms().iter().map(build_payment_terms));
    header.add_list("Dates", as_rsx::list_dates(&invoice.dates));
    header.add_list("Contacts", as_rsx::list_contacts(&invoice.contacts));
    let addresses = merge_addresses(&invoice.addresses, &order.addresses, &["BT", "ST", "BY"]);
    header.add_list("Address", addresses.iter().map(build_address));
    header.add_list("References", as_rsx::list_references(Some(order), &invoice.references));
    header.add_list("Notes", as_rsx::list_notes(&invoice.notes));
    header.add_list(
        "Taxes",
        invoice.taxes.iter().map(|tax| {
            let mut fields = RsxFields::default();
            fields.add_text("TaxTypeCode", Some(&tax.code));
            fields.add_number("TaxAmount", Some(tax.amount));
            fields.add_number("TaxPercent", tax.percent);
            fields
        }),
    );
    header.add_list("ChargesAllowances", invoice.allowances.iter().map(build_allowance_charge));
    header.add_list("FOBRelatedInstruction", as_rsx::build_freight(invoice.freight_payer.as_ref(), order));
    header.add_list("CarrierInformation", invoice.carrier.iter().map(build_carrier));
    let mut document = RsxFields::default();
    document.add_object("Header", header);
    document.add_list("LineItem", resolved.lines.iter().map(build_invoice_line));
    document.add_object("Summary", build_invoice_summary(resolved));
    document
}

fn build_payment_terms(terms: &PaymentTerms) -> RsxFields {
    let number = |text: &Option<String>| text.as_deref().and_then(decimal::parse_decimal);
    let mut fields = RsxFields::default();
    fields.add_text("TermsType", terms.kind.as_deref());
    fields.add_text("TermsBasisDateCode", terms.basis.as_deref());
    fields.add_number("TermsDiscountPercentage", number(&terms.discount_percent));
    fields.add_text("TermsDiscountDate", terms.discount_on.as_deref());
    fields.add_number("TermsDiscountDueDays", number(&terms.discount_days));
    fields.add_text("TermsNetDueDate", terms.net_on.as_deref());
    fields.add_number("TermsNetDueDays", number(&terms.net_days));
    fields.add_number("TermsDiscountAmount", number(&terms.discount_amount));
    fields.add_text("TermsDescription", terms.description.as_deref());
    fields
}

fn build_allowance_charge(part: &InvoiceAdjustment) -> RsxFields {
    let mut fields = RsxFields::default();
    fields.add_text("AllowChrgIndicator", Some(part.kind.as_str()));
    fields.add_text("AllowChrgCode", Some(&part.code));
    fields.add_number("AllowChrgAmt", Some(part.amount));
    fields.add_text("AllowChrgHandlingCode", part.handling.as_deref());
    fields.add_text("AllowChrgHandlingDescription", part.description.as_deref());
    fields
}

fn build_invoice_line(line: &ResolvedInvoiceLine<'_>) -> RsxFields {
    let mut invoice_line = build_line_ids(line.matched.line);
    invoice_line.add_number("InvoiceQty", Some(line.line.quantity));
    invoice_line.add_text("InvoiceQtyUOM", line.unit);
    invoice_line.add_number("PurchasePrice", Some(line.price));
    invoice_line.add_text("PurchasePriceBasis", line.matched.line.price_basis.as_deref());
    invoice_line.add_number("ExtendedItemTotal", Some(line.amount));
    let mut fields = RsxFields::default();
    fields.add_object("InvoiceLine", invoice_line);
    fields.add_list("ProductOrItemDescription", build_description(line.matched.line));
    fields.add_list("PhysicalDetails", line.line.weight.as_ref().map(build_net_weight));
    fields.add_list("ChargesAllowances", line.line.allowances.iter().map(build_allowance_charge));
    fields
}

fn build_invoice_summary(resolved: &ResolvedInvoice<'_>) -> RsxFields {
    let invoice = resolved.invoice;
    let adjustments = || invoice.allowances.iter().chain(invoice.lines.iter().flat_map(|line| &line.allowances));
    let sum = |kind| adjustments().filter(|part| part.kind == kind).map(|part| part.amount).sum::<Decimal>();
    let non_zero = |amount: Decimal| (!amount.is_zero()).then_some(amount);
    let mut fields = RsxFields::default();
    fields.add_number("TotalAmount", Some(invoice.total));
    fields.add_number("TotalSalesAmount", Some(resolved.lines.iter().map(|line| line.amount).sum()));
    fields.add_number("TotalAllowancesAmount", non_zero(sum(AdjustmentKind::Allowance)));
    fields.add_count("TotalLineItemNumber", resolved.lines.len());
    fields.add_number("TotalChargesAmount", non_zero(sum(AdjustmentKind::Charge)));
    fields
}
