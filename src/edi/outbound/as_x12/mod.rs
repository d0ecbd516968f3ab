//! Drafts outbound documents as X12: [`invoice`] an 810, [`grocery_invoice`] an 880, [`ship_notice`] an 856, and
//! here the parts that they share.
//!
//! Segments, their order and widths are those of 004010, which 005010 keeps or widens. Source: bots-edi/bots-grammars,
//! stedi.com/edi.

pub mod grocery_invoice;
pub mod invoice;
pub mod ship_notice;

use crate::edi::decimal;
use crate::edi::outbound::invoice::InvoiceAdjustment;
use crate::edi::outbound::more_facts::{
    CONTACT_NAME_CHARS_MAX, NOTE_CHARS_MAX, OutboundContact, OutboundDate, OutboundReference, find_freight_payer,
    list_echoed_references,
};
use crate::edi::outbound::{OutboundCarrier, OutboundWeight, PaymentTerms};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrder, PurchaseOrderLine};
use crate::edi::x12::write::build_segment;

/// Returns the digits of a text: `20261124` for `2026-11-24`, `1430` for `14:30`.
fn extract_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Transliterates and truncates a value of the order, which may be longer than X12 allows.
///
/// Values of the ERP always fit: [`checks`](crate::edi::outbound::checks) refuses longer ones.
fn truncate_text(value: Option<&String>, chars_max: usize) -> String {
    value.map_or(String::new(), |value| deunicode::deunicode(value).chars().take(chars_max).collect())
}

/// Builds a REF if there is a value.
fn build_ref(qualifier: &str, value: Option<&String>) -> Option<Vec<String>> {
    value.map(|value| build_segment(["REF", qualifier, &truncate_text(Some(value), 30)]))
}

/// Builds a DTM if there is a date.
fn build_dtm(qualifier: &str, date: Option<&String>) -> Option<Vec<String>> {
    date.map(|date| build_segment(["DTM", qualifier, &extract_digits(date)]))
}

/// Builds an N1 with its N3 and N4. An address without name and id is left out.
fn build_n1_loop(address: &EdiAddress) -> Vec<Vec<String>> {
    if address.name.is_none() && address.id.is_none() {
        return Vec::new();
    }
    let kind: String = address.kind.chars().take(3).collect();
    let mut first = build_segment(["N1", &kind, &truncate_text(address.name.as_ref(), 60)]);
    if let Some(id) = &address.id {
        // 92, assigned by the buyer, is the default.
        first.extend([address.id_qualifier.clone().unwrap_or_else(|| "92".to_owned()), truncate_text(Some(id), 80)]);
    }
    let mut segments = vec![first];
    for (id, texts, chars_max) in [("N2", &address.more_names, 60), ("N3", &address.lines, 55)] {
        for pair in texts.chunks(2).take(2) {
            let mut segment = vec![id.to_owned()];
            segment.extend(pair.iter().map(|text| truncate_text(Some(text), chars_max)));
            segments.push(segment);
        }
    }
    let elements = [(&address.city, 30), (&address.state, 2), (&address.postal_code, 15), (&address.country, 3)];
    if elements.iter().any(|(value, _)| value.is_some()) {
        let mut n4 = vec!["N4".to_owned()];
        n4.extend(elements.map(|(value, chars_max)| truncate_text(value.as_ref(), chars_max)));
        segments.push(n4);
    }
    segments
}

/// Builds an ITD.
fn build_itd(terms: &PaymentTerms) -> Vec<String> {
    let amount =
        terms.discount_amount.as_deref().and_then(decimal::parse_decimal).map(decimal::format_n2).unwrap_or_default();
    let value = |value: &Option<String>, chars_max| truncate_text(value.as_ref(), chars_max);
    build_segment([
        "ITD",
        &value(&terms.kind, 2),
        &value(&terms.basis, 2),
        &value(&terms.discount_percent, 7),
        &terms.discount_on.as_deref().map(extract_digits).unwrap_or_default(),
        &value(&terms.discount_days, 3),
        &terms.net_on.as_deref().map(extract_digits).unwrap_or_default(),
        &value(&terms.net_days, 3),
        &amount,
        "",
        "",
        "",
        &value(&terms.description, 80),
    ])
}

/// Builds a SAC.
fn build_sac(part: &InvoiceAdjustment) -> Vec<String> {
    let amount = decimal::format_n2(part.amount);
    let (handling, description) =
        (truncate_text(part.handling.as_ref(), 2), truncate_text(part.description.as_ref(), 80));
    let kind = part.kind.as_str();
    build_segment(["SAC", kind, &part.code, "", "", &amount, "", "", "", "", "", "", &handling, "", "", &description])
}

/// Builds a CAD or TD5. Both need a carrier's code or a routing.
fn build_carrier_segment(id: &str, carrier: Option<&OutboundCarrier>) -> Option<Vec<String>> {
    let carrier = carrier.filter(|carrier| carrier.code.is_some() || carrier.routing.is_some())?;
    let (method, routing) = (truncate_text(carrier.method.as_ref(), 2), truncate_text(carrier.routing.as_ref(), 35));
    Some(match (id, &carrier.code) {
        ("CAD", code) => build_segment(["CAD", &method, "", "", &truncate_text(code.as_ref(), 4), &routing]),
        (_, Some(code)) => build_segment(["TD5", "B", "2", &truncate_text(Some(code), 80), &method, &routing]),
        (_, None) => build_segment(["TD5", "B", "", "", &method, &routing]),
    })
}

/// Returns the product ids, qualifier and value in turn, at most `pairs_max` pairs.
fn list_product_ids(line: &PurchaseOrderLine, pairs_max: usize) -> impl Iterator<Item = String> {
    let complete = line.ids.iter().filter(|id| !id.qualifier.is_empty() && !id.value.is_empty());
    complete.take(pairs_max).flat_map(|id| [id.qualifier.clone(), truncate_text(Some(&id.value), 48)])
}

/// Builds a PID if there is a description.
fn build_pid(line: &PurchaseOrderLine) -> Option<Vec<String>> {
    line.description.as_ref().map(|text| build_segment(["PID", "F", "", "", "", &truncate_text(Some(text), 80)]))
}

/// Builds the REFs of the order that its answers repeat: vendor, department and others. A reference that the ERP states
/// takes precedence.
fn build_order_refs(order: &PurchaseOrder, own: &[OutboundReference]) -> Vec<Vec<String>> {
    let is_own = |qualifier: &str| own.iter().any(|part| part.qualifier == qualifier);
    let named = [("IA", &order.vendor), ("DP", &order.department)].into_iter().filter(|(id, _)| !is_own(id));
    let named = named.filter_map(|(id, value)| build_ref(id, value.as_ref()));
    let echoed = list_echoed_references(order, own).filter_map(|part| build_ref(&part.qualifier, part.value.as_ref()));
    named.chain(echoed).collect()
}

/// Builds the REFs that the ERP states.
fn build_own_refs(references: &[OutboundReference]) -> impl Iterator<Item = Vec<String>> {
    references.iter().map(|part| {
        let description = truncate_text(part.description.as_ref(), 80);
        build_segment(["REF", &part.qualifier, &part.value, &description])
    })
}

/// Builds the DTMs that the ERP states.
fn build_own_dates(dates: &[OutboundDate]) -> impl Iterator<Item = Vec<String>> {
    dates.iter().map(|part| {
        let time = part.time.as_deref().map(extract_digits).unwrap_or_default();
        build_segment(["DTM", &part.qualifier, &extract_digits(&part.on), &time])
    })
}

/// Builds the PERs of the contacts.
fn build_contacts(contacts: &[OutboundContact]) -> impl Iterator<Item = Vec<String>> {
    contacts.iter().map(|contact| {
        let name = truncate_text(contact.name.as_ref(), CONTACT_NAME_CHARS_MAX);
        let mut segment = build_segment(["PER", &contact.kind, &name]);
        segment.extend(contact.numbers().flat_map(|(qualifier, value)| [qualifier.to_owned(), value.clone()]));
        segment
    })
}

/// Builds the NTEs of the notes, without a code: their meaning is only in the text.
fn build_notes(notes: &[String]) -> impl Iterator<Item = Vec<String>> {
    notes.iter().map(|note| build_segment(["NTE", "", &truncate_text(Some(note), NOTE_CHARS_MAX)]))
}

/// Builds the FOB with the code of the ERP, else of the order.
fn build_fob(own: Option<&String>, order: &PurchaseOrder) -> Option<Vec<String>> {
    find_freight_payer(own, order).map(|code| build_segment(["FOB", code]))
}

/// Builds a PO4 with the pack, the size of an inner unit and the inner pack (PO414), if the order states the pack as a
/// whole number.
fn build_po4(line: &PurchaseOrderLine) -> Option<Vec<String>> {
    let is_pack = |pack: &&str| pack.len() <= 6 && pack.bytes().all(|byte| byte.is_ascii_digit());
    let pack = line.pack.as_deref().filter(is_pack)?;
    let mut po4 = build_segment(["PO4", pack]);
    let size = line.pack_size.as_deref().and_then(|size| size.split_once(' '));
    if let Some((size, unit)) = size.filter(|(size, unit)| decimal::parse_decimal(size).is_some() && unit.len() == 2) {
        po4.extend([size.to_owned(), unit.to_owned()]);
    }
    if let Some(inner_pack) = line.inner_pack.as_deref().filter(is_pack) {
        po4.resize(14, String::new());
        po4.push(inner_pack.to_owned());
    }
    Some(po4)
}

/// Builds a MEA with the net weight of a line.
fn build_weight(weight: &OutboundWeight) -> Vec<String> {
    build_segment(["MEA", "WT", "N", &weight.value.normalize().to_string(), &weight.unit])
}
