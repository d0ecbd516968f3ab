//! Builds an RSX `Shipment`.

use crate::edi::decimal;
use crate::edi::outbound::as_rsx::{
    self, RsxFields, build_address, build_carrier, build_coded_value, build_description, build_line_ids,
    build_net_weight,
};
use crate::edi::outbound::order_balance::{OrderBalance, merge_addresses};
use crate::edi::outbound::partner_rules::PartnerRules;
use crate::edi::outbound::ship_notice::{
    PackKind, ResolvedPack, ResolvedShipNotice, ResolvedShipNoticeLine, ShipNotice, ShipNoticeOrder, strip_sscc_prefix,
};

/// Builds the elements of a `Shipment`.
#[must_use]
pub fn build_rsx_shipment(notice: &ResolvedShipNotice<'_>) -> RsxFields {
    let shipment = notice.notice;
    let first = &notice.orders[0].0.state.order;
    let has_packs = notice.orders.iter().any(|(_, packed)| !packed.packs.is_empty());
    let mut shipment_header = RsxFields::default();
    shipment_header.add_text("TradingPartnerId", Some(&first.partner));
    shipment_header.add_text("ShipmentIdentification", Some(&shipment.shipment_number));
    shipment_header.add_text("ShipDate", Some(&shipment.shipped_on));
    let time = shipment.ship_time.as_ref().map(|time| format!("{time}:00"));
    shipment_header.add_text("ShipmentTime", time.as_deref());
    shipment_header.add_text("TsetPurposeCode", Some("00"));
    shipment_header.add_text("ShipNoticeDate", notice.sent_at.get(..10));
    shipment_header.add_text("ShipNoticeTime", notice.sent_at.get(11..19));
    shipment_header.add_text("ASNStructureCode", Some(if has_packs { "0001" } else { "0004" }));
    shipment_header.add_text("BillOfLadingNumber", shipment.bill_of_lading.as_deref());
    shipment_header.add_text("CarrierProNumber", shipment.pro_number.as_deref());
    shipment_header.add_text("CurrentScheduledDeliveryDate", shipment.delivery_on.as_deref());
    let mut header = RsxFields::default();
    header.add_object("ShipmentHeader", shipment_header);
    header.add_list("Dates", as_rsx::list_dates(&shipment.dates));
    header.add_list("References", as_rsx::list_references(None, &shipment.references));
    header.add_list("Notes", as_rsx::list_notes(&shipment.notes));
    header.add_list("Contacts", as_rsx::list_contacts(&shipment.contacts));
    let addresses = merge_addresses(&shipment.addresses, &first.addresses, &["ST"]);
    header.add_list("Address", addresses.iter().map(build_address));
    header.add_list("CarrierInformation", [build_carrier_with_trailer(shipment)]);
    header.add_list("QuantityAndWeight", list_quantities_and_weight(notice));
    header.add_list("FOBRelatedInstruction", as_rsx::build_freight(shipment.freight_payer.as_ref(), first));
    let mut document = RsxFields::default();
    document.add_object("Header", header);
    let orders = shipment.orders.iter().zip(&notice.orders);
    let build_level =
        |(stated, (ordered, packed)): (&_, &(&_, _))| build_order_level((stated, ordered), packed, notice.rules);
    document.add_list("OrderLevel", orders.map(build_level));
    let mut summary = RsxFields::default();
    summary.add_count("TotalOrders", notice.orders.len());
    summary.add_count("TotalLineItemNumber", notice.orders.iter().map(|(_, packed)| packed.all_lines().len()).sum());
    document.add_object("Summary", summary);
    document
}

/// Builds an entry for each kind of pack. The first one has the weight.
fn list_quantities_and_weight(notice: &ResolvedShipNotice<'_>) -> Vec<RsxFields> {
    let build_lading = |(medium, count)| {
        let mut fields = RsxFields::default();
        fields.add_text("PackingMedium", Some(medium));
        fields.add_count("LadingQuantity", count);
        fields
    };
    let mut entries: Vec<RsxFields> = notice.lading_quantities().into_iter().map(build_lading).collect();
    if let Some(weight) = &notice.notice.weight {
        if entries.is_empty() {
            entries.push(RsxFields::default());
        }
        entries[0].add_text("WeightQualifier", Some("G"));
        entries[0].add_number("Weight", Some(weight.value));
        entries[0].add_text("WeightUOM", Some(&weight.unit));
    }
    entries
}

/// Builds the carrier, and the trailer with its seals.
fn build_carrier_with_trailer(shipment: &ShipNotice) -> RsxFields {
    let mut fields = shipment.carrier.as_ref().map(build_carrier).unwrap_or_default();
    let Some(trailer) = &shipment.trailer else { return fields };
    fields.add_text("EquipmentDescriptionCode", Some("TL"));
    fields.add_text("CarrierEquipmentInitial", trailer.initial.as_deref());
    fields.add_text("CarrierEquipmentNumber", Some(&trailer.number));
    let build_seal = |seal: &String| {
        let mut fields = RsxFields::default();
        fields.add_text("SealNumber", Some(seal));
        fields
    };
    fields.add_list("SealNumbers", trailer.seals.iter().map(build_seal));
    fields
}

fn build_order_level(
    (stated, ordered): (&ShipNoticeOrder, &OrderBalance),
    packed: &ResolvedPack<'_>,
    rules: &PartnerRules,
) -> RsxFields {
    let order = &ordered.state.order;
    let mut order_header = RsxFields::default();
    order_header.add_text("PurchaseOrderNumber", Some(&order.number));
    order_header.add_text("ReleaseNumber", Some(&order.release));
    order_header.add_text("PurchaseOrderDate", order.ordered_on.as_deref());
    order_header.add_text("Department", order.department.as_deref());
    order_header.add_text("Vendor", order.vendor.as_deref());
    let mut fields = RsxFields::default();
    fields.add_object("OrderHeader", order_header);
    fields.add_list("Dates", as_rsx::list_dates(&stated.dates));
    fields.add_list("References", as_rsx::list_references(Some(order), &stated.references));
    fields.add_list("Address", order.addresses.iter().filter(|address| address.kind == "BY").map(build_address));
    add_pack_contents(&mut fields, packed, rules);
    fields
}

/// Adds the items and inner packs of a pack, in RSX's sequence: an order has its packs first, a pack its items first.
fn add_pack_contents(fields: &mut RsxFields, packed: &ResolvedPack<'_>, rules: &PartnerRules) {
    let packs = packed.packs.iter().map(|pack| build_pack_level(pack, rules));
    let items = packed.lines.iter().map(build_item_level);
    if packed.pack.is_none() {
        fields.add_list("PackLevel", packs);
        fields.add_list("ItemLevel", items);
    } else {
        fields.add_list("ItemLevel", items);
        fields.add_list("PackLevel", packs);
    }
}

fn build_pack_level(packed: &ResolvedPack<'_>, rules: &PartnerRules) -> RsxFields {
    let mut fields = RsxFields::default();
    let Some(pack) = packed.pack else { return fields };
    let mut pack_header = RsxFields::default();
    pack_header.add_text("PackLevelType", Some(pack.kind.as_str()));
    let sscc = pack.sscc.as_deref().map(|sscc| rules.format_sscc(strip_sscc_prefix(sscc)));
    pack_header.add_text("ShippingSerialID", sscc.as_deref());
    pack_header.add_text("CarrierPackageID", pack.tracking.as_deref());
    fields.add_object("Pack", pack_header);
    let mut medium = RsxFields::default();
    medium.add_text("PackingMedium", Some(if pack.kind == PackKind::Pallet { "PLT" } else { "CTN" }));
    if let Some(weight) = &pack.weight {
        medium.add_text("WeightQualifier", Some("G"));
        medium.add_number("PackWeight", Some(weight.value));
        medium.add_text("PackWeightUOM", Some(&weight.unit));
    }
    fields.add_list("PhysicalDetails", [medium]);
    add_pack_contents(&mut fields, packed, rules);
    fields
}

fn build_item_level(line: &ResolvedShipNoticeLine<'_>) -> RsxFields {
    let mut shipment_line = build_line_ids(line.matched.line);
    shipment_line.add_number("OrderQty", line.matched.line.quantity.as_deref().and_then(decimal::parse_decimal));
    shipment_line.add_text("OrderQtyUOM", line.matched.line.unit.as_deref());
    shipment_line.add_number("ShipQty", Some(line.line.quantity));
    shipment_line.add_text("ShipQtyUOM", line.unit);
    let mut fields = RsxFields::default();
    fields.add_object("ShipmentLine", shipment_line);
    fields.add_list("PhysicalDetails", line.line.weight.as_ref().map(build_net_weight));
    fields.add_list("ProductOrItemDescription", build_description(line.matched.line));
    let expiry = build_coded_value(("DateTimeQualifier", "Date"), "036", line.line.expires_on.as_deref());
    fields.add_list("Dates", expiry.into_iter().chain(as_rsx::list_dates(&line.line.dates)));
    let lot = build_coded_value(("ReferenceQual", "ReferenceID"), "LT", line.line.lot.as_deref());
    fields.add_list("References", lot.into_iter().chain(as_rsx::list_references(None, &line.line.references)));
    fields
}
