//! Invoices and ship notices that go out: as the ERP gives them, checked against the purchase order, and written as the order was.
//!
//! The ERP says only what it alone knows: numbers, days, quantities, the total. Names, addresses and the numbers of the goods are
//! the order's. What does not fit the order is refused in words, all of it at once.

mod as_rsx;
mod as_x12;
mod given;
pub mod invoice;
pub mod ordered;
mod problems;
pub mod shipment;

use crate::formats::outgoing::{Content, Outgoing, name};
use crate::formats::purchase_order::PurchaseOrder;
pub use crate::formats::purchase_order::Terms;
use crate::formats::x12::write::Draft;
use invoice::Invoice;
use ordered::Ordered;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shipment::Shipment;

/// A document as the ERP gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    Invoice(Box<Invoice>),
    Shipment(Box<Shipment>),
}

/// Which purchase order is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub number: String,
    /// Where several partners have the number.
    pub partner: Option<String>,
    pub release: Option<String>,
}

/// A document that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    pub outgoing: Outgoing,
    /// What of each order it is for.
    pub lines: Vec<Sent>,
    /// Of an invoice.
    pub total: Option<String>,
    /// Of a ship notice: the 18 digits of each label.
    pub labels: Vec<String>,
}

/// Who carries it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Carrier {
    /// SCAC, or the buyer's code.
    pub code: Option<String>,
    /// M motor, U parcel …
    pub method: Option<String>,
    pub routing: Option<String>,
}

/// So much of a line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Place of the order among those that the document names.
    pub order: usize,
    /// The retailer's number of it.
    pub line: String,
    /// As [`Ordered::goods`] has it.
    pub goods: String,
    pub quantity: Decimal,
    pub unit: Option<String>,
}

impl Document {
    /// Reads a document of a kind: 810 or 856.
    ///
    /// # Errors
    /// What is wrong, with its place: also a name that is not known, since what it says would be lost.
    pub fn read(kind: &str, text: &str) -> Result<Self, String> {
        Ok(match kind {
            "810" => Self::Invoice(Box::new(read(text)?)),
            "856" => Self::Shipment(Box::new(read(text)?)),
            other => return Err(format!("a {other} is not sent: 810 (invoice) and 856 (ship notice) are")),
        })
    }

    /// X12's number of it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invoice(_) => "810",
            Self::Shipment(_) => "856",
        }
    }

    /// Ours: what tells it from others of its kind.
    #[must_use]
    pub fn number(&self) -> &str {
        match self {
            Self::Invoice(invoice) => &invoice.invoice_number,
            Self::Shipment(shipment) => &shipment.shipment_number,
        }
    }

    /// The orders that it is for.
    #[must_use]
    pub fn orders(&self) -> Vec<Reference> {
        match self {
            Self::Invoice(invoice) => vec![invoice.order()],
            Self::Shipment(shipment) => shipment.orders.iter().map(shipment::Order::reference).collect(),
        }
    }

    /// Checks it against its orders, which are in the order of [`Document::orders`], and writes it. `lenient`: prices and
    /// quantities may differ from the order. `at`: when it is sent, `2026-11-24T13:30:59.123Z`.
    ///
    /// # Errors
    /// Everything that keeps it from being sent, in words.
    pub fn prepare(&self, orders: &[Ordered], lenient: bool, at: &str) -> Result<Prepared, Vec<String>> {
        match (self, orders) {
            (Self::Invoice(invoice), [order]) => invoice.prepare(order, lenient),
            (Self::Shipment(shipment), [_, ..]) => shipment.prepare(orders, lenient, at),
            _ => Err(vec!["it is for no purchase order".to_owned()]),
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut unknown = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let value = match serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string().replace(".?", ""))) {
        Ok(value) => value,
        Err(error) => {
            let path = track.path().to_string();
            return Err(if path == "." { error.to_string() } else { format!("{path}: {error}") });
        }
    };
    reader.end().map_err(|error| error.to_string())?;
    if unknown.is_empty() { Ok(value) } else { Err(format!("not known here: {}", unknown.join(", "))) }
}

/// Puts it into the form in which the order came.
fn outgoing(
    kind: &'static str,
    number: &str,
    order: &PurchaseOrder,
    (draft, fields): (impl FnOnce() -> Draft, impl FnOnce() -> as_rsx::Fields),
) -> Result<Outgoing, Vec<String>> {
    // RSX files are told by SPS's letters for what is in them.
    let (letters, root, element) =
        if kind == "810" { ("IN", "Invoices", "Invoice") } else { ("SH", "Shipments", "Shipment") };
    let (first, end, content) = match order.origin.dialect.as_str() {
        "x12" => (kind, "edi", Content::X12(Box::new(draft()))),
        "rsx-json" => (letters, "json", Content::Text(as_rsx::json(&fields()))),
        "rsx-xml" => (letters, "xml", Content::Text(as_rsx::xml(root, element, &fields()))),
        _ => {
            return Err(vec![format!(
                "how the order {} came is not known, so that it cannot be answered",
                order.number
            )]);
        }
    };
    Ok(Outgoing { kind, name: name(first, &[&order.partner, number], end), content })
}
