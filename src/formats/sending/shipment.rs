//! A ship notice: what is on the truck, pallet by pallet and carton by carton, for one or several orders of one partner.

use super::ordered::{Ordered, Position};
use super::problems::Problems;
use super::{Carrier, Prepared, Reference, Sent, as_rsx, as_x12, given};
use crate::formats::purchase_order::Address;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::BTreeSet;

/// A ship notice as the ERP gives it. Days are `2026-11-24`, times `14:30` by the warehouse's clock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Shipment {
    pub shipment_number: String,
    pub shipped_on: String,
    pub ship_time: Option<String>,
    /// When it will be there.
    pub delivery_on: Option<String>,
    pub bill_of_lading: Option<String>,
    /// The carrier's number of the shipment.
    pub pro_number: Option<String>,
    pub carrier: Option<Carrier>,
    pub weight: Option<Weight>,
    /// SF ship from …; ST is the order's where it has none itself.
    #[serde(default)]
    pub addresses: Vec<Address>,
    pub orders: Vec<Order>,
}

/// Gross.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Weight {
    #[serde(deserialize_with = "given::number")]
    pub value: Decimal,
    /// LB, KG.
    pub unit: String,
}

/// What is shipped of one purchase order: in packs, or loose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Order {
    pub purchase_order: String,
    pub partner: Option<String>,
    pub release: Option<String>,
    #[serde(default)]
    pub packs: Vec<Pack>,
    /// What is in no pack.
    #[serde(default)]
    pub lines: Vec<ShipmentLine>,
}

/// A pallet or a carton.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pack {
    pub kind: PackKind,
    /// SSCC-18 of its label, with or without its 00 in front.
    pub sscc: Option<String>,
    /// A parcel carrier's number.
    pub tracking: Option<String>,
    /// Cartons on a pallet.
    #[serde(default)]
    pub packs: Vec<Pack>,
    #[serde(default)]
    pub lines: Vec<ShipmentLine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackKind {
    Pallet,
    Carton,
}

impl PackKind {
    /// HL03: tare or pack.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pallet => "T",
            Self::Carton => "P",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShipmentLine {
    /// The retailer's number of the line.
    pub line: Option<String>,
    /// Any number of the goods that the order has.
    pub item: Option<String>,
    #[serde(deserialize_with = "given::number")]
    pub quantity: Decimal,
    /// The order's, where it is left out.
    pub unit: Option<String>,
    pub lot: Option<String>,
    /// Best before.
    pub expires_on: Option<String>,
}

/// A line with what the order says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped<'s> {
    pub at: Position<'s>,
    pub given: &'s ShipmentLine,
    pub unit: Option<&'s str>,
}

/// A pack with its lines found; `pack` is `None` for what is loose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<'s> {
    pub pack: Option<&'s Pack>,
    pub packs: Vec<Packed<'s>>,
    pub lines: Vec<Shipped<'s>>,
}

/// A shipment with its orders: what is written.
#[derive(Debug, Clone)]
pub struct Notice<'s> {
    pub shipment: &'s Shipment,
    pub orders: Vec<(&'s Ordered, Packed<'s>)>,
    /// When it is sent: `2026-11-24T13:30:59.123Z`.
    pub at: &'s str,
}

impl Order {
    /// Which order it is.
    #[must_use]
    pub fn reference(&self) -> Reference {
        Reference { number: self.purchase_order.clone(), partner: self.partner.clone(), release: self.release.clone() }
    }
}

impl Notice<'_> {
    /// What the truck is counted by, with its code: cartons, where there are any, else pallets.
    #[must_use]
    pub fn lading(&self) -> Option<(&'static str, usize)> {
        let count = |kind| self.orders.iter().map(|(_, packed)| packed.count(kind)).sum::<usize>();
        let all = [("CTN", count(PackKind::Carton)), ("PLT", count(PackKind::Pallet))];
        all.into_iter().find(|(_, count)| *count > 0)
    }
}

impl Packed<'_> {
    /// All its lines, those of packs in it too.
    #[must_use]
    pub fn all_lines(&self) -> Vec<&Shipped<'_>> {
        self.lines.iter().chain(self.packs.iter().flat_map(Packed::all_lines)).collect()
    }

    /// Packs of a kind in it, however deep.
    #[must_use]
    pub fn count(&self, kind: PackKind) -> usize {
        let own = self.pack.is_some_and(|pack| pack.kind == kind);
        usize::from(own) + self.packs.iter().map(|pack| pack.count(kind)).sum::<usize>()
    }
}

impl Shipment {
    pub(super) fn prepare(&self, orders: &[Ordered], lenient: bool, at: &str) -> Result<Prepared, Vec<String>> {
        let mut problems = Problems::default();
        self.head(orders, lenient, &mut problems);
        let (mut labels, mut tracking) = (BTreeSet::new(), BTreeSet::new());
        let mut found: Vec<(&Ordered, Packed<'_>)> = Vec::new();
        for (given, order) in self.orders.iter().zip(orders) {
            let mut finder =
                Finder { order, lenient, problems: &mut problems, labels: &mut labels, tracking: &mut tracking };
            let packed = finder.packed(None, &given.packs, &given.lines);
            if packed.all_lines().is_empty() {
                problems.add(format!("of order {} nothing is shipped", given.purchase_order));
            }
            found.push((order, packed));
        }
        let notice = Notice { shipment: self, orders: found, at };
        let first = &orders[0].state.order;
        let sent = notice.orders.iter().enumerate().flat_map(|(place, (order, packed))| {
            packed.all_lines().into_iter().map(move |line| Sent {
                order: place,
                line: order.number(line.at.index),
                goods: order.goods(line.at.index).to_owned(),
                quantity: line.given.quantity,
                unit: line.unit.map(str::to_owned),
            })
        });
        let writers = (|| as_x12::ship_notice::draft(&notice), || as_rsx::shipment::fields(&notice));
        problems.end(())?;
        Ok(Prepared {
            lines: sent.collect(),
            total: None,
            outgoing: super::outgoing("856", &self.shipment_number, first, writers)?,
            labels: labels.into_iter().collect(),
        })
    }

    fn head(&self, orders: &[Ordered], lenient: bool, problems: &mut Problems) {
        problems.code("shipment_number", &self.shipment_number, (2, 30));
        problems.day("shipped_on", Some(&self.shipped_on));
        problems.time("ship_time", self.ship_time.as_ref());
        problems.day("delivery_on", self.delivery_on.as_ref());
        problems.optional("bill_of_lading", self.bill_of_lading.as_ref(), (1, 30));
        problems.optional("pro_number", self.pro_number.as_ref(), (1, 30));
        problems.carrier(self.carrier.as_ref(), 80);
        self.addresses.iter().for_each(|address| problems.address(address));
        if let Some(weight) = &self.weight {
            problems.code("the unit of weight", &weight.unit, (2, 2));
            if weight.value <= Decimal::ZERO || weight.value.normalize().to_string().replace('.', "").len() > 10 {
                problems.add(format!("the weight {} cannot be sent", weight.value));
            }
        }
        let (first, mut numbers) = (&orders[0].state.order, BTreeSet::new());
        for order in orders {
            if let Some(closed) = order.closed(lenient) {
                problems.add(closed);
            }
            let own = &order.state.order;
            if !numbers.insert((&own.number, &own.release)) {
                problems.add(format!("order {} is there twice", own.number));
            }
            if own.partner != first.partner || own.origin != first.origin || own.is_test != first.is_test {
                problems.add(format!(
                    "order {} did not come the same way as {}: send a notice each",
                    own.number, first.number
                ));
            }
        }
    }
}

/// Finds the lines of one order's packs.
struct Finder<'f, 's> {
    order: &'s Ordered,
    lenient: bool,
    problems: &'f mut Problems,
    labels: &'f mut BTreeSet<String>,
    tracking: &'f mut BTreeSet<String>,
}

impl<'s> Finder<'_, 's> {
    fn packed(&mut self, pack: Option<&'s Pack>, packs: &'s [Pack], lines: &'s [ShipmentLine]) -> Packed<'s> {
        let lines = lines.iter().filter_map(|line| self.line(line)).collect();
        let mut inner = Vec::new();
        for own in packs {
            self.label(own);
            if pack.is_some_and(|outer| outer.kind == PackKind::Carton)
                || (pack.is_some() && own.kind == PackKind::Pallet)
            {
                self.problems.add("a pallet holds cartons, and a carton holds no packs");
                continue;
            }
            let packed = self.packed(Some(own), &own.packs, &own.lines);
            if packed.all_lines().is_empty() {
                self.problems.add(format!("a {} of order {} is empty", word(own.kind), self.order.state.order.number));
            }
            inner.push(packed);
        }
        Packed { pack, packs: inner, lines }
    }

    fn label(&mut self, pack: &Pack) {
        self.problems.optional("tracking", pack.tracking.as_ref(), (1, 48));
        if pack.sscc.is_none() && pack.tracking.is_none() {
            self.problems.add(format!(
                "a {} has neither sscc nor tracking: nobody could tell it from the others",
                word(pack.kind)
            ));
        }
        if let Some(tracking) = &pack.tracking
            && !self.tracking.insert(tracking.clone())
        {
            self.problems.add(format!("tracking {tracking} is on two packs"));
        }
        let Some(sscc) = &pack.sscc else { return };
        match check_label(sscc, self.lenient) {
            Err(problem) => self.problems.add(problem),
            Ok(label) => {
                if !self.labels.insert(label.to_owned()) {
                    self.problems.add(format!("sscc {sscc} is on two packs"));
                }
            }
        }
    }

    fn line(&mut self, line: &'s ShipmentLine) -> Option<Shipped<'s>> {
        let at = match self.order.find(line.line.as_deref(), line.item.as_deref(), self.lenient) {
            Ok(at) => at,
            Err(problem) => {
                self.problems.add(problem);
                return None;
            }
        };
        self.problems.quantity(self.order, &at, (line.quantity, line.unit.as_ref()), self.lenient);
        self.problems.optional("lot", line.lot.as_ref(), (1, 30));
        self.problems.day("expires_on", line.expires_on.as_ref());
        let unit = line.unit.as_deref().or(at.line.unit.as_deref());
        Some(Shipped { given: line, unit, at })
    }
}

fn word(kind: PackKind) -> &'static str {
    match kind {
        PackKind::Pallet => "pallet",
        PackKind::Carton => "carton",
    }
}

/// The digits of a label without the identifier 00 in front.
pub(super) fn digits_of(text: &str) -> &str {
    let text = text.strip_prefix("(00)").unwrap_or(text);
    if text.len() == 20 { text.strip_prefix("00").unwrap_or(text) } else { text }
}

/// Whether it is an SSCC-18, whose last digit is the check digit of GS1: from the right ones and threes, to the next ten.
/// `lenient`: only its length.
fn check_label(text: &str, lenient: bool) -> Result<&str, String> {
    let digits = digits_of(text);
    if digits.len() != 18 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("sscc {text:?} has not 18 digits"));
    }
    let weighted =
        digits.bytes().rev().zip([1, 3].iter().cycle()).map(|(byte, weight)| u32::from(byte - b'0') * weight);
    if weighted.sum::<u32>() % 10 != 0 && !lenient {
        return Err(format!("sscc {text}: its check digit is wrong, so that a scanner would not take it"));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::check_label;

    #[test]
    fn a_label_has_its_check_digit() {
        for sound in ["008627140000045018", "00008627140000045025", "(00)157035381410375177", "095287654321012346"] {
            assert_eq!(check_label(sound, false).map(str::len), Ok(18), "{sound}");
        }
        for (broken, said) in
            [("00007774760000006929", "check digit"), ("1234", "18 digits"), ("00862714000004501x", "18 digits")]
        {
            assert!(check_label(broken, false).unwrap_err().contains(said), "{broken}");
        }
        assert!(check_label("00007774760000006929", true).is_ok());
    }
}
