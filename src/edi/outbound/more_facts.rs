//! References, dates, contacts and the trailer that the ERP states beyond the named fields of a document.

use crate::edi::purchase_order::{EdiReference, PurchaseOrder};
use serde::Deserialize;

/// Reference number that goes to the partner as it is (REF).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboundReference {
    /// Kind: CR customer reference, SI shipper's number, IV seller's invoice …
    pub qualifier: String,
    pub value: String,
    pub description: Option<String>,
}

/// Date that goes to the partner as it is (DTM).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboundDate {
    /// Kind: 067 delivery expected, 094 manufactured …
    pub qualifier: String,
    pub on: String,
    /// Time such as `14:30`.
    pub time: Option<String>,
}

/// Person or department that the partner can ask (PER, G61).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboundContact {
    /// Function: IC information, AR accounts receivable, SH shipping …
    pub kind: String,
    pub name: Option<String>,
    pub phone: Option<String>,
    pub fax: Option<String>,
    pub email: Option<String>,
}

impl OutboundContact {
    /// Returns the qualifier and the value of each number: PER03 to PER08.
    pub fn numbers(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let numbers = [("TE", &self.phone), ("FX", &self.fax), ("EM", &self.email)];
        numbers.into_iter().filter_map(|(qualifier, value)| Some((qualifier, value.as_ref()?)))
    }
}

/// Most contacts of a document: PER and G61 occur three times.
pub const CONTACTS_MAX: usize = 3;
/// Most notes of a document; an 880 has room for no more.
pub const NOTES_MAX: usize = 20;
/// Most characters of a note (NTE02), as few as in the oldest version.
pub const NOTE_CHARS_MAX: usize = 60;
/// Most characters of a contact's name and of its numbers, likewise.
pub const CONTACT_NAME_CHARS_MAX: usize = 35;
pub const CONTACT_NUMBER_CHARS_MAX: usize = 80;

/// Trailer or container of a shipment (TD3).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutboundTrailer {
    pub number: String,
    /// Letters of the owner before the number.
    pub initial: Option<String>,
    /// Numbers of its seals.
    #[serde(default)]
    pub seals: Vec<String>,
}

/// Reference qualifiers of a shipment, an order or an invoice that have a field of their own.
pub const NAMED_REFERENCES: [(&str, &str); 2] = [("BM", "bill_of_lading"), ("CN", "pro_number")];
/// Date qualifiers of an invoice that have a field of their own.
pub const NAMED_INVOICE_DATES: [(&str, &str); 1] = [("011", "shipped_on")];
/// Date qualifiers of a shipment or an order that have a field of their own.
pub const NAMED_SHIPMENT_DATES: [(&str, &str); 2] = [("011", "shipped_on"), ("017", "delivery_on")];
/// Reference and date qualifiers of a line of a ship notice that have a field of their own.
pub const NAMED_LINE_REFERENCES: [(&str, &str); 1] = [("LT", "lot")];
pub const NAMED_LINE_DATES: [(&str, &str); 1] = [("036", "expires_on")];

/// Kinds of references that name the order for the buyer, so that the answer repeats them: account, division, customer
/// order, contract, customer number, merchandise type, promotion.
const ECHOED_REFERENCES: [&str; 7] = ["11", "19", "CO", "CT", "IT", "MR", "PD"];

/// Returns the references of the order that its answers repeat, without those that the ERP states itself.
pub fn list_echoed_references<'o>(
    order: &'o PurchaseOrder,
    own: &[OutboundReference],
) -> impl Iterator<Item = &'o EdiReference> {
    let is_own = |qualifier: &str| own.iter().any(|part| part.qualifier == qualifier);
    let is_echoed = |part: &&EdiReference| {
        ECHOED_REFERENCES.contains(&part.qualifier.as_str()) && part.value.is_some() && !is_own(&part.qualifier)
    };
    order.references.iter().filter(is_echoed).collect::<Vec<_>>().into_iter()
}

/// Returns who pays the freight (FOB01): the ERP's code, else the order's.
#[must_use]
pub fn find_freight_payer<'o>(own: Option<&'o String>, order: &'o PurchaseOrder) -> Option<&'o str> {
    if let Some(own) = own {
        return Some(own);
    }
    let mut codes =
        order.instructions.iter().filter(|part| part.kind == "freight").filter_map(|part| part.code.as_deref());
    codes.find(|code| code.len() == 2)
}
