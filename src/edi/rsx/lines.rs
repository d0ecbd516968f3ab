//! Reads the lines of an RSX order, and the components of sets and kits below them.

use crate::edi::decimal;
use crate::edi::purchase_order::{EdiPrice, LineSchedule, ProductId, PurchaseOrderLine};
use crate::edi::rsx::faults::RsxFaultCollector;
use crate::edi::rsx::parts;
use crate::edi::rsx::tree::RsxNode;

/// RSX's own elements for product ids, with the qualifier that X12 uses for each.
const PRODUCT_ID_NAMES: [(&str, &str); 8] = [
    ("BuyerPartNumber", "BP"),
    ("VendorPartNumber", "VN"),
    ("ConsumerPackageCode", "UP"),
    ("EAN", "EN"),
    ("GTIN", "UK"),
    ("UPCCaseCode", "UA"),
    ("InternationalStandardBookNumber", "IB"),
    ("NatlDrugCode", "ND"),
];

/// Reads a `LineItem`. `at` is its path for faults.
pub(crate) fn read_line_item(item: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> PurchaseOrderLine {
    let empty = RsxNode::default();
    let details = item.first_child(&["OrderLine"]).unwrap_or(&empty);
    let mut line = read_item(item, details, ("OrderQty", "OrderQtyUOM"), at, faults);
    line.change = details.take_text(&["LineChangeCode"]);
    line.quantity_before = faults.take_number(details, at, "PreviousOrderQty");
    line.quantity_difference = faults.take_number(details, at, "VarianceQty");
    for part in item.children_named(&["QuantitiesSchedulesLocations"]) {
        read_schedules(part, at, &mut line, faults);
    }
    let wrapped = item.children_named(&["Sublines"]).flat_map(|wrapper| wrapper.children_named(&["Subline"]));
    for (index, subline) in item.children_named(&["Subline"]).chain(wrapped).enumerate() {
        let at = format!("{at}/Subline {}", index + 1);
        let details = subline.first_child(&["SublineItemDetail"]).unwrap_or(&empty);
        let mut component = read_item(subline, details, ("QtyPer", "QtyPerUOM"), &at, faults);
        for part in subline.children_named(&["QuantitiesSchedulesLocations"]) {
            read_schedules(part, &at, &mut component, faults);
        }
        component.extras = subline.collect_extras("");
        line.components.push(component);
    }
    line.extras = item.collect_extras("");
    line
}

/// Reads what a line and a component share. `details` has the quantity under these names, the price and the ids.
fn read_item(
    item: &RsxNode,
    details: &RsxNode,
    (quantity_name, unit_name): (&str, &str),
    at: &str,
    faults: &mut RsxFaultCollector,
) -> PurchaseOrderLine {
    let shared = parts::read_parts(item, at, faults);
    let mut line = PurchaseOrderLine {
        number: details.take_text(&["LineSequenceNumber"]),
        quantity: faults.take_exact_number(details, at, quantity_name),
        unit: details.take_text(&[unit_name]),
        price: faults.take_exact_number(details, at, "PurchasePrice"),
        price_basis: details.take_text(&["PurchasePriceBasis"]),
        prices: read_prices(item, at, faults),
        dates: shared.dates,
        references: shared.references,
        contacts: shared.contacts,
        addresses: shared.addresses,
        terms: shared.terms,
        carriers: shared.carriers,
        allowances: shared.allowances,
        instructions: shared.instructions,
        notes: shared.notes,
        amounts: shared.amounts,
        ids: read_product_ids(details),
        ..PurchaseOrderLine::default()
    };
    let described: Vec<String> = item
        .children_named(&["ProductOrItemDescription"])
        .filter_map(|part| part.take_text(&["ProductDescription"]))
        .collect();
    line.description = (!described.is_empty()).then(|| described.join(", "));
    read_packs(item, &mut line);
    line
}

fn read_product_ids(details: &RsxNode) -> Vec<ProductId> {
    let mut ids = Vec::new();
    for (name, qualifier) in PRODUCT_ID_NAMES {
        if let Some(value) = details.take_text(&[name]) {
            ids.push(ProductId { qualifier: qualifier.to_owned(), value });
        }
    }
    for id in details.children_named(&["ProductID"]) {
        if let Some(value) = id.take_text(&["PartNumber"]) {
            ids.push(ProductId { qualifier: id.take_text(&["PartNumberQual"]).unwrap_or_default(), value });
        }
    }
    ids
}

fn read_prices(item: &RsxNode, at: &str, faults: &mut RsxFaultCollector) -> Vec<EdiPrice> {
    let at = format!("{at}/PriceInformation");
    item.children_named(&["PriceInformation"])
        .filter_map(|part| {
            Some(EdiPrice {
                price: faults.take_number(part, &at, "UnitPrice")?,
                kind: part.take_text(&["PriceTypeIDCode"]),
                class: part.take_text(&["ClassOfTradeCode"]),
                quantity: faults.take_number(part, &at, "Quantity"),
                unit: part.take_text(&["QuantityUOM"]),
                basis: part.take_text(&["UnitPriceBasis"]),
            })
        })
        .collect()
}

/// Reads the packs: the outer one, or the only one, has the units of the ordered unit; the inner one is separate.
fn read_packs(item: &RsxNode, line: &mut PurchaseOrderLine) {
    let packs: Vec<&RsxNode> = item.children_named(&["PhysicalDetails"]).collect();
    for details in &packs {
        let qualifier = details.child_text(&["PackQualifier"]);
        let pack = match qualifier.as_deref() {
            Some("IN") => &mut line.inner_pack,
            Some("OU") | None => &mut line.pack,
            // Another packing level, such as a pallet, stays an extra.
            Some(_) => continue,
        };
        if pack.is_some() {
            continue;
        }
        *pack = details.take_parsed(&["PackValue"], decimal::normalize_decimal);
        let is_read = pack.is_some();
        if qualifier.as_deref() != Some("IN") && line.pack_size.is_none() {
            line.pack_size = read_pack_size(details);
        }
        if is_read || line.pack_size.is_some() {
            details.take_text(&["PackQualifier"]);
        }
    }
}

/// Reads the size of an inner unit: `340 GR`.
fn read_pack_size(details: &RsxNode) -> Option<String> {
    let size = details.take_parsed(&["PackSize"], decimal::normalize_decimal)?;
    Some(details.take_text(&["PackUOM"]).map_or(size.clone(), |unit| format!("{size} {unit}")))
}

/// Reads the parts of a line's quantity by place or date.
fn read_schedules(part: &RsxNode, at: &str, line: &mut PurchaseOrderLine, faults: &mut RsxFaultCollector) {
    let date = part.children_named(&["Dates", "Date"]).next();
    let schedule = LineSchedule {
        kind: part.take_text(&["QuantityQualifier"]),
        location_qualifier: part.take_text(&["LocationCodeQualifier"]),
        unit: part.take_text(&["TotalQtyUOM"]),
        date_qualifier: date.and_then(|date| date.take_text(&["DateTimeQualifier", "DateTimeQualifier1"])),
        on: date.and_then(|date| faults.take_date(date, at, &["Date", "Date1"])),
        ..LineSchedule::default()
    };
    let places: Vec<&RsxNode> = part.children_named(&["LocationQuantity"]).collect();
    for place in &places {
        if let Some(quantity) = faults.take_number(place, &format!("{at}/LocationQuantity"), "Qty") {
            let location = place.take_text(&["Location"]);
            line.schedules.push(LineSchedule { location, quantity, ..schedule.clone() });
        }
    }
    if places.is_empty()
        && let Some(quantity) = faults.take_number(part, at, "TotalQty")
    {
        line.schedules.push(LineSchedule { quantity, ..schedule });
    }
}
