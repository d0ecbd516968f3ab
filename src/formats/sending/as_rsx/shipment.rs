//! A `Shipment`.

use super::{Fields, address, carrier, coded, description, line};
use crate::formats::decimal;
use crate::formats::sending::ordered::{Ordered, addresses};
use crate::formats::sending::shipment::{Notice, PackKind, Packed, Shipped, digits_of};

/// Its elements.
#[must_use]
pub fn fields(notice: &Notice<'_>) -> Fields {
    let shipment = notice.shipment;
    let first = &notice.orders[0].0.state.order;
    let has_packs = notice.orders.iter().any(|(_, packed)| !packed.packs.is_empty());
    let mut own = Fields::default();
    own.text("TradingPartnerId", Some(&first.partner));
    own.text("ShipmentIdentification", Some(&shipment.shipment_number));
    own.text("ShipDate", Some(&shipment.shipped_on));
    let time = shipment.ship_time.as_ref().map(|time| format!("{time}:00"));
    own.text("ShipmentTime", time.as_deref());
    own.text("TsetPurposeCode", Some("00"));
    own.text("ShipNoticeDate", notice.at.get(..10));
    own.text("ShipNoticeTime", notice.at.get(11..19));
    own.text("ASNStructureCode", Some(if has_packs { "0001" } else { "0004" }));
    own.text("BillOfLadingNumber", shipment.bill_of_lading.as_deref());
    own.text("CarrierProNumber", shipment.pro_number.as_deref());
    own.text("CurrentScheduledDeliveryDate", shipment.delivery_on.as_deref());
    let mut header = Fields::default();
    header.object("ShipmentHeader", own);
    let places = addresses(&shipment.addresses, &first.addresses, &["ST"]);
    header.list("Address", places.iter().map(address));
    header.list("CarrierInformation", shipment.carrier.iter().map(carrier));
    header.list("QuantityAndWeight", [lading(notice)]);
    let mut all = Fields::default();
    all.object("Header", header);
    all.list("OrderLevel", notice.orders.iter().map(|(ordered, packed)| order(ordered, packed)));
    let mut summary = Fields::default();
    summary.count("TotalOrders", notice.orders.len());
    summary.count("TotalLineItemNumber", notice.orders.iter().map(|(_, packed)| packed.all_lines().len()).sum());
    all.object("Summary", summary);
    all
}

fn lading(notice: &Notice<'_>) -> Fields {
    let mut fields = Fields::default();
    if let Some((medium, count)) = notice.lading() {
        fields.text("PackingMedium", Some(medium));
        fields.count("LadingQuantity", count);
    }
    if let Some(weight) = &notice.shipment.weight {
        fields.text("WeightQualifier", Some("G"));
        fields.number("Weight", Some(weight.value));
        fields.text("WeightUOM", Some(&weight.unit));
    }
    fields
}

fn order(ordered: &Ordered, packed: &Packed<'_>) -> Fields {
    let order = &ordered.state.order;
    let mut own = Fields::default();
    own.text("PurchaseOrderNumber", Some(&order.number));
    own.text("ReleaseNumber", Some(&order.release));
    own.text("PurchaseOrderDate", order.ordered_on.as_deref());
    own.text("Department", order.department.as_deref());
    own.text("Vendor", order.vendor.as_deref());
    let mut fields = Fields::default();
    fields.object("OrderHeader", own);
    fields.list("Address", order.addresses.iter().filter(|place| place.kind == "BY").map(address));
    contents(&mut fields, packed);
    fields
}

/// The items in it and the packs, in the places of RSX: an order has its packs first, a pack its items.
fn contents(fields: &mut Fields, packed: &Packed<'_>) {
    let packs = packed.packs.iter().map(pack);
    let items = packed.lines.iter().map(item);
    if packed.pack.is_none() {
        fields.list("PackLevel", packs);
        fields.list("ItemLevel", items);
    } else {
        fields.list("ItemLevel", items);
        fields.list("PackLevel", packs);
    }
}

fn pack(packed: &Packed<'_>) -> Fields {
    let mut fields = Fields::default();
    let Some(pack) = packed.pack else { return fields };
    let mut own = Fields::default();
    own.text("PackLevelType", Some(pack.kind.as_str()));
    own.text("ShippingSerialID", pack.sscc.as_deref().map(|sscc| format!("00{}", digits_of(sscc))).as_deref());
    own.text("CarrierPackageID", pack.tracking.as_deref());
    fields.object("Pack", own);
    let mut medium = Fields::default();
    medium.text("PackingMedium", Some(if pack.kind == PackKind::Pallet { "PLT" } else { "CTN" }));
    fields.list("PhysicalDetails", [medium]);
    contents(&mut fields, packed);
    fields
}

fn item(shipped: &Shipped<'_>) -> Fields {
    let mut own = line(shipped.at.line);
    own.number("OrderQty", shipped.at.line.quantity.as_deref().and_then(decimal::parse));
    own.text("OrderQtyUOM", shipped.at.line.unit.as_deref());
    own.number("ShipQty", Some(shipped.given.quantity));
    own.text("ShipQtyUOM", shipped.unit);
    let mut fields = Fields::default();
    fields.object("ShipmentLine", own);
    fields.list("ProductOrItemDescription", description(shipped.at.line));
    fields.list("Dates", coded(("DateTimeQualifier", "Date"), "036", shipped.given.expires_on.as_deref()));
    fields.list("References", coded(("ReferenceQual", "ReferenceID"), "LT", shipped.given.lot.as_deref()));
    fields
}
