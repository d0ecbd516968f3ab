//! An 810: BIG, who and when, a IT1 for each line, TDS with the total, and what it is made of.

use crate::formats::decimal;
use crate::formats::sending::invoice::Bill;
use crate::formats::sending::ordered::addresses;
use crate::formats::x12::write::{Draft, segment};

/// Pairs of IT106 to IT125.
const IDS_MAX: usize = 10;

/// Writes it, in the version that the order was written in.
#[must_use]
pub fn draft(bill: &Bill<'_>) -> Draft {
    let (invoice, order) = (bill.invoice, &bill.order.state.order);
    let day = |day: &str| super::digits(day);
    let ordered_on = order.ordered_on.as_deref().map(day).unwrap_or_default();
    let mut said = vec![segment([
        "BIG",
        &day(&invoice.invoice_date),
        &invoice.invoice_number,
        &ordered_on,
        &order.number,
        &order.release,
    ])];
    if let Some(currency) = invoice.currency.as_ref().or(order.currency.as_ref()) {
        said.push(segment(["CUR", "SE", currency]));
    }
    said.extend(super::reference("IA", order.vendor.as_ref()));
    said.extend(super::reference("DP", order.department.as_ref()));
    said.extend(super::reference("BM", invoice.bill_of_lading.as_ref()));
    said.extend(super::reference("CN", invoice.pro_number.as_ref()));
    for address in addresses(&invoice.addresses, &order.addresses, &["BT", "ST", "BY"]) {
        said.extend(super::address(&address));
    }
    let terms = if invoice.terms.is_empty() { &order.terms } else { &invoice.terms };
    said.extend(terms.iter().map(super::terms));
    said.extend(super::day("011", invoice.shipped_on.as_ref()));
    for line in &bill.lines {
        let basis = line.at.line.price_basis.as_deref().unwrap_or_default();
        let (quantity, price) = (line.given.quantity.normalize().to_string(), line.price.normalize().to_string());
        let number = line.at.line.number.as_deref().unwrap_or_default();
        let mut item = segment(["IT1", number, &quantity, line.unit.unwrap_or_default(), &price, basis]);
        item.extend(super::ids(line.at.line, IDS_MAX));
        said.push(item);
        said.extend(super::description(line.at.line));
        said.extend(line.given.allowances.iter().map(super::adjustment));
    }
    said.push(segment(["TDS", &decimal::to_n2(invoice.total)]));
    for tax in &invoice.taxes {
        // Without the percentage, which some read as 7 and some as 0.07.
        said.push(segment(["TXI", &tax.code, &tax.amount.normalize().to_string()]));
    }
    said.extend(super::carrier("CAD", invoice.carrier.as_ref()));
    said.extend(invoice.allowances.iter().map(super::adjustment));
    said.push(segment(["CTT", &bill.lines.len().to_string()]));
    Draft { kind: "810", functional_id: "IN", origin: order.origin.clone(), is_test: order.is_test, segments: said }
}
