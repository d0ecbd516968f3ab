//! An 856: BSN, and a tree of HL: the shipment, its orders, their pallets and cartons, the items in each.

use crate::formats::purchase_order::Address;
use crate::formats::sending::ordered::{Ordered, addresses};
use crate::formats::sending::shipment::{Notice, Packed, Shipped, digits_of};
use crate::formats::x12::write::{Draft, segment};

/// Pairs of LIN02 to LIN31.
const IDS_MAX: usize = 15;

/// Writes it, in the version that the order was written in.
#[must_use]
pub fn draft(notice: &Notice<'_>) -> Draft {
    let shipment = notice.shipment;
    let first = &notice.orders[0].0.state.order;
    let has_packs = notice.orders.iter().any(|(_, packed)| !packed.packs.is_empty());
    // Shipment, order, packaging, item; or without packaging.
    let structure = if has_packs { "0001" } else { "0004" };
    let digits: String = super::digits(notice.at);
    let (date, time) = (digits.get(..8).unwrap_or_default(), digits.get(8..12).unwrap_or_default());
    let mut tree = Tree::default();
    tree.add(segment(["BSN", "00", &shipment.shipment_number, date, time, structure]));
    let top = tree.level(None, "S");
    tree.shipment(notice, &addresses(&shipment.addresses, &first.addresses, &["ST"]));
    for (order, packed) in &notice.orders {
        tree.order(top, order, packed);
    }
    tree.add(segment(["CTT", &tree.levels.to_string()]));
    Draft {
        kind: "856",
        functional_id: "SH",
        origin: first.origin.clone(),
        is_test: first.is_test,
        segments: tree.said,
    }
}

#[derive(Default)]
struct Tree {
    said: Vec<Vec<String>>,
    levels: usize,
}

impl Tree {
    fn add(&mut self, segment: Vec<String>) {
        self.said.push(segment);
    }

    /// HL; gives its number. Whether it has children (HL04) is not said, as is usual in retail.
    fn level(&mut self, parent: Option<usize>, kind: &str) -> usize {
        self.levels += 1;
        let parent = parent.map_or(String::new(), |parent| parent.to_string());
        self.add(segment(["HL", &self.levels.to_string(), &parent, kind]));
        self.levels
    }

    fn shipment(&mut self, notice: &Notice<'_>, places: &[Address]) {
        let shipment = notice.shipment;
        let lading = notice.lading().map(|(medium, count)| [medium.to_owned(), count.to_string()]);
        let weight = shipment.weight.as_ref().map(|weight| (weight.value.normalize().to_string(), &weight.unit));
        if lading.is_some() || weight.is_some() {
            let [medium, count] = lading.unwrap_or_default();
            let mut td1 = segment(["TD1", &medium, &count]);
            if let Some((value, unit)) = weight {
                td1.extend(segment(["", "", "", "G", &value, unit]));
            }
            self.add(td1);
        }
        self.said.extend(super::carrier("TD5", shipment.carrier.as_ref()));
        self.said.extend(super::reference("BM", shipment.bill_of_lading.as_ref()));
        self.said.extend(super::reference("CN", shipment.pro_number.as_ref()));
        let mut shipped = segment(["DTM", "011", &super::digits(&shipment.shipped_on)]);
        shipped.extend(shipment.ship_time.as_deref().map(super::digits));
        self.add(shipped);
        self.said.extend(super::day("017", shipment.delivery_on.as_ref()));
        for place in places {
            self.said.extend(super::address(place));
        }
    }

    fn order(&mut self, parent: usize, order: &Ordered, packed: &Packed<'_>) {
        let own = &order.state.order;
        let level = self.level(Some(parent), "O");
        let ordered_on = own.ordered_on.as_deref().map(super::digits).unwrap_or_default();
        self.add(segment(["PRF", &own.number, &own.release, "", &ordered_on]));
        self.said.extend(super::reference("DP", own.department.as_ref()));
        self.said.extend(super::reference("IA", own.vendor.as_ref()));
        for place in own.addresses.iter().filter(|address| address.kind == "BY") {
            self.said.extend(super::address(place));
        }
        self.packed(level, packed);
    }

    /// The packs in it and its own items.
    fn packed(&mut self, parent: usize, packed: &Packed<'_>) {
        for inner in &packed.packs {
            let Some(pack) = inner.pack else { continue };
            let level = self.level(Some(parent), pack.kind.as_str());
            if let Some(digits) = pack.sscc.as_deref().map(digits_of) {
                self.add(segment(["MAN", "GM", &format!("00{digits}")]));
            }
            if let Some(tracking) = &pack.tracking {
                self.add(segment(["MAN", "CP", tracking]));
            }
            self.packed(level, inner);
        }
        for line in &packed.lines {
            self.item(parent, line);
        }
    }

    fn item(&mut self, parent: usize, line: &Shipped<'_>) {
        self.level(Some(parent), "I");
        let number = line.at.line.number.as_deref().unwrap_or_default();
        let mut item = segment(["LIN", number]);
        item.extend(super::ids(line.at.line, IDS_MAX));
        if item.len() > 2 {
            self.add(item);
        }
        let quantity = line.given.quantity.normalize().to_string();
        let mut shipped = segment(["SN1", number, &quantity, line.unit.unwrap_or_default()]);
        if let (Some(ordered), Some(unit)) = (&line.at.line.quantity, &line.at.line.unit) {
            shipped.extend([String::new(), ordered.clone(), unit.clone()]);
        }
        self.add(shipped);
        self.said.extend(super::description(line.at.line));
        self.said.extend(super::reference("LT", line.given.lot.as_ref()));
        self.said.extend(super::day("036", line.given.expires_on.as_ref()));
    }
}
