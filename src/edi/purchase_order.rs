//! A purchase order of a retailer, or a change to one, independent of its format: X12 850, 860, 875 and 876, SPS RSX in
//! XML and JSON.
//!
//! Codes stay as the sender wrote them (X12's code lists; RSX uses the same ones). Numbers are exact decimal text,
//! dates are `2026-11-24`. A value that the sender did not state is `None` and never zero.

use serde::{Deserialize, Serialize};

/// One purchase order, or one change to one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PurchaseOrder {
    /// True for an 860, 876 or `OrderChange`, which states only the differences.
    pub is_change: bool,
    /// Retailer that orders: sender of the interchange (ISA06), `TradingPartnerId` in RSX.
    pub partner: String,
    pub number: String,
    /// Release of a blanket order; empty if there is none.
    pub release: String,
    /// Purpose (BEG01, BCH01): 00 original, 01 cancellation, 04 change, 05 replace … In a grocery set the order status
    /// (G5001), N original, or the code of the change (G9201), CA change.
    pub purpose: String,
    /// Order type (BEG02): SA stand alone, DS drop ship …
    pub kind: Option<String>,
    pub ordered_on: Option<String>,
    /// Sequence number of a change (BCH05).
    pub sequence: Option<String>,
    /// Date on which a change was requested (BCH11, else BCH10).
    pub changed_on: Option<String>,
    pub currency: Option<String>,
    pub department: Option<String>,
    pub vendor: Option<String>,
    pub contract: Option<String>,
    /// True for a test (ISA15 is T, G5001 is X) or an information (ISA15 is I), which must not be shipped.
    pub is_test: bool,
    pub origin: DocumentOrigin,
    pub dates: Vec<EdiDate>,
    pub references: Vec<EdiReference>,
    pub contacts: Vec<EdiContact>,
    pub addresses: Vec<EdiAddress>,
    pub terms: Vec<PaymentTerms>,
    pub carriers: Vec<CarrierDetails>,
    pub allowances: Vec<AllowanceCharge>,
    /// Packaging, special handling and freight (PKG, TD4, FOB).
    pub instructions: Vec<EdiInstruction>,
    pub notes: Vec<String>,
    pub lines: Vec<PurchaseOrderLine>,
    /// Number of lines that the sender states (CTT01).
    pub stated_lines: Option<String>,
    /// Sum of the quantities that the sender states (CTT02, G7601).
    pub stated_quantity: Option<String>,
    /// Total amount that the sender states (AMT*TT, G7608, `TotalAmount`).
    pub stated_total: Option<String>,
    /// Other amounts that the sender states (AMT, `MonetaryAmounts`).
    pub amounts: Vec<EdiAmount>,
    /// Values that no other field has.
    pub extras: Vec<OrderExtra>,
    /// What a person must look at in this document: contradictions, sums that do not fit, values that are unclear.
    pub findings: Vec<String>,
}

impl PurchaseOrder {
    /// Returns true for an order of the grocery sets, an 875, whose invoice is an 880.
    #[must_use]
    pub fn is_grocery_order(&self) -> bool {
        self.origin.transaction_set == "875"
    }
}

/// Origin of a document, so that its answer has the same format. Only X12 has ids and versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DocumentOrigin {
    /// `x12`, `rsx-xml` or `rsx-json`.
    pub format: String,
    /// Transaction set id (ST01): 850, 875 …
    pub transaction_set: String,
    /// Qualifier and id as received: ISA05 and ISA06; the receiver is ISA07 and ISA08.
    pub sender: (String, String),
    pub receiver: (String, String),
    /// Interchange control version (ISA12).
    pub interchange_version: String,
    /// GS02 as received; the receiver is GS03, the version GS08.
    pub application_sender: String,
    pub application_receiver: String,
    pub version: String,
    /// Time at which the sender made the group, in its local time (GS04, GS05): `2026-11-24T10:41`.
    pub sent_at: Option<String>,
}

impl DocumentOrigin {
    /// Returns the version of the interchange for an answer (ISA12): the one in which the sender wrote.
    ///
    /// ISA12 names the version of the control segments ISA and IEA, and is independent of the version of the group in
    /// GS08 (X12.5 and X12.6).
    #[must_use]
    pub fn answer_interchange_version(&self) -> &str {
        let own = self.interchange_version.as_str();
        let is_version = own.len() == 5 && own.bytes().all(|byte| byte.is_ascii_digit());
        if is_version {
            own
        } else if self.version.as_str() >= "005" {
            "00501"
        } else {
            "00401"
        }
    }

    /// Returns true for a version whose dates have no century: those before 004010 (element 373 has six digits).
    #[must_use]
    pub fn has_short_dates(&self) -> bool {
        self.version.starts_with("00") && self.version.as_str() < "004"
    }
}

/// One line of a purchase order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PurchaseOrderLine {
    /// Line number of the retailer (PO101, POC01).
    pub number: Option<String>,
    /// Change code of a line in a change (POC02): AI added, DI deleted, PC price, QI quantity up … A line of the wrong
    /// kind has the id of its segment: `PO1` in an 860, `POC` in an 850.
    pub change: Option<String>,
    pub quantity: Option<String>,
    /// Quantity that is left to receive after a change (POC04).
    pub quantity_left: Option<String>,
    /// Quantity before a change, as the sender states it (`PreviousOrderQty`).
    pub quantity_before: Option<String>,
    /// Difference that a change makes to the quantity, as the sender states it (`VarianceQty`).
    pub quantity_difference: Option<String>,
    /// Unit of measure: EA, CA, LB …
    pub unit: Option<String>,
    pub price: Option<String>,
    /// Basis of the price (PO105): PE each, HP per hundred …
    pub price_basis: Option<String>,
    /// Currency of the line, if the line states it (CUR, `BuyersCurrency`).
    pub currency: Option<String>,
    /// Other prices of the line, and the price where it is stated apart from the line (CTP, `PriceInformation`).
    pub prices: Vec<EdiPrice>,
    /// Relationship of a component to its line (SLN03): I included, A added, D deleted …
    pub relationship: Option<String>,
    /// Product ids in the sender's order.
    pub ids: Vec<ProductId>,
    pub description: Option<String>,
    /// Number of inner units in one ordered unit (PO401, G7001, `PackValue` of the outer pack).
    pub pack: Option<String>,
    /// Number of units in one inner pack (PO414, G7010, `PackValue` of the inner pack).
    pub inner_pack: Option<String>,
    /// Size of an inner unit with its unit of measure (PO402, PO403; G7002, G7003): `340 GR`.
    pub pack_size: Option<String>,
    pub dates: Vec<EdiDate>,
    pub references: Vec<EdiReference>,
    pub addresses: Vec<EdiAddress>,
    pub allowances: Vec<AllowanceCharge>,
    pub schedules: Vec<LineSchedule>,
    pub instructions: Vec<EdiInstruction>,
    pub notes: Vec<String>,
    pub contacts: Vec<EdiContact>,
    pub carriers: Vec<CarrierDetails>,
    pub terms: Vec<PaymentTerms>,
    pub amounts: Vec<EdiAmount>,
    /// Parts of a set or kit (SLN, `Sublines`), each with its own quantity, ids and schedules.
    pub components: Vec<PurchaseOrderLine>,
    /// Values that no other field has.
    pub extras: Vec<OrderExtra>,
}

/// Value of a document that no field of the model has, so that a person can read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderExtra {
    /// Segment with element (`PER06`), a whole segment (`MEA`), or a path in RSX (`Header/OrderHeader/JobNumber`).
    pub location: String,
    /// What it belongs to: `contact IC, address ST 0012`.
    pub name: Option<String>,
    /// Value as received; the elements of a whole segment are joined by `*`.
    pub value: String,
}

/// Product id by which a line names its item.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProductId {
    /// Kind of id: UP, UK, EN, BP, VN …; empty if the sender states none.
    pub qualifier: String,
    pub value: String,
}

/// Date with its meaning: 002 delivery requested, 010 ship requested, 001 cancel after …
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiDate {
    pub qualifier: String,
    pub on: Option<String>,
    /// Last day, if it is a period.
    pub until: Option<String>,
    /// `13:30` or `13:30:59`, in the sender's local time.
    pub time: Option<String>,
    /// Time zone (DTM04): ET, CT, UT … or an offset.
    pub zone: Option<String>,
    /// Address that it belongs to, as [`EdiAddress::label`] names it; `None` for the order or line itself.
    pub address: Option<String>,
}

/// Reference number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiReference {
    /// Kind: DP department, IA internal vendor number …
    pub qualifier: String,
    pub value: Option<String>,
    pub description: Option<String>,
    /// Address that it belongs to, as [`EdiAddress::label`] names it; `None` for the order or line itself.
    pub address: Option<String>,
}

/// Person or department to contact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiContact {
    /// Function: BD buyer, IC information …
    pub kind: String,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub fax: Option<String>,
    pub email: Option<String>,
    /// Other numbers, such as a second or a mobile phone.
    pub others: Vec<ContactNumber>,
    /// Address that it belongs to, as [`EdiAddress::label`] names it; `None` for the order or line itself.
    pub address: Option<String>,
}

/// Number by which a contact can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContactNumber {
    /// Kind (PER03): TE phone, CP mobile phone …
    pub qualifier: String,
    pub value: String,
}

/// Address or location.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiAddress {
    /// Role: ST ship to, BT bill to, BY buying party …
    pub kind: String,
    /// Issuer of the id: 92 the buyer, 9 DUNS+4, UL GLN …
    pub id_qualifier: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
    /// Further names of the party (N2, `AddressAlternateName`).
    pub more_names: Vec<String>,
    /// Street, one line each.
    pub lines: Vec<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
}

/// Payment terms (ITD).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PaymentTerms {
    pub kind: Option<String>,
    /// Date from which days count: 1 shipped, 2 delivered, 3 invoice date …
    pub basis: Option<String>,
    pub discount_percent: Option<String>,
    pub discount_on: Option<String>,
    pub discount_days: Option<String>,
    pub net_on: Option<String>,
    pub net_days: Option<String>,
    pub discount_amount: Option<String>,
    pub description: Option<String>,
}

/// Carrier and routing for the shipment (TD5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CarrierDetails {
    /// SCAC or the buyer's code.
    pub code: Option<String>,
    /// Transport method: M motor, A air …
    pub method: Option<String>,
    pub routing: Option<String>,
    pub service: Option<String>,
    /// Address that it belongs to, as [`EdiAddress::label`] names it; `None` for the order or line itself.
    pub address: Option<String>,
}

/// Allowance or charge (SAC, G72).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowanceCharge {
    /// A allowance, C charge, N neither; empty if the code of a G72 does not make it certain.
    pub kind: String,
    /// C310 discount, D240 freight …; in a G72 53 freight, 504 freight …
    pub code: Option<String>,
    /// Amount in the order's currency, with a decimal point. X12 implies two decimals.
    pub amount: Option<String>,
    pub percent: Option<String>,
    /// Basis of the percentage (SAC06): 3 discount or gross, 6 base price …
    pub percent_basis: Option<String>,
    /// Amount of which the percentage is (`PercentDollarBasis`).
    pub basis_amount: Option<String>,
    /// Amount per unit.
    pub rate: Option<String>,
    /// Quantity for which it is, with its unit (SAC10, SAC09).
    pub quantity: Option<String>,
    pub unit: Option<String>,
    /// Method of handling (SAC12).
    pub handling: Option<String>,
    pub description: Option<String>,
}

/// Instruction for packaging, handling or freight.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiInstruction {
    /// `packaging` (PKG), `handling` (TD4) or `freight` (FOB).
    pub kind: String,
    pub code: Option<String>,
    pub description: Option<String>,
    /// Address that it belongs to, as [`EdiAddress::label`] names it; `None` for the order or line itself.
    pub address: Option<String>,
}

/// Part of a line's quantity for one place (SDQ) or one date (SCH).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LineSchedule {
    /// Store or warehouse.
    pub location: Option<String>,
    /// Issuer of the location's id (SDQ02): 92 the buyer …
    pub location_qualifier: Option<String>,
    pub quantity: String,
    pub unit: Option<String>,
    pub date_qualifier: Option<String>,
    pub on: Option<String>,
    /// Kind of the quantity (`QuantityQualifier`): 01 ordered …
    pub kind: Option<String>,
}

/// Amount with its meaning (AMT): 1 total of the line or lines, TT total of the order …
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiAmount {
    pub qualifier: String,
    pub amount: String,
}

/// Price with its meaning (CTP).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EdiPrice {
    /// Kind (CTP02): UCP unit cost price, RES resale price, MSR suggested retail price …
    pub kind: Option<String>,
    /// Class of trade (CTP01): RS resale …
    pub class: Option<String>,
    pub price: String,
    /// Quantity from which it is valid, with its unit (CTP04, CTP05).
    pub quantity: Option<String>,
    pub unit: Option<String>,
    /// Factor that gives the final price (CTP07), and its kind (CTP06): DIS discount …
    pub multiplier: Option<String>,
    pub multiplier_kind: Option<String>,
    /// Basis of the price (CTP09): PE each, HP per hundred …
    pub basis: Option<String>,
}

impl EdiAddress {
    /// Returns the name by which parts refer to the address: its role with its id or name, such as `ST 0012`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.id.as_deref().or(self.name.as_deref()) {
            Some(name) => format!("{} {name}", self.kind),
            None => self.kind.clone(),
        }
    }
}
