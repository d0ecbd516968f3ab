//! Puts the values that a change states into an order or a line.
//!
//! The functions name every field of the model, so that a new field does not compile until its rule is written here.

use crate::edi::purchase_order::{EdiInstruction, EdiReference, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::is_document_extra;
use crate::edi::revisions::listed_parts::{keep_values, replace_list, replace_parts};
use std::collections::HashSet;

/// Overwrites the values of the header that the change states. Lines are not changed. Returns what is not certain.
pub(super) fn overwrite_header(order: &mut PurchaseOrder, change: &PurchaseOrder) -> Vec<String> {
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
    // Control numbers and the like of each document stay beside each other.
    let (of_document, of_order): (Vec<OrderExtra>, Vec<OrderExtra>) =
        extras.iter().cloned().partition(is_document_extra);
    let doubts = [
        replace_parts(&mut order.dates, dates),
        replace_parts(&mut order.references, references),
        replace_parts(&mut order.addresses, addresses),
        replace_parts(&mut order.contacts, contacts),
        replace_parts(&mut order.allowances, allowances),
        replace_parts(&mut order.amounts, amounts),
        replace_parts(&mut order.extras, &of_order),
        replace_list(&mut order.terms, terms),
        replace_list(&mut order.carriers, carriers),
    ];
    add_new(&mut order.extras, &of_document);
    add_new(&mut order.findings, findings);
    add_instructions(&mut order.instructions, instructions);
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
    doubts.concat()
}

/// Overwrites each value of a line that the change states. The line keeps its number. Returns what is not certain.
pub(super) fn overwrite_line(line: &mut PurchaseOrderLine, change: &PurchaseOrderLine) -> Vec<String> {
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
    let doubts = [
        replace_parts(&mut line.ids, ids),
        replace_parts(&mut line.dates, dates),
        replace_parts(&mut line.references, references),
        replace_parts(&mut line.addresses, addresses),
        replace_parts(&mut line.allowances, allowances),
        replace_parts(&mut line.contacts, contacts),
        replace_parts(&mut line.amounts, amounts),
        replace_parts(&mut line.extras, extras),
        replace_parts(&mut line.components, components),
        replace_list(&mut line.carriers, carriers),
        replace_list(&mut line.terms, terms),
    ];
    replace_values(&mut line.schedules, schedules);
    replace_values(&mut line.prices, prices);
    add_instructions(&mut line.instructions, instructions);
    add_new(&mut line.notes, notes);
    doubts.concat()
}

/// Keeps the values of a line for which its new version has only empty parts. Returns what is not certain.
pub(super) fn keep_line_values(line: &mut PurchaseOrderLine, before: &PurchaseOrderLine) -> Vec<String> {
    let doubts = [
        keep_values(&mut line.dates, &before.dates),
        keep_values(&mut line.references, &before.references),
        keep_values(&mut line.addresses, &before.addresses),
        keep_values(&mut line.allowances, &before.allowances),
        keep_values(&mut line.contacts, &before.contacts),
        keep_values(&mut line.components, &before.components),
        keep_values(&mut line.carriers, &before.carriers),
        keep_values(&mut line.terms, &before.terms),
    ];
    doubts.concat()
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

/// Replaces a list that the change states, and each part of which has a value.
fn replace_values<T: Clone>(old: &mut Vec<T>, new: &[T]) {
    if !new.is_empty() {
        *old = new.to_vec();
    }
}

/// Adds instructions. A payer of the freight replaces the earlier one of the same address.
fn add_instructions(instructions: &mut Vec<EdiInstruction>, new: &[EdiInstruction]) {
    let states_payer = |instruction: &EdiInstruction| instruction.kind == "freight" && instruction.code.is_some();
    let replaced: HashSet<_> =
        new.iter().filter(|other| states_payer(other)).map(|other| other.address.as_deref()).collect();
    instructions.retain(|own| !states_payer(own) || !replaced.contains(&own.address.as_deref()));
    add_new(instructions, new);
}

/// Adds the notes or instructions that are not there yet.
pub(super) fn add_new<T: Clone + PartialEq>(entries: &mut Vec<T>, new: &[T]) {
    let added: Vec<T> = new.iter().filter(|entry| !entries.contains(entry)).cloned().collect();
    entries.extend(added);
}
