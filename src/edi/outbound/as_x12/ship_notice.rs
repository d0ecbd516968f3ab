//! Drafts an 856: BSN, then a tree of HL segments: the shipment, its orders, their pallets and cartons, the items in
//! each.

use crate::edi::outbound::more_facts::OutboundTrailer;
use crate::edi::outbound::order_balance::{OrderBalance, merge_addresses};
use crate::edi::outbound::partner_rules::PartnerRules;
use crate::edi::outbound::ship_notice::{
    ResolvedPack, ResolvedShipNotice, ResolvedShipNoticeLine, ShipNoticeOrder, strip_sscc_prefix,
};
use crate::edi::outbound::{OutboundWeight, as_x12};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrder};
use crate::edi::x12::write::{X12Draft, build_segment};

/// Most pairs of qualifier and id in LIN02 to LIN31.
const IDS_MAX: usize = 15;

/// Drafts a ship notice, in the version of its orders.
#[must_use]
pub fn draft_ship_notice(notice: &ResolvedShipNotice<'_>) -> X12Draft {
    let shipment = notice.notice;
    let first = &notice.orders[0].0.state.order;
    let has_packs = notice.orders.iter().any(|(_, packed)| !packed.packs.is_empty());
    // BSN05: shipment, order, packaging, item (0001), or without packaging (0004).
    let structure = if has_packs { "0001" } else { "0004" };
    let digits = as_x12::extract_digits(notice.sent_at);
    let (date, time) = (digits.get(..8).unwrap_or_default(), digits.get(8..12).unwrap_or_default());
    let mut tree = HlLoopBuilder {
        segments: Vec::new(),
        level_count: 0,
        packaging_material: choose_packaging_material(first),
        rules: notice.rules,
    };
    tree.add_segment(build_segment(["BSN", "00", &shipment.shipment_number, date, time, structure]));
    let top = tree.add_level(None, "S");
    tree.add_shipment(notice, &merge_addresses(&shipment.addresses, &first.addresses, &["ST"]));
    for (stated, (order, packed)) in shipment.orders.iter().zip(&notice.orders) {
        tree.add_order(top, (stated, order), packed);
    }
    tree.add_segment(build_segment(["CTT", &tree.level_count.to_string()]));
    X12Draft {
        kind: "856",
        functional_id: "SH",
        origin: first.origin.clone(),
        is_test: first.is_test,
        segments: tree.segments,
    }
}

/// Returns the second part of a packaging code (element 103): none, or 71, not otherwise specified. Up to 003040 the
/// element has five characters, so that the part for the material cannot be left out.
fn choose_packaging_material(order: &PurchaseOrder) -> &'static str {
    let version = order.origin.version.as_str();
    if version.starts_with("00") && version < "003050" { "71" } else { "" }
}

/// Builds a TD3 with the first seal, and a REF for each other one.
fn build_trailer(trailer: &OutboundTrailer) -> Vec<Vec<String>> {
    let initial = trailer.initial.as_deref().unwrap_or_default();
    let first_seal = trailer.seals.first().map_or("", String::as_str);
    let td3 = build_segment(["TD3", "TL", initial, &trailer.number, "", "", "", "", "", first_seal]);
    let seals = trailer.seals.iter().skip(1).map(|seal| build_segment(["REF", "SN", seal]));
    std::iter::once(td3).chain(seals).collect()
}

struct HlLoopBuilder<'r> {
    segments: Vec<Vec<String>>,
    level_count: usize,
    /// Second part of TD101.
    packaging_material: &'static str,
    rules: &'r PartnerRules,
}

impl HlLoopBuilder<'_> {
    fn add_segment(&mut self, segment: Vec<String>) {
        self.segments.push(segment);
    }

    /// Adds an HL and returns its number. HL04, whether it has children, is left out, as is usual in retail.
    fn add_level(&mut self, parent: Option<usize>, kind: &str) -> usize {
        self.level_count += 1;
        let parent = parent.map_or(String::new(), |parent| parent.to_string());
        self.add_segment(build_segment(["HL", &self.level_count.to_string(), &parent, kind]));
        self.level_count
    }

    fn add_shipment(&mut self, notice: &ResolvedShipNotice<'_>, addresses: &[EdiAddress]) {
        let shipment = notice.notice;
        self.add_lading(&notice.lading_quantities(), shipment.weight.as_ref());
        self.segments.extend(as_x12::build_carrier_segment("TD5", shipment.carrier.as_ref()));
        self.segments.extend(shipment.trailer.iter().flat_map(build_trailer));
        self.segments.extend(as_x12::build_ref("BM", shipment.bill_of_lading.as_ref()));
        self.segments.extend(as_x12::build_ref("CN", shipment.pro_number.as_ref()));
        self.segments.extend(as_x12::build_own_refs(&shipment.references));
        self.segments.extend(as_x12::build_contacts(&shipment.contacts));
        let mut shipped = build_segment(["DTM", "011", &as_x12::extract_digits(&shipment.shipped_on)]);
        shipped.extend(shipment.ship_time.as_deref().map(as_x12::extract_digits));
        self.add_segment(shipped);
        self.segments.extend(as_x12::build_dtm("017", shipment.delivery_on.as_ref()));
        self.segments.extend(as_x12::build_own_dates(&shipment.dates));
        if let Some((first, _)) = notice.orders.first() {
            let fob = as_x12::build_fob(shipment.freight_payer.as_ref(), &first.state.order);
            self.segments.extend(fob);
        }
        for address in addresses {
            self.segments.extend(as_x12::build_n1_loop(address));
        }
    }

    /// Adds a TD1 for each kind of pack. The first one has the weight.
    fn add_lading(&mut self, quantities: &[(&'static str, usize)], weight: Option<&OutboundWeight>) {
        let build_td1 = |(medium, count): &(&'static str, usize)| {
            build_segment(["TD1", &format!("{medium}{}", self.packaging_material), &count.to_string()])
        };
        let mut segments: Vec<Vec<String>> = quantities.iter().map(build_td1).collect();
        if let Some(weight) = weight {
            if segments.is_empty() {
                segments.push(build_segment(["TD1", "", ""]));
            }
            segments[0].extend(build_segment(["", "", "", "G", &weight.value.normalize().to_string(), &weight.unit]));
        }
        self.segments.extend(segments);
    }

    /// Adds an order. `stated` is the ERP's entry for it.
    fn add_order(
        &mut self,
        parent: usize,
        (stated, order): (&ShipNoticeOrder, &OrderBalance),
        packed: &ResolvedPack<'_>,
    ) {
        let own = &order.state.order;
        let level = self.add_level(Some(parent), "O");
        let ordered_on = own.ordered_on.as_deref().map(as_x12::extract_digits).unwrap_or_default();
        self.add_segment(build_segment(["PRF", &own.number, &own.release, "", &ordered_on]));
        self.add_lading(&packed.lading_quantities(), None);
        self.segments.extend(as_x12::build_order_refs(own, &stated.references));
        self.segments.extend(as_x12::build_own_refs(&stated.references));
        self.segments.extend(as_x12::build_own_dates(&stated.dates));
        for address in own.addresses.iter().filter(|address| address.kind == "BY") {
            self.segments.extend(as_x12::build_n1_loop(address));
        }
        self.add_packs(level, packed);
    }

    /// Adds the inner packs and the items of a pack.
    fn add_packs(&mut self, parent: usize, packed: &ResolvedPack<'_>) {
        for inner in &packed.packs {
            let Some(pack) = inner.pack else { continue };
            let level = self.add_level(Some(parent), pack.kind.as_str());
            self.add_lading(&[], pack.weight.as_ref());
            if let Some(digits) = pack.sscc.as_deref().map(strip_sscc_prefix) {
                self.add_segment(build_segment(["MAN", "GM", &self.rules.format_sscc(digits)]));
            }
            if let Some(tracking) = &pack.tracking {
                self.add_segment(build_segment(["MAN", "CP", tracking]));
            }
            self.add_packs(level, inner);
        }
        for line in &packed.lines {
            self.add_item(parent, line);
        }
    }

    fn add_item(&mut self, parent: usize, line: &ResolvedShipNoticeLine<'_>) {
        self.add_level(Some(parent), "I");
        let number = line.matched.line.number.as_deref().unwrap_or_default();
        let mut item = build_segment(["LIN", number]);
        item.extend(as_x12::list_product_ids(line.matched.line, IDS_MAX));
        if item.len() > 2 {
            self.add_segment(item);
        }
        let quantity = line.line.quantity.normalize().to_string();
        let mut shipped = build_segment(["SN1", number, &quantity, line.unit.unwrap_or_default()]);
        if let (Some(ordered), Some(unit)) = (&line.matched.line.quantity, &line.matched.line.unit) {
            shipped.extend([String::new(), ordered.clone(), unit.clone()]);
        }
        self.add_segment(shipped);
        self.segments.extend(as_x12::build_po4(line.matched.line));
        self.segments.extend(as_x12::build_pid(line.matched.line));
        self.segments.extend(line.line.weight.as_ref().map(as_x12::build_weight));
        self.segments.extend(as_x12::build_ref("LT", line.line.lot.as_ref()));
        self.segments.extend(as_x12::build_own_refs(&line.line.references));
        self.segments.extend(as_x12::build_dtm("036", line.line.expires_on.as_ref()));
        self.segments.extend(as_x12::build_own_dates(&line.line.dates));
    }
}
