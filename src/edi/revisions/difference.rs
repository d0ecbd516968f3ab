//! Describes what differs between two versions of an order or of a line, value by value.
//!
//! Lists are compared without regard to their order. The functions name every field of the model, so that a new field
//! does not compile until it is compared here, too.

use crate::edi::codes;
use crate::edi::purchase_order::{EdiReference, OrderExtra, PurchaseOrder, PurchaseOrderLine};
use crate::edi::revisions::is_document_extra;
use crate::edi::revisions::line_match::{self, LineIndex, LineMatch};
use crate::text::format_count;
use serde::Serialize;
use serde_json::Value;

/// Most differences that one message lists.
const DIFFERENCES_MAX: usize = 12;
/// Most comparisons of parts for one list; longer lists are compared as a whole.
const COMPARISONS_MAX: usize = 250_000;
/// Most characters of one value in a message.
const VALUE_CHARS_MAX: usize = 80;
/// Fields whose name says nothing beside the label of their part.
const PLAIN_FIELDS: [&str; 3] = ["on", "value", "description"];

/// Joins differences to one text, which is empty if there is none.
pub(super) fn join_differences(differences: &[String]) -> String {
    let shown = differences.iter().take(DIFFERENCES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match differences.len().saturating_sub(DIFFERENCES_MAX) {
        0 => shown,
        more => format!("{shown} and {}", format_count(more, "more difference", "more differences")),
    }
}

/// Returns the differences between two orders with their lines. The purpose and the origin are no difference.
pub(super) fn list_order_differences(before: &PurchaseOrder, after: &PurchaseOrder) -> Vec<String> {
    let mut differences = list_header_differences(before, after);
    let index = LineIndex::new(&before.lines);
    let mut is_matched = vec![false; before.lines.len()];
    for (position, line) in after.lines.iter().enumerate() {
        let name = line_match::name_line(line, position);
        match index.find_line(&before.lines, line, &|_| true) {
            LineMatch::Found { index, .. } if !is_matched[index] => {
                is_matched[index] = true;
                let lines = list_line_differences(&before.lines[index], line);
                differences.extend(lines.into_iter().map(|difference| format!("{name}: {difference}")));
            }
            _ => differences.push(format!("{name} added ({})", describe_line(line))),
        }
    }
    for (position, line) in before.lines.iter().enumerate().filter(|(position, _)| !is_matched[*position]) {
        differences.push(format!("{} removed ({})", line_match::name_line(line, position), describe_line(line)));
    }
    differences
}

/// Returns the differences between the headers of two orders.
pub(super) fn list_header_differences(before: &PurchaseOrder, after: &PurchaseOrder) -> Vec<String> {
    // Identity, purpose and origin name the document and are no values of the order. The stated counts follow from the
    // lines.
    let PurchaseOrder {
        is_change: _,
        partner: _,
        number: _,
        release: _,
        purpose: _,
        kind,
        ordered_on,
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
        // The findings follow from the other values.
        findings: _,
    } = before;
    let mut list = DifferenceList::default();
    list.compare_values("order type", kind.as_ref(), after.kind.as_ref());
    list.compare_values("order date", ordered_on.as_ref(), after.ordered_on.as_ref());
    list.compare_values("currency", currency.as_ref(), after.currency.as_ref());
    list.compare_values("department", department.as_ref(), after.department.as_ref());
    list.compare_values("vendor", vendor.as_ref(), after.vendor.as_ref());
    list.compare_values("contract", contract.as_ref(), after.contract.as_ref());
    list.compare_values("stated total", stated_total.as_ref(), after.stated_total.as_ref());
    list.compare_parts(dates, &after.dates, |date| codes::DATES.describe(&date.qualifier));
    // The references DP, IA and VR are the department and the vendor.
    let is_scalar = |qualifier: &str| match qualifier {
        "DP" => *department != after.department,
        "IA" | "VR" => *vendor != after.vendor,
        _ => false,
    };
    let other_references = |references: &[EdiReference]| -> Vec<_> {
        references.iter().filter(|reference| !is_scalar(&reference.qualifier)).cloned().collect()
    };
    list.compare_parts(&other_references(references), &other_references(&after.references), |reference| {
        codes::REFERENCES.describe(&reference.qualifier)
    });
    list.compare_parts(contacts, &after.contacts, |contact| codes::CONTACTS.describe(&contact.kind));
    list.compare_parts(addresses, &after.addresses, |address| codes::ROLES.describe(&address.kind));
    list.compare_parts(terms, &after.terms, |_| "terms".to_owned());
    list.compare_parts(carriers, &after.carriers, |_| "carrier".to_owned());
    list.compare_parts(allowances, &after.allowances, |part| describe_allowance(part.code.as_deref()));
    list.compare_parts(instructions, &after.instructions, |part| part.kind.clone());
    list.compare_parts(notes, &after.notes, |_| "note".to_owned());
    list.compare_parts(amounts, &after.amounts, |amount| codes::AMOUNTS.describe(&amount.qualifier));
    let of_order = |extras: &[OrderExtra]| -> Vec<OrderExtra> {
        extras.iter().filter(|extra| !is_document_extra(extra)).cloned().collect()
    };
    list.compare_parts(&of_order(extras), &of_order(&after.extras), describe_extra_place);
    list.0
}

/// Returns the differences between two versions of a line.
pub(super) fn list_line_differences(before: &PurchaseOrderLine, after: &PurchaseOrderLine) -> Vec<String> {
    // The change code and the quantities around a change belong to a change and not to the order.
    let PurchaseOrderLine {
        number,
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
    } = before;
    let mut list = DifferenceList::default();
    list.compare_values("line number", number.as_ref(), after.number.as_ref());
    list.compare_values("quantity", quantity.as_ref(), after.quantity.as_ref());
    list.compare_values("unit", unit.as_ref(), after.unit.as_ref());
    list.compare_values("price", price.as_ref(), after.price.as_ref());
    list.compare_values("price basis", price_basis.as_ref(), after.price_basis.as_ref());
    list.compare_values("currency", currency.as_ref(), after.currency.as_ref());
    list.compare_values("description", description.as_ref(), after.description.as_ref());
    list.compare_values("pack", pack.as_ref(), after.pack.as_ref());
    list.compare_values("inner pack", inner_pack.as_ref(), after.inner_pack.as_ref());
    list.compare_values("pack size", pack_size.as_ref(), after.pack_size.as_ref());
    list.compare_values("relationship", relationship.as_ref(), after.relationship.as_ref());
    list.compare_parts(ids, &after.ids, |id| codes::PRODUCT_IDS.describe(&id.qualifier));
    list.compare_parts(dates, &after.dates, |date| codes::DATES.describe(&date.qualifier));
    list.compare_parts(references, &after.references, |part| codes::REFERENCES.describe(&part.qualifier));
    list.compare_parts(addresses, &after.addresses, |address| codes::ROLES.describe(&address.kind));
    list.compare_parts(allowances, &after.allowances, |part| describe_allowance(part.code.as_deref()));
    list.compare_parts(schedules, &after.schedules, |part| {
        let place = part.location.as_deref().or(part.on.as_deref()).unwrap_or_default();
        format!("schedule {place}").trim_end().to_owned()
    });
    list.compare_parts(instructions, &after.instructions, |part| part.kind.clone());
    list.compare_parts(notes, &after.notes, |_| "note".to_owned());
    list.compare_parts(prices, &after.prices, |price| {
        price.kind.as_deref().map_or_else(|| "price".to_owned(), |kind| codes::PRICES.describe(kind))
    });
    list.compare_parts(contacts, &after.contacts, |contact| codes::CONTACTS.describe(&contact.kind));
    list.compare_parts(carriers, &after.carriers, |_| "carrier".to_owned());
    list.compare_parts(terms, &after.terms, |_| "terms".to_owned());
    list.compare_parts(amounts, &after.amounts, |amount| codes::AMOUNTS.describe(&amount.qualifier));
    list.compare_parts(components, &after.components, |component| {
        format!("component {}", component.number.as_deref().unwrap_or_default()).trim_end().to_owned()
    });
    list.compare_parts(extras, &after.extras, describe_extra_place);
    list.0
}

/// Returns the place of a value that has no field.
fn describe_extra_place(extra: &OrderExtra) -> String {
    extra.location.clone()
}

/// Returns the goods and the quantity of a line: `VP A1, 50 CA`.
fn describe_line(line: &PurchaseOrderLine) -> String {
    let goods = line_match::name_goods(line);
    let quantity = line.quantity.as_deref().unwrap_or("no quantity");
    let unit = line.unit.as_deref().unwrap_or_default();
    let parts = [goods.unwrap_or_default(), format!("{quantity} {unit}").trim_end().to_owned()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn describe_allowance(code: Option<&str>) -> String {
    code.map_or_else(|| "allowance or charge".to_owned(), |code| codes::ALLOWANCES.describe(code))
}

/// Collector of differences.
#[derive(Default)]
struct DifferenceList(Vec<String>);

impl DifferenceList {
    fn compare_values(&mut self, name: &str, before: Option<&String>, after: Option<&String>) {
        if before != after {
            let show = |value: Option<&String>| value.map_or_else(|| "none".to_owned(), |value| shorten(value));
            self.0.push(format!("{name} {} → {}", show(before), show(after)));
        }
    }

    /// Compares two lists without regard to their order. `label` names a part; parts of one label are compared field by
    /// field.
    fn compare_parts<T: Serialize + PartialEq>(&mut self, before: &[T], after: &[T], label: impl Fn(&T) -> String) {
        if before == after {
            return;
        }
        if before.len().saturating_mul(after.len()) > COMPARISONS_MAX {
            let name = after.first().map(&label).unwrap_or_default();
            self.0.push(format!("{name} and others: {} parts → {} parts", before.len(), after.len()));
            return;
        }
        let mut added: Vec<&T> = after.iter().collect();
        let mut removed = Vec::new();
        for part in before {
            match added.iter().position(|other| *other == part) {
                Some(position) => drop(added.remove(position)),
                None => removed.push(part),
            }
        }
        for part in removed {
            let name = label(part);
            match added.iter().position(|other| label(other) == name) {
                Some(position) => {
                    let changed = describe_part_change(part, added.remove(position));
                    self.0.push(format!("{name} {changed}"));
                }
                None => self.0.push(format!("{name} {} removed", describe_part(part))),
            }
        }
        self.0.extend(added.into_iter().map(|part| format!("{} {} added", label(part), describe_part(part))));
    }
}

/// Returns the fields of a part that differ: `2026-09-20 → 2026-09-25`.
fn describe_part_change<T: Serialize>(before: &T, after: &T) -> String {
    let (before, after) = (list_part_fields(before), list_part_fields(after));
    let find = |fields: &[(String, String)], name: &str| {
        fields.iter().find(|(field, _)| field == name).map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&str> = before.iter().chain(&after).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let describe = |name: &str| {
        let (old, new) = (find(&before, name), find(&after, name));
        let field = if name.is_empty() || PLAIN_FIELDS.contains(&name) {
            String::new()
        } else {
            format!("{} ", name.replace('_', " "))
        };
        (old != new).then(|| format!("{field}{old} → {new}"))
    };
    names.into_iter().filter_map(describe).collect::<Vec<_>>().join(", ")
}

/// Returns the values of a part without its codes.
fn describe_part<T: Serialize>(part: &T) -> String {
    let fields = list_part_fields(part);
    let is_code = |name: &str| matches!(name, "qualifier" | "kind" | "code");
    let values: Vec<&str> = fields.iter().filter(|(name, _)| !is_code(name)).map(|(_, value)| value.as_str()).collect();
    shorten(&values.join(", "))
}

/// Returns the fields of a part that have a value, by name. A plain text has the name "".
fn list_part_fields<T: Serialize>(part: &T) -> Vec<(String, String)> {
    let show = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(shorten(text)),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Some(shorten(&items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")))
        }
        other => Some(shorten(&other.to_string())),
    };
    match serde_json::to_value(part) {
        Ok(Value::Object(fields)) => {
            fields.iter().filter_map(|(name, value)| Some((name.clone(), show(value)?))).collect()
        }
        Ok(value) => show(&value).map(|text| (String::new(), text)).into_iter().collect(),
        Err(_) => Vec::new(),
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= VALUE_CHARS_MAX {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(VALUE_CHARS_MAX).collect::<String>())
}
