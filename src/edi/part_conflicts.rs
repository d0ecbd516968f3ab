//! Parts of an order or a line that contradict each other or themselves: ids, freight payers, places, allowances,
//! terms, components and packs.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::order_dates::join_values;
use crate::edi::purchase_order::{
    AllowanceCharge, EdiAddress, EdiInstruction, PaymentTerms, PurchaseOrder, PurchaseOrderLine,
};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Ids of which a line has one of each kind, because the ERP's item is found by them.
const SINGLE_IDS: [&str; 23] = [
    "IN", "BP", "CB", "SK", "IT", "PI", "VN", "VP", "VC", "VA", "MG", "UP", "EN", "EO", "UI", "IB", "UD", "UG", "UK",
    "UA", "UN", "U2", "UH",
];

/// Returns the conflicts between the parts of the header.
pub(crate) fn list_header_conflicts(order: &PurchaseOrder) -> Vec<String> {
    let parts = list_shared_conflicts(&order.instructions, &order.allowances, &order.terms);
    let mut conflicts: Vec<String> = parts.into_iter().map(|conflict| format!("the order {conflict}")).collect();
    let mut places: BTreeMap<_, &EdiAddress> = BTreeMap::new();
    for address in order.addresses.iter().filter(|address| address.id.is_some()) {
        let first = *places.entry((&address.kind, &address.id_qualifier, &address.id)).or_insert(address);
        if is_other_place(first, address) {
            let kind = codes::ROLES.describe(&address.kind);
            let id = address.id.as_deref().unwrap_or_default();
            let (first, other) = (describe_place(first), describe_place(address));
            conflicts.push(format!("the order states {first} and {other} for {kind} {id}"));
        }
    }
    conflicts
}

/// Returns the conflicts between the parts of a line. `is_rsx` decides what its packs count.
pub(crate) fn list_line_conflicts(line: &PurchaseOrderLine, is_rsx: bool) -> Vec<String> {
    let mut conflicts = list_shared_conflicts(&line.instructions, &line.allowances, &line.terms);
    conflicts.extend(list_id_conflicts(line));
    for (index, component) in line.components.iter().enumerate() {
        let number = component.number.clone().unwrap_or_else(|| format!("#{}", index + 1));
        match parse(component.quantity.as_ref()) {
            None => conflicts.push(format!("has the component {number} without a quantity")),
            Some(quantity) if quantity <= Decimal::ZERO => {
                conflicts.push(format!("has the component {number} with the quantity {}", quantity.normalize()));
            }
            Some(_) => {}
        }
        let of_component = list_id_conflicts(component).into_iter();
        conflicts.extend(of_component.map(|conflict| format!("has the component {number}, which {conflict}")));
    }
    // In X12 the pack counts inner packs (PO401), so that an inner pack (PO414) may have more pieces.
    if let (Some(pack), Some(inner)) = (parse(line.pack.as_ref()), parse(line.inner_pack.as_ref()))
        && is_rsx
        && inner > pack
    {
        let (inner, pack) = (inner.normalize(), pack.normalize());
        conflicts.push(format!("states an inner pack of {inner} in a pack of {pack}"));
    }
    conflicts
}

fn list_shared_conflicts(
    instructions: &[EdiInstruction],
    allowances: &[AllowanceCharge],
    terms: &[PaymentTerms],
) -> Vec<String> {
    let mut payers: BTreeMap<Option<&str>, BTreeSet<String>> = BTreeMap::new();
    for instruction in instructions.iter().filter(|instruction| instruction.kind == "freight") {
        let payer = instruction.code.as_deref().map(|code| codes::FREIGHT_PAYERS.describe(code));
        payers.entry(instruction.address.as_deref()).or_default().extend(payer);
    }
    let several = payers.into_values().filter(|payers| payers.len() > 1);
    let mut conflicts: Vec<String> =
        several.map(|payers| format!("states several payers of the freight: {}", join_values(&payers))).collect();
    conflicts.extend(allowances.iter().filter_map(find_impossible_allowance));
    conflicts.extend(terms.iter().filter_map(find_impossible_terms));
    conflicts
}

/// Returns the kinds of id that a line states with several values.
fn list_id_conflicts(line: &PurchaseOrderLine) -> Vec<String> {
    let mut ids: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for id in line.ids.iter().filter(|id| SINGLE_IDS.contains(&id.qualifier.as_str())) {
        // UPC, EAN and GTIN are the same number with leading zeros.
        let key = id.value.trim().trim_start_matches('0');
        ids.entry(&id.qualifier).or_default().entry(key).or_insert_with(|| id.value.clone());
    }
    let several = ids.into_iter().filter(|(_, values)| values.len() > 1);
    let describe = |(qualifier, values): (&str, BTreeMap<&str, String>)| {
        let values: BTreeSet<String> = values.into_values().collect();
        format!("states several values of the {}: {}", codes::PRODUCT_IDS.describe(qualifier), join_values(&values))
    };
    several.map(describe).collect()
}

/// Returns true if two addresses state different values of one field.
fn is_other_place(one: &EdiAddress, other: &EdiAddress) -> bool {
    let differs = |one: &Option<String>, other: &Option<String>| {
        one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| !one.eq_ignore_ascii_case(other))
    };
    differs(&one.name, &other.name)
        || differs(&one.city, &other.city)
        || differs(&one.state, &other.state)
        || differs(&one.postal_code, &other.postal_code)
        || (!one.lines.is_empty() && !other.lines.is_empty() && one.lines != other.lines)
}

fn describe_place(address: &EdiAddress) -> String {
    let parts = [&address.name, &address.city, &address.state].into_iter().flatten();
    parts.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Returns what an allowance or charge cannot be: less than zero, or more than the whole.
fn find_impossible_allowance(allowance: &AllowanceCharge) -> Option<String> {
    let noun = match allowance.kind.as_str() {
        "A" => "an allowance",
        "C" => "a charge",
        _ => return None,
    };
    let percent = parse(allowance.percent.as_ref());
    let values = [parse(allowance.amount.as_ref()), percent, parse(allowance.rate.as_ref())];
    let is_over = allowance.kind == "A" && percent.is_some_and(|percent| percent > Decimal::ONE_HUNDRED);
    let is_negative = values.into_iter().flatten().any(|value| value < Decimal::ZERO);
    let percent = percent.filter(|_| is_over).map(|percent| format!("{} %", percent.normalize()));
    let value = percent.or_else(|| allowance.describe_value().filter(|_| is_negative))?;
    let code = allowance.code.as_deref().map(|code| format!(" {}", codes::ALLOWANCES.describe(code)));
    Some(format!("states {noun}{} of {value}", code.unwrap_or_default()))
}

/// Returns what terms cannot be: a discount after the day on which the whole amount is due, or of more than the whole.
fn find_impossible_terms(terms: &PaymentTerms) -> Option<String> {
    let (discount, net) = (parse(terms.discount_days.as_ref()), parse(terms.net_days.as_ref()));
    if let Some((discount, net)) = discount.zip(net).filter(|(discount, net)| discount > net) {
        let (discount, net) = (discount.normalize(), net.normalize());
        return Some(format!("states terms with a discount for {discount} days, and the whole amount in {net} days"));
    }
    if let Some((discount, net)) = terms.discount_on.as_ref().zip(terms.net_on.as_ref()).filter(|(one, net)| one > net)
    {
        return Some(format!("states terms with a discount until {discount}, and the whole amount on {net}"));
    }
    let percent = parse(terms.discount_percent.as_ref());
    let is_percentage = |percent: &Decimal| (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(percent);
    if let Some(percent) = percent.filter(|percent| !is_percentage(percent)) {
        return Some(format!("states terms with a discount of {} %", percent.normalize()));
    }
    let values = [discount, net, parse(terms.discount_amount.as_ref())];
    let negative = values.into_iter().flatten().find(|value| *value < Decimal::ZERO)?;
    Some(format!("states terms with the value {}", negative.normalize()))
}

fn parse(text: Option<&String>) -> Option<Decimal> {
    decimal::parse_decimal(text?)
}
