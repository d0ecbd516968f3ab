//! Ship notices. A ship notice lists the contents of a truck by pallet and carton, for one or several orders of one
//! partner.

use crate::edi::outbound::checks::DocumentChecker;
use crate::edi::outbound::more_facts::{self, OutboundContact, OutboundDate, OutboundReference, OutboundTrailer};
use crate::edi::outbound::order_balance::{MatchedOrderLine, OrderBalance};
use crate::edi::outbound::partner_rules::{FactKind, PartnerRules};
use crate::edi::outbound::{
    OutboundCarrier, OutboundWeight, PreparedDocument, PurchaseOrderReference, SentLine, as_rsx, as_x12, json_decimal,
    required_facts,
};
use crate::edi::purchase_order::EdiAddress;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Ship notice as the ERP gives it. Dates are `2026-11-24`, times are `14:30` in the warehouse's local time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShipNotice {
    pub shipment_number: String,
    pub shipped_on: String,
    pub ship_time: Option<String>,
    /// Expected date of delivery.
    pub delivery_on: Option<String>,
    pub bill_of_lading: Option<String>,
    /// Carrier's number of the shipment.
    pub pro_number: Option<String>,
    pub carrier: Option<OutboundCarrier>,
    /// Who pays the freight (FOB01): CC the buyer, PP the seller …; the order's if left out.
    pub freight_payer: Option<String>,
    pub trailer: Option<OutboundTrailer>,
    /// References and dates beyond those with a field of their own.
    #[serde(default)]
    pub references: Vec<OutboundReference>,
    #[serde(default)]
    pub dates: Vec<OutboundDate>,
    /// Persons of the seller whom the partner can ask.
    #[serde(default)]
    pub contacts: Vec<OutboundContact>,
    /// Notes for a person of the partner; only RSX has a place for them.
    #[serde(default)]
    pub notes: Vec<String>,
    pub weight: Option<OutboundWeight>,
    /// Warehouse that ships: the address SF.
    pub ship_from: Option<EdiAddress>,
    /// Other addresses; ST comes from the order if it is missing here.
    #[serde(default)]
    pub addresses: Vec<EdiAddress>,
    pub orders: Vec<ShipNoticeOrder>,
}

/// Shipped quantities of one purchase order, in packs or loose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShipNoticeOrder {
    pub purchase_order: String,
    pub partner: Option<String>,
    pub release: Option<String>,
    /// References and dates beyond those with a field of their own.
    #[serde(default)]
    pub references: Vec<OutboundReference>,
    #[serde(default)]
    pub dates: Vec<OutboundDate>,
    #[serde(default)]
    pub packs: Vec<ShipNoticePack>,
    /// Lines outside any pack.
    #[serde(default)]
    pub lines: Vec<ShipNoticeLine>,
}

/// Pallet or carton.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShipNoticePack {
    pub kind: PackKind,
    /// SSCC-18 of its label, with or without the application identifier 00.
    pub sscc: Option<String>,
    /// Tracking number of the carrier.
    pub tracking: Option<String>,
    /// Gross weight of the pack.
    pub weight: Option<OutboundWeight>,
    /// Cartons on a pallet.
    #[serde(default)]
    pub packs: Vec<ShipNoticePack>,
    #[serde(default)]
    pub lines: Vec<ShipNoticeLine>,
}

/// Kind of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackKind {
    Pallet,
    Carton,
}

impl PackKind {
    /// Returns the level code of HL03: tare or pack.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pallet => "T",
            Self::Carton => "P",
        }
    }
}

/// Line of a ship notice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShipNoticeLine {
    /// Line number of the retailer.
    pub line: Option<String>,
    /// Any product id that the order states for the item.
    pub item: Option<String>,
    #[serde(deserialize_with = "json_decimal::deserialize_number")]
    pub quantity: Decimal,
    /// Unit of measure; the order's if left out.
    pub unit: Option<String>,
    pub lot: Option<String>,
    /// Best-before date.
    pub expires_on: Option<String>,
    /// Net weight of the quantity.
    pub weight: Option<OutboundWeight>,
    /// References and dates beyond those with a field of their own.
    #[serde(default)]
    pub references: Vec<OutboundReference>,
    #[serde(default)]
    pub dates: Vec<OutboundDate>,
}

/// Ship notice line with the order line that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedShipNoticeLine<'s> {
    pub matched: MatchedOrderLine<'s>,
    pub line: &'s ShipNoticeLine,
    pub unit: Option<&'s str>,
}

/// Pack with its resolved lines; `pack` is `None` for loose lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPack<'s> {
    pub pack: Option<&'s ShipNoticePack>,
    pub packs: Vec<ResolvedPack<'s>>,
    pub lines: Vec<ResolvedShipNoticeLine<'s>>,
}

/// Ship notice with its orders, ready to be written.
#[derive(Debug, Clone)]
pub struct ResolvedShipNotice<'s> {
    pub notice: &'s ShipNotice,
    pub orders: Vec<(&'s OrderBalance, ResolvedPack<'s>)>,
    /// Time of sending: `2026-11-24T13:30:59.123Z`.
    pub sent_at: &'s str,
    pub rules: &'s PartnerRules,
}

impl ShipNoticeOrder {
    /// Returns the reference to its purchase order.
    #[must_use]
    pub fn order_reference(&self) -> PurchaseOrderReference {
        PurchaseOrderReference {
            number: self.purchase_order.clone(),
            partner: self.partner.clone(),
            release: self.release.clone(),
        }
    }
}

impl ResolvedShipNotice<'_> {
    /// Returns the code and the number of each kind of pack: pallets, then cartons.
    #[must_use]
    pub fn lading_quantities(&self) -> Vec<(&'static str, usize)> {
        let count = |kind| self.orders.iter().map(|(_, packed)| packed.count_packs(kind)).sum();
        list_lading(count(PackKind::Pallet), count(PackKind::Carton))
    }
}

/// Returns the packs with the codes of TD101, without those that do not occur.
fn list_lading(pallets: usize, cartons: usize) -> Vec<(&'static str, usize)> {
    [("PLT", pallets), ("CTN", cartons)].into_iter().filter(|(_, count)| *count > 0).collect()
}

impl ResolvedPack<'_> {
    /// Returns all its lines, also those of inner packs.
    #[must_use]
    pub fn all_lines(&self) -> Vec<&ResolvedShipNoticeLine<'_>> {
        self.lines.iter().chain(self.packs.iter().flat_map(ResolvedPack::all_lines)).collect()
    }

    /// Returns the code and the number of each kind of pack, as [`ResolvedShipNotice::lading_quantities`] does.
    #[must_use]
    pub fn lading_quantities(&self) -> Vec<(&'static str, usize)> {
        list_lading(self.count_packs(PackKind::Pallet), self.count_packs(PackKind::Carton))
    }

    /// Counts the packs of a kind, on all levels.
    #[must_use]
    pub fn count_packs(&self, kind: PackKind) -> usize {
        let is_kind = self.pack.is_some_and(|pack| pack.kind == kind);
        usize::from(is_kind) + self.packs.iter().map(|pack| pack.count_packs(kind)).sum::<usize>()
    }
}

impl ShipNotice {
    /// Moves `ship_from` to the addresses, as the address SF.
    pub(crate) fn merge_ship_from(&mut self) -> Result<(), String> {
        let Some(mut address) = self.ship_from.take() else { return Ok(()) };
        if !["", "SF"].contains(&address.kind.as_str()) {
            return Err(format!("ship_from.kind is {:?}: leave it out, it is always SF", address.kind));
        }
        if self.addresses.iter().any(|other| other.kind == "SF") {
            return Err("both ship_from and addresses state the address SF: leave one of them out".to_owned());
        }
        "SF".clone_into(&mut address.kind);
        self.addresses.insert(0, address);
        Ok(())
    }

    pub(crate) fn prepare(
        &self,
        orders: &[OrderBalance],
        lenient: bool,
        (sent_at, rules): (&str, &PartnerRules),
    ) -> Result<PreparedDocument, Vec<String>> {
        let mut checker = DocumentChecker::new("shipped");
        self.check_header(orders, lenient, &mut checker);
        let (mut labels, mut tracking) = (BTreeSet::new(), BTreeSet::new());
        let mut resolved_orders: Vec<(&OrderBalance, ResolvedPack<'_>)> = Vec::new();
        for (notice_order, order) in self.orders.iter().zip(orders) {
            let mut resolver = PackResolver {
                order,
                lenient,
                checker: &mut checker,
                sscc_labels: &mut labels,
                tracking_numbers: &mut tracking,
            };
            let packed = resolver.resolve_pack(None, &notice_order.packs, &notice_order.lines);
            if packed.all_lines().is_empty() {
                checker.add_error(format!("order {}: the notice has no lines", notice_order.purchase_order));
            }
            resolved_orders.push((order, packed));
        }
        let notice = ResolvedShipNotice { notice: self, orders: resolved_orders, sent_at, rules };
        let first = &orders[0].state.order;
        let facts = required_facts::list_ship_notice_facts(&notice);
        checker.check_required_facts(&first.partner, FactKind::ShipNotice, rules, &facts);
        let sent_lines = notice.orders.iter().enumerate().flat_map(|(order_index, (order, packed))| {
            packed.all_lines().into_iter().map(move |line| SentLine {
                order_index,
                line_number: order.line_number(line.matched.index),
                item_key: order.item_key(line.matched.index).to_owned(),
                quantity: line.line.quantity,
                unit: line.unit.map(str::to_owned),
            })
        });
        let writers =
            (|| as_x12::ship_notice::draft_ship_notice(&notice), || as_rsx::ship_notice::build_rsx_shipment(&notice));
        checker.finish(())?;
        Ok(PreparedDocument {
            lines: sent_lines.collect(),
            total: None,
            document: crate::edi::outbound::build_outbound_document("856", &self.shipment_number, first, writers)?,
            sscc_labels: labels.into_iter().collect(),
        })
    }

    fn check_header(&self, orders: &[OrderBalance], lenient: bool, checker: &mut DocumentChecker) {
        checker.check_code("shipment_number", &self.shipment_number, (2, 30));
        checker.check_date("shipped_on", Some(&self.shipped_on));
        checker.check_time("ship_time", self.ship_time.as_ref());
        checker.check_date("delivery_on", self.delivery_on.as_ref());
        checker.check_optional_code("bill_of_lading", self.bill_of_lading.as_ref(), (1, 30));
        checker.check_optional_code("pro_number", self.pro_number.as_ref(), (1, 30));
        checker.check_carrier(self.carrier.as_ref(), 80);
        checker.check_optional_code("freight_payer", self.freight_payer.as_ref(), (2, 2));
        checker.check_trailer(self.trailer.as_ref());
        checker.check_references("references", &self.references, &more_facts::NAMED_REFERENCES);
        checker.check_dates("dates", &self.dates, &more_facts::NAMED_SHIPMENT_DATES);
        for order in &self.orders {
            let name_of = |list: &str| format!("order {}: {list}", order.purchase_order);
            checker.check_references(&name_of("references"), &order.references, &more_facts::NAMED_REFERENCES);
            checker.check_dates(&name_of("dates"), &order.dates, &more_facts::NAMED_SHIPMENT_DATES);
        }
        checker.check_contacts(&self.contacts);
        checker.check_notes(&self.notes);
        self.addresses.iter().for_each(|address| checker.check_address(address));
        checker.check_weight("the weight", self.weight.as_ref());
        let (first, mut numbers) = (&orders[0].state.order, BTreeSet::new());
        if first.origin.format == "x12" && !self.notes.is_empty() {
            checker.add_error("notes: an X12 ship notice has no place for notes: leave them out, or use references");
        }
        for order in orders {
            if let Some(closed) = order.closed_reason(lenient) {
                checker.add_error(closed);
            }
            let own = &order.state.order;
            if !numbers.insert((&own.number, &own.release)) {
                checker.add_error(format!("order {} is listed twice", own.number));
            }
            if own.partner != first.partner || own.origin != first.origin || own.is_test != first.is_test {
                checker.add_error(format!(
                    "orders {} and {} differ in partner, format or test mode: send one notice for each",
                    own.number, first.number
                ));
            }
        }
    }
}

/// Resolves the packs of one order.
struct PackResolver<'f, 's> {
    order: &'s OrderBalance,
    lenient: bool,
    checker: &'f mut DocumentChecker,
    sscc_labels: &'f mut BTreeSet<String>,
    tracking_numbers: &'f mut BTreeSet<String>,
}

impl<'s> PackResolver<'_, 's> {
    fn resolve_pack(
        &mut self,
        pack: Option<&'s ShipNoticePack>,
        packs: &'s [ShipNoticePack],
        lines: &'s [ShipNoticeLine],
    ) -> ResolvedPack<'s> {
        let lines = lines.iter().filter_map(|line| self.resolve_line(line)).collect();
        let mut inner = Vec::new();
        for inner_pack in packs {
            self.check_pack_label(inner_pack);
            if pack.is_some_and(|outer| outer.kind == PackKind::Carton)
                || (pack.is_some() && inner_pack.kind == PackKind::Pallet)
            {
                self.checker.add_error("a pallet contains only cartons, and a carton contains no packs");
                continue;
            }
            let packed = self.resolve_pack(Some(inner_pack), &inner_pack.packs, &inner_pack.lines);
            if packed.all_lines().is_empty() {
                self.checker.add_error(format!(
                    "a {} of order {} is empty",
                    describe_pack_kind(inner_pack.kind),
                    self.order.state.order.number
                ));
            }
            inner.push(packed);
        }
        ResolvedPack { pack, packs: inner, lines }
    }

    fn check_pack_label(&mut self, pack: &ShipNoticePack) {
        self.checker.check_optional_code("tracking", pack.tracking.as_ref(), (1, 48));
        if pack.sscc.is_none() && pack.tracking.is_none() {
            self.checker.add_error(format!(
                "a {} has neither sscc nor tracking: the receiver cannot identify it",
                describe_pack_kind(pack.kind)
            ));
        }
        self.checker.check_weight(&format!("the weight of a {}", describe_pack_kind(pack.kind)), pack.weight.as_ref());
        if let Some(tracking) = &pack.tracking
            && !self.tracking_numbers.insert(tracking.clone())
        {
            self.checker.add_error(format!("tracking {tracking} is on two packs"));
        }
        let Some(sscc) = &pack.sscc else { return };
        match validate_sscc(sscc, self.lenient) {
            Err(error) => self.checker.add_error(error),
            Ok(label) => {
                if !self.sscc_labels.insert(label.to_owned()) {
                    self.checker.add_error(format!("sscc {sscc} is on two packs"));
                }
            }
        }
    }

    fn resolve_line(&mut self, line: &'s ShipNoticeLine) -> Option<ResolvedShipNoticeLine<'s>> {
        let at = match self.order.find_line(line.line.as_deref(), line.item.as_deref(), self.lenient) {
            Ok(at) => at,
            Err(error) => {
                self.checker.add_error(error);
                return None;
            }
        };
        self.checker.check_quantity(self.order, &at, (line.quantity, line.unit.as_ref()), self.lenient);
        self.checker.check_optional_code("lot", line.lot.as_ref(), (1, 30));
        self.checker.check_date("expires_on", line.expires_on.as_ref());
        self.checker.check_weight(&format!("{}: the weight", at.name), line.weight.as_ref());
        let name_of = |list: &str| format!("{}: {list}", at.name);
        self.checker.check_references(&name_of("references"), &line.references, &more_facts::NAMED_LINE_REFERENCES);
        self.checker.check_dates(&name_of("dates"), &line.dates, &more_facts::NAMED_LINE_DATES);
        let unit = line.unit.as_deref().or(at.line.unit.as_deref());
        Some(ResolvedShipNoticeLine { line, unit, matched: at })
    }
}

pub(crate) fn describe_pack_kind(kind: PackKind) -> &'static str {
    match kind {
        PackKind::Pallet => "pallet",
        PackKind::Carton => "carton",
    }
}

/// Returns the digits of a label without the application identifier 00.
pub(crate) fn strip_sscc_prefix(text: &str) -> &str {
    let text = text.strip_prefix("(00)").unwrap_or(text);
    if text.len() == 20 { text.strip_prefix("00").unwrap_or(text) } else { text }
}

/// Checks that a text is an SSCC-18 and returns its digits; with `lenient`, only its length is checked.
///
/// The last digit is the GS1 check digit: weights 1 and 3 from the right, up to the next multiple of ten.
fn validate_sscc(text: &str, lenient: bool) -> Result<&str, String> {
    let digits = strip_sscc_prefix(text);
    if digits.len() != 18 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("sscc {text:?} does not have 18 digits"));
    }
    let weighted =
        digits.bytes().rev().zip([1, 3].iter().cycle()).map(|(byte, weight)| u32::from(byte - b'0') * weight);
    if weighted.sum::<u32>() % 10 != 0 && !lenient {
        return Err(format!("sscc {text}: the check digit is wrong, so a scanner would reject it"));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::validate_sscc;

    #[test]
    fn sscc_check_digit_is_validated() {
        for valid in ["008627140000045018", "00008627140000045025", "(00)157035381410375177", "095287654321012346"] {
            assert_eq!(validate_sscc(valid, false).map(str::len), Ok(18), "{valid}");
        }
        for (invalid, message) in
            [("00007774760000006929", "check digit"), ("1234", "18 digits"), ("00862714000004501x", "18 digits")]
        {
            assert!(validate_sscc(invalid, false).unwrap_err().contains(message), "{invalid}");
        }
        assert!(validate_sscc("00007774760000006929", true).is_ok());
    }
}
