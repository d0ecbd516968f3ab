//! The facts that an invoice or ship notice states, by the names of `sps.partners`: those of the ERP and of the order.

use crate::edi::outbound::invoice::ResolvedInvoice;
use crate::edi::outbound::more_facts::{OutboundDate, OutboundReference, find_freight_payer, list_echoed_references};
use crate::edi::outbound::order_balance::merge_addresses;
use crate::edi::outbound::partner_rules::StatedFacts;
use crate::edi::outbound::ship_notice::{ResolvedPack, ResolvedShipNotice, describe_pack_kind, strip_sscc_prefix};
use crate::edi::purchase_order::PurchaseOrder;
use std::collections::BTreeSet;

/// Returns the facts of an invoice.
#[must_use]
pub fn list_invoice_facts(resolved: &ResolvedInvoice<'_>) -> StatedFacts {
    let (invoice, order) = (resolved.invoice, &resolved.order.state.order);
    let mut facts = StatedFacts::default();
    facts.add("currency", invoice.currency.is_some() || order.currency.is_some());
    facts.add("freight_payer", find_freight_payer(invoice.freight_payer.as_ref(), order).is_some());
    facts.add("shipped_on", invoice.shipped_on.is_some());
    facts.add("terms", !resolved.terms().is_empty());
    facts.add("taxes", !invoice.taxes.is_empty());
    facts.add("contacts", !invoice.contacts.is_empty());
    facts.add("notes", !invoice.notes.is_empty());
    let has_line_allowance = invoice.lines.iter().any(|line| !line.allowances.is_empty());
    facts.add("allowances", has_line_allowance || !invoice.allowances.is_empty());
    add_lading(&mut facts, invoice.bill_of_lading.as_ref(), invoice.pro_number.as_ref());
    if let Some(carrier) = &invoice.carrier {
        facts.add_carrier(carrier.code.as_ref(), carrier.method.as_ref(), carrier.routing.as_ref());
    }
    for address in merge_addresses(&invoice.addresses, &order.addresses, &["BT", "ST", "BY"]) {
        facts.add_address(&address);
    }
    for qualifier in list_order_references(order, &invoice.references) {
        facts.add(format!("references.{qualifier}"), true);
    }
    for date in &invoice.dates {
        facts.add(format!("dates.{}", date.qualifier), true);
    }
    facts.add("dates.011", invoice.shipped_on.is_some());
    for line in &resolved.lines {
        facts.add_part("lines", &line.matched.name, &[("weight", line.line.weight.is_some())]);
    }
    facts
}

/// Returns the facts of a ship notice. A reference or date counts if the shipment or every order states it.
#[must_use]
pub fn list_ship_notice_facts(resolved: &ResolvedShipNotice<'_>) -> StatedFacts {
    let notice = resolved.notice;
    let mut facts = StatedFacts::default();
    facts.add("ship_time", notice.ship_time.is_some());
    facts.add("delivery_on", notice.delivery_on.is_some());
    facts.add("weight", notice.weight.is_some());
    facts.add("contacts", !notice.contacts.is_empty());
    facts.add("notes", !notice.notes.is_empty());
    facts.add("trailer", notice.trailer.is_some());
    facts.add("trailer.seals", notice.trailer.as_ref().is_some_and(|trailer| !trailer.seals.is_empty()));
    add_lading(&mut facts, notice.bill_of_lading.as_ref(), notice.pro_number.as_ref());
    if let Some(carrier) = &notice.carrier {
        facts.add_carrier(carrier.code.as_ref(), carrier.method.as_ref(), carrier.routing.as_ref());
    }
    if let Some((first, _)) = resolved.orders.first() {
        let payer = find_freight_payer(notice.freight_payer.as_ref(), &first.state.order);
        facts.add("freight_payer", payer.is_some());
        for address in merge_addresses(&notice.addresses, &first.state.order.addresses, &["ST", "BY"]) {
            facts.add_address(&address);
        }
    }
    let orders = || notice.orders.iter().zip(&resolved.orders).map(|(stated, (order, _))| (stated, &order.state.order));
    let references = orders().map(|(stated, order)| list_order_references(order, &stated.references));
    let own_references = notice.references.iter().map(|part| part.qualifier.clone());
    for qualifier in own_references.chain(intersect(references)) {
        facts.add(format!("references.{qualifier}"), true);
    }
    let dates = orders().map(|(stated, _)| list_date_qualifiers(&stated.dates));
    for qualifier in list_date_qualifiers(&notice.dates).into_iter().chain(intersect(dates)) {
        facts.add(format!("dates.{qualifier}"), true);
    }
    facts.add("dates.011", true);
    facts.add("dates.017", notice.delivery_on.is_some());
    facts.add("packs", resolved.orders.iter().all(|(_, packed)| packed.lines.is_empty()));
    for (_, packed) in &resolved.orders {
        add_pack_facts(&mut facts, packed);
    }
    facts
}

fn add_lading(facts: &mut StatedFacts, bill_of_lading: Option<&String>, pro_number: Option<&String>) {
    for (name, qualifier, value) in [("bill_of_lading", "BM", bill_of_lading), ("pro_number", "CN", pro_number)] {
        facts.add(name, value.is_some());
        facts.add(format!("references.{qualifier}"), value.is_some());
    }
}

fn add_pack_facts(facts: &mut StatedFacts, packed: &ResolvedPack<'_>) {
    if let Some(pack) = packed.pack {
        let label = pack.sscc.as_deref().map(strip_sscc_prefix).or(pack.tracking.as_deref()).unwrap_or_default();
        let name = format!("{} {label}", describe_pack_kind(pack.kind));
        let stated =
            [("sscc", pack.sscc.is_some()), ("tracking", pack.tracking.is_some()), ("weight", pack.weight.is_some())];
        facts.add_part("packs", name, &stated);
    }
    for line in &packed.lines {
        let stated = line.line;
        let parts = [
            ("lot", stated.lot.is_some()),
            ("expires_on", stated.expires_on.is_some()),
            ("weight", stated.weight.is_some()),
        ];
        facts.add_part("lines", &line.matched.name, &parts);
    }
    packed.packs.iter().for_each(|inner| add_pack_facts(facts, inner));
}

/// Returns the qualifiers of the references that an answer to the order has.
fn list_order_references(order: &PurchaseOrder, own: &[OutboundReference]) -> BTreeSet<String> {
    let named = [("IA", &order.vendor), ("DP", &order.department)].into_iter().filter(|(_, value)| value.is_some());
    let named = named.map(|(qualifier, _)| qualifier.to_owned());
    let echoed = list_echoed_references(order, own).map(|part| part.qualifier.clone());
    named.chain(echoed).chain(own.iter().map(|part| part.qualifier.clone())).collect()
}

fn list_date_qualifiers(dates: &[OutboundDate]) -> BTreeSet<String> {
    dates.iter().map(|part| part.qualifier.clone()).collect()
}

/// Returns the values that all sets have.
fn intersect(sets: impl Iterator<Item = BTreeSet<String>>) -> BTreeSet<String> {
    sets.reduce(|common, set| &common & &set).unwrap_or_default()
}
