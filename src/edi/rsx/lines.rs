//! Reads the lines of an RSX order, and the components of sets and kits below them.

use crate::edi::codes;
use crate::edi::decimal;
use crate::edi::purchase_order::{EdiAmount, EdiPrice, LineSchedule, ProductId, PurchaseOrderLine};
use crate::edi::rsx::faults::{self, RsxFaultCollector};
use crate::edi::rsx::parts;
use crate::edi::rsx::tree::RsxNode;
use rust_decimal::Decimal;

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
    let details = faults.find_single(item, "OrderLine", at).unwrap_or(&empty);
    let mut line = read_item(item, details, ("OrderQty", "OrderQtyUOM"), at, faults);
    if let Some(amount) = faults.take_number(details, at, "ExtendedItemTotal") {
        // Quantity times price; X12 writes it as AMT*1.
        line.amounts.push(EdiAmount { qualifier: "1".to_owned(), amount });
    }
    if let Some(finding) = faults::contradict_ship_date(details, &line.dates) {
        faults.add_finding(at, &line, finding);
    }
    line.change = details.take_text(&["LineChangeCode"]);
    line.quantity_before = faults.take_number(details, at, "PreviousOrderQty");
    line.quantity_difference = faults.take_number(details, at, "VarianceQty");
    for part in item.children_named(&["QuantitiesSchedulesLocations"]) {
        read_schedules(part, at, &mut line, faults);
    }
    let wrapped = item.children_named(&["Sublines"]).flat_map(|wrapper| wrapper.children_named(&["Subline"]));
    for (index, subline) in item.children_named(&["Subline"]).chain(wrapped).enumerate() {
        let at = format!("{at}/Subline {}", index + 1);
        let details = faults.find_single(subline, "SublineItemDetail", &at).unwrap_or(&empty);
        let mut component = read_item(subline, details, ("QtyPer", "QtyPerUOM"), &at, faults);
        for part in subline.children_named(&["QuantitiesSchedulesLocations"]) {
            read_schedules(part, &at, &mut component, faults);
        }
        add_contradictions(subline, &at, &component, faults);
        component.extras = subline.collect_extras("");
        line.components.push(component);
    }
    add_contradictions(item, at, &line, faults);
    line.extras = item.collect_extras("");
    line
}

/// Adds a finding for each value of a line or component that is stated twice, with different values.
fn add_contradictions(item: &RsxNode, at: &str, line: &PurchaseOrderLine, faults: &mut RsxFaultCollector) {
    for (path, finding) in item.find_contradictions("") {
        faults.add_finding(at, line, format!("{path} {finding}"));
    }
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
    if let Some(finding) = read_packs(item, details, &mut line) {
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
fn read_packs(item: &RsxNode, details: &RsxNode, line: &mut PurchaseOrderLine) -> Option<String> {
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
    let inner_pack = details.take_parsed(&["InnerPack"], decimal::normalize_decimal);
    if line.inner_pack.is_none() {
        line.inner_pack = inner_pack;
    }
    line.pack_size = outer.first().and_then(|level| read_pack_size(level));
    finding
}

fn read_pack_value(level: &RsxNode) -> Option<String> {
    decimal::normalize_decimal(&level.child_text(&["PackValue"])?)
}

/// Reads the size of an inner unit: `340 GR`.
fn read_pack_size(details: &RsxNode) -> Option<String> {
    let size = details.take_parsed(&["PackSize"], decimal::normalize_decimal)?;
    Some(details.take_text(&["PackUOM"]).map_or(size.clone(), |unit| format!("{size} {unit}")))
}

/// Compares `TotalQty`, which stays an extra, with the quantities of its locations.
fn compare_total(part: &RsxNode, quantities: &[(Option<String>, String)]) -> Option<String> {
    let stated = part.child_text(&["TotalQty"])?;
    let sum = quantities
        .iter()
        .try_fold(Decimal::ZERO, |sum, (_, quantity)| sum.checked_add(decimal::parse_decimal(quantity)?))?;
    let unit = part.child_text(&["TotalQtyUOM"]).unwrap_or_default();
    let described = format!("{} {unit}", sum.normalize());
    (decimal::parse_decimal(&stated) != Some(sum))
        .then(|| format!("has locations that add up to {}, TotalQty states {stated:?}", described.trim_end()))
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
    if quantities.is_empty() {
        quantities.extend(faults.take_number(part, at, "TotalQty").map(|quantity| (None, quantity)));
    } else if let Some(finding) = compare_total(part, &quantities) {
        faults.add_finding(at, line, finding);
    }
    if quantities.is_empty() {
        return;
    }
    let date = part.children_named(&["Dates", "Date"]).next();
    let schedule = LineSchedule {
        kind: part.take_code(&["QuantityQualifier"], 2),
        location_qualifier: part.take_text(&["LocationCodeQualifier"]),
        unit: part.take_text(&["TotalQtyUOM"]),
        date_qualifier: date.and_then(|date| {
            date.take_code(&["DateTimeQualifier", "DateTimeQualifier1"], codes::DATE_QUALIFIER_LENGTH)
        }),
        on: date.and_then(|date| faults.take_date(date, at, &["Date", "Date1"])),
        ..LineSchedule::default()
    };
    let to_schedule = |(location, quantity)| LineSchedule { location, quantity, ..schedule.clone() };
    line.schedules.extend(quantities.into_iter().map(to_schedule));
}
