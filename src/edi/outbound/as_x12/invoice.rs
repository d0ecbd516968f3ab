//! Drafts an 810: BIG, parties and dates, one IT1 for each line, TDS with the total, then taxes and adjustments.

use crate::edi::decimal;
use crate::edi::outbound::as_x12;
use crate::edi::outbound::invoice::ResolvedInvoice;
use crate::edi::outbound::order_balance::merge_addresses;
use crate::edi::x12::write::{X12Draft, build_segment};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Most pairs of qualifier and id in IT106 to IT125.
const IDS_MAX: usize = 10;

/// Drafts an invoice, in the version of its order.
#[must_use]
pub fn draft_invoice(resolved: &ResolvedInvoice<'_>) -> X12Draft {
    let (invoice, order) = (resolved.invoice, &resolved.order.state.order);
    let ordered_on = order.ordered_on.as_deref().map(as_x12::extract_digits).unwrap_or_default();
    let mut segments = vec![build_segment([
        "BIG",
        &as_x12::extract_digits(&invoice.invoice_date),
        &invoice.invoice_number,
        &ordered_on,
        &order.number,
        &order.release,
        "",
        // An invoice, and no credit.
        "DR",
    ])];
    segments.extend(as_x12::build_notes(&invoice.notes));
    if let Some(currency) = invoice.currency.as_ref().or(order.currency.as_ref()) {
        segments.push(build_segment(["CUR", "SE", currency]));
    }
    segments.extend(build_header_refs(resolved));
    segments.extend(as_x12::build_contacts(&invoice.contacts));
    for address in merge_addresses(&invoice.addresses, &order.addresses, &["BT", "ST", "BY"]) {
        segments.extend(as_x12::build_n1_loop(&address));
    }
    segments.extend(resolved.terms().iter().map(as_x12::build_itd));
    segments.extend(as_x12::build_dtm("011", invoice.shipped_on.as_ref()));
    segments.extend(as_x12::build_own_dates(&invoice.dates));
    segments.extend(as_x12::build_fob(invoice.freight_payer.as_ref(), order));
    for line in &resolved.lines {
        let basis = line.matched.line.price_basis.as_deref().unwrap_or_default();
        let (quantity, price) = (line.line.quantity.normalize().to_string(), line.price.normalize().to_string());
        let (number, unit) = (line.matched.line.number.as_deref().unwrap_or_default(), line.unit.unwrap_or_default());
        // Quantity times price must be the amount. So a price by weight is for the weight, and IT3 has the packages.
        let weight = line.line.weight.as_ref().filter(|_| line.is_priced_by_weight());
        let mut item = match weight {
            Some(weight) => {
                let value = weight.value.normalize().to_string();
                build_segment(["IT1", number, &value, &weight.unit, &price, basis])
            }
            None => build_segment(["IT1", number, &quantity, unit, &price, basis]),
        };
        item.extend(as_x12::list_product_ids(line.matched.line, IDS_MAX));
        segments.push(item);
        segments.extend(weight.map(|_| build_segment(["IT3", &quantity, unit])));
        segments.extend(line.line.weight.as_ref().map(as_x12::build_weight));
        segments.extend(as_x12::build_pid(line.matched.line));
        segments.extend(as_x12::build_po4(line.matched.line));
        segments.extend(line.line.allowances.iter().map(as_x12::build_sac));
    }
    segments.push(build_segment(["TDS", &decimal::format_n2(invoice.total)]));
    for tax in &invoice.taxes {
        // The percentage is left out: some receivers expect 7, others 0.07.
        segments.push(build_segment(["TXI", &tax.code, &tax.amount.normalize().to_string()]));
    }
    segments.extend(as_x12::build_carrier_segment("CAD", invoice.carrier.as_ref()));
    segments.extend(invoice.allowances.iter().map(as_x12::build_sac));
    segments.extend(build_iss_segments(resolved));
    segments.push(build_segment(["CTT", &resolved.lines.len().to_string()]));
    X12Draft { kind: "810", functional_id: "IN", origin: order.origin.clone(), is_test: order.is_test, segments }
}

/// Builds the REFs of the header, which has room for twelve.
#[must_use]
pub fn build_header_refs(resolved: &ResolvedInvoice<'_>) -> Vec<Vec<String>> {
    let invoice = resolved.invoice;
    let mut segments = as_x12::build_order_refs(&resolved.order.state.order, &invoice.references);
    segments.extend(as_x12::build_ref("BM", invoice.bill_of_lading.as_ref()));
    segments.extend(as_x12::build_ref("CN", invoice.pro_number.as_ref()));
    segments.extend(as_x12::build_own_refs(&invoice.references));
    segments
}

/// Builds an ISS with the quantity of each unit that was shipped.
fn build_iss_segments(resolved: &ResolvedInvoice<'_>) -> Vec<Vec<String>> {
    let mut quantities: BTreeMap<&str, Decimal> = BTreeMap::new();
    for line in &resolved.lines {
        *quantities.entry(line.unit.unwrap_or_default()).or_default() += line.line.quantity;
    }
    let build = |(unit, quantity): (&str, Decimal)| build_segment(["ISS", &quantity.normalize().to_string(), unit]);
    quantities.into_iter().filter(|(unit, _)| !unit.is_empty()).map(build).collect()
}
