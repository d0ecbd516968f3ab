//! Outbound invoices and ship notices: read from the ERP, checked against the purchase order, and written in the
//! order's format.
//!
//! The ERP states only the values that it alone knows: numbers, dates, quantities, the total. Names, addresses and item
//! numbers come from the order. A document that does not match its orders is refused, with all its errors at once. The
//! store calls [`ErpDocument::prepare`] for `novex-ingest sps send`.

pub mod as_rsx;
pub mod as_x12;
pub mod checks;
pub mod field_names;
pub mod invoice;
pub mod json_decimal;
pub mod more_facts;
pub mod order_balance;
pub mod partner_rules;
pub mod required_facts;
pub mod ship_notice;

use crate::edi::outbound_document::{OutboundContent, OutboundDocument, build_file_name};
pub use crate::edi::purchase_order::PaymentTerms;
use crate::edi::purchase_order::PurchaseOrder;
use crate::edi::x12::write::X12Draft;
use field_names::{FieldNames, UnknownField};
use invoice::Invoice;
use order_balance::OrderBalance;
use partner_rules::PartnerRules;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ship_notice::ShipNotice;

/// Invoice or ship notice as the ERP gives it, before any check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErpDocument {
    /// Invoice for an order of any kind: an 810, or an 880 for a grocery order.
    Invoice(Box<Invoice>),
    /// Invoice that the ERP calls an 880, which only a grocery order can have.
    GroceryInvoice(Box<Invoice>),
    ShipNotice(Box<ShipNotice>),
}

/// Reference to a purchase order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurchaseOrderReference {
    pub number: String,
    /// Partner, needed if several partners use the number.
    pub partner: Option<String>,
    pub release: Option<String>,
}

/// Document that was checked and is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedDocument {
    pub document: OutboundDocument,
    /// Quantities that it sends of each order line.
    pub lines: Vec<SentLine>,
    /// Total of an invoice.
    pub total: Option<String>,
    /// Labels of a ship notice, 18 digits each.
    pub sscc_labels: Vec<String>,
}

/// Carrier that the ERP names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboundCarrier {
    /// SCAC or the buyer's code.
    pub code: Option<String>,
    /// Transport method: M motor, A air …
    pub method: Option<String>,
    pub routing: Option<String>,
}

/// Weight of a shipment (gross) or of a line (net).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboundWeight {
    #[serde(deserialize_with = "json_decimal::deserialize_number")]
    pub value: Decimal,
    /// Unit: LB, KG.
    pub unit: String,
}

/// Quantity that a document sends of one order line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentLine {
    /// Index of the order among the orders of the document.
    pub order_index: usize,
    /// Line number of the retailer.
    pub line_number: String,
    /// Item key as in [`OrderBalance::item_key`].
    pub item_key: String,
    pub quantity: Decimal,
    pub unit: Option<String>,
}

impl ErpDocument {
    /// Reads an 810, 856 or 880 from JSON.
    ///
    /// # Errors
    /// A message with the place of the error. An unknown field is an error too, because its value would be lost.
    pub fn parse_json(kind: &str, text: &str) -> Result<Self, String> {
        Ok(match kind {
            "810" => Self::Invoice(Box::new(parse_strict_json(text)?)),
            "880" => Self::GroceryInvoice(Box::new(parse_strict_json(text)?)),
            "856" => {
                let mut notice: ShipNotice = parse_strict_json(text)?;
                notice.merge_ship_from()?;
                Self::ShipNotice(Box::new(notice))
            }
            other => return Err(format!("{other} cannot be sent: use 810 or 880 (invoice) or 856 (ship notice)")),
        })
    }

    /// Returns the transaction set ids that it may have. All invoices share their numbers and their quantities.
    #[must_use]
    pub fn kinds(&self) -> [&'static str; 2] {
        match self {
            Self::Invoice(_) | Self::GroceryInvoice(_) => ["810", "880"],
            Self::ShipNotice(_) => ["856", "856"],
        }
    }

    /// Returns the ERP's number of the invoice or shipment.
    #[must_use]
    pub fn number(&self) -> &str {
        match self {
            Self::Invoice(invoice) | Self::GroceryInvoice(invoice) => &invoice.invoice_number,
            Self::ShipNotice(notice) => &notice.shipment_number,
        }
    }

    /// Returns the orders that it is for.
    #[must_use]
    pub fn order_references(&self) -> Vec<PurchaseOrderReference> {
        match self {
            Self::Invoice(invoice) | Self::GroceryInvoice(invoice) => vec![invoice.order_reference()],
            Self::ShipNotice(notice) => {
                notice.orders.iter().map(ship_notice::ShipNoticeOrder::order_reference).collect()
            }
        }
    }

    /// Checks the document against its orders and writes it.
    ///
    /// `orders` has the sequence of [`Self::order_references`]. With `lenient`, prices and quantities may differ from
    /// the order. `sent_at` is a time such as `2026-11-24T13:30:59.123Z`. `rules` are the demands of the partner.
    ///
    /// # Errors
    /// All reasons why it cannot be sent.
    pub fn prepare(
        &self,
        orders: &[OrderBalance],
        lenient: bool,
        sent_at: &str,
        rules: &PartnerRules,
    ) -> Result<PreparedDocument, Vec<String>> {
        match (self, orders) {
            (Self::GroceryInvoice(_), [order]) if !order.state.order.is_grocery_order() => {
                let number = &order.state.order.number;
                Err(vec![format!(
                    "order {number} did not come as an 875, so that its invoice is an 810: send it as 810"
                )])
            }
            (Self::Invoice(invoice) | Self::GroceryInvoice(invoice), [order]) => invoice.prepare(order, lenient, rules),
            (Self::ShipNotice(notice), [_, ..]) => notice.prepare(orders, lenient, (sent_at, rules)),
            _ => Err(vec!["it names no purchase order".to_owned()]),
        }
    }
}

fn parse_strict_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let parsed = T::deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    let parsed = parsed.and_then(|value| reader.end().map(|()| value));
    // A text that is no JSON has no fields.
    let unknown = serde_json::from_str(text).map(|document| FieldNames::of::<T>().find_unknown(&document));
    let unknown = unknown.unwrap_or_default();
    let mut errors = Vec::new();
    if !unknown.is_empty() {
        let fields: Vec<String> = unknown.iter().map(UnknownField::describe).collect();
        errors.push(format!("unknown fields: {}", fields.join(", ")));
    }
    match parsed {
        Ok(value) if errors.is_empty() => return Ok(value),
        Ok(_) => {}
        Err(error) => {
            let (path, error) = (track.path().to_string(), error.to_string());
            // A field that is missing because its name is misspelt is named already.
            let is_named = |field: &UnknownField| {
                field.similar.is_some_and(|similar| error.starts_with(&format!("missing field `{similar}`")))
            };
            if !unknown.iter().any(is_named) {
                errors.push(if path == "." { error } else { format!("{path}: {error}") });
            }
        }
    }
    Err(errors.join("; "))
}

/// Writes a document in the format of its order.
fn build_outbound_document(
    kind: &'static str,
    number: &str,
    order: &PurchaseOrder,
    (draft, fields): (impl FnOnce() -> X12Draft, impl FnOnce() -> as_rsx::RsxFields),
) -> Result<OutboundDocument, Vec<String>> {
    // SPS identifies RSX files by these letters.
    let (letters, root, element) =
        if kind == "810" { ("IN", "Invoices", "Invoice") } else { ("SH", "Shipments", "Shipment") };
    let (prefix, extension, content) = match order.origin.format.as_str() {
        "x12" => (kind, "edi", OutboundContent::X12(Box::new(draft()))),
        "rsx-json" => (letters, "json", OutboundContent::Text(as_rsx::write_rsx_json(&fields()))),
        "rsx-xml" => (letters, "xml", OutboundContent::Text(as_rsx::write_rsx_xml(root, element, &fields()))),
        _ => {
            return Err(vec![format!("the format of order {} is not known, so it cannot be answered", order.number)]);
        }
    };
    Ok(OutboundDocument { kind, file_name: build_file_name(prefix, &[&order.partner, number], extension), content })
}
