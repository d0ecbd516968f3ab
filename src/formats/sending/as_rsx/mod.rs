//! As RSX 7.7, in XML and JSON: [`invoice`], [`shipment`], and here what both have. Names and their order are those of SPS's JSON
//! schemas, which XML follows; what is empty is left out. Source: ShipStream/spscommerce-php-sdk, json-schema/v777.

pub mod invoice;
pub mod shipment;

use super::Carrier;
use crate::formats::purchase_order::{Address, Line};
use rust_decimal::Decimal;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::fmt::Write as _;

/// An element's value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(Decimal),
    Object(Fields),
    /// The element repeated; always an array in JSON.
    List(Vec<Fields>),
}

/// The elements of one, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.push((name, Value::Text(value.to_owned())));
        }
    }

    fn number(&mut self, name: &'static str, value: Option<Decimal>) {
        if let Some(value) = value {
            self.0.push((name, Value::Number(value.normalize())));
        }
    }

    fn count(&mut self, name: &'static str, value: usize) {
        self.number(name, Some(value.into()));
    }

    fn object(&mut self, name: &'static str, value: Fields) {
        if !value.0.is_empty() {
            self.0.push((name, Value::Object(value)));
        }
    }

    fn list(&mut self, name: &'static str, values: impl IntoIterator<Item = Fields>) {
        let values: Vec<Fields> = values.into_iter().filter(|value| !value.0.is_empty()).collect();
        if !values.is_empty() {
            self.0.push((name, Value::List(values)));
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            // Exact: a number of JSON has any digits.
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

/// One document in JSON.
#[must_use]
pub fn json(fields: &Fields) -> String {
    serde_json::to_string_pretty(fields).unwrap_or_default()
}

/// One document in XML, within the element for several.
#[must_use]
pub fn xml(root: &str, name: &str, fields: &Fields) -> String {
    let mut text =
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root} xmlns=\"http://www.spscommerce.com/RSX\">\n");
    element(&mut text, 1, name, fields);
    let _ = writeln!(text, "</{root}>");
    text
}

fn element(text: &mut String, depth: usize, name: &str, fields: &Fields) {
    let indent = "  ".repeat(depth);
    let _ = writeln!(text, "{indent}<{name}>");
    for (name, value) in &fields.0 {
        match value {
            Value::Text(value) => leaf(text, depth + 1, name, value),
            Value::Number(number) => leaf(text, depth + 1, name, &number.to_string()),
            Value::Object(fields) => element(text, depth + 1, name, fields),
            Value::List(items) => items.iter().for_each(|item| element(text, depth + 1, name, item)),
        }
    }
    let _ = writeln!(text, "{indent}</{name}>");
}

fn leaf(text: &mut String, depth: usize, name: &str, value: &str) {
    // XML has no way to write most of the control characters.
    let is_none = |letter: char| letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}');
    let value: String = value.chars().map(|letter| if is_none(letter) { ' ' } else { letter }).collect();
    let value = quick_xml::escape::escape(value.as_str());
    let _ = writeln!(text, "{}<{name}>{value}</{name}>", "  ".repeat(depth));
}

fn address(address: &Address) -> Fields {
    let mut fields = Fields::default();
    fields.text("AddressTypeCode", Some(&address.kind));
    if let Some(id) = &address.id {
        fields.text("LocationCodeQualifier", Some(address.id_qualifier.as_deref().unwrap_or("92")));
        fields.text("AddressLocationNumber", Some(id));
    }
    fields.text("AddressName", address.name.as_deref());
    for (name, line) in ["Address1", "Address2", "Address3", "Address4"].into_iter().zip(&address.lines) {
        fields.text(name, Some(line));
    }
    fields.text("City", address.city.as_deref());
    fields.text("State", address.state.as_deref());
    fields.text("PostalCode", address.postal_code.as_deref());
    fields.text("Country", address.country.as_deref());
    fields
}

fn carrier(carrier: &Carrier) -> Fields {
    let mut fields = Fields::default();
    fields.text("CarrierTransMethodCode", carrier.method.as_deref());
    fields.text("CarrierAlphaCode", carrier.code.as_deref());
    fields.text("CarrierRouting", carrier.routing.as_deref());
    fields
}

/// The retailer's number of the line and the numbers of the goods, each where RSX has it.
fn line(line: &Line) -> Fields {
    let mut fields = Fields::default();
    fields.text("LineSequenceNumber", line.number.as_deref());
    let own = [
        ("BuyerPartNumber", line.buyer_item()),
        ("VendorPartNumber", line.vendor_item()),
        ("ConsumerPackageCode", line.id(&["UP"])),
        ("EAN", line.id(&["EN"])),
        ("GTIN", line.id(&["UK"])),
        ("UPCCaseCode", line.id(&["UA"])),
        ("InternationalStandardBookNumber", line.id(&["IB"])),
    ];
    for (name, value) in own {
        fields.text(name, value);
    }
    let others = line.ids.iter().filter(|id| !own.iter().any(|(_, value)| *value == Some(id.value.as_str())));
    fields.list(
        "ProductID",
        others.map(|id| {
            let mut fields = Fields::default();
            fields.text("PartNumberQual", Some(&id.qualifier));
            fields.text("PartNumber", Some(&id.value));
            fields
        }),
    );
    fields
}

fn description(line: &Line) -> Option<Fields> {
    let words = line.description.as_deref()?;
    let mut fields = Fields::default();
    fields.text("ProductCharacteristicCode", Some("08"));
    fields.text("ProductDescription", Some(words));
    Some(fields)
}

/// A date or a reference: what it is and its value.
fn coded(names: (&'static str, &'static str), code: &str, value: Option<&str>) -> Option<Fields> {
    let value = value?;
    let mut fields = Fields::default();
    fields.text(names.0, Some(code));
    fields.text(names.1, Some(value));
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_sound_and_exact() {
        let mut inner = Fields::default();
        inner.text("Name", Some("Jam & \"Co\" <1>\u{7}"));
        inner.text("Nothing", Some(""));
        inner.number("Price", Some("19.9500".parse().unwrap()));
        let mut fields = Fields::default();
        fields.object("None", Fields::default());
        fields.list("Line", [inner.clone(), inner]);
        let xml = xml("Things", "Thing", &fields);
        let tree = crate::formats::rsx::tree::from_xml(&xml).unwrap();
        assert_eq!(tree.children[0].children.len(), 2, "{xml}");
        assert_eq!(tree.children[0].children[1].text_of(&["Name"]).as_deref(), Some("Jam & \"Co\" <1>"));
        let json = json(&fields);
        assert!(json.contains("\"Price\": 19.95\n") && !json.contains("None"), "{json}");
    }
}
