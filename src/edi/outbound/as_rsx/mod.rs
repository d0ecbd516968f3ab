//! Writes outbound documents as RSX 7.7, in XML and JSON: [`invoice`], [`ship_notice`], and here the parts that both
//! share.
//!
//! Names and their order follow SPS's JSON schemas, also in XML. Empty elements are left out. Source:
//! ShipStream/spscommerce-php-sdk, json-schema/v777.

pub mod invoice;
pub mod ship_notice;

use crate::edi::outbound::more_facts::{
    OutboundContact, OutboundDate, OutboundReference, find_freight_payer, list_echoed_references,
};
use crate::edi::outbound::{OutboundCarrier, OutboundWeight};
use crate::edi::purchase_order::{EdiAddress, PurchaseOrder, PurchaseOrderLine};
use rust_decimal::Decimal;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;

/// Value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RsxValue {
    Text(String),
    Number(Decimal),
    Object(RsxFields),
    /// Repeated element; always an array in JSON.
    List(Vec<RsxFields>),
}

/// Child elements, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RsxFields(Vec<(&'static str, RsxValue)>);

impl RsxFields {
    fn add_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.push((name, RsxValue::Text(value.to_owned())));
        }
    }

    fn add_number(&mut self, name: &'static str, value: Option<Decimal>) {
        if let Some(value) = value {
            self.0.push((name, RsxValue::Number(value.normalize())));
        }
    }

    fn add_count(&mut self, name: &'static str, value: usize) {
        self.add_number(name, Some(value.into()));
    }

    fn add_object(&mut self, name: &'static str, value: RsxFields) {
        if !value.0.is_empty() {
            self.0.push((name, RsxValue::Object(value)));
        }
    }

    fn add_list(&mut self, name: &'static str, values: impl IntoIterator<Item = RsxFields>) {
        let values: Vec<RsxFields> = values.into_iter().filter(|value| !value.0.is_empty()).collect();
        if !values.is_empty() {
            self.0.push((name, RsxValue::List(values)));
        }
    }
}

impl Serialize for RsxFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for RsxValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            // A JSON number keeps every digit of the text.
            Self::Number(number) => {
                let number: serde_json::Number = number.to_string().parse().map_err(serde::ser::Error::custom)?;
                number.serialize(serializer)
            }
            Self::Object(fields) => fields.serialize(serializer),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
        }
    }
}

/// Writes one document as JSON.
#[must_use]
pub fn write_rsx_json(fields: &RsxFields) -> String {
    serde_json::to_string_pretty(fields).unwrap_or_default()
}

/// Writes one document as XML, inside the root element for several documents.
#[must_use]
pub fn write_rsx_xml(root: &str, name: &str, fields: &RsxFields) -> String {
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root} xmlns=\"http://www.spscommerce.com/RSX\">\n");
    write_element(&mut text, 1, name, fields);
    let _ = writeln!(text, "</{root}>");
    text
}

fn write_element(text: &mut String, depth: usize, name: &str, fields: &RsxFields) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}<{name}>");
    for (name, value) in &fields.0 {
        match value {
            RsxValue::Text(value) => write_text_element(text, depth + 1, name, value),
            RsxValue::Number(number) => write_text_element(text, depth + 1, name, &number.to_string()),
            RsxValue::Object(fields) => write_element(text, depth + 1, name, fields),
            RsxValue::List(items) => items.iter().for_each(|item| write_element(text, depth + 1, name, item)),
        }
    }
    let _ = writeln!(text, "{indent}</{name}>");
}

fn write_text_element(text: &mut String, depth: usize, name: &str, value: &str) {
    // XML cannot express most control characters.
    let is_forbidden = |char: char| char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}');
    let value: String = value.chars().map(|char| if is_forbidden(char) { ' ' } else { char }).collect();
    let value = quick_xml::escape::escape(value.as_str());
    let _ = writeln!(text, "{}<{name}>{value}</{name}>", "  ".repeat(depth));
}

fn build_address(address: &EdiAddress) -> RsxFields {
    let mut fields = RsxFields::default();
    fields.add_text("AddressTypeCode", Some(&address.kind));
    if let Some(id) = &address.id {
        fields.add_text("LocationCodeQualifier", Some(address.id_qualifier.as_deref().unwrap_or("92")));
        fields.add_text("AddressLocationNumber", Some(id));
    }
    fields.add_text("AddressName", address.name.as_deref());
    for (name, text) in ["AddressAlternateName", "AddressAlternateName2"].into_iter().zip(&address.more_names) {
        fields.add_text(name, Some(text));
    }
    for (name, line) in ["Address1", "Address2", "Address3", "Address4"].into_iter().zip(&address.lines) {
        fields.add_text(name, Some(line));
    }
    fields.add_text("City", address.city.as_deref());
    fields.add_text("State", address.state.as_deref());
    fields.add_text("PostalCode", address.postal_code.as_deref());
    fields.add_text("Country", address.country.as_deref());
    fields
}

/// Builds the references of the order that answers repeat, then those that the ERP states.
fn list_references(order: Option<&PurchaseOrder>, own: &[OutboundReference]) -> Vec<RsxFields> {
    let echoed = order.into_iter().flat_map(|order| list_echoed_references(order, own));
    let echoed = echoed.map(|part| (part.qualifier.as_str(), part.value.as_deref(), None));
    let own = own.iter().map(|part| (part.qualifier.as_str(), Some(part.value.as_str()), part.description.as_deref()));
    let build = |(qualifier, value, description): (&str, Option<&str>, Option<&str>)| {
        let mut fields = RsxFields::default();
        fields.add_text("ReferenceQual", Some(qualifier));
        fields.add_text("ReferenceID", value);
        fields.add_text("Description", description);
        fields
    };
    echoed.chain(own).map(build).collect()
}

/// Builds the dates that the ERP states.
fn list_dates(dates: &[OutboundDate]) -> Vec<RsxFields> {
    let build = |part: &OutboundDate| {
        let mut fields = RsxFields::default();
        fields.add_text("DateTimeQualifier", Some(&part.qualifier));
        fields.add_text("Date", Some(&part.on));
        fields.add_text("Time", part.time.as_ref().map(|time| format!("{time}:00")).as_deref());
        fields
    };
    dates.iter().map(build).collect()
}

/// Builds the contacts that the ERP states.
fn list_contacts(contacts: &[OutboundContact]) -> impl Iterator<Item = RsxFields> {
    contacts.iter().map(|contact| {
        let mut fields = RsxFields::default();
        fields.add_text("ContactTypeCode", Some(&contact.kind));
        fields.add_text("ContactName", contact.name.as_deref());
        fields.add_text("PrimaryPhone", contact.phone.as_deref());
        fields.add_text("PrimaryFax", contact.fax.as_deref());
        fields.add_text("PrimaryEmail", contact.email.as_deref());
        fields
    })
}

/// Builds the notes that the ERP states.
fn list_notes(notes: &[String]) -> impl Iterator<Item = RsxFields> {
    notes.iter().map(|note| {
        let mut fields = RsxFields::default();
        fields.add_text("NoteCode", Some("GEN"));
        fields.add_text("Note", Some(note));
        fields
    })
}

/// Builds the freight terms with the code of the ERP, else of the order.
fn build_freight(own: Option<&String>, order: &PurchaseOrder) -> Option<RsxFields> {
    let code = find_freight_payer(own, order)?;
    let mut fields = RsxFields::default();
    fields.add_text("FOBPayCode", Some(code));
    Some(fields)
}

fn build_carrier(carrier: &OutboundCarrier) -> RsxFields {
    let mut fields = RsxFields::default();
    fields.add_text("CarrierTransMethodCode", carrier.method.as_deref());
    fields.add_text("CarrierAlphaCode", carrier.code.as_deref());
    fields.add_text("CarrierRouting", carrier.routing.as_deref());
    fields
}

/// Builds the line number of the retailer and the product ids, each in its RSX element.
fn build_line_ids(line: &PurchaseOrderLine) -> RsxFields {
    let mut fields = RsxFields::default();
    fields.add_text("LineSequenceNumber", line.number.as_deref());
    let named_ids = [
        ("BuyerPartNumber", line.buyer_item()),
        ("VendorPartNumber", line.vendor_item()),
        ("ConsumerPackageCode", line.find_product_id(&["UP"])),
        ("EAN", line.find_product_id(&["EN"])),
        ("GTIN", line.find_product_id(&["UK"])),
        ("UPCCaseCode", line.find_product_id(&["UA"])),
        ("InternationalStandardBookNumber", line.find_product_id(&["IB"])),
    ];
    for (name, value) in named_ids {
        fields.add_text(name, value);
    }
    let others = line.ids.iter().filter(|id| !named_ids.iter().any(|(_, value)| *value == Some(id.value.as_str())));
    fields.add_list(
        "ProductID",
        others.map(|id| {
            let mut fields = RsxFields::default();
            fields.add_text("PartNumberQual", Some(&id.qualifier));
            fields.add_text("PartNumber", Some(&id.value));
            fields
        }),
    );
    fields
}

fn build_description(line: &PurchaseOrderLine) -> Option<RsxFields> {
    let description = line.description.as_deref()?;
    let mut fields = RsxFields::default();
    fields.add_text("ProductCharacteristicCode", Some("08"));
    fields.add_text("ProductDescription", Some(description));
    Some(fields)
}

/// Builds the net weight of a line.
fn build_net_weight(weight: &OutboundWeight) -> RsxFields {
    let mut fields = RsxFields::default();
    fields.add_text("WeightQualifier", Some("N"));
    fields.add_number("PackWeight", Some(weight.value));
    fields.add_text("PackWeightUOM", Some(&weight.unit));
    fields
}

/// Builds a date or a reference: its code and its value.
fn build_coded_value(names: (&'static str, &'static str), code: &str, value: Option<&str>) -> Option<RsxFields> {
    let value = value?;
    let mut fields = RsxFields::default();
    fields.add_text(names.0, Some(code));
    fields.add_text(names.1, Some(value));
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_and_json_are_valid_and_exact() {
        let mut inner = RsxFields::default();
        inner.add_text("Name", Some("Jam & \"Co\" <1>\u{7}"));
        inner.add_text("Nothing", Some(""));
        inner.add_number("Price", Some("19.9500".parse().unwrap()));
        let mut fields = RsxFields::default();
        fields.add_object("None", RsxFields::default());
        fields.add_list("Line", [inner.clone(), inner]);
        let xml = write_rsx_xml("Things", "Thing", &fields);
        let tree = crate::edi::rsx::tree::parse_rsx_xml(&xml).unwrap();
        assert_eq!(tree.children[0].children.len(), 2, "{xml}");
        assert_eq!(tree.children[0].children[1].child_text(&["Name"]).as_deref(), Some("Jam & \"Co\" <1>"));
        let json = write_rsx_json(&fields);
        assert!(json.contains("\"Price\": 19.95\n") && !json.contains("None"), "{json}");
    }
}
