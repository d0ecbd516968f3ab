//! Puts the values that a change states into an order or a line.
//!
//! The functions name every field of the model, so that a new field does not compile until its rule is written here.

use crate::edi::purchase_order::{EdiReference, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::is_document_extra;
use std::collections::HashSet;

/// Overwrites the values of the header that the change states. Lines are not changed.
pub(super) fn overwrite_header(order: &mut PurchaseOrder, change: &PurchaseOrder) {
    // Identity, date, purpose and origin are those of the order. Counts describe the lines of the change.
    let PurchaseOrder {
        is_change: _,
        partner: _,
        number: _,
        release: _,
        purpose: _,
        kind,
        ordered_on: _,
        sequence: _,
        changed_on: _,
        currency,
        department,
        vendor,
        contract,
        is_test: _,
        origin: _,
        dates,
        references,
        contacts,
        addresses,
        terms,
        carriers,
        allowances,
        instructions,
        notes,
        lines: _,
        stated_lines: _,
        stated_quantity: _,
        stated_total,
        amounts,
        extras,
        findings,
    } = change;
    replace_same_kind(&mut order.dates, dates, |date| (&date.qualifier, date.address.as_deref()));
    replace_same_kind(&mut order.references, references, |part| (&part.qualifier, part.address.as_deref()));
    replace_same_kind(&mut order.addresses, addresses, |address| (&address.kind, None));
    replace_same_kind(&mut order.contacts, contacts, |contact| (&contact.kind, contact.address.as_deref()));
    replace_same_kind(&mut order.allowances, allowances, |part| (part.code.as_deref().unwrap_or(""), None));
    replace_same_kind(&mut order.amounts, amounts, |amount| (&amount.qualifier, None));
    // Control numbers and the like of each document stay beside each other.
    let (of_document, of_order): (Vec<OrderExtra>, Vec<OrderExtra>) =
        extras.iter().cloned().partition(is_document_extra);
    replace_same_kind(&mut order.extras, &of_order, |extra| (&extra.location, extra.name.as_deref()));
    add_new(&mut order.extras, &of_document);
    add_new(&mut order.findings, findings);
    replace_list(&mut order.terms, terms);
    replace_list(&mut order.carriers, carriers);
    add_new(&mut order.instructions, instructions);
    add_new(&mut order.notes, notes);
    // REF*DP and REF*IA are the department and the vendor, also where only the reference states them.
    let department = department.as_ref().or_else(|| find_reference(references, &["DP"]));
    let vendor = vendor.as_ref().or_else(|| find_reference(references, &["IA", "VR"]));
    for (old, new) in [
        (&mut order.kind, kind.as_ref()),
        (&mut order.currency, currency.as_ref()),
        (&mut order.department, department),
        (&mut order.vendor, vendor),
        (&mut order.contract, contract.as_ref()),
        (&mut order.stated_total, stated_total.as_ref()),
    ] {
        overwrite_value(old, new);
    }
}

/// Overwrites each value of a line that the change states. The line keeps its number.
pub(super) fn overwrite_line(line: &mut PurchaseOrderLine, change: &PurchaseOrderLine) {
    let PurchaseOrderLine {
        number: _,
        change: _,
        quantity,
        quantity_left: _,
        quantity_before: _,
        quantity_difference: _,
        unit,
        price,
        price_basis,
        currency,
        prices,
        relationship,
        ids,
        description,
        pack,
        inner_pack,
        pack_size,
        dates,
        references,
        addresses,
        allowances,
        schedules,
        instructions,
        notes,
        contacts,
        carriers,
        terms,
        amounts,
        components,
        extras,
    } = change;
    for (old, new) in [
        (&mut line.quantity, quantity),
        (&mut line.unit, unit),
        (&mut line.price, price),
        (&mut line.price_basis, price_basis),
        (&mut line.currency, currency),
        (&mut line.description, description),
        (&mut line.pack, pack),
        (&mut line.inner_pack, inner_pack),
        (&mut line.pack_size, pack_size),
        (&mut line.relationship, relationship),
    ] {
        overwrite_value(old, new.as_ref());
    }
    replace_same_kind(&mut line.ids, ids, |id| (&id.qualifier, None));
    replace_same_kind(&mut line.dates, dates, |date| (&date.qualifier, date.address.as_deref()));
    replace_same_kind(&mut line.references, references, |part| (&part.qualifier, part.address.as_deref()));
    replace_same_kind(&mut line.addresses, addresses, |address| (&address.kind, None));
    replace_same_kind(&mut line.allowances, allowances, |part| (part.code.as_deref().unwrap_or(""), None));
    replace_same_kind(&mut line.contacts, contacts, |contact| (&contact.kind, contact.address.as_deref()));
    replace_same_kind(&mut line.amounts, amounts, |amount| (&amount.qualifier, None));
    replace_same_kind(&mut line.extras, extras, |extra| (&extra.location, extra.name.as_deref()));
    replace_list(&mut line.schedules, schedules);
    replace_list(&mut line.prices, prices);
    replace_list(&mut line.carriers, carriers);
    replace_list(&mut line.terms, terms);
    replace_list(&mut line.components, components);
    add_new(&mut line.instructions, instructions);
    add_new(&mut line.notes, notes);
}

/// Returns the line of a change as a line of the order: without its change code and the quantities around the change.
pub(super) fn to_order_line(change: &PurchaseOrderLine) -> PurchaseOrderLine {
    PurchaseOrderLine {
        change: None,
        quantity_left: None,
        quantity_before: None,
        quantity_difference: None,
        ..change.clone()
    }
}

fn find_reference<'r>(references: &'r [EdiReference], qualifiers: &[&str]) -> Option<&'r String> {
    references
        .iter()
        .find(|reference| qualifiers.contains(&reference.qualifier.as_str()))
        .and_then(|reference| reference.value.as_ref())
}

fn overwrite_value(old: &mut Option<String>, new: Option<&String>) {
    if let Some(new) = new {
        *old = Some(new.clone());
    }
}

/// Replaces the elements that have the kind of a new one, and keeps the others.
///
/// Parts of two addresses are of two kinds.
fn replace_same_kind<T: Clone>(
    old: &mut Vec<T>,
    new: &[T],
    kind: impl for<'p> Fn(&'p T) -> (&'p str, Option<&'p str>),
) {
    let kinds: HashSet<_> = new.iter().map(&kind).collect();
    old.retain(|old| !kinds.contains(&kind(old)));
    old.extend_from_slice(new);
}

/// Replaces a list that the change states.
fn replace_list<T: Clone>(old: &mut Vec<T>, new: &[T]) {
    if !new.is_empty() {
        *old = new.to_vec();
    }
}

/// Adds the notes or instructions that are not there yet.
pub(super) fn add_new<T: Clone + PartialEq>(entries: &mut Vec<T>, new: &[T]) {
    let added: Vec<T> = new.iter().filter(|entry| !entries.contains(entry)).cloned().collect();
    entries.extend(added);
}
