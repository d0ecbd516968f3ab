//! Drafts an 880, the invoice for a grocery order (875): G01, references, terms, parties, one G17 for each line, then
//! G31 and G33 with the totals.
//!
//! Segments, their order and widths are those of 004010 (UCS); from 005010 on, CAD is in the place of G27. Source:
//! stedi.com/edi and public guides of grocers.

use crate::edi::decimal;
use crate::edi::outbound::checks::DocumentChecker;
use crate::edi::outbound::invoice::{AdjustmentKind, InvoiceAdjustment, ResolvedInvoice, ResolvedInvoiceLine};
use crate::edi::outbound::more_facts::{
    CONTACT_NAME_CHARS_MAX, OutboundContact, find_freight_payer, list_echoed_references,
};
use crate::edi::outbound::order_balance::merge_addresses;
use crate::edi::outbound::{OutboundWeight, PaymentTerms, as_x12};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrder, PurchaseOrderLine};
use crate::edi::x12::grocery::{CASE_UPC, classify_allowance};
use crate::edi::x12::write::{X12Draft, build_segment};
use rust_decimal::Decimal;

/// Most N9 segments of the header.
const REFERENCES_MAX: usize = 10;
/// Most pairs of qualifier and id in G1705 to G1708.
const IDS_MAX: usize = 2;
/// Digits of the UPC of a case (G1704).
const CASE_UPC_DIGITS: usize = 12;
/// Most characters of a price (G1703).
const PRICE_CHARS_MAX: usize = 9;
/// Most characters of a description (G6901, G7301).
const DESCRIPTION_CHARS_MAX: usize = 45;
/// Code of a tax among the charges (G7201), and its handling: paid by the customer.
const TAX: (&str, &str) = ("501", "06");
/// The currency of the grocery sets, which state none.
const CURRENCY: &str = "USD";

/// Checks what an 880 needs, and what it has no place for.
pub(crate) fn check_grocery_invoice(resolved: &ResolvedInvoice<'_>, checker: &mut DocumentChecker) {
    let invoice = resolved.invoice;
    if let Some(currency) = invoice.currency.as_ref().filter(|currency| *currency != CURRENCY) {
        checker.add_error(format!("an 880 has no place for the currency {currency}: its amounts are in {CURRENCY}"));
    }
    if invoice.carrier.as_ref().is_some_and(|carrier| carrier.method.is_none()) {
        checker.add_error("the carrier's method is missing: an 880 must state it, such as M for motor");
    }
    let terms = resolved.terms();
    if terms.is_empty() {
        checker.add_error("neither the document nor the order states terms, and an 880 must have them: add terms");
    }
    for part in &terms {
        if part.kind.is_none() || part.basis.is_none() || (part.net_on.is_none() && part.net_days.is_none()) {
            checker
                .add_error("an 880 needs the kind, the basis, and net_on or net_days of its terms: add them to terms");
        }
    }
    if list_addresses(resolved).iter().all(|address| address.name.is_none() && address.id.is_none()) {
        checker.add_error("neither the document nor the order states an address, and an 880 must have one");
    }
    let order = &resolved.order.state.order;
    if is_freight_mandatory(order) && build_freight(invoice.freight_payer.as_ref(), order).is_none() {
        let version = &order.origin.version;
        checker.add_error(format!(
            "an 880 in version {version} must state the payer and the place of the freight (G25), and the order has no \
             G6601 and G6606: ask the partner for them, or for an order in a later version"
        ));
    }
    for line in &resolved.lines {
        check_line(line, checker);
    }
    let unit = resolved.lines.first().and_then(|line| line.unit);
    if let Some(other) = resolved.lines.iter().find(|line| line.unit != unit) {
        let (unit, other) = (unit.unwrap_or_default(), other.unit.unwrap_or_default());
        checker.add_error(format!(
            "the lines are in {unit} and in {other}, and an 880 states one total quantity: send an invoice for each unit"
        ));
    }
    check_references(resolved, checker);
    for contact in &invoice.contacts {
        if contact.name.is_none() || contact.numbers().count() > 1 {
            checker.add_error(format!(
                "the contact {}: an 880 must state a name, and has room for one number: phone, fax or email",
                contact.kind
            ));
        }
    }
    if !invoice.dates.is_empty() {
        checker.add_error("dates: the codes of dates in an 880 are others than in an 810: leave dates out");
    }
    for part in invoice.allowances.iter().chain(invoice.lines.iter().flat_map(|line| &line.allowances)) {
        check_adjustment(part, checker);
    }
}

/// Returns true for the versions up to 003040, whose 880 must have a G25. Source: the tables of bots-edi.
fn is_freight_mandatory(order: &PurchaseOrder) -> bool {
    let version = order.origin.version.as_str();
    version.starts_with("00") && version < "003050"
}

fn check_references(resolved: &ResolvedInvoice<'_>, checker: &mut DocumentChecker) {
    let invoice = resolved.invoice;
    let (has_bill, has_pro) = (invoice.bill_of_lading.is_some(), invoice.pro_number.is_some());
    let count = list_references(resolved).len() + usize::from(has_bill) + usize::from(has_pro);
    if count > REFERENCES_MAX {
        checker.add_error(format!(
            "references: the invoice and its order have {count}, and an 880 has room for {REFERENCES_MAX}"
        ));
    }
}

fn check_line(line: &ResolvedInvoiceLine<'_>, checker: &mut DocumentChecker) {
    let name = &line.matched.name;
    if find_case_upc(line.matched.line).is_none() && as_x12::list_product_ids(line.matched.line, 1).next().is_none() {
        checker.add_error(format!("{name}: the order states no UPC and no product id, and an 880 must have one"));
    }
    if line.price.normalize().to_string().len() > PRICE_CHARS_MAX {
        checker.add_error(format!(
            "{name}: the price {} has more than {PRICE_CHARS_MAX} characters, which no 880 can state",
            line.price.normalize()
        ));
    }
}

/// Checks that the code of an allowance or charge is one of the grocery sets, and agrees with its kind.
fn check_adjustment(part: &InvoiceAdjustment, checker: &mut DocumentChecker) {
    let code = &part.code;
    if part.handling.is_none() {
        checker.add_error(format!("{code}: the handling is missing: an 880 must state it, such as 02 off the invoice"));
    }
    if part.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        checker.add_error(format!("{code}: the description has more than {DESCRIPTION_CHARS_MAX} characters"));
    }
    let (expected, noun) = match part.kind {
        AdjustmentKind::Allowance => ("A", "an allowance"),
        AdjustmentKind::Charge => ("C", "a charge"),
    };
    let class = classify_allowance(code);
    let is_agreed = class == expected
        || (class.is_empty() && matches!((expected, part.handling.as_deref()), ("A", Some("02")) | ("C", Some("06"))));
    if !is_agreed {
        checker.add_error(format!(
            "{code}: the code is not certain to be {noun} in an 880: use a code of G7201, such as 53 for a freight \
             allowance or 504 for freight"
        ));
    }
}

/// Drafts an invoice, in the version of its order.
#[must_use]
pub fn draft_grocery_invoice(resolved: &ResolvedInvoice<'_>) -> X12Draft {
    let (invoice, order) = (resolved.invoice, &resolved.order.state.order);
    let mut segments = vec![build_invoice_segment(resolved)];
    let n9 =
        |qualifier: &str, value: &String| build_segment(["N9", qualifier, &as_x12::truncate_text(Some(value), 30)]);
    segments.extend(list_references(resolved).iter().map(|(qualifier, value)| n9(qualifier, value)));
    segments.extend(invoice.bill_of_lading.as_ref().map(|value| n9("BM", value)));
    segments.extend(invoice.pro_number.as_ref().map(|value| n9("CN", value)));
    segments.extend(invoice.contacts.iter().map(build_contact));
    segments.extend(invoice.shipped_on.as_ref().map(|day| build_segment(["G62", "11", &as_x12::extract_digits(day)])));
    segments.extend(as_x12::build_notes(&invoice.notes));
    if let Some(mut carrier) = as_x12::build_carrier_segment("CAD", invoice.carrier.as_ref()) {
        if order.origin.version.as_str() < "005" {
            "G27".clone_into(&mut carrier[0]);
        }
        segments.push(carrier);
    }
    segments.extend(resolved.terms().iter().map(build_terms));
    segments.extend(build_freight(invoice.freight_payer.as_ref(), order));
    for address in list_addresses(resolved) {
        segments.extend(as_x12::build_n1_loop(&address));
    }
    segments.extend(invoice.allowances.iter().flat_map(build_adjustment));
    for tax in &invoice.taxes {
        segments.push(build_amount_segment(TAX.0, TAX.1, tax.amount));
        segments.push(build_segment(["G73", &format!("tax {}", tax.code)]));
    }
    for line in &resolved.lines {
        segments.push(build_line(line));
        let description = line.matched.line.description.as_ref();
        segments.extend(
            description.map(|text| build_segment(["G69", &as_x12::truncate_text(Some(text), DESCRIPTION_CHARS_MAX)])),
        );
        segments.extend(build_pack(line));
        segments.extend(line.line.allowances.iter().flat_map(build_adjustment));
    }
    segments.push(build_quantity_total(resolved));
    segments.push(build_segment(["G33", &decimal::format_n2(invoice.total)]));
    X12Draft { kind: "880", functional_id: "GP", origin: order.origin.clone(), is_test: order.is_test, segments }
}

/// Builds the G01. It repeats the link numbers of the order (G5005, G5006).
fn build_invoice_segment(resolved: &ResolvedInvoice<'_>) -> Vec<String> {
    let (invoice, order) = (resolved.invoice, &resolved.order.state.order);
    let ordered_on = order.ordered_on.as_deref().map(as_x12::extract_digits).unwrap_or_default();
    let date = as_x12::extract_digits(&invoice.invoice_date);
    let mut segment = build_segment(["G01", &date, &invoice.invoice_number, &ordered_on, &order.number]);
    if let (Some(link), Some(sequence)) = (find_extra(order, "G5005"), find_extra(order, "G5006")) {
        segment.extend([String::new(), link.to_owned(), sequence.to_owned()]);
    }
    segment
}

fn find_extra<'o>(order: &'o PurchaseOrder, location: &str) -> Option<&'o str> {
    order.extras.iter().find(|extra| extra.location == location).map(|extra| extra.value.as_str())
}

/// Returns the references of the order that the invoice repeats, then those of the ERP, each with its qualifier. One of
/// the ERP takes precedence.
fn list_references<'r>(resolved: &ResolvedInvoice<'r>) -> Vec<(&'r str, &'r String)> {
    let (own, order) = (&resolved.invoice.references, &resolved.order.state.order);
    let is_own = |qualifier: &str| own.iter().any(|part| part.qualifier == qualifier);
    let named = [("IA", order.vendor.as_ref()), ("DP", order.department.as_ref())];
    let named = named.into_iter().filter(|(qualifier, _)| !is_own(qualifier));
    let named = named.filter_map(|(qualifier, value)| Some((qualifier, value?)));
    let echoed = list_echoed_references(order, own);
    let echoed = echoed.filter_map(|part| Some((part.qualifier.as_str(), part.value.as_ref()?)));
    named.chain(echoed).chain(own.iter().map(|part| (part.qualifier.as_str(), &part.value))).collect()
}

fn list_addresses(resolved: &ResolvedInvoice<'_>) -> Vec<EdiAddress> {
    merge_addresses(&resolved.invoice.addresses, &resolved.order.state.order.addresses, &["BT", "ST", "BY"])
}

/// Builds a G61, which has room for one number of a contact.
fn build_contact(contact: &OutboundContact) -> Vec<String> {
    let name = as_x12::truncate_text(contact.name.as_ref(), CONTACT_NAME_CHARS_MAX);
    let mut segment = build_segment(["G61", &contact.kind, &name]);
    segment.extend(contact.numbers().take(1).flat_map(|(qualifier, value)| [qualifier.to_owned(), value.clone()]));
    segment
}

/// Builds a G23.
fn build_terms(terms: &PaymentTerms) -> Vec<String> {
    let amount = terms.discount_amount.as_deref().and_then(decimal::parse_decimal).map(decimal::format_n2);
    let value = |value: &Option<String>, chars_max| as_x12::truncate_text(value.as_ref(), chars_max);
    let day = |value: &Option<String>| value.as_deref().map(as_x12::extract_digits).unwrap_or_default();
    build_segment([
        "G23",
        &value(&terms.kind, 2),
        &value(&terms.basis, 2),
        "",
        "",
        &value(&terms.discount_percent, 6),
        &day(&terms.discount_on),
        &value(&terms.discount_days, 3),
        &day(&terms.net_on),
        &value(&terms.net_days, 3),
        &amount.unwrap_or_default(),
        "",
        "",
        "",
        "",
        &value(&terms.description, 60),
    ])
}

/// Builds a G25 with the payer of the freight and the place, if the order states both (G6601, G6606).
fn build_freight(own: Option<&String>, order: &PurchaseOrder) -> Option<Vec<String>> {
    let payer = find_freight_payer(own, order)?;
    let point = find_extra(order, "G6606")?;
    Some(build_segment(["G25", payer, point]))
}

/// Builds a G72 with an amount. The code and the handling decide whether it is added, so it has no sign.
fn build_amount_segment(code: &str, handling: &str, amount: Decimal) -> Vec<String> {
    build_segment(["G72", code, handling, "", "", "", "", "", &decimal::format_n2(amount)])
}

/// Builds a G72, and a G73 if there is a description.
fn build_adjustment(part: &InvoiceAdjustment) -> Vec<Vec<String>> {
    let handling = part.handling.as_deref().unwrap_or_default();
    let mut segments = vec![build_amount_segment(&part.code, handling, part.amount)];
    segments.extend(
        part.description
            .as_ref()
            .map(|text| build_segment(["G73", &as_x12::truncate_text(Some(text), DESCRIPTION_CHARS_MAX)])),
    );
    segments
}

/// Returns the UPC of the case, if it has the only length that G1704 can have.
fn find_case_upc(line: &PurchaseOrderLine) -> Option<&str> {
    let case = line.find_product_id(&[CASE_UPC])?;
    (case.len() == CASE_UPC_DIGITS).then_some(case)
}

/// Builds a G17.
fn build_line(line: &ResolvedInvoiceLine<'_>) -> Vec<String> {
    let case = find_case_upc(line.matched.line);
    let (quantity, price) = (line.line.quantity.normalize().to_string(), line.price.normalize().to_string());
    let mut segment =
        build_segment(["G17", &quantity, line.unit.unwrap_or_default(), &price, case.unwrap_or_default()]);
    let ids: Vec<String> = as_x12::list_product_ids(line.matched.line, usize::MAX).collect();
    let other = ids.chunks(2).filter(|pair| pair.first().is_none_or(|kind| kind != CASE_UPC) || case.is_none());
    segment.extend(other.take(IDS_MAX).flatten().cloned());
    segment
}

/// Builds a G20 with pack, size, net weight and inner pack, if there is one of them.
fn build_pack(line: &ResolvedInvoiceLine<'_>) -> Option<Vec<String>> {
    let ordered = line.matched.line;
    let is_count = |text: &&str| text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let pack = ordered.pack.as_deref().filter(is_count).unwrap_or_default();
    let inner = ordered.inner_pack.as_deref().filter(is_count).unwrap_or_default();
    let size = ordered.pack_size.as_deref().and_then(|size| size.split_once(' '));
    let is_size =
        |(size, unit): &(&str, &str)| size.len() <= 8 && decimal::parse_decimal(size).is_some() && unit.len() == 2;
    let (size, unit) = size.filter(is_size).unwrap_or_default();
    let (weight, weight_unit) = line.line.weight.as_ref().map(format_weight).unwrap_or_default();
    let values = [pack, size, unit, &weight, &weight_unit, "", "", "", inner];
    let is_stated = values.iter().any(|value| !value.is_empty());
    is_stated.then(|| build_segment(std::iter::once("G20").chain(values)))
}

fn format_weight(weight: &OutboundWeight) -> (String, String) {
    (weight.value.normalize().to_string(), weight.unit.clone())
}

/// Builds the G31. It has the weight if each line states one, in one unit.
fn build_quantity_total(resolved: &ResolvedInvoice<'_>) -> Vec<String> {
    let quantity: Decimal = resolved.lines.iter().map(|line| line.line.quantity).sum();
    let unit = resolved.lines.first().and_then(|line| line.unit).unwrap_or_default();
    let mut segment = build_segment(["G31", &quantity.normalize().to_string(), unit]);
    let weights: Option<Vec<&OutboundWeight>> = resolved.lines.iter().map(|line| line.line.weight.as_ref()).collect();
    if let Some([first, rest @ ..]) = weights.as_deref()
        && rest.iter().all(|weight| weight.unit == first.unit)
    {
        let sum = rest.iter().map(|weight| weight.value).sum::<Decimal>() + first.value;
        segment.extend([sum.normalize().to_string(), first.unit.clone()]);
    }
    segment
}
