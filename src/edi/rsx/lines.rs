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
        currency: details.take_text(&["BuyersCurrency"]).or_else(|| details.take_text(&["SellersCurrency"])),
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
    if let Some(finding) = read_packs(item, &mut line) {
        faults.add_finding(at, &line, finding);
    }
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
            let price = faults.take_number(part, &at, "UnitPrice")?;
            let multiplier = faults.take_number(part, &at, "PriceMultiplier");
            Some(EdiPrice {
                price,
                multiplier_kind: multiplier.as_ref().and_then(|_| part.take_text(&["PriceMultiplierQual"])),
                multiplier,
                kind: part.take_text(&["PriceTypeIDCode"]),
                class: part.take_text(&["ClassOfTradeCode"]),
                quantity: faults.take_number(part, &at, "Quantity"),
                unit: part.take_text(&["QuantityUOM"]),
                basis: part.take_text(&["UnitPriceBasis"]),
            })
        })
        .collect()
}

/// Reads the packs: the outer one (OU), else the one without a qualifier, has the units of the ordered unit. The inner
/// one (IN) is separate. Another packing level, such as a pallet, stays an extra.
fn read_packs(item: &RsxNode, line: &mut PurchaseOrderLine) -> Option<String> {
    let find_levels = |wanted: Option<&str>| -> Vec<&RsxNode> {
        let packs = item.children_named(&["PhysicalDetails"]);
        packs.filter(|pack| pack.child_text(&["PackQualifier"]).as_deref() == wanted).collect()
    };
    let mut outer = find_levels(Some("OU"));
    if outer.is_empty() {
        outer = find_levels(None);
    }
    let inner = find_levels(Some("IN"));
    let mut finding = None;
    for (levels, pack) in [(&outer, &mut line.pack), (&inner, &mut line.inner_pack)] {
        let mut values: Vec<String> = levels.iter().filter_map(|level| read_pack_value(level)).collect();
        values.dedup();
        match values.as_slice() {
            [] => {}
            [value] => *pack = Some(value.clone()),
            several => {
                finding = Some(format!("states the packs {}: none is taken", several.join(" and ")));
                continue;
            }
        }
        if let Some(level) = levels.first().filter(|_| pack.is_some()) {
            level.take_text(&["PackQualifier"]);
            level.take_text(&["PackValue"]);
        }
    }
    let inner_pack = details_text(item, "InnerPack");
    if line.inner_pack.is_none() {
        line.inner_pack = inner_pack;
    }
    line.pack_size = outer.first().and_then(|level| read_pack_size(level));
    finding
}

fn read_pack_value(level: &RsxNode) -> Option<String> {
    decimal::normalize_decimal(&level.child_text(&["PackValue"])?)
}

/// Takes a number of `OrderLine`.
fn details_text(item: &RsxNode, name: &str) -> Option<String> {
    item.first_child(&["OrderLine"])?.take_parsed(&[name], decimal::normalize_decimal)
}

/// Reads the size of an inner unit: `340 GR`.
fn read_pack_size(details: &RsxNode) -> Option<String> {
    let size = details.take_parsed(&["PackSize"], decimal::normalize_decimal)?;
    Some(details.take_text(&["PackUOM"]).map_or(size.clone(), |unit| format!("{size} {unit}")))
}

/// Reads the parts of a line's quantity by place or date.
fn read_schedules(part: &RsxNode, at: &str, line: &mut PurchaseOrderLine, faults: &mut RsxFaultCollector) {
    let mut quantities = Vec::new();
    let places: Vec<&RsxNode> = part.children_named(&["LocationQuantity"]).collect();
    for place in &places {
        if let Some(quantity) = faults.take_number(place, &format!("{at}/LocationQuantity"), "Qty") {
            quantities.push((place.take_text(&["Location"]), quantity));
        }
    }
    if places.is_empty() {
        quantities.extend(faults.take_number(part, at, "TotalQty").map(|quantity| (None, quantity)));
    }
    if quantities.is_empty() {
        return;
    }
    let date = part.children_named(&["Dates", "Date"]).next();
    let schedule = LineSchedule {
        kind: part.take_text(&["QuantityQualifier"]),
        location_qualifier: part.take_text(&["LocationCodeQualifier"]),
        unit: part.take_text(&["TotalQtyUOM"]),
        date_qualifier: date.and_then(|date| date.take_text(&["DateTimeQualifier", "DateTimeQualifier1"])),
        on: date.and_then(|date| faults.take_date(date, at, &["Date", "Date1"])),
        ..LineSchedule::default()
    };
    let to_schedule = |(location, quantity)| LineSchedule { location, quantity, ..schedule.clone() };
    line.schedules.extend(quantities.into_iter().map(to_schedule));
}
