//! Invoices and ship notices that go out: as the ERP gives them, checked against the purchase order, and written as the order was.
//!
//! The ERP says only what it alone knows: numbers, days, quantities, the total. Names, addresses and the numbers of the goods are
//! the order's. What does not fit the order is refused in words, all of it at once.

mod as_rsx;
mod as_x12;
mod given;
pub mod invoice;
pub mod ordered;
pub mod shipment;

use crate::formats::outgoing::Outgoing;
use invoice::Invoice;
use ordered::{Ordered, Position};
use rust_decimal::Decimal;
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
}

/// So much of a line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Place of the order among those that the document names.
    pub order: usize,
    /// As [`Ordered::key`] has it.
    pub line: String,
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
    let value = serde_ignored::deserialize(&mut reader, |path| unknown.push(path.to_string()));
    let value = value.and_then(|value| reader.end().map(|()| value)).map_err(|error| error.to_string())?;
    if unknown.is_empty() { Ok(value) } else { Err(format!("not known here: {}", unknown.join(", "))) }
}

/// What is wrong, collected.
#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// A number or code of ours: printable, of a length that X12 has room for, and without its separators.
    fn code(&mut self, what: &str, value: &str, most: usize) {
        let is_plain = |letter: char| (letter.is_ascii_graphic() || letter == ' ') && !"*~^>".contains(letter);
        if value.trim().is_empty() {
            self.add(format!("{what} is missing"));
        } else if value.trim() != value || !value.chars().all(is_plain) || value.len() > most {
            self.add(format!(
                "{what} {value:?} cannot be sent: at most {most} printable ASCII characters, none of * ~ ^ >"
            ));
        }
    }

    /// The same for one that may be left out.
    fn optional(&mut self, what: &str, value: Option<&str>, most: usize) {
        if let Some(value) = value {
            self.code(what, value, most);
        }
    }

    fn day(&mut self, what: &str, value: &str) {
        if value.len() != 10 || value.parse::<jiff::civil::Date>().is_err() {
            self.add(format!("{what} {value:?} is no day: write 2026-11-24"));
        }
    }

    /// So much of a line of the order, with all that is said of it: must be positive, in the order's unit, and not more than was
    /// ordered.
    fn quantity(
        &mut self,
        order: &Ordered,
        at: &Position<'_>,
        quantity: Decimal,
        unit: Option<&str>,
        already: Decimal,
        lenient: bool,
    ) {
        let line = at.line;
        if quantity <= Decimal::ZERO {
            self.add(format!("{}: the quantity {quantity} is not more than 0", at.name));
        }
        if quantity.normalize().to_string().len() > 10 {
            self.add(format!("{}: the quantity {quantity} has more than 10 characters", at.name));
        }
        if let (Some(unit), Some(ordered)) = (unit, line.unit.as_deref())
            && unit != ordered
        {
            self.add(format!("{}: the unit is {unit}, the order's is {ordered}", at.name));
        }
        if unit.is_none() && line.unit.is_none() {
            self.add(format!("{}: has no unit, and neither has the order", at.name));
        }
        let ordered = line.quantity.as_deref().and_then(super::decimal::parse);
        let before = order.sent_of(at);
        if let (Some(ordered), false) = (ordered, lenient)
            && before + already + quantity > ordered
        {
            let before = before + already;
            let before = if before.is_zero() { String::new() } else { format!(" and {before} before") };
            self.add(format!("{}: {quantity}{before}, but {ordered} was ordered", at.name));
        }
    }

    fn end<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}
