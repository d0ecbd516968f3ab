//! A retail purchase order or a change to one, whatever it was written in: X12 850 and 860, SPS RSX in XML and JSON.
//!
//! Codes are kept as the sender wrote them (X12's lists; RSX uses the same ones). Numbers are exact decimal text, dates are
//! `2026-11-24`. What a sender did not say is `None` and never a zero.

use serde::{Deserialize, Serialize};

/// One purchase order, or one change to one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PurchaseOrder {
    /// An 860 or `OrderChange`: says what is different.
    pub is_change: bool,
    /// Who orders: the sender of the interchange (ISA06), `TradingPartnerId` in RSX.
    pub partner: String,
    pub number: String,
    /// Empty where there is none.
    pub release: String,
    /// BEG01, BCH01: 00 original, 01 cancellation, 04 change, 05 replace …
    pub purpose: String,
    /// BEG02: SA stand alone, DS drop ship …
    pub kind: Option<String>,
    pub ordered_on: Option<String>,
    /// Of a change: which one it is (BCH05).
    pub sequence: Option<String>,
    /// Of a change: when it was asked for (BCH11).
    pub changed_on: Option<String>,
    pub currency: Option<String>,
    pub department: Option<String>,
    pub vendor: Option<String>,
    pub contract: Option<String>,
    /// ISA15 is T: not to be shipped.
    pub is_test: bool,
    pub origin: Origin,
    pub dates: Vec<Date>,
    pub references: Vec<Reference>,
    pub contacts: Vec<Contact>,
    pub addresses: Vec<Address>,
    pub terms: Vec<Terms>,
    pub carriers: Vec<Carrier>,
    pub allowances: Vec<Allowance>,
    pub notes: Vec<String>,
    pub lines: Vec<Line>,
    /// What the sender says the number of lines is (CTT01).
    pub stated_lines: Option<String>,
    /// And what their quantities come to (CTT02).
    pub stated_quantity: Option<String>,
    /// What the sender says it comes to (AMT*TT, `TotalAmount`).
    pub stated_total: Option<String>,
}

/// How a document came: what answers it is written the same way. Ids and versions are of X12 only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// `x12`, `rsx-xml` or `rsx-json`.
    pub dialect: String,
    /// Qualifier and id: ISA05 and 06, ISA07 and 08 as received.
    pub sender: (String, String),
    pub receiver: (String, String),
    /// ISA12.
    pub interchange_version: String,
    /// GS02, 03 and 08 as received.
    pub application_sender: String,
    pub application_receiver: String,
    pub version: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// PO101, POC01.
    pub number: Option<String>,
    /// Of a change: what is done to it (POC02): AI added, DI deleted, PC price, QI quantity up …
    pub change: Option<String>,
    pub quantity: Option<String>,
    /// EA, CA, LB …
    pub unit: Option<String>,
    pub price: Option<String>,
    /// What the price is for (PO105): PE each, HP per hundred …
    pub price_basis: Option<String>,
    /// In the sender's order.
    pub ids: Vec<ProductId>,
    pub description: Option<String>,
    /// How many inner units one unit holds (PO401).
    pub pack: Option<String>,
    pub dates: Vec<Date>,
    pub references: Vec<Reference>,
    pub addresses: Vec<Address>,
    pub allowances: Vec<Allowance>,
    pub schedules: Vec<Schedule>,
    pub notes: Vec<String>,
}

/// By what a line names the goods.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProductId {
    /// UP, UK, EN, BP, VN …
    pub qualifier: String,
    pub value: String,
}

/// A date with what it is: 002 delivery requested, 010 ship requested, 001 cancel after …
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Date {
    pub qualifier: String,
    pub on: Option<String>,
    /// The last day where it is a period.
    pub until: Option<String>,
    /// `13:30` or `13:30:59`, by the sender's clock.
    pub time: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// DP department, IA internal vendor number …
    pub qualifier: String,
    pub value: Option<String>,
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// BD buyer, IC information …
    pub kind: String,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub fax: Option<String>,
    pub email: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// ST ship to, BT bill to, BY buying party …
    pub kind: String,
    /// Whose number it is: 92 the buyer's, 9 DUNS+4, UL GLN …
    pub id_qualifier: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
    /// More names and the street, a line each.
    pub lines: Vec<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

/// Terms of payment (ITD).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    pub kind: Option<String>,
    /// From when days are counted: 1 shipped, 2 delivered, 3 the invoice's date …
    pub basis: Option<String>,
    pub discount_percent: Option<String>,
    pub discount_on: Option<String>,
    pub discount_days: Option<String>,
    pub net_on: Option<String>,
    pub net_days: Option<String>,
    pub discount_amount: Option<String>,
    pub description: Option<String>,
}

/// How it is to be shipped (TD5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Carrier {
    /// SCAC or the buyer's code.
    pub code: Option<String>,
    /// M motor, U parcel …
    pub method: Option<String>,
    pub routing: Option<String>,
    pub service: Option<String>,
}

/// An allowance or a charge (SAC).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowance {
    /// A allowance, C charge, N neither.
    pub kind: String,
    /// C310 discount, D240 freight …
    pub code: Option<String>,
    /// In the order's currency; of X12 the two implied decimals are made explicit.
    pub amount: Option<String>,
    pub percent: Option<String>,
    /// Per unit.
    pub rate: Option<String>,
    /// How it is settled (SAC12).
    pub handling: Option<String>,
    pub description: Option<String>,
}

/// A part of a line's quantity, for a place (SDQ) or a time (SCH).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// A store or warehouse.
    pub location: Option<String>,
    pub quantity: String,
    pub unit: Option<String>,
    pub date_qualifier: Option<String>,
    pub on: Option<String>,
}

impl Line {
    /// What tells the goods from others, whatever number the line has.
    #[must_use]
    pub fn goods(&self) -> Option<String> {
        let known =
            [("buyer", self.buyer_item()), ("vendor", self.vendor_item()), ("gtin", self.gtin()), ("upc", self.upc())];
        let known = known.into_iter().find_map(|(kind, id)| Some(format!("{kind} {}", id?)));
        known.or_else(|| self.ids.first().map(|id| format!("{} {}", id.qualifier, id.value)))
    }

    /// Whether the price is for one unit, and not for a hundred and the like.
    #[must_use]
    pub fn is_priced_by_unit(&self) -> bool {
        matches!(self.price_basis.as_deref(), None | Some("PE" | "UM" | "TE" | "WE"))
    }

    /// The first of these ids that the line has.
    #[must_use]
    pub fn id(&self, qualifiers: &[&str]) -> Option<&str> {
        qualifiers
            .iter()
            .find_map(|wanted| self.ids.iter().find(|id| id.qualifier == *wanted))
            .map(|id| id.value.as_str())
    }

    /// The buyer's number of the goods.
    #[must_use]
    pub fn buyer_item(&self) -> Option<&str> {
        self.id(&["IN", "BP", "CB", "SK", "IT"])
    }

    /// The vendor's, which is ours.
    #[must_use]
    pub fn vendor_item(&self) -> Option<&str> {
        self.id(&["VN", "VP", "VC", "VA", "MG"])
    }

    /// UPC, EAN or ISBN of what is sold.
    #[must_use]
    pub fn upc(&self) -> Option<&str> {
        self.id(&["UP", "EN", "EO", "UI", "IB"])
    }

    /// GTIN or UPC of the case.
    #[must_use]
    pub fn gtin(&self) -> Option<&str> {
        self.id(&["UK", "UA"])
    }
}
